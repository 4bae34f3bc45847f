// SPDX-License-Identifier: MIT
// The gates of HSTU, fused: layer_norm(a)·u and a·σ(u).
#pragma once
#include <hstu/ops/activation.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/layer_norm.hpp>

namespace hstu {

/// y = layer_norm(a)·u, elementwise; a, u, y [..., C].  One pass forward, one backward; keeps a, u and two numbers
/// per row.  docs/math.md (16), (17).  Source: Zhai et al. 2024, eq. 4.
inline Tensor norm_gate(const Tensor& a, const Tensor& u, double eps) {
  detail::check_has_columns("norm_gate", "a", a);
  detail::check_shape("norm_gate", "u", u, a.shape(), a.dtype());
  detail::NormalizeRows n{.op = "norm_gate", .x = a, .weight = {}, .bias = {}, .gate = u, .mean = {}, .rstd = {}};
  Tensor y = detail::normalize_rows_forward(n, eps);
  return record("norm_gate", y, {a, u}, [n](const Tensor& dy, Accumulator& into) {
    detail::normalize_rows_backward(n, dy, into);
  });
}
inline Tensor norm_gate_composed(const Tensor& a, const Tensor& u, double eps) { return layer_norm(a, eps) * u; }

/// y = (layer_norm(a)·weight + bias)·u with weight and bias [C]; the rest as above.
inline Tensor norm_gate(const Tensor& a, const Tensor& u, const Tensor& weight, const Tensor& bias, double eps) {
  detail::check_has_columns("norm_gate", "a", a);
  detail::check_shape("norm_gate", "u", u, a.shape(), a.dtype());
  detail::check_shape("norm_gate", "weight", weight, {a.size(-1)}, a.dtype());
  detail::check_shape("norm_gate", "bias", bias, {a.size(-1)}, a.dtype());
  detail::NormalizeRows n{
      .op = "norm_gate", .x = a, .weight = weight, .bias = bias, .gate = u, .mean = {}, .rstd = {}};
  Tensor y = detail::normalize_rows_forward(n, eps);
  return record("norm_gate", y, {a, u, weight, bias}, [n](const Tensor& dy, Accumulator& into) {
    detail::normalize_rows_backward(n, dy, into);
  });
}
inline Tensor norm_gate_composed(const Tensor& a, const Tensor& u, const Tensor& weight, const Tensor& bias,
                                 double eps) {
  return layer_norm(a, weight, bias, eps) * u;
}

/// y = a·σ(u), elementwise; a, u, y of one shape;  da = dy·σ(u), du = dy·a·σ(u)·(1 − σ(u)); docs/math.md (18).
/// Source: the gate of torch-rechub 0.1.0's HSTULayer.
inline Tensor sigmoid_gate(const Tensor& a, const Tensor& u) {
  detail::check_defined("sigmoid_gate", "a", a);
  detail::check_shape("sigmoid_gate", "u", u, a.shape(), a.dtype());
  Tensor y = empty_like(a);
  dispatch_floating("sigmoid_gate", a.dtype(), [&]<class Scalar>(Scalar) {
    mutable_array<Scalar>(y) = array<Scalar>(a) * detail::sigmoid_of<Scalar>(array<Scalar>(u));
  });
  return record("sigmoid_gate", y, {a, u}, [a, u](const Tensor& dy, Accumulator& into) {
    Tensor da = empty_like(a);
    Tensor du = into.wants(u) ? empty_like(u) : Tensor();
    dispatch_floating("sigmoid_gate", a.dtype(), [&]<class Scalar>(Scalar) {
      const auto grad = array<Scalar>(dy);
      auto open = mutable_array<Scalar>(da);  // σ(u), until it is multiplied by dy
      open = detail::sigmoid_of<Scalar>(array<Scalar>(u));
      if (du.defined()) mutable_array<Scalar>(du) = grad * array<Scalar>(a) * open * (Scalar(1) - open);
      open *= grad;
    });
    into.add(a, da);
    if (du.defined()) into.add(u, du);
  });
}
inline Tensor sigmoid_gate_composed(const Tensor& a, const Tensor& u) { return a * sigmoid(u); }

}  // namespace hstu
