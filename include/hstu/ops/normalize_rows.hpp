// SPDX-License-Identifier: MIT
// The loop under layer_norm and norm_gate: rows to mean 0 and variance 1, then an affine map and a gate if wanted.
#pragma once
#include <cmath>

#include <hstu/core/simd.hpp>
#include <hstu/ops/columns.hpp>

namespace hstu::detail {

/// Operands of y = (x̂·weight + bias)·gate with x̂ = (x − mean)·rstd; docs/math.md (14), (16).
/// weight and bias [C] come together or not at all; gate as x, or undefined.
struct NormalizeRows {
  std::string_view op;
  Tensor x, weight, bias;
  Columns gate;
  Tensor mean, rstd;  // [R], kept for backward
};

/// Calls body(has_weight, has_gate) as compile-time constants, so that absent operands cost nothing per element.
template <class Body>
void dispatch_operands(const NormalizeRows& n, const Body& body) {
  using std::false_type, std::true_type;
  const bool has_gate = n.gate.defined();
  if (n.weight.defined()) {
    has_gate ? body(true_type{}, true_type{}) : body(true_type{}, false_type{});
  } else {
    has_gate ? body(false_type{}, true_type{}) : body(false_type{}, false_type{});
  }
}

/// Checks the operands, computes y and fills n.mean and n.rstd.
inline Tensor normalize_rows_forward(NormalizeRows& n, double eps) {
  check_has_columns(n.op, "x", n.x);
  check<ConfigError>(eps >= 0.0 && std::isfinite(eps), n.op, ": eps must be finite and not negative, got ", eps);
  const std::int64_t rows = num_rows(n.x);
  const std::int64_t cols = num_cols(n.x);
  n.mean = Tensor({rows}, n.x.dtype());
  n.rstd = Tensor({rows}, n.x.dtype());
  Tensor y = empty_like(n.x);
  if (n.x.numel() == 0) return y;
  dispatch_floating(n.op, n.x.dtype(), [&]<class Scalar>(Scalar) {
    dispatch_operands(n, [&](auto has_weight, auto has_gate) {
      const auto gate = has_gate ? n.gate.template view<Scalar>() : MatrixView<const Scalar>{nullptr, 0, 0, 0};
      const auto inverse_cols = Scalar(1) / static_cast<Scalar>(cols);
      const Scalar* in = n.x.data<Scalar>();
      Scalar* out = y.mutable_data<Scalar>();
      Scalar *const means = n.mean.mutable_data<Scalar>(), *const rstds = n.rstd.mutable_data<Scalar>();
      [[maybe_unused]] const Scalar* const weight = has_weight ? n.weight.data<Scalar>() : nullptr;
      [[maybe_unused]] const Scalar* const bias = has_weight ? n.bias.data<Scalar>() : nullptr;
      for (std::int64_t row = 0; row < rows; ++row, in += cols, out += cols) {
        Pack<Scalar> sums{}, squares{};
        for_each_pack<Scalar>(cols, [&](std::int64_t c, auto keep) HSTU_LAMBDA_INLINE { sums += keep(load(in + c)); });
        const Scalar mean = sum(sums) * inverse_cols;
        for_each_pack<Scalar>(cols, [&](std::int64_t c, auto keep) HSTU_LAMBDA_INLINE {
          const Pack<Scalar> centered = keep(load(in + c) - splat(mean));
          squares = mul_add(centered, centered, squares);
        });
        const Scalar rstd = Scalar(1) / std::sqrt(sum(squares) * inverse_cols + static_cast<Scalar>(eps));
        means[row] = mean;
        rstds[row] = rstd;
        for (std::int64_t c = 0; c < cols; c += kLanes) {
          Pack<Scalar> value = (load(in + c) - splat(mean)) * rstd;
          if constexpr (has_weight) {
            value = mul_add(value, load(weight + c), load(bias + c));
          }
          if constexpr (has_gate) value *= load(gate.data + row * gate.stride + c);
          store(out + c, value);
        }
      }
    });
  });
  return y;
}

/// With g = dy·gate·weight:  dx = rstd·(g − mean(g) − x̂·mean(g·x̂)),  dweight = Σ dy·gate·x̂,  dbias = Σ dy·gate,
/// dgate = dy·(x̂·weight + bias); docs/math.md (15), (17).
inline void normalize_rows_backward(const NormalizeRows& n, const Tensor& dy, Accumulator& into) {
  const std::int64_t rows = n.x.numel() == 0 ? 0 : num_rows(n.x);  // no means of empty rows
  const std::int64_t cols = num_cols(n.x);
  Tensor dx = into.wants(n.x) ? empty_like(n.x) : Tensor();
  dispatch_floating(n.op, n.x.dtype(), [&]<class Scalar>(Scalar) {
    dispatch_operands(n, [&](auto has_weight, auto has_gate) {
      MatrixView<const Scalar> gate{nullptr, 0, 0, 0};
      MatrixView<Scalar> dgate{nullptr, 0, 0, 0};
      if constexpr (has_gate) {
        gate = n.gate.template view<Scalar>();
        if (into.wants(n.gate.of)) dgate = n.gate.template gradient<Scalar>(into);
      }
      const auto inverse_cols = Scalar(1) / static_cast<Scalar>(cols);
      [[maybe_unused]] const Scalar* const weight = has_weight ? n.weight.data<Scalar>() : nullptr;
      [[maybe_unused]] const Scalar* const bias = has_weight ? n.bias.data<Scalar>() : nullptr;
      const auto buffer = [&](const Tensor& x) {
        return into.wants(x) ? into.buffer(x).template mutable_data<Scalar>() : nullptr;
      };
      [[maybe_unused]] Scalar *const weight_sums = buffer(n.weight), *const bias_sums = buffer(n.bias);
      Scalar* const dx_first = dx.defined() ? dx.mutable_data<Scalar>() : nullptr;
      const Scalar *const x_first = n.x.data<Scalar>(), *const dy_first = dy.data<Scalar>();
      const Scalar *const means = n.mean.data<Scalar>(), *const rstds = n.rstd.data<Scalar>();
      for (std::int64_t row = 0; row < rows; ++row) {
        const Scalar *const in = x_first + row * cols, *const grad = dy_first + row * cols;
        Scalar* const out = dx_first == nullptr ? nullptr : dx_first + row * cols;
        const Pack<Scalar> mean = splat(means[row]), rstd = splat(rstds[row]);
        // g = dy·gate of the pack at c; adds to dgate on the way.
        const auto load_gradient = [&](std::int64_t c, const Pack<Scalar>& normalized, auto keep,
                                       Pack<Scalar>& g) HSTU_LAMBDA_INLINE {
          g = load(grad + c);
          if constexpr (has_gate) {
            if (dgate.data != nullptr) {
              Scalar* const to = dgate.data + row * dgate.stride + c;
              Pack<Scalar> value = normalized;
              if constexpr (has_weight) {
                value = mul_add(value, load(weight + c), load(bias + c));
              }
              store(to, load(to) + keep(g * value));
            }
            g *= load(gate.data + row * gate.stride + c);
          }
        };
        Pack<Scalar> sums{}, projections{};
        for_each_pack<Scalar>(cols, [&](std::int64_t c, auto keep) HSTU_LAMBDA_INLINE {
          const Pack<Scalar> normalized = keep((load(in + c) - mean) * rstd);
          Pack<Scalar> g;
          load_gradient(c, normalized, keep, g);
          g = keep(g);
          if constexpr (has_weight) {
            if (weight_sums != nullptr) store(weight_sums + c, load(weight_sums + c) + g * normalized);
            if (bias_sums != nullptr) store(bias_sums + c, load(bias_sums + c) + g);
            g = keep(g * load(weight + c));
          }
          sums += g;
          projections = mul_add(g, normalized, projections);
          if (dx_first != nullptr) store(out + c, g);
        });
        if (dx_first == nullptr) continue;
        const Pack<Scalar> g_mean = splat(sum(sums) * inverse_cols), projection = splat(sum(projections) * inverse_cols);
        for (std::int64_t c = 0; c < cols; c += kLanes) {
          const Pack<Scalar> normalized = (load(in + c) - mean) * rstd;
          store(out + c, (load(out + c) - g_mean - normalized * projection) * rstd);
        }
      }
    });
  });
  if (dx.defined()) into.add(n.x, dx);
}

}  // namespace hstu::detail
