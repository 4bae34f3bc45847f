// SPDX-License-Identifier: MIT
// A·σ(U) gate, rows scaled, bias and activation after a product, dropout, and sums over rows.
#include <hstu/cuda/operands/elementwise.hpp>

#include "device.cuh"

namespace hstu::cuda {

constexpr int kThreads = 128;
constexpr int kRowsOfWarp = 4;

/// Calls body(row, column, bias of the column) for the elements of this warp's rows; several, to read the bias once for
/// them.
template <class Body>
HSTU_DEVICE void for_own_rows(std::int64_t rows, int cols, const float* bias, const Body& body) {
  const std::int64_t warp = static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarpSize) + warp_id();
  const std::int64_t first = warp * kRowsOfWarp, last = min(rows, first + kRowsOfWarp);
  for (int c = lane_id(); c < cols; c += kWarpSize) {
    const float of_column = bias != nullptr ? bias[c] : 0.0f;
    for (std::int64_t row = first; row < last; ++row) body(row, c, of_column);
  }
}

HSTU_KERNEL(kThreads) sigmoid_gate_forward(const __grid_constant__ SigmoidGateForward o) {
  for_own_rows(o.rows, o.cols, nullptr, [&](std::int64_t row, int c, float) {
    o.y[row * o.cols + c] = o.a[row * o.cols + c] * sigmoid(o.u[row * o.u_stride + c]);
  });
}

HSTU_KERNEL(kThreads) sigmoid_gate_backward(const __grid_constant__ SigmoidGateBackward o) {
  for_own_rows(o.rows, o.cols, nullptr, [&](std::int64_t row, int c, float) {
    const float dy = o.dy[row * o.cols + c], open = sigmoid(o.u[row * o.u_stride + c]);
    o.da[row * o.cols + c] = dy * open;
    o.du[row * o.du_stride + c] = dy * o.a[row * o.cols + c] * (open * (1.0f - open));
  });
}

HSTU_KERNEL(kThreads) scale_rows_forward(const __grid_constant__ ScaleRowsForward o) {
  for_own_rows(o.rows, o.cols, nullptr, [&](std::int64_t row, int c, float) {
    o.y[row * o.cols + c] = o.x[row * o.cols + c] * o.scale[row * o.scale_stride];
  });
}

HSTU_KERNEL(kThreads) scale_rows_backward(const __grid_constant__ ScaleRowsBackward o) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarpSize) + warp_id();
  if (row >= o.rows) return;
  const float scale = o.scale[row * o.scale_stride];
  float sum = 0.0f;
  for (int c = lane_id(); c < o.cols; c += kWarpSize) {
    const std::int64_t i = row * o.cols + c;
    const float dy = o.dy[i];
    sum = fmaf(o.x[i], dy, sum);
    o.dx[i] = dy * scale;
  }
  sum = warp_sum(sum);
  if (lane_id() == 0) o.dscale[row] = sum;
}

HSTU_KERNEL(kThreads) bias_activation_forward(const __grid_constant__ BiasActivationForward o) {
  for_own_rows(o.rows, o.cols, o.bias, [&](std::int64_t row, int c, float bias) {
    const std::int64_t i = row * o.cols + c;
    const float x = o.z[i] + bias;
    float y = o.activation == Activation::silu               ? silu(x)
              : o.activation == Activation::relu && x < 0.0f ? 0.0f
                                                             : x;
    y = drop(o.dropout, static_cast<std::uint64_t>(i), y);
    o.y[i] = o.residual != nullptr ? y + o.residual[i] : y;
  });
}

HSTU_KERNEL(kThreads) bias_activation_backward(const __grid_constant__ BiasActivationBackward o) {
  for_own_rows(o.rows, o.cols, o.bias, [&](std::int64_t row, int c, float bias) {
    const std::int64_t i = row * o.cols + c;
    float slope = 1.0f;
    if (o.activation != Activation::none) {
      const float x = o.z[i] + bias;
      if (o.activation == Activation::silu) slope = silu_slope(x, sigmoid(x));
      if (o.activation == Activation::relu && !(x > 0.0f)) slope = 0.0f;
    }
    o.dz[i] = drop(o.dropout, static_cast<std::uint64_t>(i), o.dy[i]) * slope;
  });
}

HSTU_KERNEL(kThreads) dropout(const __grid_constant__ Dropout o) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < o.count; i += step) {
    const float y = drop(o.mask, static_cast<std::uint64_t>(i), o.x[i]);
    o.y[i] = o.residual != nullptr ? y + o.residual[i] : y;
  }
}

constexpr int kSumThreads = 1024;

/// A block: 32 columns of a chunk; warp w adds the rows w, w + 32, …, then the first warp adds the warps in order.
HSTU_KERNEL(kSumThreads) sum_rows(const __grid_constant__ SumRows o) {
  __shared__ float of_warp[kSumThreads / kWarpSize][kWarpSize];
  const int c = static_cast<int>(blockIdx.x) * kWarpSize + lane_id();
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * o.rows_per_chunk;
  const std::int64_t last = min(o.rows, first + o.rows_per_chunk);
  float sum = 0.0f;
  if (c < o.cols) {
    for (std::int64_t row = first + warp_id(); row < last; row += kSumThreads / kWarpSize)
      sum += o.x[row * o.x_stride + c];
  }
  of_warp[warp_id()][lane_id()] = sum;
  __syncthreads();
  if (warp_id() != 0 || c >= o.cols) return;
  for (int w = 1; w < kSumThreads / kWarpSize; ++w) sum += of_warp[w][lane_id()];
  o.sums[static_cast<std::int64_t>(blockIdx.y) * o.cols + c] = sum;
}

}  // namespace hstu::cuda
