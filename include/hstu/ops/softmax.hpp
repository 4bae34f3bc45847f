// SPDX-License-Identifier: MIT
// Softmax over the last dimension.
#pragma once
#include <hstu/ops/operands.hpp>

namespace hstu {

/// y = e^(x − max x) / Σ e^(x − max x) per row of x [..., C];  dx = y·(dy − Σ dy·y); docs/math.md (13).
/// An entry of −∞ gets probability 0; a row of nothing but −∞, or with a NaN or +∞, is NaN.
inline Tensor softmax(const Tensor& x) {
  detail::check_has_columns("softmax", "x", x);
  Tensor y = empty_like(x);
  const std::int64_t rows = num_rows(x);
  const std::int64_t cols = num_cols(x);
  dispatch_floating("softmax", x.dtype(), [&]<class Scalar>(Scalar) {
    if (cols == 0) return;
    for (std::int64_t row = 0; row < rows; ++row) {
      const ConstArrayMap<Scalar> in(x.data<Scalar>() + row * cols, cols);
      ArrayMap<Scalar> out(y.mutable_data<Scalar>() + row * cols, cols);
      out = (in - in.maxCoeff()).exp();
      out /= out.sum();
    }
  });
  return record("softmax", y, {x}, [x = x.without_data(), y, rows, cols](const Tensor& dy, Accumulator& into) {
    Tensor dx = empty_like(dy);
    dispatch_floating("softmax", dy.dtype(), [&]<class Scalar>(Scalar) {
      for (std::int64_t row = 0; row < rows; ++row) {
        const ConstArrayMap<Scalar> p(y.data<Scalar>() + row * cols, cols);
        const ConstArrayMap<Scalar> grad(dy.data<Scalar>() + row * cols, cols);
        const Scalar expected = (grad * p).sum();
        ArrayMap<Scalar>(dx.mutable_data<Scalar>() + row * cols, cols) = p * (grad - expected);
      }
    });
    into.add(x, dx);
  });
}

}  // namespace hstu
