// SPDX-License-Identifier: MIT
// A linear map and SiLU in one pass: the activation is applied to each block of the product while it is in the cache.
#pragma once
#include <hstu/ops/activation.hpp>
#include <hstu/ops/matmul.hpp>

namespace hstu {

namespace detail {

/// y = SiLU(x·b + bias) with b [K, N] a view of `weight`; docs/math.md (7), (9), (10).  Keeps x, the slope of SiLU and
/// not the product.
inline Tensor product_silu(std::string_view op, const Tensor& x, const Tensor& weight, bool is_transposed,
                           const Tensor& bias) {
  const auto right = [is_transposed]<class Scalar>(const Tensor& w, Scalar) {
    return is_transposed ? view<Scalar>(w).transposed() : view<Scalar>(w);
  };
  Tensor y(x.shape().with_size(-1, weight.size(is_transposed ? 0 : 1)), x.dtype());
  const bool is_recorded = recording && (x.needs_grad() || weight.needs_grad() || bias.needs_grad());
  Tensor slope = is_recorded ? empty_like(y) : Tensor();
  dispatch_floating(op, x.dtype(), [&]<class Scalar>(Scalar zero) {
    const MatrixView<Scalar> out = mutable_view<Scalar>(y);
    Scalar* const slope_data = is_recorded ? slope.mutable_data<Scalar>() : nullptr;
    const Scalar* const offset = bias.defined() ? bias.data<Scalar>() : nullptr;
    gemm(out, view<Scalar>(x), right(weight, zero), Scalar(1), true, [&](const MatrixView<Scalar>& block) {
      const std::int64_t first_col = (block.data - out.data) % out.stride;
      for (std::int64_t row = 0; row < block.rows; ++row) {
        Scalar* const line = block.data + row * block.stride;
        Scalar* const slope_line = is_recorded ? slope_data + (line - out.data) : nullptr;
        std::int64_t c = 0;
        for (Pack<Scalar> value, derivative; c + kLanes <= block.cols; c += kLanes) {
          Pack<Scalar> v = load(line + c);
          if (offset != nullptr) v += load(offset + first_col + c);
          silu_with_slope(v, value, derivative);
          store(line + c, value);
          if (is_recorded) store(slope_line + c, derivative);
        }
        if (c == block.cols) continue;
        Pack<Scalar> v{}, value, derivative;  // the columns behind belong to blocks that are not computed yet
        for (std::int64_t i = c; i < block.cols; ++i) {
          v[i - c] = line[i] + (offset == nullptr ? Scalar(0) : offset[first_col + i]);
        }
        silu_with_slope(v, value, derivative);
        for (std::int64_t i = c; i < block.cols; ++i) {
          line[i] = value[i - c];
          if (is_recorded) slope_line[i] = derivative[i - c];
        }
      }
    });
  });
  const Tensor bias_kept = bias.without_data();
  return record(op, y, {x, weight, bias}, [=, bias = bias_kept](const Tensor& dy, Accumulator& into) {
    dispatch_floating(op, x.dtype(), [&]<class Scalar>(Scalar zero) {
      Tensor dz = slope;  // backward runs once, so the product may take the slope's place
      Scalar* const out = dz.mutable_data<Scalar>();
      for (std::int64_t i = 0; i < dz.numel(); i += kLanes) store(out + i, load(out + i) * load(dy.data<Scalar>() + i));
      const MatrixView<const Scalar> left = view<Scalar>(x), grad = view<Scalar>(dz);
      add_gradient(into, x, grad, right(weight, zero).transposed());
      if (is_transposed) add_gradient(into, weight, grad.transposed(), left);
      else add_gradient(into, weight, left.transposed(), grad);
      if (into.wants(bias)) add_column_sums(dz, into.buffer(bias));
    });
  });
}

}  // namespace detail

/// SiLU(a·b) with a [..., K], b [K, N].  Throws as matmul does.
inline Tensor matmul_silu(const Tensor& a, const Tensor& b) {
  detail::check_matmul("matmul_silu", a, b);
  return detail::product_silu("matmul_silu", a, b, false, {});
}
inline Tensor matmul_silu_composed(const Tensor& a, const Tensor& b) { return silu(matmul(a, b)); }

/// SiLU(x·Wᵀ + bias) with x [..., in], weight [out, in], bias [out] or undefined.  Throws as linear does.
inline Tensor linear_silu(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  detail::check_linear("linear_silu", x, weight, bias);
  return detail::product_silu("linear_silu", x, weight, true, bias);
}
inline Tensor linear_silu_composed(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return silu(linear(x, weight, bias));
}

}  // namespace hstu
