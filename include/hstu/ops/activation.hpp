// SPDX-License-Identifier: MIT
// Elementwise activations: sigmoid, SiLU, ReLU.
#pragma once
#include <hstu/ops/operands.hpp>

namespace hstu {

namespace detail {

/// σ of an Eigen array, as an expression.  e^−x overflows to ∞ for very negative x, which gives the right 0.
template <class Scalar, class Array>
auto sigmoid_of(const Array& x) { return Scalar(1) / (Scalar(1) + (-x).exp()); }

}  // namespace detail

/// σ(x) = 1 / (1 + e^−x);  dx = dy·y·(1 − y).  Any shape, float32 or float64; docs/math.md (6).
inline Tensor sigmoid(const Tensor& x) {
  detail::check_defined("sigmoid", "x", x);
  Tensor y = empty_like(x);
  dispatch_floating("sigmoid", x.dtype(), [&]<class Scalar>(Scalar) {
    mutable_array<Scalar>(y) = detail::sigmoid_of<Scalar>(array<Scalar>(x));
  });
  return record("sigmoid", y, {x}, [x = x.without_data(), y](const Tensor& dy, Accumulator& into) {
    Tensor dx = empty_like(dy);
    dispatch_floating("sigmoid", dy.dtype(), [&]<class Scalar>(Scalar) {
      const auto s = array<Scalar>(y);
      mutable_array<Scalar>(dx) = array<Scalar>(dy) * s * (Scalar(1) - s);
    });
    into.add(x, dx);
  });
}

/// SiLU: y = x·σ(x);  dx = dy·σ(x)·(1 + x·(1 − σ(x))).  Any shape, float32 or float64; docs/math.md (7).
inline Tensor silu(const Tensor& x) {
  detail::check_defined("silu", "x", x);
  Tensor y = empty_like(x);
  dispatch_floating("silu", x.dtype(), [&]<class Scalar>(Scalar) {
    const auto v = array<Scalar>(x);
    mutable_array<Scalar>(y) = v / (Scalar(1) + (-v).exp());
  });
  return record("silu", y, {x}, [x](const Tensor& dy, Accumulator& into) {
    Tensor dx = empty_like(x);
    dispatch_floating("silu", x.dtype(), [&]<class Scalar>(Scalar) {
      const auto v = array<Scalar>(x);
      auto out = mutable_array<Scalar>(dx);
      out = detail::sigmoid_of<Scalar>(v);
      out = array<Scalar>(dy) * out * (Scalar(1) + v * (Scalar(1) - out));
    });
    into.add(x, dx);
  });
}

/// ReLU: y = max(x, 0);  dx = dy where x > 0, else 0.  A NaN stays NaN.  Any shape, float32 or float64;
/// docs/math.md (8).
inline Tensor relu(const Tensor& x) {
  detail::check_defined("relu", "x", x);
  Tensor y = empty_like(x);
  dispatch_floating("relu", x.dtype(), [&]<class Scalar>(Scalar) {
    const Scalar* const in = x.data<Scalar>();
    Scalar* const out = y.mutable_data<Scalar>();
    for (std::int64_t i = 0; i < x.numel(); ++i) out[i] = in[i] < Scalar(0) ? Scalar(0) : in[i];
  });
  return record("relu", y, {x}, [x = x.without_data(), y](const Tensor& dy, Accumulator& into) {
    Tensor dx = empty_like(dy);
    dispatch_floating("relu", dy.dtype(), [&]<class Scalar>(Scalar) {
      const Scalar* const value = y.data<Scalar>();
      const Scalar* const in = dy.data<Scalar>();
      Scalar* const out = dx.mutable_data<Scalar>();
      for (std::int64_t i = 0; i < dy.numel(); ++i) out[i] = value[i] > Scalar(0) ? in[i] : Scalar(0);
    });
    into.add(x, dx);
  });
}

}  // namespace hstu
