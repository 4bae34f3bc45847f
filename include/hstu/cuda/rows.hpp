// SPDX-License-Identifier: MIT
// Launching the kernels that work on rows: a warp or a block for each, the kernel chosen by the width.
#pragma once
#include <cmath>

#include <hstu/core/random.hpp>
#include <hstu/cuda/buffer.hpp>
#include <hstu/cuda/operands/dropout.hpp>

namespace hstu::cuda {

namespace detail {

inline constexpr std::int64_t kRowThreads = 128;  // as in kernels/rows.cuh

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// The variant of a kernel for rows of `cols`, and how many rows a block of it treats at a time.
struct RowKernel {
  KernelName name;
  std::int64_t rows_per_block;
};
/// Throws ShapeError for more than 1024 columns.
inline RowKernel row_kernel(const char* file, const std::string& function, std::int64_t cols) {
  constexpr std::int64_t kRowsPerBlock = kRowThreads / 32;
  for (const std::int64_t width : {64, 128, 256}) {
    if (cols <= width) return {{file, concat(function, "_", width)}, kRowsPerBlock};
  }
  check<ShapeError>(cols <= 1024, "cuda: ", function, ": rows of at most 1024 columns, got ", cols);
  return {{file, function + "_1024"}, 1};
}

/// One team of threads for each row.
template <class Operands>
void launch_rows(Device& device, const char* file, const std::string& function, const Operands& o) {
  const RowKernel kernel = row_kernel(file, function, o.cols);
  device.launch(kernel.name, {.blocks = divide_up(o.rows, kernel.rows_per_block), .threads = kRowThreads}, o);
}

/// One warp for each row, of any width.
template <class Operands>
void launch_warps(Device& device, const KernelName& kernel, std::int64_t warps, const Operands& o) {
  device.launch(kernel, {.blocks = divide_up(warps, kRowThreads / 32), .threads = kRowThreads}, o);
}

}  // namespace detail

/// The mask that ops/dropout.hpp draws for rows of `cols` from `first_row` on.  Throws ConfigError unless 0 ≤ p < 1.
inline DropoutMask dropout_mask(double p, const RandomStream& stream, std::int64_t first_row, std::int64_t cols) {
  check<ConfigError>(p >= 0.0 && p < 1.0, "cuda: dropout p must be in [0, 1), got ", p);
  return {.key = {stream.seed, stream.step, stream.site},
          .first_index = static_cast<std::uint64_t>(first_row) * static_cast<std::uint64_t>(cols),
          .threshold = static_cast<std::uint32_t>(std::floor(p * 0x1p32)),
          .scale = static_cast<float>(1.0 / (1.0 - p))};
}

}  // namespace hstu::cuda
