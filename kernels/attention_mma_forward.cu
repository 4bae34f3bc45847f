// SPDX-License-Identifier: MIT
// Attention forward on tensor cores: bfloat16 operands, float32 sums.  A block owns 64 queries of one head and walks
// over tiles of keys, loading the next while it works on one; scores, weights and result stay in registers.
#include "attention_mma.cuh"

namespace hstu::cuda {

template <int kWidth, bool kSoftmax>
struct ForwardPass {
  using T = Tile<kWidth>;
  using Plan = TilePlan<kWidth>;
  static constexpr int kColumns = Plan::kColumns;
  static constexpr bool kHoldsQueries = kWidth <= 128;  // in registers; else read again for every block of keys

  const AttentionForward<Bfloat16>& o;
  const MmaOperands& p;
  const int head, first, row;              // head, first query of the block, first of the warp
  float* const scratch;                    // the warp's rows of q_tile, once it has read them for the last time
  std::uint32_t q_tile, k_tiles, v_tiles;  // shared memory: [1], [2], [2]
  ScoreTables<kSoftmax> tables;
  std::uint32_t by_rows, by_columns;
  int user_first[2], time[2];  // of the lane's two queries
  float sums[kWidth / 8][4], largest[2], total[2];
  std::uint32_t q[kHoldsQueries ? kWidth / 16 : 1][4];

