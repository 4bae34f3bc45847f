// SPDX-License-Identifier: MIT
// Attention backward on tensor cores, by keys: dK and dV.  A block owns 64 keys of one head and walks over tiles of the
// queries that see them.  Scores are made transposed, so that weights and their gradients leave the tensor cores as
// left operands of dV = Wᵀ·dY and dK = dSᵀ·Q.  Heads wider than 128 are cut into slices of 128 columns of the results.
#include "attention_mma.cuh"

namespace hstu::cuda {

template <int kWidth, bool kSoftmax>
struct KeyPass {
  using T = Tile<kWidth>;
  using Plan = TilePlan<kWidth>;
  static constexpr int kColumns = Plan::kColumns;
  static constexpr int kStages = kWidth <= 128 ? 2 : 1;
  static constexpr int kBlock = kWidth <= 64 ? 32 : 16;
  static constexpr int kBlocks = kColumns / 16;
  static constexpr int kSideBytes = 2 * 64 * (sizeof(float2) + sizeof(KeySpan) + sizeof(int));
  static constexpr int kSlice = kWidth <= 128 ? kWidth : 128;
  static constexpr int kSlices = kWidth / kSlice;

  const AttentionBackward<Bfloat16>& o;
  const MmaOperands& p;
  const int head, slice, first, row;                // first key of the block, first of the warp
  float *const k_scratch, *const v_scratch;         // the warp's rows of k_tile and v_tile, at the end
  std::uint32_t k_tile, v_tile, q_tiles, dy_tiles;  // shared memory: [1], [1], [kStages], [kStages]
  ScoreTables<kSoftmax> tables;
  float2* statistics;  // [2][64]: lse and delta of the queries
  KeySpan* seen;       // [2][64]: by the queries
  int* places;         // [2][64]: of the queries
  int time[2];         // of the lane's two keys
  float target_sum[2];
  float dk[kSlice / 8][4], dv[kSlice / 8][4];

