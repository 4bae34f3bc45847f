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
  const int head;
  float* const scratch;                    // the warp's rows of q_tile, once it has read them for the last time
  std::uint32_t q_tile, k_tiles, v_tiles;  // shared memory: [1], [2], [2]
  ScoreTables<kSoftmax> tables;
  std::uint32_t by_rows, by_columns;
  QueryRows<kColumns> rows;
  float sums[kWidth / 8][4], largest[2], total[2];
  std::uint32_t q[kHoldsQueries ? kWidth / 16 : 1][4];

  HSTU_DEVICE ForwardPass(const AttentionForward<Bfloat16>& operands, unsigned char* shared)
      : o(operands),
        p(operands.of),
        head(static_cast<int>(blockIdx.y)),
        scratch(reinterpret_cast<float*>(shared + warp_id() * (Plan::kRowTileBytes / kWarps))),
        q_tile(shared_address(shared)),
        k_tiles(q_tile + Plan::kRowTileBytes),
        v_tiles(k_tiles + 2 * Plan::kTileBytes),
        tables(p.bias, shared + Plan::kRowTileBytes + 4 * Plan::kTileBytes),
        by_rows(T::lane_by_rows()),
        by_columns(T::lane_by_columns()),
        rows(p, o.tiles[blockIdx.x]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      largest[half] = -INFINITY;
      total[half] = 0.0f;
    }
    clear(sums);
  }

  HSTU_DEVICE void run() {
    SideLoad<kSoftmax> side;
    const auto start = [&](int key, int buffer) {
      T::template load<kColumns>(k_tiles + buffer * Plan::kTileBytes, keys_of(p, head), key);
      T::template load<kColumns>(v_tiles + buffer * Plan::kTileBytes, values_of(p, head), key);
      commit_copies();
      side.read(p, head, rows.first - key - kColumns, p.bias.key_times, key);
    };
    T::template load<kRows>(q_tile, queries_of(p, head), rows.first);
    int key = rows.next_tile(rows.begin);
    start(key, 0);
    side.write(p, tables, 0);
    tables.load(p.bias, head);
#pragma unroll 1
    for (int buffer = 0, is_first = 1; key < rows.end; buffer ^= 1, is_first = 0) {
      wait_for_copies();
      __syncthreads();  // this tile has landed, and nobody reads the one before any more
      if (kHoldsQueries && is_first) {
#pragma unroll
        for (int k = 0; k < (kHoldsQueries ? kWidth / 16 : 1); ++k)
          load_matrices(q[k], q_tile + T::at(16 * warp_id(), by_columns, k));
      }
      const int next = rows.next_tile(key + kColumns);
      if (next < rows.end) start(next, buffer ^ 1);
      if (rows.row < p.tokens) {
        constexpr int kBlock = kWidth == 256 ? 16 : kColumns;  // registers
        rows.template visit<kBlock>(
            p, key, [&](int c) { add_block<kBlock, false>(SeenKeys{}, key, c, buffer); },
            [&](int c, const SeenKeys& seen) { add_block<16, true>(seen, key, c, buffer); });
      }
      if (next < rows.end) side.write(p, tables, buffer ^ 1);
      key = next;
    }
    if (rows.row < p.tokens) finish();
  }

  /// Keys [key + c, key + c + kBlock).
  template <int kBlock, bool kMasked>
  HSTU_DEVICE void add_block(const SeenKeys& seen, int key, int c, int buffer) {
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
    make_scores<kBlock, kMasked>(s, seen, key, c, buffer);
    if constexpr (kSoftmax) to_powers(s);
    if (p.dropout_threshold != 0) {
      const std::uint32_t kept = rows.template kept<kBlock / 8>(p, head, key + c);
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
  HSTU_DEVICE void make_scores(float (&s)[kBlock / 8][4], const SeenKeys& seen, int key, int c, int buffer) const {
    const int g = lane_id() / 4, t = lane_id() % 4;
    const float unit = p.alpha * kScoreUnit<kSoftmax>;
    const float* const window = tables.windows + buffer * kWindow + 16 * warp_id() + g - (c + 2 * t) + kColumns;
    const int2* const times = reinterpret_cast<const int2*>(tables.times + buffer * 64 + c + 2 * t);
#pragma unroll
    for (int n = 0; n < kBlock / 8; ++n) {
      const int2 key_time = p.bias.by_bucket != nullptr ? times[4 * n] : make_int2(0, 0);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int half = j / 2, odd = j % 2;
        const int place = key + c + 8 * n + 2 * t + odd;
        float bias = window[8 * half - 8 * n - odd];
        if (kMasked && seen.is_target_pair(half, place)) {
          bias = bias_of_target<kSoftmax>(p, head, seen.place[half] - place);
        }
        float score = fmaf(s[n][j], unit, bias);
        if (p.bias.by_bucket != nullptr) {
          score += tables.by_bucket[tables.bucket(p.bias, rows.time[half] - (odd ? key_time.y : key_time.x))];
        }
        const bool is_seen = !kMasked || seen.contains(half, place);
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
        if (lane_id() % 4 == 0 && rows.query(half) < p.tokens) {
          o.lse[static_cast<std::int64_t>(head) * p.tokens + rows.query(half)] =
              largest[half] * 0.69314718055994531f + logf(total[half]);
        }
      }
    }
    float* const y = o.y + head * p.dv;
    store_rows(sums, factor, scratch, p.dv, begin_with_sectors(y, o.y_stride), [&](int r) {
      const int query = rows.row + r;
      return query < p.tokens ? y + query * o.y_stride : nullptr;
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
