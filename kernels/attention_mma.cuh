// SPDX-License-Identifier: MIT
// What the tensor-core rung of attention shares.  Tiles run over the tokens of the whole batch, whatever user they
// belong to, so that short histories fill a tile together; pairs of different users are masked.
#pragma once
#include "attention.cuh"
#include "mma.cuh"

namespace hstu::cuda {

using MmaOperands = AttentionOperands<Bfloat16>;

constexpr int kWindow = 128;

/// What the score of a pair is multiplied by, with its bias, before the weight is made: SiLU(2h) = h + h·tanh(h) takes
/// half of it, softmax takes powers of 2.
template <bool kSoftmax>
constexpr float kScoreUnit = kSoftmax ? 1.4426950408889634f : 0.5f;

/// The bias tables of a head in shared memory: of positions a window for each tile, of times all.
template <bool kSoftmax>
struct ScoreTables {
  float* windows;  // [2][kWindow]: bias of the distances that a tile meets
  int* times;      // [2][64]: of the tile's columns
  TimeCell* cells;
  float* by_bucket;

  static HSTU_DEVICE int words(const AttentionBias& bias) {
    return 2 * kWindow + 2 * 64 + 2 * bias.num_time_cells + bias.buckets;
  }
  HSTU_DEVICE ScoreTables(const AttentionBias& bias, void* memory)
      : windows(static_cast<float*>(memory)),
        times(reinterpret_cast<int*>(windows + 2 * kWindow)),
        cells(reinterpret_cast<TimeCell*>(times + 2 * 64)),
        by_bucket(reinterpret_cast<float*>(cells + bias.num_time_cells)) {}

  /// Loads what does not change from tile to tile; a barrier must follow.
  HSTU_DEVICE void load(const AttentionBias& bias, int head) const {
    if (bias.by_bucket == nullptr) return;
    for (int i = static_cast<int>(threadIdx.x); i < bias.num_time_cells; i += kThreads) cells[i] = bias.time_cells[i];
    for (int i = static_cast<int>(threadIdx.x); i < bias.buckets; i += kThreads) {
      by_bucket[i] = time_biases(bias, head)[i] * kScoreUnit<kSoftmax>;
    }
  }

  HSTU_DEVICE int bucket(const AttentionBias& bias, int difference) const {
    const std::uint32_t x = static_cast<std::uint32_t>(abs(difference)) + 1u;
    const std::uint32_t base = 0x3f800000u >> bias.time_cell_shift;  // of x = 1
    const TimeCell cell = cells[(__float_as_uint(__uint2float_rz(x)) >> bias.time_cell_shift) - base];
    int bucket = cell.first + (x > cell.last_of_first ? 1 : 0);
    if (bias.has_crowded_cells) {
      while (bucket + 1 < bias.buckets && static_cast<std::uint32_t>(bias.time_borders[bucket + 1]) < x) ++bucket;
    }
    return bucket;
  }
};

/// One entry of a tile's window and one of its times, read while the tile before is at work.
template <bool kSoftmax>
struct SideLoad {
  float window;
  int time;

