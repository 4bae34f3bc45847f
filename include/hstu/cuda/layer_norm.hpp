// SPDX-License-Identifier: MIT
// Layer norm, and its product with a gate, on the device: ops/layer_norm.hpp and norm_gate of ops/gate.hpp.
#pragma once
#include <hstu/cuda/elementwise.hpp>
#include <hstu/cuda/operands/layer_norm.hpp>

namespace hstu::cuda {

/// Up to 1024 columns.
inline void layer_norm_forward(Device& device, const LayerNormForward& o) {
  constexpr std::int64_t kRowsOfTeam = 4;  // as in kernels/layer_norm.cu
  const detail::RowKernel kernel = detail::row_kernel("layer_norm", "layer_norm_forward", o.cols);
  device.launch(
      kernel.name,
      {.blocks = detail::divide_up(o.rows, kRowsOfTeam * kernel.rows_per_block), .threads = detail::kRowThreads}, o);
}

/// dweight [2, cols] receives the gradients of weight and bias; null without weight.
inline void layer_norm_backward(Device& device, LayerNormBackward o, float* dweight) {
  // Teams of a number that depends on the rows only, so that all GPUs add in the same order.
  constexpr std::int64_t kRowsOfTeam = 16, kMaxTeams = 2048;
  const detail::RowKernel kernel = detail::row_kernel("layer_norm", "layer_norm_backward", o.cols);
  const std::int64_t wanted = std::min(detail::divide_up(o.rows, kRowsOfTeam), kMaxTeams);
  const std::int64_t blocks = detail::divide_up(wanted, kernel.rows_per_block);
  const std::int64_t teams = blocks * kernel.rows_per_block;
  Buffer<float> parts(device, o.weight == nullptr ? 0 : teams * 2 * o.cols);
  o.dweight_parts = parts.data();
  device.launch(kernel.name, {.blocks = blocks, .threads = detail::kRowThreads}, o);
  if (o.weight != nullptr) sum_rows(device, parts.data(), teams, 2 * o.cols, dweight);
}

}  // namespace hstu::cuda