  HSTU_DEVICE ForwardPass(const AttentionForward<Bfloat16>& operands, unsigned char* shared)
      : o(operands),
        p(operands.of),
        head(static_cast<int>(blockIdx.y)),
        first(o.tiles[blockIdx.x]),
        row(first + 16 * warp_id()),
        scratch(reinterpret_cast<float*>(shared + warp_id() * (Plan::kRowTileBytes / kWarps))),
        q_tile(shared_address(shared)),
        k_tiles(q_tile + Plan::kRowTileBytes),
        v_tiles(k_tiles + 2 * Plan::kTileBytes),
        tables(p.bias, shared + Plan::kRowTileBytes + 4 * Plan::kTileBytes),
        by_rows(T::lane_by_rows()),
        by_columns(T::lane_by_columns()) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int token = min(query(half), p.tokens - 1);
      user_first[half] = p.spans[token].first;
      time[half] = p.bias.by_bucket != nullptr ? p.bias.query_times[token] : 0;
      largest[half] = -INFINITY;
      total[half] = 0.0f;
    }
    clear(sums);
  }

  HSTU_DEVICE int query(int half) const {
    return row + lane_id() / 4 + 8 * half;
  }

  HSTU_DEVICE void start_loading(int key, int buffer) const {
    T::template load<kColumns>(k_tiles + buffer * Plan::kTileBytes, p.k + head * p.qk_head_stride, key, p.tokens,
                               p.k_stride, p.dqk);
    T::template load<kColumns>(v_tiles + buffer * Plan::kTileBytes, p.v + head * p.v_head_stride, key, p.tokens,
                               p.v_stride, p.dv);
    commit_copies();
  }

  HSTU_DEVICE void run() {
    const int begin = p.spans[first].first / kColumns * kColumns, end = min(first + kRows, p.tokens);
    SideLoad<kSoftmax> side;
    const auto read_side = [&](int key) { side.read(p, head, first - key - (kColumns - 1), p.bias.key_times, key); };
    T::template load<kRows>(q_tile, p.q + head * p.qk_head_stride, first, p.tokens, p.q_stride, p.dqk);
    start_loading(begin, 0);
    read_side(begin);
    side.write(p, tables, 0);
    tables.load(p.bias, head);
#pragma unroll 1
    for (int key = begin, buffer = 0; key < end; key += kColumns, buffer ^= 1) {
      wait_for_copies();
      __syncthreads();  // this tile has landed, and nobody reads the one before any more
      const bool has_next = key + kColumns < end;
      if (has_next) {
        start_loading(key + kColumns, buffer ^ 1);
        read_side(key + kColumns);
      }
      if (kHoldsQueries && key == begin) {
#pragma unroll
        for (int k = 0; k < (kHoldsQueries ? kWidth / 16 : 1); ++k)
          load_matrices(q[k], q_tile + T::at(16 * warp_id(), by_columns, k));
      }
      if (row < p.tokens) visit(key, buffer);
      if (has_next) side.write(p, tables, buffer ^ 1);
    }
    if (row < p.tokens) finish();
  }

  /// A tile that every query of the warp sees whole, at once; else 16 keys at a time, and only those that are seen.
  HSTU_DEVICE void visit(int key, int buffer) {
    const int least = __shfl_sync(kAllLanes, user_first[0], 0), most = __shfl_sync(kAllLanes, user_first[1], 28);
    if (key + kColumns - 1 <= row && key >= most) {
      constexpr int kBlock = kWidth == 256 ? 16 : kColumns;  // registers
#pragma unroll 1
      for (int c = 0; c < kColumns; c += kBlock) add_block<kBlock, false>(key, c, buffer);
    } else {
#pragma unroll 1
      for (int c = max(least - key, 0) / 16 * 16; c < kColumns && key + c < row + 16; c += 16) {
        add_block<16, true>(key, c, buffer);
      }
    }
  }

  /// Keys [key + c, key + c + kBlock).
  template <int kBlock, bool kMasked>
  HSTU_DEVICE void add_block(int key, int c, int buffer) {
    float s[kBlock / 8][4];
    clear(s);
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k) {
      std::uint32_t(&left)[4] = q[kHoldsQueries ? k : 0];
      if (!kHoldsQueries) load_matrices(left, q_tile + T::at(16 * warp_id(), by_columns, k));
#pragma unroll
      for (int n = 0; n < kBlock / 16; ++n) {
        std::uint32_t right[4];
        load_matrices(right, k_tiles + buffer * Plan::kTileBytes + T::at(c + 16 * n, by_rows, k));
        multiply_add(s[2 * n], left, right[0], right[1]);
        multiply_add(s[2 * n + 1], left, right[2], right[3]);
      }
    }
    make_scores<kBlock, kMasked>(s, key, c, buffer);
    if constexpr (kSoftmax) to_powers(s);
    if (p.dropout_threshold != 0) {
      const std::uint32_t kept = kept_weights<kBlock / 8>(p, head, [&](int n, int j) {
        const int half = j / 2;
        return make_int2(query(half), key + c + 8 * n + 2 * (lane_id() % 4) + j % 2 - user_first[half]);
      });
#pragma unroll
      for (int n = 0; n < kBlock / 8; ++n) {
#pragma unroll
        for (int j = 0; j < 4; ++j) s[n][j] = kept >> (4 * n + j) & 1u ? s[n][j] : 0.0f;
      }
    }
    add_weighted_rows<kWidth, kBlock>(sums, s, v_tiles + buffer * Plan::kTileBytes, c, 0);
  }

  /// Products to SiLU of scores, or to scores for softmax; masked ones to 0 or −∞.
  template <int kBlock, bool kMasked>
  HSTU_DEVICE void make_scores(float (&s)[kBlock / 8][4], int key, int c, int buffer) const {
    const int g = lane_id() / 4, t = lane_id() % 4;
    const float unit = p.alpha * kScoreUnit<kSoftmax>;
    const float* const window = tables.windows + buffer * kWindow + 16 * warp_id() + g - (c + 2 * t) + kColumns - 1;
    const int2* const times = reinterpret_cast<const int2*>(tables.times + buffer * 64 + c + 2 * t);
#pragma unroll
    for (int n = 0; n < kBlock / 8; ++n) {
      const int2 key_time = p.bias.by_bucket != nullptr ? times[4 * n] : make_int2(0, 0);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int half = j / 2, odd = j % 2;
        float score = fmaf(s[n][j], unit, window[8 * half - 8 * n - odd]);
        if (p.bias.by_bucket != nullptr) {
          score += tables.by_bucket[tables.bucket(p.bias, time[half] - (odd ? key_time.y : key_time.x))];
        }
        const int place = key + c + 8 * n + 2 * t + odd;
        const bool is_seen = !kMasked || (place <= query(half) && place >= user_first[half]);
        if constexpr (kSoftmax)
          s[n][j] = is_seen ? score : -INFINITY;
        else
          s[n][j] = is_seen ? fmaf(score, fast_tanh(score), score) : 0.0f;
      }
    }
  }

  /// Scores to powers of 2 below the largest so far; what was summed before shrinks accordingly.
  template <int kTiles>
  HSTU_DEVICE void to_powers(float (&s)[kTiles][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = largest[half];
#pragma unroll
      for (int n = 0; n < kTiles; ++n) top = fmaxf(top, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
      const float base = top == -INFINITY ? 0.0f : top, shrink = fast_exp2(largest[half] - base);
      largest[half] = top;
      total[half] *= shrink;
#pragma unroll
      for (int n = 0; n < kWidth / 8; ++n) {
        sums[n][2 * half] *= shrink;
        sums[n][2 * half + 1] *= shrink;
      }
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
#pragma unroll
        for (int odd = 0; odd < 2; ++odd) {
          s[n][2 * half + odd] = fast_exp2(s[n][2 * half + odd] - base);
          total[half] += s[n][2 * half + odd];
        }
      }
    }
  }

  HSTU_DEVICE void finish() {
    float factor[2] = {p.inverse_normalizer * p.dropout_scale, p.inverse_normalizer * p.dropout_scale};
    if constexpr (kSoftmax) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        total[half] += __shfl_xor_sync(kAllLanes, total[half], 1);
        total[half] += __shfl_xor_sync(kAllLanes, total[half], 2);
        factor[half] = p.dropout_scale / total[half];
        if (lane_id() % 4 == 0 && query(half) < p.tokens) {
          o.lse[static_cast<std::int64_t>(query(half)) * p.heads + head] =
              largest[half] * 0.69314718055994531f + logf(total[half]);
        }
      }
    }
    store_rows(sums, factor, scratch, p.dv, [&](int r) {
      return row + r < p.tokens ? o.y + (row + r) * o.y_stride + head * p.dv : nullptr;
    });
  }
};

template <int kWidth, bool kSoftmax>
HSTU_DEVICE void attention_forward(const AttentionForward<Bfloat16>& o) {
  extern __shared__ __align__(128) unsigned char shared[];
  ForwardPass<kWidth, kSoftmax>(o, shared).run();
}

HSTU_MMA_KERNELS(attention_forward_mma, attention_forward, AttentionForward<Bfloat16>)

}  // namespace hstu::cuda
