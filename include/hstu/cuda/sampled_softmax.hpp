// SPDX-License-Identifier: MIT
// Sampled softmax and binary losses on the device: loss/sampled_softmax.hpp.
#pragma once
#include <hstu/cuda/elementwise.hpp>
#include <hstu/cuda/embedding.hpp>
#include <hstu/cuda/operands/sampled_softmax.hpp>

namespace hstu::cuda {

/// The sum of the losses, and o.of.weights.  Up to 1024 columns.
inline void sampled_softmax_forward(Device& device, const SampledSoftmaxForward& o, float* loss) {
  const detail::RowKernel kernel = detail::row_kernel("sampled_softmax", "sampled_softmax_forward", o.of.cols);
  device.launch(kernel.name,
                {.blocks = detail::divide_up(o.of.rows, kernel.rows_per_block), .threads = detail::kRowThreads}, o);
  sum_rows(device, o.losses, o.of.rows, 1, loss);
}

/// Gradients of scale·Σ loss: dhidden on the tokens of positions (others are left alone), dtable [items, cols] on the
/// rows that occur, added if `accumulates`.  `candidates`: negatives and target of every position, sorted.
inline void sampled_softmax_backward(Device& device, const SampledSoftmaxBackward& o, const SortedIds& candidates,
                                     bool accumulates, float* dtable) {
  const detail::RowKernel kernel = detail::row_kernel("sampled_softmax", "sampled_softmax_dhidden", o.of.cols);
  device.launch(kernel.name,
                {.blocks = detail::divide_up(o.of.rows, kernel.rows_per_block), .threads = detail::kRowThreads}, o);
  candidates.sum(device,
                 {.values = o.of.hidden,
                  .rows = o.of.tokens,
                  .coefficients = o.of.weights,
                  .cols = o.of.cols,
                  .group = o.of.num_negatives + 1,
                  .scale = o.scale * o.of.inverse_temperature,
                  .accumulates = accumulates},
                 dtable);
}

}  // namespace hstu::cuda