  /// Thread x reads the bias of distance |first_distance + x|, and the time of column x of the tile.
  HSTU_DEVICE void read(const MmaOperands& p, int head, int first_distance, const std::int32_t* times,
                        int first_column) {
    const int distance = abs(first_distance + static_cast<int>(threadIdx.x));
    const bool is_there = p.bias.by_distance != nullptr && distance < p.longest;
    window = is_there ? position_biases(p.bias, p.longest, head)[distance] * kScoreUnit<kSoftmax> : 0.0f;
    if (p.bias.by_bucket != nullptr && threadIdx.x < 64) {
      time = times[min(first_column + static_cast<int>(threadIdx.x), p.tokens - 1)];
    }
  }
  HSTU_DEVICE void write(const MmaOperands& p, const ScoreTables<kSoftmax>& tables, int buffer) const {
    tables.windows[buffer * kWindow + threadIdx.x] = window;
    if (p.bias.by_bucket != nullptr && threadIdx.x < 64) tables.times[buffer * 64 + threadIdx.x] = time;
  }
};

/// The bias of a target and a key of the history, whose distance is no diagonal of the tile.
template <bool kSoftmax>
HSTU_DEVICE float bias_of_target(const MmaOperands& p, int head, int distance) {
  if (p.bias.by_distance == nullptr || distance >= p.longest) return 0.0f;
  return position_biases(p.bias, p.longest, head)[distance] * kScoreUnit<kSoftmax>;
}

/// A head of q, k, v or dy.
HSTU_DEVICE PackedRows queries_of(const MmaOperands& p, int head) {
  return {p.q + head * p.qk_head_stride, p.q_stride, p.tokens, p.dqk};
}
HSTU_DEVICE PackedRows keys_of(const MmaOperands& p, int head) {
  return {p.k + head * p.qk_head_stride, p.k_stride, p.tokens, p.dqk};
}
HSTU_DEVICE PackedRows values_of(const MmaOperands& p, int head) {
  return {p.v + head * p.v_head_stride, p.v_stride, p.tokens, p.dv};
}
HSTU_DEVICE PackedRows dy_of(const AttentionBackward<Bfloat16>& o, int head) {
  return {o.dy + head * o.of.v_head_stride, o.dy_stride, o.of.tokens, o.of.dv};
}

/// Bit 4n + j: the weight of element j of result n is kept.  place(n, j) gives the token of the query, and the key's
/// place in its history.
template <int kTiles, class Place>
HSTU_DEVICE std::uint32_t kept_weights(const MmaOperands& p, int head, const Place& place) {
  static_assert(kTiles <= 8);
  std::uint32_t kept = 0;
#pragma unroll 1
  for (int element = 0; element < 4 * kTiles; ++element) {
    const int2 pair = place(element / 4, element % 4);
    const bool is_kept = weight_factor(p, pair.x, head, pair.y) != 0.0f;
    kept |= is_kept ? 1u << element : 0u;
  }
  return kept;
}

/// Which keys the lane's two queries see; read where a tile is seen in part only, to save registers elsewhere.
struct SeenKeys {
  int query[2], place[2];
  KeySpan keys[2];

  HSTU_DEVICE bool contains(int half, int key) const { return sees(keys[half], query[half], key); }
  /// A target and a key of its history: their distance is place[half] − key.
  HSTU_DEVICE bool is_target_pair(int half, int key) const { return place[half] < query[half] && key < place[half]; }
};

/// The queries of a block, 64 rows of which each warp has 16, and the keys that they see.
template <int kColumns>
struct QueryRows {
  int first, row;     // first query of the block, first of the warp
  int begin, end;     // of the keys that the block sees, `begin` a multiple of kColumns
  KeySpan some, all;  // in lane b < 4: what some and what all of the rows 16·b … 16·b + 15 see
  int time[2];        // of the lane's two queries

  HSTU_DEVICE QueryRows(const MmaOperands& p, int first_query)
      : first(first_query),
        row(first + 16 * warp_id()),
        some(p.seen_by_some[first / 16 + lane_id() % 4]),
        all(p.seen_by_all[first / 16 + lane_id() % 4]) {
    begin = min(some.first, first);
    end = max(some.last, min(first + kRows, p.tokens));
#pragma unroll
    for (int distance = 1; distance <= 2; distance *= 2) {
      begin = min(begin, __shfl_xor_sync(kAllLanes, begin, distance));
      end = max(end, __shfl_xor_sync(kAllLanes, end, distance));
    }
    begin = begin / kColumns * kColumns;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      time[half] = p.bias.by_bucket != nullptr ? p.bias.query_times[min(query(half), p.tokens - 1)] : 0;
    }
  }

  HSTU_DEVICE int query(int half) const {
    return row + lane_id() / 4 + 8 * half;
  }
  /// The first tile from `key` on of which the block sees something; `end` or more: there is none.
  HSTU_DEVICE int next_tile(int key) const {
    const int own = first + 16 * (lane_id() % 4);
    while (key < end && __any_sync(kAllLanes, sees_some(some, own, key, key + kColumns)) == 0) key += kColumns;
    return key;
  }

  /// kept_weights of the lane's queries and the keys from `key` on.
  template <int kTiles>
  HSTU_DEVICE std::uint32_t kept(const MmaOperands& p, int head, int key) const {
    const int token[2] = {min(query(0), p.tokens - 1), min(query(1), p.tokens - 1)};
    const int user_first[2] = {p.spans[token[0]].first, p.spans[token[1]].first};
    return kept_weights<kTiles>(p, head, [&](int n, int j) {
      return make_int2(query(j / 2), key + 8 * n + 2 * (lane_id() % 4) + j % 2 - user_first[j / 2]);
    });
  }

