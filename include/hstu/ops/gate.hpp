// SPDX-License-Identifier: MIT
// The gates of HSTU, fused: layer_norm(a)·u and a·σ(u).
#pragma once
#include <hstu/ops/activation.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/layer_norm.hpp>

namespace hstu {

namespace detail {

inline void check_gate(std::string_view op, const Tensor& a, const Columns& u) {
  check_same_dtype(op, "u", u.of, a.dtype());
  check_has_columns(op, "u", u.of);
  const Shape shape = u.of.shape().with_size(-1, u.width);
  check<ShapeError>(shape == a.shape(), op, ": u must be ", a.shape(), ", got ", shape);
}

}  // namespace detail

/// y = layer_norm(a)·u, elementwise; a, u, y [..., C], u a tensor or columns of one.  One pass forward, one backward;
/// keeps a, u and two numbers per row.  docs/math.md (16), (17).  Source: Zhai et al. 2024, eq. 4.
inline Tensor norm_gate(const Tensor& a, const Columns& u, double eps) {
  detail::check_has_columns("norm_gate", "a", a);
  detail::check_gate("norm_gate", a, u);
  detail::NormalizeRows n{.op = "norm_gate", .x = a, .weight = {}, .bias = {}, .gate = u, .mean = {}, .rstd = {}};
  Tensor y = detail::normalize_rows_forward(n, eps);
  return record("norm_gate", y, {a, u.of}, [n](const Tensor& dy, Accumulator& into) {
    detail::normalize_rows_backward(n, dy, into);
  });
}
inline Tensor norm_gate_composed(const Tensor& a, const Tensor& u, double eps) { return layer_norm(a, eps) * u; }

/// y = (layer_norm(a)·weight + bias)·u with weight and bias [C]; the rest as above.
inline Tensor norm_gate(const Tensor& a, const Columns& u, const Tensor& weight, const Tensor& bias, double eps) {
  detail::check_has_columns("norm_gate", "a", a);
  detail::check_gate("norm_gate", a, u);
  detail::check_shape("norm_gate", "weight", weight, {a.size(-1)}, a.dtype());
  detail::check_shape("norm_gate", "bias", bias, {a.size(-1)}, a.dtype());
  detail::NormalizeRows n{
      .op = "norm_gate", .x = a, .weight = weight, .bias = bias, .gate = u, .mean = {}, .rstd = {}};
  Tensor y = detail::normalize_rows_forward(n, eps);
  return record("norm_gate", y, {a, u.of, weight, bias}, [n](const Tensor& dy, Accumulator& into) {
    detail::normalize_rows_backward(n, dy, into);
  });
}
inline Tensor norm_gate_composed(const Tensor& a, const Tensor& u, const Tensor& weight, const Tensor& bias,
                                 double eps) {
  return layer_norm(a, weight, bias, eps) * u;
}

/// y = a·σ(u), elementwise; a, u, y [..., C], u a tensor or columns of one;  da = dy·σ(u), du = dy·a·σ(u)·(1 − σ(u));
/// docs/math.md (18).
/// Source: the gate of torch-rechub 0.1.0's HSTULayer.
inline Tensor sigmoid_gate(const Tensor& a, const Columns& u) {
  using namespace simd;
  detail::check_defined("sigmoid_gate", "a", a);
  detail::check_gate("sigmoid_gate", a, u);
  Tensor y = empty_like(a);
  dispatch_floating("sigmoid_gate", a.dtype(), [&]<class Scalar>(Scalar) {
    const auto gate = u.view<Scalar>();
    for (std::int64_t row = 0; row < gate.rows; ++row) {
      const std::int64_t at = row * gate.cols;
      for (std::int64_t c = 0; c < gate.cols; c += kLanes) {
        store(y.mutable_data<Scalar>() + at + c,
              load(a.data<Scalar>() + at + c) * sigmoid(load(gate.data + row * gate.stride + c)));
      }
    }
  });
  return record("sigmoid_gate", y, {a, u.of}, [a, u](const Tensor& dy, Accumulator& into) {
    Tensor da = empty_like(a);
    dispatch_floating("sigmoid_gate", a.dtype(), [&]<class Scalar>(Scalar) {
      const auto gate = u.view<Scalar>();
      const bool wants_u = into.wants(u.of);
      const MatrixView<Scalar> dgate = wants_u ? u.gradient<Scalar>(into) : MatrixView<Scalar>{nullptr, 0, 0, 0};
      for (std::int64_t row = 0; row < gate.rows; ++row) {
        const std::int64_t at = row * gate.cols;
        for_each_pack<Scalar>(gate.cols, [&](std::int64_t c, auto keep) HSTU_LAMBDA_INLINE {
          const Pack<Scalar> grad = load(dy.data<Scalar>() + at + c);
          const Pack<Scalar> open = sigmoid(load(gate.data + row * gate.stride + c));
          store(da.mutable_data<Scalar>() + at + c, grad * open);
          if (!wants_u) return;
          Scalar* const to = dgate.data + row * dgate.stride + c;
          const Pack<Scalar> slope = open * (splat(Scalar(1)) - open);
          store(to, load(to) + keep(grad * load(a.data<Scalar>() + at + c) * slope));
        });
      }
    });
    into.add(a, da);
  });
}
inline Tensor sigmoid_gate_composed(const Tensor& a, const Tensor& u) { return a * sigmoid(u); }

}  // namespace hstu
