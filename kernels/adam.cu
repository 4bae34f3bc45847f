// SPDX-License-Identifier: MIT
// Adam and AdamW over all parameters in one launch, the norm of all gradients, and the factor that clips them.
#include <hstu/cuda/operands/adam.hpp>

#include "device.cuh"

namespace hstu::cuda {

constexpr int kThreads = 256;

HSTU_KERNEL(kThreads) adam_step(const __grid_constant__ AdamStep o) {
  const float factor = o.gradient_factor != nullptr ? *o.gradient_factor : 1.0f;
  if (isnan(factor)) return;
  const AdamPiece piece = o.pieces[blockIdx.x];
  for (std::int64_t i = threadIdx.x; i < piece.count; i += kThreads) {
    const float weight = piece.weights[i];
    const float gradient = fmaf(o.l2_decay, weight, piece.gradient[i] * factor);
    float m = piece.m[i], v = piece.v[i];
    m = fmaf(o.blend1, gradient - m, m);
    v = fmaf(o.beta2, v, o.blend2 * (gradient * gradient));
    piece.m[i] = m;
    piece.v[i] = v;
    const float update = fast_divide(o.step_size * m, fmaf(fast_sqrt(v), o.correction, o.eps));
    piece.weights[i] = fmaf(weight, o.weight_factor, -update);
  }
}

/// The sum over a block, in a fixed order, in thread 0.
HSTU_DEVICE float block_sum(float x) {
  __shared__ float of_warp[kThreads / kWarpSize];
  x = warp_sum(x);
  if (lane_id() == 0) of_warp[warp_id()] = x;
  __syncthreads();
  float sum = 0.0f;
  if (threadIdx.x == 0) {
    for (int w = 0; w < kThreads / kWarpSize; ++w) sum += of_warp[w];
  }
  return sum;
}

HSTU_KERNEL(kThreads) sum_squares(const __grid_constant__ SumSquares o) {
  const AdamPiece piece = o.pieces[blockIdx.x];
  float sum = 0.0f;
  for (std::int64_t i = threadIdx.x; i < piece.count; i += kThreads) {
    sum = fmaf(piece.gradient[i], piece.gradient[i], sum);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) o.squares[blockIdx.x] = sum;
}

HSTU_KERNEL(kThreads) clip_factor(const __grid_constant__ ClipFactor o) {
  float sum = 0.0f;
  for (int i = static_cast<int>(threadIdx.x); i < o.count; i += kThreads) sum += o.squares[i];
  sum = block_sum(sum);
  if (threadIdx.x != 0) return;
  const float norm = sqrtf(sum);
  o.result[0] = norm;
  o.result[1] = isfinite(norm) ? fminf(1.0f, o.max_norm / (norm + 1e-6f)) : __int_as_float(0x7fc00000);
}

}  // namespace hstu::cuda
