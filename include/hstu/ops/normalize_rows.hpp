// SPDX-License-Identifier: MIT
// The loop under layer_norm and norm_gate: rows to mean 0 and variance 1, then an affine map and a gate if wanted.
#pragma once
#include <cmath>

#include <hstu/ops/operands.hpp>

namespace hstu::detail {

/// Operands of y = (x̂·weight + bias)·gate with x̂ = (x − mean)·rstd; docs/math.md (14), (16).
/// weight and bias [C] come together or not at all; gate as x, or undefined.
struct NormalizeRows {
  std::string_view op;
  Tensor x, weight, bias, gate;
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

template <class Scalar>
auto line(const Tensor& x, std::int64_t row, std::int64_t cols) {
  return ConstArrayMap<Scalar>(x.data<Scalar>() + row * cols, cols);
}
template <class Scalar>
auto mutable_line(Tensor& x, std::int64_t row, std::int64_t cols) {
  return ArrayMap<Scalar>(x.mutable_data<Scalar>() + row * cols, cols);
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
      for (std::int64_t row = 0; row < rows; ++row) {
        const auto in = line<Scalar>(n.x, row, cols);
        auto out = mutable_line<Scalar>(y, row, cols);
        const Scalar mean = in.mean();
        out = in - mean;
        const Scalar rstd = Scalar(1) / std::sqrt(out.square().mean() + static_cast<Scalar>(eps));
        n.mean.mutable_data<Scalar>()[row] = mean;
        n.rstd.mutable_data<Scalar>()[row] = rstd;
        if constexpr (has_weight && has_gate) {
          out = (out * rstd * array<Scalar>(n.weight) + array<Scalar>(n.bias)) * line<Scalar>(n.gate, row, cols);
        } else if constexpr (has_weight) {
          out = out * rstd * array<Scalar>(n.weight) + array<Scalar>(n.bias);
        } else if constexpr (has_gate) {
          out = out * rstd * line<Scalar>(n.gate, row, cols);
        } else {
          out *= rstd;
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
  Tensor dgate = into.wants(n.gate) ? empty_like(n.x) : Tensor();
  Tensor dweight = into.wants(n.weight) ? into.buffer(n.weight) : Tensor();
  Tensor dbias = into.wants(n.bias) ? into.buffer(n.bias) : Tensor();
  dispatch_floating(n.op, n.x.dtype(), [&]<class Scalar>(Scalar) {
    dispatch_operands(n, [&](auto has_weight, auto has_gate) {
      Eigen::Array<Scalar, Eigen::Dynamic, 1> normalized(cols), g(cols);
      for (std::int64_t row = 0; row < rows; ++row) {
        const Scalar rstd = n.rstd.data<Scalar>()[row];
        const auto grad = line<Scalar>(dy, row, cols);
        normalized = (line<Scalar>(n.x, row, cols) - n.mean.data<Scalar>()[row]) * rstd;
        if constexpr (has_gate) {
          if (dgate.defined()) {
            auto out = mutable_line<Scalar>(dgate, row, cols);
            if constexpr (has_weight) {
              out = grad * (normalized * array<Scalar>(n.weight) + array<Scalar>(n.bias));
            } else {
              out = grad * normalized;
            }
          }
          g = grad * line<Scalar>(n.gate, row, cols);
        } else {
          g = grad;
        }
        if constexpr (has_weight) {
          if (dweight.defined()) mutable_array<Scalar>(dweight) += g * normalized;
          if (dbias.defined()) mutable_array<Scalar>(dbias) += g;
          g *= array<Scalar>(n.weight);
        }
        if (dx.defined()) {
          const Scalar g_mean = g.mean();
          const Scalar projection = (g * normalized).mean();
          mutable_line<Scalar>(dx, row, cols) = (g - g_mean - normalized * projection) * rstd;
        }
      }
    });
  });
  if (dx.defined()) into.add(n.x, dx);
  if (dgate.defined()) into.add(n.gate, dgate);
}

}  // namespace hstu::detail
