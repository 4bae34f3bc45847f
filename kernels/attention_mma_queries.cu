// SPDX-License-Identifier: MIT
// Attention backward on tensor cores, by queries: dQ and the gradients of the bias tables.  A block owns 64 queries of
// one head and walks over tiles of keys; scores are computed again.  No sum has two writers: every thread has a column
// of its own for each time bucket, and every diagonal of a tile, which is one distance, a place of its own.  Heads
// wider than 128 are cut into slices of 128 columns of dQ, of which the first makes the gradients of the tables.
#include "attention_mma.cuh"

namespace hstu::cuda {

constexpr int kCopies = 16;      // of the sums over diagonals: one for each warp and t
constexpr int kCopyPitch = 138;  // the lanes of a warp meet banks 8t + g

template <int kWidth, bool kSoftmax>
struct QueryPass {
  using T = Tile<kWidth>;
  using Plan = TilePlan<kWidth>;
  static constexpr int kColumns = Plan::kColumns;
  static constexpr int kStages = kWidth <= 64 ? 2 : 1;
  static constexpr int kBlock = kWidth <= 128 ? 32 : 16;
  static constexpr int kSlice = kWidth <= 128 ? kWidth : 128;
  static constexpr int kSlices = kWidth / kSlice;

  using Rows = QueryRows<kColumns>;

  const AttentionBackward<Bfloat16>& o;
  const MmaOperands& p;
  const int head, slice;
  float* const scratch;                             // the warp's rows of q_tile, once it has read them
  std::uint32_t q_tile, dy_tile, k_tiles, v_tiles;  // shared memory: [1], [1], [kStages], [kStages]
  ScoreTables<kSoftmax> tables;
  float *diagonals, *histogram;  // [kCopies][kCopyPitch], [buckets][kThreads]
  float* by_distance;            // global, this block's own
  float lse[2], delta[2];        // of the lane's two queries
  float dq[kSlice / 8][4];

  HSTU_DEVICE QueryPass(const AttentionBackward<Bfloat16>& operands, unsigned char* shared)
      : o(operands),
        p(operands.of),
        head(static_cast<int>(blockIdx.y) / kSlices),
        slice(static_cast<int>(blockIdx.y) % kSlices),
        scratch(reinterpret_cast<float*>(shared + warp_id() * (Plan::kRowTileBytes / kWarps))),
        q_tile(shared_address(shared)),
        dy_tile(q_tile + Plan::kRowTileBytes),
        k_tiles(dy_tile + Plan::kRowTileBytes),
        v_tiles(k_tiles + kStages * Plan::kTileBytes),
        tables(p.bias, shared + 2 * Plan::kRowTileBytes + 2 * kStages * Plan::kTileBytes),
        diagonals(tables.windows + ScoreTables<kSoftmax>::words(p.bias)),
        histogram(diagonals + kCopies * kCopyPitch),
        by_distance(o.position_parts +
                    (static_cast<std::int64_t>(head) * o.position_rows + blockIdx.x) * o.position_stride) {}

  HSTU_DEVICE bool adds_positions() const { return p.bias.by_distance != nullptr && slice == 0; }
  HSTU_DEVICE bool adds_times() const { return p.bias.by_bucket != nullptr && slice == 0; }

  HSTU_DEVICE void run() {
    const int thread = static_cast<int>(threadIdx.x);
    tables.load(p.bias, head);
    if (adds_positions()) {
      for (int i = thread; i < kCopies * kCopyPitch; i += kThreads) diagonals[i] = 0.0f;
      for (int i = thread; i < p.longest; i += kThreads) by_distance[i] = 0.0f;
    }
    if (adds_times()) {
      for (int b = 0; b < p.bias.buckets; ++b) histogram[b * kThreads + thread] = 0.0f;
    }
    for (int t = static_cast<int>(blockIdx.x); t < o.num_tiles; t += static_cast<int>(gridDim.x)) {
      run_tile(Rows(p, o.tiles[t]));
    }
    if (!adds_times()) return;
    __syncthreads();
    float* const by_bucket = o.time_parts + (static_cast<std::int64_t>(head) * gridDim.x + blockIdx.x) * o.time_stride;
    for (int b = thread; b < p.bias.buckets; b += kThreads) {
      float sum = 0.0f;
      for (int i = 0; i < kThreads; ++i) sum += histogram[b * kThreads + (i + b) % kThreads];  // from bank b on
      by_bucket[b] = sum;
    }
  }

