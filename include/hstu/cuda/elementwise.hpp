// SPDX-License-Identifier: MIT
// Gates, activations after a product, dropout and sums over rows on the device.
#pragma once
#include <algorithm>
#include <hstu/cuda/operands/elementwise.hpp>
#include <hstu/cuda/rows.hpp>

namespace hstu::cuda {

/// sigmoid_gate of ops/gate.hpp.
inline void sigmoid_gate_forward(Device& device, const SigmoidGateForward& o) {
  detail::launch_warps(device, {"elementwise", "sigmoid_gate_forward"}, o.rows, o);
}
inline void sigmoid_gate_backward(Device& device, const SigmoidGateBackward& o) {
  detail::launch_warps(device, {"elementwise", "sigmoid_gate_backward"}, o.rows, o);
}

/// What linear_silu and relu do after the product.
inline void bias_activation_forward(Device& device, const BiasActivationForward& o) {
  detail::launch_warps(device, {"elementwise", "bias_activation_forward"}, o.rows, o);
}
inline void bias_activation_backward(Device& device, const BiasActivationBackward& o) {
  detail::launch_warps(device, {"elementwise", "bias_activation_backward"}, o.rows, o);
}

/// ops/dropout.hpp, plus a residual if there is one.  Of dy it is the gradient.
inline void dropout(Device& device, const Dropout& o) {
  constexpr std::int64_t kMaxBlocks = 4096;
  const std::int64_t blocks = std::min(detail::divide_up(o.count, detail::kRowThreads), kMaxBlocks);
  device.launch({"elementwise", "dropout"}, {.blocks = blocks, .threads = detail::kRowThreads}, o);
}

/// sums [cols] = Σ over the rows of x [rows, cols], in an order that depends on the sizes only.
inline void sum_rows(Device& device, const float* x, std::int64_t rows, std::int64_t cols, float* sums) {
  constexpr std::int64_t kThreads = 1024, kRowsOfChunk = 1024;
  const std::int64_t chunks = std::max<std::int64_t>(1, detail::divide_up(rows, kRowsOfChunk));
  const auto launch = [&](const float* from, float* to, std::int64_t count, std::int64_t per_chunk,
                          std::int64_t blocks) {
    device.launch({"elementwise", "sum_rows"},
                  {.blocks = detail::divide_up(cols, 32), .threads = kThreads, .blocks_y = blocks},
                  SumRows{from, to, count, per_chunk, static_cast<std::int32_t>(cols)});
  };
  if (chunks == 1) return launch(x, sums, rows, kRowsOfChunk, 1);
  Buffer<float> parts(device, chunks * cols);
  launch(x, parts.data(), rows, kRowsOfChunk, chunks);
  launch(parts.data(), sums, chunks, chunks, 1);
}

}  // namespace hstu::cuda
