// SPDX-License-Identifier: MIT
// Layer normalisation over the last dimension.
#pragma once
#include <hstu/ops/normalize_rows.hpp>

namespace hstu {

/// y = (x − mean)·rstd per row of x [..., C], rstd = 1/√(var + eps), var divided by C as torch.nn.LayerNorm has it.
/// Keeps x, mean and rstd; docs/math.md (14), (15).
inline Tensor layer_norm(const Tensor& x, double eps) {
  detail::NormalizeRows n{.op = "layer_norm", .x = x, .weight = {}, .bias = {}, .gate = {}, .mean = {}, .rstd = {}};
  Tensor y = detail::normalize_rows_forward(n, eps);
  return record("layer_norm", y, {x}, [n](const Tensor& dy, Accumulator& into) {
    detail::normalize_rows_backward(n, dy, into);
  });
}

/// The same times weight [C] plus bias [C].  Throws ShapeError if these do not fit x.
inline Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  detail::check_has_columns("layer_norm", "x", x);
  detail::check_shape("layer_norm", "weight", weight, {x.size(-1)}, x.dtype());
  detail::check_shape("layer_norm", "bias", bias, {x.size(-1)}, x.dtype());
  detail::NormalizeRows n{
      .op = "layer_norm", .x = x, .weight = weight, .bias = bias, .gate = {}, .mean = {}, .rstd = {}};
  Tensor y = detail::normalize_rows_forward(n, eps);
  return record("layer_norm", y, {x, weight, bias}, [n](const Tensor& dy, Accumulator& into) {
    detail::normalize_rows_backward(n, dy, into);
  });
}

}  // namespace hstu