  HSTU_DEVICE void run_tile(const Rows& rows) {
    clear(dq);
    T::template load<kRows>(q_tile, queries_of(p, head), rows.first);
    T::template load<kRows>(dy_tile, dy_of(o, head), rows.first);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t place = static_cast<std::int64_t>(head) * p.tokens + min(rows.query(half), p.tokens - 1);
      lse[half] = kSoftmax ? o.lse[place] * kScoreUnit<true> : 0.0f;
      delta[half] = kSoftmax ? o.delta[place] : 0.0f;
    }
    SideLoad<kSoftmax> side;
    const auto start = [&](int key, int buffer) {
      T::template load<kColumns>(k_tiles + buffer * Plan::kTileBytes, keys_of(p, head), key);
      T::template load<kColumns>(v_tiles + buffer * Plan::kTileBytes, values_of(p, head), key);
      commit_copies();
      side.read(p, head, rows.first - key - kColumns, p.bias.key_times, key);
    };
    int key = rows.next_tile(rows.begin);
    start(key, 0);
    side.write(p, tables, 0);
#pragma unroll 1
    for (int buffer = 0; key < rows.end; buffer = kStages == 2 ? buffer ^ 1 : 0) {
      wait_for_copies();
      __syncthreads();
      const int next = rows.next_tile(key + kColumns);
      const bool has_next = next < rows.end;
      if (kStages == 2 && has_next) start(next, buffer ^ 1);
      if (rows.row < p.tokens) {
        rows.template visit<kBlock>(
            p, key, [&](int c) { add_block<kBlock, false>(rows, SeenKeys{}, key, c, buffer); },
            [&](int c, const SeenKeys& seen) { add_block<16, true>(rows, seen, key, c, buffer); });
      }
      __syncthreads();  // the sums over diagonals are complete, and nobody reads this tile any more
      if (kStages == 1 && has_next) start(next, 0);
      if (has_next) side.write(p, tables, kStages == 2 ? buffer ^ 1 : 0);
      if (adds_positions()) add_up_diagonals(rows.first - key - kColumns);
      key = next;
    }
    const float factor[2] = {p.alpha, p.alpha};
    const int skipped = slice * kSlice;
    float* const to = o.dq + head * p.dqk + skipped;
    store_rows(dq, factor, scratch, p.dqk - skipped, begin_with_sectors(to, o.dq_stride), [&](int r) {
      const int query = rows.row + r;
      return query < p.tokens ? to + query * o.dq_stride : nullptr;
    });
    __syncthreads();  // before the next tile comes
  }

