// SPDX-License-Identifier: MIT
// Cross-entropy over all items on the device, without logits: loss/cross_entropy.hpp in float32 (the plain rung) and,
// on tensor cores, with bfloat16 operands (mma).
#pragma once
#include <type_traits>

#include <hstu/cuda/elementwise.hpp>
#include <hstu/cuda/operands/cross_entropy.hpp>

namespace hstu::cuda {

namespace detail {

/// How a pass is launched: as in kernels/cross_entropy_plain.cu and kernels/cross_entropy_mma.cu.
struct CrossEntropyRung {
  const char* file;
  std::string suffix;
  std::int64_t rows;  // of a block
  std::int64_t shared_bytes;
};
template <class Element>
CrossEntropyRung cross_entropy_rung(const CrossEntropyOperands<Element>& o) {
  check<ShapeError>(o.width >= 1 && o.width <= 256, "cuda: cross_entropy: rows of 1 to 256 columns, got ", o.width);
  constexpr bool kIsPlain = std::is_same_v<Element, float>;
  if constexpr (kIsPlain) {
    constexpr std::int64_t kRows = 16, kColumns = 32;
    const std::int64_t values = kRows * o.width + kColumns * (o.width | 1) + kRows * kColumns;
    return {"cross_entropy_plain", "_plain", kRows, values * std::int64_t{sizeof(float)}};
  } else {
    check<ShapeError>(o.hidden_stride % 16 == 0 && o.table_stride % 16 == 0,
                      "cuda: cross_entropy: rows must be a multiple of 16 apart, got ", o.hidden_stride, " and ",
                      o.table_stride);
    std::int64_t width = 32;
    while (width < o.width) width *= 2;
    const std::int64_t columns = width <= 64 ? 64 : 32;
    return {"cross_entropy_mma", concat("_mma_", width), 64, (64 + 2 * columns) * 2 * width};
  }
}

template <class Operands>
void launch_cross_entropy(Device& device, const char* pass, const Operands& o, std::int64_t rows) {
  const CrossEntropyRung rung = cross_entropy_rung(o.of);
  device.launch({rung.file, concat("cross_entropy_", pass, rung.suffix)},
                {.blocks = divide_up(rows, rung.rows), .threads = kRowThreads, .shared_bytes = rung.shared_bytes}, o);
}

}  // namespace detail

/// loss [1]: the sum over positions; o.lse is kept for backward.  Fills in o.loss_parts.  Throws ShapeError for rows of
/// more than 256 columns.
template <class Element>
void cross_entropy_forward(Device& device, CrossEntropyForward<Element> o, float* loss) {
  const detail::CrossEntropyRung rung = detail::cross_entropy_rung(o.of);
  Buffer<float> parts(device, detail::divide_up(o.of.positions, rung.rows));
  o.loss_parts = parts.data();
  detail::launch_cross_entropy(device, "forward", o, o.of.positions);
  sum_rows(device, parts.data(), parts.size(), 1, loss);
}

/// Gradients of scale·loss.  Rows of dhidden that are no position are left alone.
template <class Element>
void cross_entropy_backward(Device& device, const CrossEntropyBackward<Element>& o) {
  detail::launch_cross_entropy(device, "dhidden", o, o.of.positions);
  detail::launch_cross_entropy(device, "dtable", o, o.of.items);
}

}  // namespace hstu::cuda
