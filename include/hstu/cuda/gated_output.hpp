// SPDX-License-Identifier: MIT
// What Meta's production layer makes of attention before its output projection, on the device: ops/gated_output.hpp.
#pragma once
#include <hstu/cuda/layer_ops.hpp>
#include <hstu/cuda/operands/gated_output.hpp>
#include <hstu/ops/gated_output.hpp>

namespace hstu::cuda {

inline void gated_output_forward(Device& device, const GatedOutputForward& o) {
  detail::launch_warps(device, {"gated_output", "gated_output_forward"}, o.of.rows * o.of.groups, o);
}
/// dweight [2, groups] receives the gradients of weight and bias; null: not wanted.
inline void gated_output_backward(Device& device, GatedOutputBackward o, float* dweight) {
  Buffer<float> parts(device, dweight == nullptr ? 0 : o.of.rows * 2 * o.of.groups);
  o.dweight_parts = parts.data();
  detail::launch_warps(device, {"gated_output", "gated_output_backward"}, o.of.rows * o.of.groups, o);
  if (dweight != nullptr) sum_rows(device, parts.data(), o.of.rows, 2 * o.of.groups, dweight);
}

/// Which part of attention is joined with the gated one.
enum class Joined { none, x, normalized };

/// As GatedOutputOptions.
struct GatedOutputKind {
  std::int64_t groups = 0;
  Gate gate = Gate::none;
  bool joins_u = false;
  Joined joined = Joined::none;  ///< Meta's research layer joins norm(x), its production layer x
  DropoutMask dropout = {};
};

/// dropout([u, x or norm(x), f(u)·(norm(x)·weight + bias)]); u is columns of `gated` from first_u on.  The weights are of
/// columns for layer norm (groups = 0), of groups for group norm, or null.  Throws ConfigError unless the groups divide
/// the columns.
inline Variable gated_output(Tape& tape, const Variable& x, const Variable& gated, std::int64_t first_u,
                             const NormWeights& w, const GatedOutputKind& kind) {
  const std::int64_t groups = std::max<std::int64_t>(kind.groups, 1);
  check<ConfigError>(kind.groups >= 0 && x->cols % groups == 0, "cuda: gated_output: groups must divide ", x->cols,
                     " columns, got ", kind.groups);
  const bool is_by_group = kind.groups > 0;
  const std::int64_t norm_rows = x->rows * groups;
  const auto norm_cols = static_cast<std::int32_t>(x->cols / groups);
  const NormWeights of_norm = is_by_group ? NormWeights{{}, {}, w.eps} : w;
  Buffer<float> normalized = tape.buffer(x->values.size()), mean = tape.buffer(norm_rows), rstd = tape.buffer(norm_rows);
  layer_norm_forward(tape.device(),
                     {x->values.data(), of_norm.weight.values, of_norm.bias.values, nullptr, normalized.data(),
                      mean.data(), rstd.data(), norm_rows, 0, norm_cols, static_cast<float>(w.eps), {}});
  const int parts = 1 + kind.joins_u + (kind.joined != Joined::none);
  const Variable y = tape.variable(x->rows, parts * x->cols);
  const GatedOutput o{.normalized = normalized.data(),
                      .joined = kind.joined == Joined::none ? nullptr
                                : kind.joined == Joined::x  ? x->values.data()
                                                            : normalized.data(),
                      .u = gated->values.data() + first_u,
                      .weight = is_by_group ? w.weight.values : nullptr,
                      .bias = is_by_group ? w.bias.values : nullptr,
                      .rows = x->rows,
                      .u_stride = gated->cols,
                      .cols = x->cols,
                      .groups = static_cast<std::int32_t>(groups),
                      .gate = kind.gate,
                      .joins_u = kind.joins_u,
                      .dropout = kind.dropout};
  gated_output_forward(tape.device(), {o, y->values.data()});
  tape.record([&tape, x, gated, first_u, w, of_norm, y, o, norm_rows, norm_cols, joins_x = kind.joined == Joined::x,
               normalized = std::move(normalized), mean = std::move(mean), rstd = std::move(rstd)] {
    Device& device = tape.device();
    const Buffer<float> dy = std::move(y->gradient);
    const Buffer<float> dnormalized = tape.buffer(normalized.size());
    const bool wants_groups = static_cast<bool>(w.weight) && !of_norm.weight;
    Buffer<float> of_groups = tape.buffer(wants_groups ? 2 * o.groups : 0);
    Buffer<float> of_columns = tape.buffer(of_norm.weight ? 2 * x->cols : 0);
    float* const du = tape.gradient_of_columns(*gated) + first_u;
    const auto gate_backward = [&](float* djoined) {
      gated_output_backward(device, {o, dy.data(), dnormalized.data(), djoined, du, nullptr},
                            wants_groups ? of_groups.data() : nullptr);
    };
    if (joins_x) {
      tape.add_gradient(*x, gate_backward);
    } else {
      gate_backward(nullptr);
    }
    tape.add_gradient(*x, [&](float* dx) {
      layer_norm_backward(device,
                          {x->values.data(), of_norm.weight.values, of_norm.bias.values, nullptr, mean.data(),
                           rstd.data(), dnormalized.data(), dx, nullptr, nullptr, norm_rows, 0, 0, norm_cols, {}},
                          of_columns.data());
    });
    const Buffer<float>& sums = wants_groups ? of_groups : of_columns;
    if (sums.size() == 0) return;
    tape.add(w.weight.gradient, sums.data(), sums.size() / 2);
    tape.add(w.bias.gradient, sums.data() + sums.size() / 2, sums.size() / 2);
  });
  return y;
}

}  // namespace hstu::cuda
