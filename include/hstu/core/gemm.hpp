// SPDX-License-Identifier: MIT
// The one matrix product under all ops: every GEMM of the library goes through here.
#pragma once
#include <algorithm>
#include <type_traits>

#include <Eigen/Core>

#include <hstu/core/tensor.hpp>

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

/// One of the four combinations of transposes.  Eigen's blocked kernel is called directly, not by way of an
/// expression: an expression also compiles Eigen's matrix-vector and coefficient-wise paths for every operand type,
/// which costs several seconds in each file that includes an op.
template <class Scalar, int LeftOrder, int RightOrder>
void gemm_of(const MatrixView<const Scalar>& a, const MatrixView<const Scalar>& b, Scalar alpha,
             const MatrixView<Scalar>& c) {
  using Product = Eigen::internal::general_matrix_matrix_product<Eigen::Index, Scalar, LeftOrder, false, Scalar,
                                                                 RightOrder, false, Eigen::RowMajor, 1>;
  using Blocking = Eigen::internal::gemm_blocking_space<Eigen::RowMajor, Scalar, Scalar, Eigen::Dynamic, Eigen::Dynamic,
                                                        Eigen::Dynamic>;
  Blocking blocking(c.rows, c.cols, a.cols, 1, true);
  Product::run(c.rows, c.cols, a.cols, a.data, a.stride, b.data, b.stride, c.data, 1, c.stride, alpha, blocking,
               nullptr);
}

}  // namespace detail

/// c += alpha·a·b.   a [M, K], b [K, N], c [M, N] not transposed and apart from a and b.  Single-threaded.
template <class Scalar>
void add_product(const MatrixView<Scalar>& c, const MatrixView<const Scalar>& a, const MatrixView<const Scalar>& b,
                 Scalar alpha = Scalar(1)) {
  HSTU_ASSERT(a.rows == c.rows && b.cols == c.cols && a.cols == b.rows && !c.is_transposed);
  if (c.rows == 0 || c.cols == 0 || a.cols == 0) return;
  constexpr int kRow = Eigen::RowMajor, kColumn = Eigen::ColMajor;
  if (a.is_transposed) {
    if (b.is_transposed) detail::gemm_of<Scalar, kColumn, kColumn>(a, b, alpha, c);
    else detail::gemm_of<Scalar, kColumn, kRow>(a, b, alpha, c);
  } else {
    if (b.is_transposed) detail::gemm_of<Scalar, kRow, kColumn>(a, b, alpha, c);
    else detail::gemm_of<Scalar, kRow, kRow>(a, b, alpha, c);
  }
}

/// c = alpha·a·b.
template <class Scalar>
void set_product(const MatrixView<Scalar>& c, const MatrixView<const Scalar>& a, const MatrixView<const Scalar>& b,
                 Scalar alpha = Scalar(1)) {
  for (std::int64_t r = 0; r < c.rows; ++r) std::fill_n(c.data + r * c.stride, c.cols, Scalar(0));
  add_product(c, a, b, alpha);
}

}  // namespace hstu
