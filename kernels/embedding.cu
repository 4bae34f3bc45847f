// SPDX-License-Identifier: MIT
// Rows of tables by id, and the gradients of the tables: a warp adds the rows of one id in the order of the tokens, so
// that every row is written once, by one warp, with the same bits in every run.
#include <hstu/cuda/operands/embedding.hpp>

#include "device.cuh"

namespace hstu::cuda {

constexpr int kThreads = 128;

HSTU_DEVICE std::int64_t warp_index() {
  return static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarpSize) + warp_id();
}

HSTU_KERNEL(kThreads) embedding_forward(const __grid_constant__ EmbeddingForward o) {
  const std::int64_t row = warp_index();
  if (row >= o.rows) return;
  const float* from[EmbeddingForward::kMaxLookups];
#pragma unroll
  for (int i = 0; i < EmbeddingForward::kMaxLookups; ++i) {
    const Lookup& lookup = o.lookups[i];
    from[i] = lookup.ids == nullptr ? nullptr : lookup.table + static_cast<std::int64_t>(lookup.ids[row]) * o.cols;
  }
  for (int c = lane_id(); c < o.cols; c += kWarpSize) {
    float y = 0.0f;
#pragma unroll
    for (int i = 0; i < EmbeddingForward::kMaxLookups; ++i) {
      if (from[i] != nullptr) y = fmaf(o.lookups[i].scale, from[i][c], y);
    }
    o.y[row * o.cols + c] = drop(o.dropout, static_cast<std::uint64_t>(row * o.cols + c), y);
  }
}

/// The lanes look up 32 places at a time, whose rows they then add one after the other, 128 columns at a time.
HSTU_KERNEL(kThreads) sum_segments(const __grid_constant__ SumSegments o) {
  constexpr int kOwn = 4;
  const std::int64_t segment = warp_index();
  if (segment >= o.segments) return;
  const int first = o.starts[segment], last = o.starts[segment + 1];
  float* const row = o.dtable + static_cast<std::int64_t>(o.ids[segment]) * o.cols;
  for (int begin = lane_id(); begin - lane_id() < o.cols; begin += kOwn * kWarpSize) {
    float sums[kOwn]{};
    for (int base = first; base < last; base += kWarpSize) {
      std::int32_t own_source = 0;
      float own_coefficient = 1.0f;
      if (base + lane_id() < last) {
        const std::int32_t place = o.places[base + lane_id()];
        if (o.coefficients != nullptr) own_coefficient = o.coefficients[place];
        own_source = o.group == 1 ? place : place / o.group;
        if (o.rows != nullptr) own_source = o.rows[own_source];
      }
      for (int k = 0; k < min(last - base, kWarpSize); ++k) {
        const std::int64_t source = __shfl_sync(kAllLanes, own_source, k);
        const float coefficient = __shfl_sync(kAllLanes, own_coefficient, k);
#pragma unroll
        for (int n = 0; n < kOwn; ++n) {
          const int c = begin + n * kWarpSize;
          if (c < o.cols) sums[n] = fmaf(coefficient, o.values[source * o.cols + c], sums[n]);
        }
      }
    }
#pragma unroll
    for (int n = 0; n < kOwn; ++n) {
      const int c = begin + n * kWarpSize;
      if (c < o.cols) row[c] = fmaf(o.scale, sums[n], o.accumulates ? row[c] : 0.0f);
    }
  }
}

}  // namespace hstu::cuda
