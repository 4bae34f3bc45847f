// SPDX-License-Identifier: MIT
// Layer norm over rows, with weights, gate and dropout where given.  A row stays in registers: every operand is read
// once, and the variance is a sum of squared differences.
#include <hstu/cuda/operands/layer_norm.hpp>

#include "rows.cuh"

namespace hstu::cuda {

template <int kOwn, int kTeam>
HSTU_DEVICE void layer_norm_forward(const LayerNormForward& o) {
  using Team = RowTeam<kTeam>;
  const std::int64_t row = Team::index();
  if (row >= o.rows) return;
  float x[kOwn];
  Team::load(x, o.x + row * o.cols, o.cols);
  const float share = 1.0f / static_cast<float>(o.cols);
  const float mean = Team::sum(x) * share;
#pragma unroll
  for (int k = 0; k < kOwn; ++k) x[k] = Team::id() + k * kTeam < o.cols ? x[k] - mean : 0.0f;
  const float rstd = rsqrtf(Team::dot(x, x) * share + o.eps);
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
    const int c = Team::id() + k * kTeam;
    if (c >= o.cols) break;
    float y = x[k] * rstd;
    if (o.weight != nullptr) y = fmaf(y, o.weight[c], o.bias[c]);
    if (o.gate != nullptr) y *= o.gate[row * o.gate_stride + c];
    o.y[row * o.cols + c] = drop(o.dropout, static_cast<std::uint64_t>(row * o.cols + c), y);
  }
  if (Team::id() == 0) {
    o.mean[row] = mean;
    o.rstd[row] = rstd;
  }
}

template <int kOwn, int kTeam>
HSTU_DEVICE void layer_norm_backward(const LayerNormBackward& o) {
  using Team = RowTeam<kTeam>;
  const float share = 1.0f / static_cast<float>(o.cols);
  float dweight[kOwn], dbias[kOwn];
#pragma unroll
  for (int k = 0; k < kOwn; ++k) dweight[k] = dbias[k] = 0.0f;
  for (std::int64_t row = Team::index(); row < o.rows; row += Team::count()) {
    const float mean = o.mean[row], rstd = o.rstd[row];
    float x[kOwn], g[kOwn];
    Team::load(x, o.x + row * o.cols, o.cols);
    Team::load(g, o.dy + row * o.cols, o.cols);
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      const int c = Team::id() + k * kTeam;
      if (c >= o.cols) {
        x[k] = 0.0f;
        continue;
      }
      x[k] = (x[k] - mean) * rstd;
      g[k] = drop(o.dropout, static_cast<std::uint64_t>(row * o.cols + c), g[k]);
      if (o.gate != nullptr) {
        const float affine = o.weight != nullptr ? fmaf(x[k], o.weight[c], o.bias[c]) : x[k];
        if (o.dgate != nullptr) o.dgate[row * o.dgate_stride + c] = g[k] * affine;
        g[k] *= o.gate[row * o.gate_stride + c];
      }
      if (o.weight != nullptr) {
        dweight[k] = fmaf(g[k], x[k], dweight[k]);
        dbias[k] += g[k];
        g[k] *= o.weight[c];
      }
    }
    const float along_one = Team::sum(g) * share, along_x = Team::dot(g, x) * share;
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      const int c = Team::id() + k * kTeam;
      if (c < o.cols) o.dx[row * o.cols + c] = (g[k] - along_one - x[k] * along_x) * rstd;
    }
  }
  if (o.dweight_parts == nullptr) return;
  float* const part = o.dweight_parts + Team::index() * 2 * o.cols;
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
    const int c = Team::id() + k * kTeam;
    if (c >= o.cols) break;
    part[c] = dweight[k];
    part[o.cols + c] = dbias[k];
  }
}

HSTU_KERNELS_BY_WIDTH(layer_norm_forward, LayerNormForward)
HSTU_KERNELS_BY_WIDTH(layer_norm_backward, LayerNormBackward)

}  // namespace hstu::cuda
