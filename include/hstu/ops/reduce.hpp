// SPDX-License-Identifier: MIT
// Sum and mean of all elements.
#pragma once
#include <hstu/ops/operands.hpp>

namespace hstu {

namespace detail {

/// factor·Σx as a scalar tensor, added up in double.
inline Tensor scaled_sum(std::string_view op, const Tensor& x, double factor) {
  Tensor y(Shape{}, x.dtype());
  dispatch_floating(op, x.dtype(), [&]<class Scalar>(Scalar) {
    *y.mutable_data<Scalar>() = static_cast<Scalar>(factor * array<Scalar>(x).template cast<double>().sum());
  });
  return record(op, y, {x}, [x = x.without_data(), factor](const Tensor& dy, Accumulator& into) {
    into.add(x, Tensor::full(x.shape(), factor * dy.item(), x.dtype()));
  });
}

}  // namespace detail

/// Σ x over all elements, a scalar (rank 0);  dx = dy everywhere; docs/math.md (11).
inline Tensor sum(const Tensor& x) {
  detail::check_defined("sum", "x", x);
  return detail::scaled_sum("sum", x, 1.0);
}

/// Mean of all elements, a scalar (rank 0);  dx = dy / numel; docs/math.md (12).  Throws ShapeError if there are none.
inline Tensor mean(const Tensor& x) {
  detail::check_defined("mean", "x", x);
  check<ShapeError>(x.numel() > 0, "mean: expected at least one element, got shape ", x.shape());
  return detail::scaled_sum("mean", x, 1.0 / static_cast<double>(x.numel()));
}

}  // namespace hstu
