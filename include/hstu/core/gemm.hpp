// SPDX-License-Identifier: MIT
// The one matrix product under all ops: every GEMM of the library goes through here.
#pragma once
#include <algorithm>
#include <type_traits>

#include <hstu/core/tensor.hpp>
#include <hstu/core/tile.hpp>

namespace hstu {

/// A row-major matrix with a distance between rows, or its transpose, in memory that belongs to someone else.
template <class Scalar>
struct MatrixView {
  Scalar* data;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t stride;  ///< elements from one stored row to the next
  bool is_transposed = false;

  MatrixView transposed() const { return {data, cols, rows, stride, !is_transposed}; }
  /// Rows [first, first + count) of a matrix that is not transposed.
  MatrixView middle_rows(std::int64_t first, std::int64_t count) const {
    return {data + first * stride, count, cols, stride};
  }
  operator MatrixView<const Scalar>() const
    requires(!std::is_const_v<Scalar>)
  {
    return {data, rows, cols, stride, is_transposed};
  }
};

namespace detail {

/// Blocks of a product: a panel of b, depth × 16, stays in L1 while kGemmRows rows of a, in L2, pass by.
/// Of a transposed a every k brings a line of its own into L1, so that the panel has to be shorter (measured).
inline constexpr std::int64_t kGemmDepth = 256;
inline constexpr std::int64_t kGemmDepthTransposed = 128;
inline constexpr std::int64_t kGemmRows = 260;  // a chunk of tokens, and a multiple of the tile
inline constexpr std::int64_t kPanelCols = 2 * kLanes;

/// panel[k][n] = alpha·b[k0 + k][n0 + n] for k < depth, n < cols; zero in the columns from cols to `width`.
template <class Scalar>
void pack_panel(const MatrixView<const Scalar>& b, std::int64_t k0, std::int64_t depth, std::int64_t n0,
                std::int64_t cols, std::int64_t width, Scalar alpha, Scalar* panel) {
  if (b.is_transposed) {
    const std::int64_t whole_depth = depth / kLanes * kLanes;
    std::int64_t n = 0;
    for (; n + kLanes <= cols; n += kLanes) {
      const Scalar* rows[kLanes];
      for (std::int64_t i = 0; i < kLanes; ++i) rows[i] = b.data + (n0 + n + i) * b.stride + k0;
      for (std::int64_t k = 0; k < whole_depth; k += kLanes) {
        transpose_8x8(rows, k, splat(alpha), panel + k * width + n, width);
      }
      for (std::int64_t k = whole_depth; k < depth; ++k) {
        for (std::int64_t i = 0; i < kLanes; ++i) panel[k * width + n + i] = alpha * rows[i][k];
      }
    }
    for (; n < cols; ++n) {
      const Scalar* from = b.data + (n0 + n) * b.stride + k0;
      for (std::int64_t k = 0; k < depth; ++k) panel[k * width + n] = alpha * from[k];
    }
  } else {
    const Pack<Scalar> factor = splat(alpha);
    for (std::int64_t k = 0; k < depth; ++k) {
      const Scalar* from = b.data + (k0 + k) * b.stride + n0;
      Scalar* to = panel + k * width;
      std::int64_t n = 0;
      for (; n + kLanes <= cols; n += kLanes) store(to + n, factor * load(from + n));
      for (; n < cols; ++n) to[n] = alpha * from[n];
    }
  }
  if (cols == width) return;
  for (std::int64_t k = 0; k < depth; ++k) std::fill(panel + k * width + cols, panel + (k + 1) * width, Scalar(0));
}

/// Tiles at the ragged right edge of c: `cols` of the panel's columns are wanted.
template <class Scalar>
void product_at_edge(std::int64_t rows, const TileOperand<Scalar>& a, std::int64_t depth, const Scalar* panel,
                     std::int64_t width, Scalar* c, std::int64_t c_stride, std::int64_t cols, bool overwrite) {
  constexpr std::int64_t kRows = 10;
  Scalar buffer[kRows * kPanelCols];
  for (std::int64_t m = 0; m < rows; m += kRows) {
    const std::int64_t count = std::min(kRows, rows - m);
    set_tiles(count, width / kLanes, a.down(m), depth, panel, width, buffer, width);
    for (std::int64_t r = 0; r < count; ++r) {
      Scalar* to = c + (m + r) * c_stride;
      for (std::int64_t n = 0; n < cols; ++n) to[n] = overwrite ? buffer[r * width + n] : to[n] + buffer[r * width + n];
    }
  }
}

/// True if a panel of b may be read where it is: few rows pass by it, so that packing would not pay, and its lines do not
/// fall on the same few sets of the L1 cache.
template <class Scalar>
bool is_readable_in_place(const MatrixView<const Scalar>& b, std::int64_t rows, Scalar alpha) {
  constexpr std::int64_t kFewRows = 64, kSetsStride = 512;
  const std::int64_t bytes = b.stride * std::int64_t{sizeof(Scalar)};
  return !b.is_transposed && alpha == Scalar(1) && rows <= kFewRows && bytes % kSetsStride != 0;
}

/// c = or += alpha·a·b;  finish(block) is called with every block of c once it has its final values.
template <class Scalar, class Finish>
void gemm(const MatrixView<Scalar>& c, const MatrixView<const Scalar>& a, const MatrixView<const Scalar>& b,
          Scalar alpha, bool overwrite, const Finish& finish) {
  HSTU_ASSERT(a.rows == c.rows && b.cols == c.cols && a.cols == b.rows && !c.is_transposed);
  if (a.cols == 0) {
    for (std::int64_t r = 0; overwrite && r < c.rows; ++r) std::fill_n(c.data + r * c.stride, c.cols, Scalar(0));
    if (c.cols > 0) finish(c);
    return;
  }
  const std::int64_t row_stride = a.is_transposed ? 1 : a.stride, depth_stride = a.is_transposed ? a.stride : 1;
  alignas(64) Scalar panel[kGemmDepth * kPanelCols];
  const std::int64_t max_depth = a.is_transposed ? kGemmDepthTransposed : kGemmDepth;
  for (std::int64_t k0 = 0; k0 < a.cols; k0 += max_depth) {
    const std::int64_t depth = std::min(max_depth, a.cols - k0);
    const bool is_first = overwrite && k0 == 0;
    for (std::int64_t m0 = 0; m0 < c.rows; m0 += kGemmRows) {
      const std::int64_t rows = std::min(kGemmRows, c.rows - m0);
      const TileOperand<Scalar> left{a.data + m0 * row_stride + k0 * depth_stride, row_stride, depth_stride};
      for (std::int64_t n0 = 0; n0 < c.cols; n0 += kPanelCols) {
        const std::int64_t cols = std::min(kPanelCols, c.cols - n0), width = cols > kLanes ? kPanelCols : kLanes;
        Scalar* to = c.data + m0 * c.stride + n0;
        const Scalar* right = panel;
        std::int64_t right_stride = width;
        if (cols == width && is_readable_in_place(b, rows, alpha)) {
          right = b.data + k0 * b.stride + n0;
          right_stride = b.stride;
        } else {
          pack_panel(b, k0, depth, n0, cols, width, alpha, panel);
        }
        if (cols < width) product_at_edge(rows, left, depth, panel, width, to, c.stride, cols, is_first);
        else if (is_first) set_tiles(rows, width / kLanes, left, depth, right, right_stride, to, c.stride);
        else add_tiles(rows, width / kLanes, left, depth, right, right_stride, to, c.stride);
        if (k0 + depth == a.cols) finish(MatrixView<Scalar>{to, rows, cols, c.stride});
      }
    }
  }
}

}  // namespace detail

/// c += alpha·a·b.   a [M, K], b [K, N], c [M, N] not transposed and apart from a and b.  Single-threaded; the same
/// shapes give the same bits.
template <class Scalar>
void add_product(const MatrixView<Scalar>& c, const MatrixView<const Scalar>& a, const MatrixView<const Scalar>& b,
                 Scalar alpha = Scalar(1)) {
  detail::gemm(c, a, b, alpha, false, [](const MatrixView<Scalar>&) {});
}

/// c = alpha·a·b.
template <class Scalar>
void set_product(const MatrixView<Scalar>& c, const MatrixView<const Scalar>& a, const MatrixView<const Scalar>& b,
                 Scalar alpha = Scalar(1)) {
  detail::gemm(c, a, b, alpha, true, [](const MatrixView<Scalar>&) {});
}

}  // namespace hstu
