// SPDX-License-Identifier: MIT
// What Meta's production layer makes of attention before its output projection: norm, gate, concatenation, dropout.
#pragma once
#include <hstu/ops/columns.hpp>
#include <hstu/ops/dropout.hpp>
#include <hstu/ops/gate.hpp>
#include <hstu/ops/reshape.hpp>

namespace hstu {

enum class GateActivation { none, sigmoid, silu };

struct GatedOutputOptions {
  double eps = 1e-6;
  std::int64_t groups = 0;  ///< 0: layer norm; else group norm of so many groups of neighbouring columns, one per head
  GateActivation activation = GateActivation::none;  ///< of u, in the product only
  bool concat_u = false;
  bool concat_x = false;
  double dropout = 0.0;       ///< probability of dropping an entry
  RandomStream stream{};      ///< of the dropout
  std::int64_t first_row = 0;  ///< index of the first row in the whole batch
};

/// y = dropout([u, x, act(u) ⊙ (norm(x)·weight + bias)]), u and x only if asked for; docs/math.md (18a), (18b).
///   x, u [T, C]   weight, bias [C] for layer norm, [groups] for group norm
/// Throws ShapeError for operands that do not fit, ConfigError for options out of range.
/// Source: generative-recommenders, ops/pytorch/pt_hstu_linear.py (its x is the result of attention).
inline Tensor gated_output(const Tensor& x, const Tensor& u, const Tensor& weight, const Tensor& bias,
                           const GatedOutputOptions& options) {
  constexpr const char* kOp = "gated_output";
  detail::check_has_columns(kOp, "x", x);
  check<ShapeError>(x.rank() == 2, kOp, ": x must be [T, C], got ", x.shape());
  const std::int64_t rows = x.size(0), cols = x.size(1), groups = options.groups;
  check<ConfigError>(groups == 0 || (groups > 0 && cols % groups == 0), kOp, ": groups must divide ", cols,
                     " columns, got ", groups);
  detail::check_shape(kOp, "u", u, x.shape(), x.dtype());
  const std::int64_t weights = groups == 0 ? cols : groups;
  detail::check_shape(kOp, "weight", weight, {weights}, x.dtype());
  detail::check_shape(kOp, "bias", bias, {weights}, x.dtype());
  const bool is_plain = options.activation == GateActivation::none;
  Tensor y;
  if (groups == 0) {
    y = is_plain ? norm_gate(x, u, weight, bias, options.eps) : layer_norm(x, weight, bias, options.eps);
  } else {
    const Tensor normalized = layer_norm(reshape(x, {rows * groups, cols / groups}), options.eps);
    const Tensor scaled = reshape(normalized, {rows, groups, cols / groups}) * reshape(weight, {groups, 1});
    y = reshape(scaled + reshape(bias, {groups, 1}), x.shape());
    if (is_plain) y = y * u;
  }
  if (options.activation == GateActivation::sigmoid) y = sigmoid_gate(y, u);
  if (options.activation == GateActivation::silu) y = y * silu(u);
  if (options.concat_u && options.concat_x) y = concat_columns({u, x, y});
  else if (options.concat_u) y = concat_columns({u, y});
  else if (options.concat_x) y = concat_columns({x, y});
  return dropout(y, options.dropout, options.stream, options.first_row);
}

}  // namespace hstu
