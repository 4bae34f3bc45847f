// SPDX-License-Identifier: MIT
// Rows scaled to length 1.
#pragma once
#include <cmath>

#include <hstu/core/simd.hpp>
#include <hstu/ops/operands.hpp>

namespace hstu {

/// y = x / max(‖x‖₂, eps) per row of x [..., C], as torch.nn.functional.normalize;
/// dx = (dy − y·Σ dy·y) / ‖x‖ where ‖x‖ ≥ eps, else dy / eps; docs/math.md (21), (22).  Throws ConfigError unless
/// eps > 0.
inline Tensor l2_normalize(const Tensor& x, double eps) {
  using namespace simd;
  detail::check_has_columns("l2_normalize", "x", x);
  check<ConfigError>(eps > 0.0 && std::isfinite(eps), "l2_normalize: eps must be positive and finite, got ", eps);
  Tensor y = empty_like(x);
  const std::int64_t rows = num_rows(x);
  const std::int64_t cols = num_cols(x);
  Tensor norm({rows}, x.dtype());
  dispatch_floating("l2_normalize", x.dtype(), [&]<class Scalar>(Scalar) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const Scalar* const in = x.data<Scalar>() + row * cols;
      Scalar* const out = y.mutable_data<Scalar>() + row * cols;
      Pack<Scalar> squares{};
      for_each_pack<Scalar>(cols, [&](std::int64_t c, auto keep) HSTU_LAMBDA_INLINE {
        const Pack<Scalar> value = keep(load(in + c));
        squares = mul_add(value, value, squares);
      });
      const Scalar length = std::sqrt(sum(squares));
      norm.mutable_data<Scalar>()[row] = length;
      const Pack<Scalar> factor = splat(Scalar(1) / std::max(length, static_cast<Scalar>(eps)));
      for (std::int64_t c = 0; c < cols; c += kLanes) store(out + c, load(in + c) * factor);
    }
  });
  return record("l2_normalize", y, {x},
                [x = x.without_data(), y, norm, eps, rows, cols](const Tensor& dy, Accumulator& into) {
    Tensor dx = empty_like(dy);
    dispatch_floating("l2_normalize", dy.dtype(), [&]<class Scalar>(Scalar) {
      for (std::int64_t row = 0; row < rows; ++row) {
        const Scalar *const unit = y.data<Scalar>() + row * cols, *const grad = dy.data<Scalar>() + row * cols;
        Scalar* const out = dx.mutable_data<Scalar>() + row * cols;
        const Scalar length = norm.data<Scalar>()[row];
        const bool is_short = length < static_cast<Scalar>(eps);
        Pack<Scalar> products{};
        for_each_pack<Scalar>(cols, [&](std::int64_t c, auto keep) HSTU_LAMBDA_INLINE {
          products = mul_add(keep(load(grad + c)), keep(load(unit + c)), products);
        });
        const Pack<Scalar> along = splat(is_short ? Scalar(0) : sum(products));
        const Pack<Scalar> factor = splat(Scalar(1) / (is_short ? static_cast<Scalar>(eps) : length));
        for (std::int64_t c = 0; c < cols; c += kLanes) {
          store(out + c, (load(grad + c) - load(unit + c) * along) * factor);
        }
      }
    });
    into.add(x, dx);
  });
}

}  // namespace hstu