  /// Calls whole(c) for blocks of kBlock keys of a tile that the warp sees whole, else part(c, seen) for the blocks of
  /// 16 of which it sees something.
  template <int kBlock, class Whole, class Part>
  HSTU_DEVICE void visit(const MmaOperands& p, int key, const Whole& whole, const Part& part) const {
    const KeySpan own_all = of_warp(all), own_some = of_warp(some);
    if (key >= own_all.first && key + kColumns <= own_all.last) {
#pragma unroll 1
      for (int c = 0; c < kColumns; c += kBlock) whole(c);
    } else {
      const SeenKeys seen = seen_keys(p);
#pragma unroll 1
      for (int c = 0; c < kColumns; c += 16) {
        if (sees_some(own_some, row, key + c, key + c + 16)) part(c, seen);
      }
    }
  }

 private:
  HSTU_DEVICE SeenKeys seen_keys(const MmaOperands& p) const {
    SeenKeys seen;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int token = min(query(half), p.tokens - 1);
      seen.query[half] = query(half);
      seen.place[half] = place_of(p, token);
      seen.keys[half] = p.seen[token];
    }
    return seen;
  }
  static HSTU_DEVICE KeySpan of_warp(const KeySpan& keys) {
    return {__shfl_sync(kAllLanes, keys.first, warp_id()), __shfl_sync(kAllLanes, keys.last, warp_id())};
  }
};

/// From a score (in units of kScoreUnit) and the gradient of its weight: the weight, without 1/n, and the gradient of
/// the score.  lse in powers of 2.
template <bool kSoftmax>
HSTU_DEVICE void differentiate(float score, float dweight, float lse, float delta, float inverse_normalizer,
                               float& weight, float& dscore) {
  if constexpr (kSoftmax) {
    weight = fast_exp2(score - lse);
    dscore = weight * (dweight - delta);
  } else {
    const float tanh = fast_tanh(score), open = fmaf(tanh, 0.5f, 0.5f);
    weight = fmaf(score, tanh, score);
    dscore = dweight * inverse_normalizer * fmaf(weight, 1.0f - open, open);
  }
}

/// name_16 to name_256 for heads of up to so many columns, of both kinds.
#define HSTU_MMA_KERNELS(name, body, Operands)                                   \
  HSTU_KERNEL(kThreads) name##_silu_16(const __grid_constant__ Operands o) {     \
    body<16, false>(o);                                                          \
  }                                                                              \
  HSTU_KERNEL(kThreads) name##_silu_32(const __grid_constant__ Operands o) {     \
    body<32, false>(o);                                                          \
  }                                                                              \
  HSTU_KERNEL(kThreads) name##_silu_64(const __grid_constant__ Operands o) {     \
    body<64, false>(o);                                                          \
  }                                                                              \
  HSTU_KERNEL(kThreads) name##_silu_128(const __grid_constant__ Operands o) {    \
    body<128, false>(o);                                                         \
  }                                                                              \
  HSTU_KERNEL(kThreads) name##_silu_256(const __grid_constant__ Operands o) {    \
    body<256, false>(o);                                                         \
  }                                                                              \
  HSTU_KERNEL(kThreads) name##_softmax_16(const __grid_constant__ Operands o) {  \
    body<16, true>(o);                                                           \
  }                                                                              \
  HSTU_KERNEL(kThreads) name##_softmax_32(const __grid_constant__ Operands o) {  \
    body<32, true>(o);                                                           \
  }                                                                              \
  HSTU_KERNEL(kThreads) name##_softmax_64(const __grid_constant__ Operands o) {  \
    body<64, true>(o);                                                           \
  }                                                                              \
  HSTU_KERNEL(kThreads) name##_softmax_128(const __grid_constant__ Operands o) { \
    body<128, true>(o);                                                          \
  }                                                                              \
  HSTU_KERNEL(kThreads) name##_softmax_256(const __grid_constant__ Operands o) { \
    body<256, true>(o);                                                          \
  }

}  // namespace hstu::cuda