  template <int kKeys, bool kMasked>
  HSTU_DEVICE void add_block(const Rows& rows, const SeenKeys& seen, int key, int c, int buffer) {
    float s[kKeys / 8][4], dweights[kKeys / 8][4];
    clear(s);
    clear(dweights);
    multiply_rows<kWidth, kKeys>(s, q_tile, k_tiles + buffer * Plan::kTileBytes, c);
    multiply_rows<kWidth, kKeys>(dweights, dy_tile, v_tiles + buffer * Plan::kTileBytes, c);
    if (p.dropout_threshold != 0) {
      const std::uint32_t kept = rows.template kept<kKeys / 8>(p, head, key + c);
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int j = 0; j < 4; ++j) dweights[n][j] = kept >> (4 * n + j) & 1u ? dweights[n][j] * p.dropout_scale : 0.0f;
      }
    }
    std::uint32_t buckets[kKeys / 8];  // a byte for each score
    make_dscores<kKeys, kMasked>(rows, seen, s, dweights, buckets, key, c, buffer);
    add_weighted_rows<kWidth, kKeys>(dq, s, k_tiles + buffer * Plan::kTileBytes, c, slice * kSlice / 16);
    if (adds_times()) add_to_histogram<kKeys>(s, buckets);
    if (!adds_positions()) return;
    if (kMasked && p.places != nullptr) {  // those of targets are summed by the keys
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          if (seen.is_target_pair(j / 2, key + c + 8 * n + 2 * (lane_id() % 4) + j % 2)) s[n][j] = 0.0f;
        }
      }
    }
    add_to_diagonals<kKeys>(s, c);
  }

  /// Products to gradients of scores, in place.
  template <int kKeys, bool kMasked>
  HSTU_DEVICE void make_dscores(const Rows& rows, const SeenKeys& seen, float (&s)[kKeys / 8][4],
                                const float (&dweights)[kKeys / 8][4], std::uint32_t (&buckets)[kKeys / 8], int key,
                                int c, int buffer) const {
    const int g = lane_id() / 4, t = lane_id() % 4;
    const float unit = p.alpha * kScoreUnit<kSoftmax>;
    const float* const window = tables.windows + buffer * kWindow + 16 * warp_id() + g - (c + 2 * t) + kColumns;
    const int2* const times = reinterpret_cast<const int2*>(tables.times + buffer * 64 + c + 2 * t);
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      const int2 key_time = p.bias.by_bucket != nullptr ? times[4 * n] : make_int2(0, 0);
      buckets[n] = 0;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int half = j / 2, odd = j % 2, place = key + c + 8 * n + 2 * t + odd;
        float bias = window[8 * half - 8 * n - odd], weight;
        if (kMasked && seen.is_target_pair(half, place)) {
          bias = bias_of_target<kSoftmax>(p, head, seen.place[half] - place);
        }
        float score = fmaf(s[n][j], unit, bias);
        if (p.bias.by_bucket != nullptr) {
          const int bucket = tables.bucket(p.bias, rows.time[half] - (odd ? key_time.y : key_time.x));
          score += tables.by_bucket[bucket];
          buckets[n] |= static_cast<std::uint32_t>(bucket) << (8 * j);
        }
        differentiate<kSoftmax>(score, dweights[n][j], lse[half], delta[half], p.inverse_normalizer, weight, s[n][j]);
        if (kMasked && (!seen.contains(half, place) || rows.query(half) >= p.tokens)) s[n][j] = 0.0f;
      }
    }
  }

  /// Neighbouring keys often share a bucket: then one addition serves both.
  template <int kKeys>
  HSTU_DEVICE void add_to_histogram(const float (&dscores)[kKeys / 8][4],
                                    const std::uint32_t (&buckets)[kKeys / 8]) const {
    float* const own = histogram + threadIdx.x;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int a = static_cast<int>(buckets[n] >> (16 * half) & 255),
                  b = static_cast<int>(buckets[n] >> (16 * half + 8) & 255);
        const float left = dscores[n][2 * half], right = dscores[n][2 * half + 1];
        own[a * kThreads] += a == b ? left + right : left;
        if (a != b) own[b * kThreads] += right;
      }
    }
  }

  /// Query − key of element (n, j) is const(lane) + 8·(j/2 − n) − j%2: first the sums of equal ones in the lane, then
  /// those of odd j from the lane g + 1 (of g = 7: from g = 0, eight further), which belong to the same distance.
  template <int kKeys>
  HSTU_DEVICE void add_to_diagonals(const float (&dscores)[kKeys / 8][4], int c) const {
    constexpr int kTiles = kKeys / 8;
    const int g = lane_id() / 4, t = lane_id() % 4;
    float sums[kTiles + 3][2];  // [m + kTiles], m = −kTiles … 2; the outermost stay 0
#pragma unroll
    for (int m = 0; m < kTiles + 3; ++m) sums[m][0] = sums[m][1] = 0.0f;
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[j / 2 - n + kTiles][j % 2] += dscores[n][j];
    }
    float* const own = diagonals + (warp_id() * 4 + t) * kCopyPitch + 16 * warp_id() + g - (c + 2 * t) + kColumns;
#pragma unroll
    for (int m = -kTiles; m <= 1; ++m) {
      const float sent = g == 0 ? sums[m + 1 + kTiles][1] : sums[m + kTiles][1];
      const float sum = sums[m + kTiles][0] + __shfl_sync(kAllLanes, sent, (lane_id() + 4) % kWarpSize);
      if (m > -kTiles || g == 7) own[8 * m] += sum;
    }
  }

  /// Thread x adds the copies of distance |first_distance + x| in their order.
  HSTU_DEVICE void add_up_diagonals(int first_distance) const {
    static_assert(kRows + kColumns <= kThreads);
    const int x = static_cast<int>(threadIdx.x), distance = first_distance + x;
    float sum = 0.0f;
#pragma unroll
    for (int copy = 0; copy < kCopies; ++copy) {
      sum += diagonals[copy * kCopyPitch + x];
      diagonals[copy * kCopyPitch + x] = 0.0f;
    }
    if (distance >= 0 && distance < p.longest) by_distance[distance] += sum;
    if (!p.looks_ahead) return;
    __syncthreads();  // both signs of a distance can be in one tile
    if (distance < 0 && -distance < p.longest) by_distance[-distance] += sum;
  }
};

template <int kWidth, bool kSoftmax>
HSTU_DEVICE void attention_backward_queries(const AttentionBackward<Bfloat16>& o) {
  extern __shared__ __align__(128) unsigned char shared[];
  QueryPass<kWidth, kSoftmax>(o, shared).run();
}

HSTU_MMA_KERNELS(attention_backward_queries_mma, attention_backward_queries, AttentionBackward<Bfloat16>)

}  // namespace hstu::cuda
