// SPDX-License-Identifier: MIT
// Rows of a matrix in registers: a warp holds one of up to 256 columns, a block of 128 threads one of up to 1024.
#pragma once
#include "device.cuh"

namespace hstu::cuda {

constexpr int kRowThreads = 128;

/// The place of this thread in the team of kTeam threads that works on one row: it owns columns id, id + kTeam, …
template <int kTeam>
struct RowTeam {
  static constexpr int kTeams = kRowThreads / kTeam;  // in a block

  static HSTU_DEVICE int id() { return static_cast<int>(threadIdx.x) % kTeam; }
  /// The number of this team in the grid, and the number of all.
  static HSTU_DEVICE std::int64_t index() {
    return static_cast<std::int64_t>(blockIdx.x) * kTeams + static_cast<int>(threadIdx.x) / kTeam;
  }
  static HSTU_DEVICE std::int64_t count() { return static_cast<std::int64_t>(gridDim.x) * kTeams; }

  /// The sum over the team, in a fixed order.  The whole team calls it.
  static HSTU_DEVICE float sum(float x) {
    x = warp_sum(x);
    if constexpr (kTeam > kWarpSize) {
      __shared__ float of_warp[kTeam / kWarpSize];
      __syncthreads();  // the previous sum has been read
      if (lane_id() == 0) of_warp[warp_id()] = x;
      __syncthreads();
      x = 0.0f;
#pragma unroll
      for (int w = 0; w < kTeam / kWarpSize; ++w) x += of_warp[w];
    }
    return x;
  }

  /// The thread's columns of a row; zeros behind its end.
  template <int kOwn>
  static HSTU_DEVICE void load(float (&values)[kOwn], const float* row, int cols) {
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      const int c = id() + k * kTeam;
      values[k] = c < cols ? row[c] : 0.0f;
    }
  }
  template <int kOwn>
  static HSTU_DEVICE float sum(const float (&values)[kOwn]) {
    float own = 0.0f;
#pragma unroll
    for (int k = 0; k < kOwn; ++k) own += values[k];
    return sum(own);
  }
  template <int kOwn>
  static HSTU_DEVICE float dot(const float (&a)[kOwn], const float (&b)[kOwn]) {
    float own = 0.0f;
#pragma unroll
    for (int k = 0; k < kOwn; ++k) own = fmaf(a[k], b[k], own);
    return sum(own);
  }
};

/// A kernel for each width: name_64 for up to 64 columns, and so on.  body<columns of a thread, threads of a row>.
#define HSTU_KERNELS_BY_WIDTH(name, Operands)                                \
  HSTU_KERNEL(kRowThreads) name##_64(const __grid_constant__ Operands o) {   \
    name<2, 32>(o);                                                          \
  }                                                                          \
  HSTU_KERNEL(kRowThreads) name##_128(const __grid_constant__ Operands o) {  \
    name<4, 32>(o);                                                          \
  }                                                                          \
  HSTU_KERNEL(kRowThreads) name##_256(const __grid_constant__ Operands o) {  \
    name<8, 32>(o);                                                          \
  }                                                                          \
  HSTU_KERNEL(kRowThreads) name##_1024(const __grid_constant__ Operands o) { \
    name<8, 128>(o);                                                         \
  }

}  // namespace hstu::cuda
