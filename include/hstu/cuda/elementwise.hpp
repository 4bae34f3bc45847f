// SPDX-License-Identifier: MIT
// Gates, activations after a product, dropout and sums over rows on the device.
#pragma once
#include <algorithm>
#include <hstu/cuda/operands/elementwise.hpp>
#include <hstu/cuda/rows.hpp>

namespace hstu::cuda {

namespace detail {
template <class Operands>
void launch_rows_by_four(Device& device, const char* function, const Operands& o) {
  launch_warps(device, {"elementwise", function}, divide_up(o.rows, 4), o);
}
}  // namespace detail

/// sigmoid_gate of ops/gate.hpp.
inline void sigmoid_gate_forward(Device& device, const SigmoidGateForward& o) {
  detail::launch_rows_by_four(device, "sigmoid_gate_forward", o);
}
inline void sigmoid_gate_backward(Device& device, const SigmoidGateBackward& o) {
  detail::launch_rows_by_four(device, "sigmoid_gate_backward", o);
}

/// Rows times a number each, or all times one.
inline void scale_rows_forward(Device& device, const ScaleRowsForward& o) {
  detail::launch_rows_by_four(device, "scale_rows_forward", o);
}
inline void scale_rows_backward(Device& device, const ScaleRowsBackward& o) {
  detail::launch_warps(device, {"elementwise", "scale_rows_backward"}, o.rows, o);
}

/// What linear_silu and relu do after the product.
inline void bias_activation_forward(Device& device, const BiasActivationForward& o) {
  detail::launch_rows_by_four(device, "bias_activation_forward", o);
}
inline void bias_activation_backward(Device& device, const BiasActivationBackward& o) {
  detail::launch_rows_by_four(device, "bias_activation_backward", o);
}

/// ops/dropout.hpp, plus a residual if there is one.  Of dy it is the gradient.
inline void dropout(Device& device, const Dropout& o) {
  constexpr std::int64_t kMaxBlocks = 4096;
  const std::int64_t blocks = std::min(detail::divide_up(o.count, detail::kRowThreads), kMaxBlocks);
  device.launch({"elementwise", "dropout"}, {.blocks = blocks, .threads = detail::kRowThreads}, o);
}

/// sums [groups, cols]: each the sum of `rows` rows of x [groups·rows, cols], which are x_stride apart.
inline void sum_row_groups(Device& device, const float* x, std::int64_t x_stride, std::int64_t groups,
                           std::int64_t rows, std::int64_t cols, float* sums) {
  constexpr std::int64_t kThreads = 1024;
  device.launch({"elementwise", "sum_rows"},
                {.blocks = detail::divide_up(cols, 32), .threads = kThreads, .blocks_y = groups},
                SumRows{x, sums, x_stride, groups * rows, rows, static_cast<std::int32_t>(cols)});
}

/// sums [cols] = Σ over the rows of x [rows, cols], in an order that depends on the sizes only.
inline void sum_rows(Device& device, const float* x, std::int64_t rows, std::int64_t cols, float* sums) {
  constexpr std::int64_t kRowsOfChunk = 1024;
  const std::int64_t chunks = rows / kRowsOfChunk;
  if (chunks <= 1) return sum_row_groups(device, x, cols, 1, rows, cols, sums);
  const std::int64_t whole = chunks * kRowsOfChunk;
  Buffer<float> parts(device, (chunks + 1) * cols);
  sum_row_groups(device, x, cols, chunks, kRowsOfChunk, cols, parts.data());
  sum_row_groups(device, x + whole * cols, cols, 1, rows - whole, cols, parts.data() + chunks * cols);
  sum_row_groups(device, parts.data(), cols, 1, chunks + 1, cols, sums);
}

}  // namespace hstu::cuda
