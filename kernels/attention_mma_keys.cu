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
  static constexpr int kSlice = kWidth <= 128 ? kWidth : 128;
  static constexpr int kSlices = kWidth / kSlice;

  const AttentionBackward<Bfloat16>& o;
  const MmaOperands& p;
  const int head, slice, first, row;                // first key of the block, first of the warp
  float *const k_scratch, *const v_scratch;         // the warp's rows of k_tile and v_tile, at the end
  std::uint32_t k_tile, v_tile, q_tiles, dy_tiles;  // shared memory: [1], [1], [kStages], [kStages]
  ScoreTables<kSoftmax> tables;
  float2* statistics;        // [2][64]: lse and delta of the queries
  int user_end[2], time[2];  // of the lane's two keys
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
        tables(p.bias, shared + 2 * Plan::kRowTileBytes + 2 * kStages * Plan::kTileBytes + 2 * 64 * sizeof(float2)),
        statistics(reinterpret_cast<float2*>(shared + 2 * Plan::kRowTileBytes + 2 * kStages * Plan::kTileBytes)) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int token = min(key(half), p.tokens - 1);
      user_end[half] = p.spans[token].end;
      time[half] = p.bias.by_bucket != nullptr ? p.bias.key_times[token] : 0;
    }
    clear(dk);
    clear(dv);
  }

  HSTU_DEVICE int key(int half) const {
    return row + lane_id() / 4 + 8 * half;
  }

  HSTU_DEVICE void start_loading(int query, int buffer) const {
    T::template load<kColumns>(q_tiles + buffer * Plan::kTileBytes, p.q + head * p.qk_head_stride, query, p.tokens,
                               p.q_stride, p.dqk);
    T::template load<kColumns>(dy_tiles + buffer * Plan::kTileBytes, o.dy + head * p.v_head_stride, query, p.tokens,
                               o.dy_stride, p.dv);
    commit_copies();
  }

  HSTU_DEVICE void run() {
    const int end = p.spans[min(first + kRows, p.tokens) - 1].end;
    SideLoad<kSoftmax> side;
    float2 statistic = make_float2(0.0f, 0.0f);
    const auto start = [&](int query, int buffer) {
      start_loading(query, buffer);
      side.read(p, head, query - first - (kRows - 1), p.bias.query_times, query);
      if (kSoftmax && threadIdx.x < 64) {
        const std::int64_t token = min(query + static_cast<int>(threadIdx.x), p.tokens - 1);
        statistic = make_float2(o.lse[token * p.heads + head] * kScoreUnit<true>, o.delta[token * p.heads + head]);
      }
    };
    const auto write = [&](int buffer) {
      side.write(p, tables, buffer);
      if (kSoftmax && threadIdx.x < 64) statistics[buffer * 64 + threadIdx.x] = statistic;
    };
    T::template load<kRows>(k_tile, p.k + head * p.qk_head_stride, first, p.tokens, p.k_stride, p.dqk);
    T::template load<kRows>(v_tile, p.v + head * p.v_head_stride, first, p.tokens, p.v_stride, p.dv);
    start(first, 0);
    write(0);
    tables.load(p.bias, head);
#pragma unroll 1
    for (int query = first, buffer = 0; query < end; query += kColumns, buffer = kStages == 2 ? buffer ^ 1 : 0) {
      wait_for_copies();
      __syncthreads();
      const bool has_next = query + kColumns < end;
      if (kStages == 2 && has_next) start(query + kColumns, buffer ^ 1);
      if (row < p.tokens) visit(query, buffer);
      if (kStages == 1) {
        __syncthreads();
        if (has_next) start(query + kColumns, 0);
      }
      if (has_next) write(kStages == 2 ? buffer ^ 1 : 0);
    }
    if (row >= p.tokens) return;
    const float k_factor[2] = {p.alpha, p.alpha};
    const float v_scale = p.inverse_normalizer * p.dropout_scale, v_factor[2] = {v_scale, v_scale};
    const int skipped = slice * kSlice;
    store_rows(dk, k_factor, k_scratch, p.dqk - skipped, [&](int r) {
      return row + r < p.tokens ? o.dk + (row + r) * o.dk_stride + head * p.dqk + skipped : nullptr;
    });
    store_rows(dv, v_factor, v_scratch, p.dv - skipped, [&](int r) {
      return row + r < p.tokens ? o.dv + (row + r) * o.dv_stride + head * p.dv + skipped : nullptr;
    });
  }

  HSTU_DEVICE void visit(int query, int buffer) {
    const int least = __shfl_sync(kAllLanes, user_end[0], 0), most = __shfl_sync(kAllLanes, user_end[1], 28);
    if (query >= row + 15 && query + kColumns <= least) {
#pragma unroll 1
      for (int c = 0; c < kColumns; c += kBlock) add_block<kBlock, false>(query, c, buffer);
    } else {
#pragma unroll 1
      for (int c = max(row - query, 0) / 16 * 16; c < kColumns && query + c < most; c += 16) {
        add_block<16, true>(query, c, buffer);
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
                                int query, int c, int buffer) const {
    const int g = lane_id() / 4, t = lane_id() % 4;
    const float unit = p.alpha * kScoreUnit<kSoftmax>;
    const float* const window = tables.windows + buffer * kWindow + c + 2 * t - (16 * warp_id() + g) + kRows - 1;
    const int2* const times = reinterpret_cast<const int2*>(tables.times + buffer * 64 + c + 2 * t);
#pragma unroll
    for (int n = 0; n < kQueries / 8; ++n) {
      const int2 query_time = p.bias.by_bucket != nullptr ? times[4 * n] : make_int2(0, 0);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int half = j / 2, odd = j % 2;
        float score = fmaf(s[n][j], unit, window[8 * n + odd - 8 * half]);
        if (p.bias.by_bucket != nullptr) {
          score += tables.by_bucket[tables.bucket(p.bias, (odd ? query_time.y : query_time.x) - time[half])];
        }
        const float2 statistic = kSoftmax ? statistics[buffer * 64 + c + 8 * n + 2 * t + odd] : make_float2(0.0f, 0.0f);
        const bool is_kept = (kept >> (4 * n + j) & 1u) != 0;
        const float dweight = is_kept ? dweights[n][j] * p.dropout_scale : 0.0f;
        differentiate<kSoftmax>(score, dweight, statistic.x, statistic.y, p.inverse_normalizer, s[n][j],
                                dweights[n][j]);
        const int place = query + c + 8 * n + 2 * t + odd;
        const bool is_seen = !kMasked || (place >= key(half) && place < user_end[half]);
        if (!is_seen) dweights[n][j] = 0.0f;
        if (!is_seen || !is_kept) s[n][j] = 0.0f;
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
