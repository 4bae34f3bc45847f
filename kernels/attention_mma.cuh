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

  /// Thread x reads the bias of distance first_distance + x, and the time of column x of the tile.
  HSTU_DEVICE void read(const MmaOperands& p, int head, int first_distance, const std::int32_t* times,
                        int first_column) {
    const int distance = first_distance + static_cast<int>(threadIdx.x);
    const bool is_there = p.bias.by_distance != nullptr && distance >= 0 && distance < p.longest;
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

/// Bit 4n + j: the weight of element j of result n is kept.  place(n, j) gives query and key.
template <int kTiles, class Place>
HSTU_DEVICE std::uint32_t kept_weights(const MmaOperands& p, int head, const Place& place) {
  static_assert(kTiles <= 8);
  if (p.dropout_threshold == 0) return 0xffffffffu;
  std::uint32_t kept = 0;
#pragma unroll 1
  for (int element = 0; element < 4 * kTiles; ++element) {
    const int2 pair = place(element / 4, element % 4);  // token of the query, place of the key in its history
    const bool is_kept = weight_factor(p, pair.x, head, pair.y) != 0.0f;
    kept |= is_kept ? 1u << element : 0u;
  }
  return kept;
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
