// SPDX-License-Identifier: MIT
// Rows scaled to length 1.
#pragma once
#include <cmath>

#include <hstu/ops/operands.hpp>

namespace hstu {

/// y = x / max(‖x‖₂, eps) per row of x [..., C], as torch.nn.functional.normalize;
/// dx = (dy − y·Σ dy·y) / ‖x‖ where ‖x‖ ≥ eps, else dy / eps; docs/math.md (21), (22).  Throws ConfigError unless
/// eps > 0.
inline Tensor l2_normalize(const Tensor& x, double eps) {
  detail::check_has_columns("l2_normalize", "x", x);
  check<ConfigError>(eps > 0.0 && std::isfinite(eps), "l2_normalize: eps must be positive and finite, got ", eps);
  Tensor y = empty_like(x);
  const std::int64_t rows = num_rows(x);
  const std::int64_t cols = num_cols(x);
  Tensor norm({rows}, x.dtype());
  dispatch_floating("l2_normalize", x.dtype(), [&]<class Scalar>(Scalar) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const ConstArrayMap<Scalar> in(x.data<Scalar>() + row * cols, cols);
      const Scalar length = std::sqrt(in.square().sum());
      norm.mutable_data<Scalar>()[row] = length;
      ArrayMap<Scalar>(y.mutable_data<Scalar>() + row * cols, cols) = in / std::max(length, static_cast<Scalar>(eps));
    }
  });
  return record("l2_normalize", y, {x},
                [x = x.without_data(), y, norm, eps, rows, cols](const Tensor& dy, Accumulator& into) {
    Tensor dx = empty_like(dy);
    dispatch_floating("l2_normalize", dy.dtype(), [&]<class Scalar>(Scalar) {
      for (std::int64_t row = 0; row < rows; ++row) {
        const ConstArrayMap<Scalar> unit(y.data<Scalar>() + row * cols, cols);
        const ConstArrayMap<Scalar> grad(dy.data<Scalar>() + row * cols, cols);
        ArrayMap<Scalar> out(dx.mutable_data<Scalar>() + row * cols, cols);
        const Scalar length = norm.data<Scalar>()[row];
        if (length < static_cast<Scalar>(eps)) {
          out = grad / static_cast<Scalar>(eps);
        } else {
          const Scalar along = (grad * unit).sum();
          out = (grad - unit * along) / length;
        }
      }
    });
    into.add(x, dx);
  });
}

}  // namespace hstu
