// SPDX-License-Identifier: MIT
// Matrix product and affine map over the last dimension, by the GEMM of core/gemm.hpp.
#pragma once
#include <hstu/ops/operands.hpp>

namespace hstu {

namespace detail {

/// dx += left·right in the shape of x.  A parameter's gradient is added to in place, without a temporary.
template <class Scalar>
void add_gradient(Accumulator& into, const Tensor& x, const MatrixView<const Scalar>& left,
                  const MatrixView<const Scalar>& right) {
  if (!into.wants(x)) return;
  if (x.node()->is_leaf) {
    add_product(mutable_view<Scalar>(into.buffer(x)), left, right);
  } else {
    Tensor dx(x.shape(), dtype_of<Scalar>());
    set_product(mutable_view<Scalar>(dx), left, right);
    into.add(x, dx);
  }
}

}  // namespace detail

/// y = a·b with a [..., K], b [K, N], y [..., N];  da = dy·bᵀ, db = aᵀ·dy; docs/math.md (9).
/// Throws ShapeError if the K differ or b is not a matrix.
inline Tensor matmul(const Tensor& a, const Tensor& b) {
  detail::check_has_columns("matmul", "a", a);
  detail::check_same_dtype("matmul", "b", b, a.dtype());
  check<ShapeError>(b.rank() == 2 && b.size(0) == a.size(-1), "matmul: b must be [", a.size(-1),
                    ", N] (last size of a), got ", b.shape());
  Tensor y(detail::with_last_size(a.shape(), b.size(1)), a.dtype());
  dispatch_floating("matmul", a.dtype(), [&]<class Scalar>(Scalar) {
    set_product(mutable_view<Scalar>(y), view<Scalar>(a), view<Scalar>(b));
  });
  return record("matmul", y, {a, b}, [a, b](const Tensor& dy, Accumulator& into) {
    dispatch_floating("matmul", a.dtype(), [&]<class Scalar>(Scalar) {
      detail::add_gradient(into, a, view<Scalar>(dy), view<Scalar>(b).transposed());
      detail::add_gradient(into, b, view<Scalar>(a).transposed(), view<Scalar>(dy));
    });
  });
}

/// y = x·Wᵀ + bias with x [..., in], weight W [out, in] (as torch.nn.Linear stores it), bias [out] or an undefined
/// tensor, y [..., out];  dx = dy·W, dW = dyᵀ·x, dbias = sum of dy over rows; docs/math.md (10).
inline Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  detail::check_has_columns("linear", "x", x);
  detail::check_same_dtype("linear", "weight", weight, x.dtype());
  check<ShapeError>(weight.rank() == 2 && weight.size(1) == x.size(-1), "linear: weight must be [out, ", x.size(-1),
                    "] (last size of x), got ", weight.shape());
  if (bias.defined()) detail::check_shape("linear", "bias", bias, {weight.size(0)}, x.dtype());
  Tensor y(detail::with_last_size(x.shape(), weight.size(0)), x.dtype());
  dispatch_floating("linear", x.dtype(), [&]<class Scalar>(Scalar) {
    set_product(mutable_view<Scalar>(y), view<Scalar>(x), view<Scalar>(weight).transposed());
    if (bias.defined()) mutable_matrix<Scalar>(y).rowwise() += array<Scalar>(bias).matrix().transpose();
  });
  const Tensor bias_kept = bias.without_data();
  return record("linear", y, {x, weight, bias}, [x, weight, bias = bias_kept](const Tensor& dy, Accumulator& into) {
    dispatch_floating("linear", x.dtype(), [&]<class Scalar>(Scalar) {
      const auto grad = matrix<Scalar>(dy);
      detail::add_gradient(into, x, view<Scalar>(dy), view<Scalar>(weight));
      detail::add_gradient(into, weight, view<Scalar>(dy).transposed(), view<Scalar>(x));
      if (!into.wants(bias)) return;
      auto sum = mutable_array<Scalar>(into.buffer(bias));
      for (Eigen::Index row = 0; row < grad.rows(); ++row) sum += grad.row(row).transpose().array();
    });
  });
}

}  // namespace hstu
