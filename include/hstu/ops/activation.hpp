// SPDX-License-Identifier: MIT
// Elementwise activations: sigmoid, SiLU, ReLU.
#pragma once
#include <hstu/core/simd.hpp>
#include <hstu/ops/operands.hpp>

namespace hstu {

/// σ(x) = 1 / (1 + e^−x);  dx = dy·y·(1 − y).  Any shape, float32 or float64; docs/math.md (6).
inline Tensor sigmoid(const Tensor& x) {
  detail::check_defined("sigmoid", "x", x);
  Tensor y = empty_like(x);
  dispatch_floating("sigmoid", x.dtype(), [&]<class Scalar>(Scalar) {
    mutable_array<Scalar>(y) = Scalar(1) / (Scalar(1) + (-array<Scalar>(x)).exp());  // e^−x = ∞ gives the right 0
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

namespace detail {

/// SiLU and its derivative, which costs little where σ is at hand.
template <class PackType>
HSTU_INLINE void silu_with_slope(const PackType& x, PackType& value, PackType& slope) {
  const PackType open = sigmoid(x);
  value = x * open;
  slope = mul_add(value, 1 - open, open);
}

}  // namespace detail

/// SiLU: y = x·σ(x);  dx = dy·σ(x)·(1 + x·(1 − σ(x))).  Any shape, float32 or float64; docs/math.md (7).
/// Keeps the slope and not x.
inline Tensor silu(const Tensor& x) {
  using namespace simd;
  detail::check_defined("silu", "x", x);
  Tensor y = empty_like(x);
  Tensor slope = detail::recording && x.needs_grad() ? empty_like(x) : Tensor();
  dispatch_floating("silu", x.dtype(), [&]<class Scalar>(Scalar) {
    const Scalar* const in = x.data<Scalar>();
    Scalar* const out = y.mutable_data<Scalar>();
    Scalar* const dout = slope.defined() ? slope.mutable_data<Scalar>() : nullptr;
    for (std::int64_t i = 0; i < x.numel(); i += kLanes) {
      Pack<Scalar> value, derivative;
      detail::silu_with_slope(load(in + i), value, derivative);
      store(out + i, value);
      if (dout != nullptr) store(dout + i, derivative);
    }
  });
  return record("silu", y, {x}, [x = x.without_data(), slope](const Tensor& dy, Accumulator& into) {
    Tensor dx = empty_like(dy);
    dispatch_floating("silu", dy.dtype(), [&]<class Scalar>(Scalar) {
      const Scalar *const factor = slope.data<Scalar>(), *const grad = dy.data<Scalar>();
      Scalar* const out = dx.mutable_data<Scalar>();
      for (std::int64_t i = 0; i < dy.numel(); i += kLanes) store(out + i, load(grad + i) * load(factor + i));
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
