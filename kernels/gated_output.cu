// SPDX-License-Identifier: MIT
// What Meta's production layer makes of normalised attention: affine maps of groups, gate, concatenation, dropout.
#include <hstu/cuda/operands/gated_output.hpp>

#include "device.cuh"

namespace hstu::cuda {

constexpr int kThreads = 128;

/// One group of columns of one row, of which this warp has column lane_id(), lane_id() + 32, …
struct GroupRow {
  std::int64_t row;
  int group, first, last;  // columns
  float weight, bias;

  HSTU_DEVICE explicit GroupRow(const GatedOutput& o) {
    const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarpSize) + warp_id();
    const int width = o.cols / o.groups;
    row = index / o.groups;
    group = static_cast<int>(index % o.groups);
    first = group * width;
    last = first + width;
    const bool is_inside = row < o.rows;
    weight = is_inside && o.weight != nullptr ? o.weight[group] : 1.0f;
    bias = is_inside && o.bias != nullptr ? o.bias[group] : 0.0f;
  }
};

/// Where the parts of a row of y begin.
struct OutputColumns {
  int joined, gated, all;

  HSTU_DEVICE explicit OutputColumns(const GatedOutput& o)
      : joined(o.joins_u ? o.cols : 0), gated(joined + (o.joined != nullptr ? o.cols : 0)), all(gated + o.cols) {}
};

HSTU_DEVICE float gate_of(Gate gate, float u) {
  return gate == Gate::none ? u : gate == Gate::sigmoid ? sigmoid(u) : silu(u);
}
HSTU_DEVICE float gate_slope(Gate gate, float u) {
  if (gate == Gate::none) return 1.0f;
  const float open = sigmoid(u);
  return gate == Gate::sigmoid ? open * (1.0f - open) : silu_slope(u, open);
}

HSTU_KERNEL(kThreads) gated_output_forward(const __grid_constant__ GatedOutputForward o) {
  const GatedOutput& of = o.of;
  const GroupRow at(of);
  if (at.row >= of.rows) return;
  const OutputColumns to(of);
  const std::int64_t out = at.row * to.all, in = at.row * of.cols;
  const auto write = [&](int column, float y) {
    o.y[out + column] = drop(of.dropout, static_cast<std::uint64_t>(out + column), y);
  };
  for (int c = at.first + lane_id(); c < at.last; c += kWarpSize) {
    const float u = of.u[at.row * of.u_stride + c];
    if (of.joins_u) write(c, u);
    if (of.joined != nullptr) write(to.joined + c, of.joined[in + c]);
    write(to.gated + c, gate_of(of.gate, u) * fmaf(of.normalized[in + c], at.weight, at.bias));
  }
}

HSTU_KERNEL(kThreads) gated_output_backward(const __grid_constant__ GatedOutputBackward o) {
  const GatedOutput& of = o.of;
  const GroupRow at(of);
  if (at.row >= of.rows) return;
  const OutputColumns from(of);
  const std::int64_t out = at.row * from.all, in = at.row * of.cols;
  const auto gradient = [&](int column) {
    return drop(of.dropout, static_cast<std::uint64_t>(out + column), o.dy[out + column]);
  };
  float dweight = 0.0f, dbias = 0.0f;
  for (int c = at.first + lane_id(); c < at.last; c += kWarpSize) {
    const float u = of.u[at.row * of.u_stride + c], normalized = of.normalized[in + c], dy = gradient(from.gated + c);
    const float dscaled = dy * gate_of(of.gate, u);
    float dnormalized = dscaled * at.weight;
    if (of.joined != nullptr) {
      const float d = gradient(from.joined + c);
      if (o.djoined != nullptr) {
        o.djoined[in + c] = d;
      } else {
        dnormalized += d;
      }
    }
    float du = dy * gate_slope(of.gate, u) * fmaf(normalized, at.weight, at.bias);
    if (of.joins_u) du += gradient(c);
    o.dnormalized[in + c] = dnormalized;
    o.du[at.row * of.u_stride + c] = du;
    dweight = fmaf(dscaled, normalized, dweight);
    dbias += dscaled;
  }
  if (o.dweight_parts == nullptr) return;
  dweight = warp_sum(dweight);
  dbias = warp_sum(dbias);
  if (lane_id() != 0) return;
  o.dweight_parts[2 * at.row * of.groups + at.group] = dweight;
  o.dweight_parts[(2 * at.row + 1) * of.groups + at.group] = dbias;
}

}  // namespace hstu::cuda
