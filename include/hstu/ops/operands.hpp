// SPDX-License-Identifier: MIT
// Checks that ops share: what an operand must be, said with the op's name.
#pragma once
#include <string_view>

#include <hstu/autograd/backward.hpp>

namespace hstu::detail {

inline void check_defined(std::string_view op, std::string_view name, const Tensor& x) {
  check<ShapeError>(x.defined(), op, ": ", name, " is undefined");
}

inline void check_same_dtype(std::string_view op, std::string_view name, const Tensor& x, DType dtype) {
  check_defined(op, name, x);
  check<ShapeError>(x.dtype() == dtype, op, ": ", name, " must be ", dtype, ", got ", x.dtype());
}

inline void check_shape(std::string_view op, std::string_view name, const Tensor& x, const Shape& shape, DType dtype) {
  check_same_dtype(op, name, x, dtype);
  check<ShapeError>(x.shape() == shape, op, ": ", name, " must be ", shape, ", got ", x.shape());
}

/// `[..., C]`: defined and with at least one dimension.
inline void check_has_columns(std::string_view op, std::string_view name, const Tensor& x) {
  check_defined(op, name, x);
  check<ShapeError>(x.rank() >= 1, op, ": ", name, " must have at least one dimension, got a scalar");
}

}  // namespace hstu::detail
