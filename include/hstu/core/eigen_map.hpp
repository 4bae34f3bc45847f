// SPDX-License-Identifier: MIT
// Tensors seen as Eigen arrays and row-major matrices.
#pragma once
#ifndef EIGEN_DONT_PARALLELIZE  // under -fopenmp Eigen's own threads would change the bits of a product
#define EIGEN_DONT_PARALLELIZE
#endif
#include <Eigen/Core>

#include <hstu/core/gemm.hpp>
#include <hstu/core/tensor.hpp>

namespace hstu {

template <class Scalar>
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class Scalar>
using MatrixMap = Eigen::Map<Matrix<Scalar>>;
template <class Scalar>
using ConstMatrixMap = Eigen::Map<const Matrix<Scalar>>;
template <class Scalar>
using ArrayMap = Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>>;
template <class Scalar>
using ConstArrayMap = Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>>;
/// A block of columns of a row-major matrix.
template <class Scalar>
using StridedMap = Eigen::Map<Matrix<Scalar>, 0, Eigen::OuterStride<>>;
template <class Scalar>
using ConstStridedMap = Eigen::Map<const Matrix<Scalar>, 0, Eigen::OuterStride<>>;

/// All elements in one line.
template <class Scalar>
ConstArrayMap<Scalar> array(const Tensor& x) { return {x.data<Scalar>(), x.numel()}; }
template <class Scalar>
ArrayMap<Scalar> mutable_array(Tensor& x) { return {x.mutable_data<Scalar>(), x.numel()}; }

/// Product of all sizes but the last; 1 for a vector or scalar.
inline std::int64_t num_rows(const Tensor& x) {
  std::int64_t rows = 1;
  for (int i = 0; i + 1 < x.rank(); ++i) rows *= x.size(i);
  return rows;
}
/// The last size; 1 for a scalar.
inline std::int64_t num_cols(const Tensor& x) { return x.rank() == 0 ? 1 : x.size(-1); }

/// `[..., C]` as an operand of a product.
template <class Scalar>
MatrixView<const Scalar> view(const Tensor& x) { return {x.data<Scalar>(), num_rows(x), num_cols(x), num_cols(x)}; }
template <class Scalar>
MatrixView<Scalar> mutable_view(Tensor& x) { return {x.mutable_data<Scalar>(), num_rows(x), num_cols(x), num_cols(x)}; }

/// `[..., C]` as a matrix of C columns.
template <class Scalar>
ConstMatrixMap<Scalar> matrix(const Tensor& x) { return {x.data<Scalar>(), num_rows(x), num_cols(x)}; }
template <class Scalar>
MatrixMap<Scalar> mutable_matrix(Tensor& x) { return {x.mutable_data<Scalar>(), num_rows(x), num_cols(x)}; }

}  // namespace hstu