  HSTU_DEVICE KeyPass(const AttentionBackward<Bfloat16>& operands, unsigned char* shared)
      : o(operands),
        p(operands.of),
        head(static_cast<int>(blockIdx.y) / kSlices),
        slice(static_cast<int>(blockIdx.y) % kSlices),
        first(o.tiles[blockIdx.x]),
        row(first + 16 * warp_id()),
        k_scratch(reinterpret_cast<float*>(shared + warp_id() * (Plan::kRowTileBytes / kWarps))),
        v_scratch(k_scratch + Plan::kRowTileBytes / sizeof(float)),
        k_tile(shared_address(shared)),
        v_tile(k_tile + Plan::kRowTileBytes),
        q_tiles(v_tile + Plan::kRowTileBytes),
        dy_tiles(q_tiles + kStages * Plan::kTileBytes),
        tables(p.bias, shared + 2 * Plan::kRowTileBytes + 2 * kStages * Plan::kTileBytes + kSideBytes),
        statistics(reinterpret_cast<float2*>(shared + 2 * Plan::kRowTileBytes + 2 * kStages * Plan::kTileBytes)),
        seen(reinterpret_cast<KeySpan*>(statistics + 2 * 64)),
        places(reinterpret_cast<int*>(seen + 2 * 64)) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      time[half] = p.bias.by_bucket != nullptr ? p.bias.key_times[min(key(half), p.tokens - 1)] : 0;
      target_sum[half] = 0.0f;
    }
    clear(dk);
    clear(dv);
  }

  HSTU_DEVICE int key(int half) const {
    return row + lane_id() / 4 + 8 * half;
  }

  /// The lanes below kBlocks have 16 queries of a tile each; the others repeat them.
  static HSTU_DEVICE int own_queries(int query) {
    return query + 16 * (lane_id() % kBlocks);
  }
  /// True if one of the lane's queries sees one of `count` keys.
  HSTU_DEVICE bool sees_keys(int query, int first_key, int count) const {
    const int own = own_queries(query);
    return sees_some(p.seen_by_some[own / 16], own, first_key, first_key + count);
  }
  /// The first tile from `query` on that sees one of the block's keys; `end` or more: there is none.
  HSTU_DEVICE int next_tile(int query, int end) const {
    while (query < end && __any_sync(kAllLanes, sees_keys(query, first, kRows)) == 0) query += kColumns;
    return query;
  }

  HSTU_DEVICE void run() {
    const int last = min(first + kRows, p.tokens) - 1, end = p.spans[last].end;
    const int begin = p.looks_ahead ? p.spans[first].first / kColumns * kColumns : first;
    SideLoad<kSoftmax> side;
    float2 statistic = make_float2(0.0f, 0.0f);
    KeySpan own_seen{};
    int own_place = 0;
    const auto start = [&](int query, int buffer) {
      T::template load<kColumns>(q_tiles + buffer * Plan::kTileBytes, queries_of(p, head), query);
      T::template load<kColumns>(dy_tiles + buffer * Plan::kTileBytes, dy_of(o, head), query);
      commit_copies();
      side.read(p, head, query - first - kRows, p.bias.query_times, query);
      if (threadIdx.x >= kColumns) return;
      const int own = query + static_cast<int>(threadIdx.x), token = min(own, p.tokens - 1);
      own_seen = own < p.tokens ? p.seen[own] : KeySpan{};
      own_place = place_of(p, token);
      if (kSoftmax) {
        const std::int64_t place = static_cast<std::int64_t>(head) * p.tokens + token;
        statistic = make_float2(o.lse[place] * kScoreUnit<true>, o.delta[place]);
      }
    };
    const auto write = [&](int buffer) {
      side.write(p, tables, buffer);
      if (threadIdx.x >= kColumns) return;
      const int own = buffer * 64 + static_cast<int>(threadIdx.x);
      seen[own] = own_seen;
      places[own] = own_place;
      if (kSoftmax) statistics[own] = statistic;
    };
    T::template load<kRows>(k_tile, keys_of(p, head), first);
    T::template load<kRows>(v_tile, values_of(p, head), first);
    int query = next_tile(begin, end);
    start(query, 0);
    write(0);
    tables.load(p.bias, head);
#pragma unroll 1
    for (int buffer = 0; query < end; buffer = kStages == 2 ? buffer ^ 1 : 0) {
      wait_for_copies();
      __syncthreads();
      const int next = next_tile(query + kColumns, end);
      const bool has_next = next < end;
      if (kStages == 2 && has_next) start(next, buffer ^ 1);
      if (row < p.tokens) visit(query, buffer);
      if (kStages == 1) {
        __syncthreads();
        if (has_next) start(next, 0);
      }
      if (has_next) write(kStages == 2 ? buffer ^ 1 : 0);
      query = next;
    }
    if (row < p.tokens) finish();
  }

  HSTU_DEVICE void finish() {
    const float k_factor[2] = {p.alpha, p.alpha};
    const float v_scale = p.inverse_normalizer * p.dropout_scale, v_factor[2] = {v_scale, v_scale};
    const int skipped = slice * kSlice;
    const auto store = [&](const auto& sums, const float(&factor)[2], float* scratch, float* to, std::int64_t stride,
                           int cols) {
      to += head * cols + skipped;
      store_rows(sums, factor, scratch, cols - skipped, begin_with_sectors(to, stride),
                 [&](int r) { return row + r < p.tokens ? to + (row + r) * stride : nullptr; });
    };
    store(dk, k_factor, k_scratch, o.dk, o.dk_stride, p.dqk);
    store(dv, v_factor, v_scratch, o.dv, o.dv_stride, p.dv);
    if (p.places == nullptr || slice > 0) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      target_sum[half] += __shfl_xor_sync(kAllLanes, target_sum[half], 1);
      target_sum[half] += __shfl_xor_sync(kAllLanes, target_sum[half], 2);
      if (lane_id() % 4 == 0 && key(half) < p.tokens) {
        o.target_sums[static_cast<std::int64_t>(head) * p.tokens + key(half)] = target_sum[half];
      }
    }
  }

  /// Blocks of kBlock queries if all queries of the tile see all keys of the warp, else those blocks of 16 of which one
  /// sees some.
  HSTU_DEVICE void visit(int query, int buffer) {
    const KeySpan all = p.seen_by_all[own_queries(query) / 16];
    const unsigned some = __ballot_sync(kAllLanes, sees_keys(query, row, 16));
    if (__all_sync(kAllLanes, row >= all.first && row + 16 <= all.last)) {
#pragma unroll 1
      for (int c = 0; c < kColumns; c += kBlock) add_block<kBlock, false>(query, c, buffer);
    } else {
#pragma unroll 1
      for (int c = 0; c < kColumns; c += 16) {
        if (some >> (c / 16) & 1u) add_block<16, true>(query, c, buffer);
      }
    }
  }

  template <int kQueries, bool kMasked>
  HSTU_DEVICE void add_block(int query, int c, int buffer) {
    float s[kQueries / 8][4], dweights[kQueries / 8][4];
    clear(s);
    clear(dweights);
    multiply_rows<kWidth, kQueries>(s, k_tile, q_tiles + buffer * Plan::kTileBytes, c);
    multiply_rows<kWidth, kQueries>(dweights, v_tile, dy_tiles + buffer * Plan::kTileBytes, c);
    std::uint32_t kept = 0xffffffffu;
    if (p.dropout_threshold != 0) {
      kept = kept_weights<kQueries / 8>(p, head, [&](int n, int j) {
        const int token = min(query + c + 8 * n + 2 * (lane_id() % 4) + j % 2, p.tokens - 1);
        return make_int2(token, key(j / 2) - p.spans[token].first);
      });
    }
    make_weights<kQueries, kMasked>(s, dweights, kept, query, c, buffer);
    add_weighted_rows<kWidth, kQueries>(dv, s, dy_tiles + buffer * Plan::kTileBytes, c, slice * kSlice / 16);
    add_weighted_rows<kWidth, kQueries>(dk, dweights, q_tiles + buffer * Plan::kTileBytes, c, slice * kSlice / 16);
  }

  /// Products to weights, and gradients of weights to those of scores, in place.
  template <int kQueries, bool kMasked>
  HSTU_DEVICE void make_weights(float (&s)[kQueries / 8][4], float (&dweights)[kQueries / 8][4], std::uint32_t kept,
                                int query, int c, int buffer) {
    const int g = lane_id() / 4, t = lane_id() % 4;
    const float unit = p.alpha * kScoreUnit<kSoftmax>;
    const float* const window = tables.windows + buffer * kWindow + c + 2 * t - (16 * warp_id() + g) + kRows;
    const int2* const times = reinterpret_cast<const int2*>(tables.times + buffer * 64 + c + 2 * t);
#pragma unroll
    for (int n = 0; n < kQueries / 8; ++n) {
      const int2 query_time = p.bias.by_bucket != nullptr ? times[4 * n] : make_int2(0, 0);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int half = j / 2, odd = j % 2, column = buffer * 64 + c + 8 * n + 2 * t + odd;
        const int own_query = query + c + 8 * n + 2 * t + odd;
        bool is_seen = true, is_target_pair = false;
        float bias = window[8 * n + odd - 8 * half];
        if (kMasked) {
          is_seen = sees(seen[column], own_query, key(half));
          if (p.places != nullptr) {
            const int distance = places[column] - key(half);
            is_target_pair = places[column] < own_query && distance > 0;
            if (is_target_pair) bias = bias_of_target<kSoftmax>(p, head, distance);
          }
        }
        float score = fmaf(s[n][j], unit, bias);
        if (p.bias.by_bucket != nullptr) {
          score += tables.by_bucket[tables.bucket(p.bias, (odd ? query_time.y : query_time.x) - time[half])];
        }
        const float2 statistic = kSoftmax ? statistics[column] : make_float2(0.0f, 0.0f);
        const bool is_kept = (kept >> (4 * n + j) & 1u) != 0;
        const float dweight = is_kept ? dweights[n][j] * p.dropout_scale : 0.0f;
        differentiate<kSoftmax>(score, dweight, statistic.x, statistic.y, p.inverse_normalizer, s[n][j],
                                dweights[n][j]);
        if (!is_seen) dweights[n][j] = 0.0f;
        if (!is_seen || !is_kept) s[n][j] = 0.0f;
        if (kMasked && is_target_pair) target_sum[half] += dweights[n][j];
      }
    }
  }
};

template <int kWidth, bool kSoftmax>
HSTU_DEVICE void attention_backward_keys(const AttentionBackward<Bfloat16>& o) {
  extern __shared__ __align__(128) unsigned char shared[];
  KeyPass<kWidth, kSoftmax>(o, shared).run();
}

HSTU_MMA_KERNELS(attention_backward_keys_mma, attention_backward_keys, AttentionBackward<Bfloat16>)

}  // namespace hstu::cuda
