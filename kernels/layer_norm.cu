// SPDX-License-Identifier: MIT
// Layer norm over rows, with weights, gate and dropout where given.  A row stays in registers: every operand is read
// once, and the variance is a sum of squared differences.
#include <hstu/cuda/operands/layer_norm.hpp>

#include "rows.cuh"

namespace hstu::cuda {

constexpr int kRowsOfTeam = 4;  // forward; so the weights are read once for several rows

/// The thread's columns of the weights, 1 and 0 without any.
template <int kOwn>
struct Weights {
  float weight[kOwn], bias[kOwn];

  template <class Team>
  HSTU_DEVICE Weights(const Team&, const float* weights, const float* biases, int cols) {
    Team::load(bias, biases, biases != nullptr ? cols : 0);
    Team::load(weight, weights, weights != nullptr ? cols : 0);
    if (weights != nullptr) return;
#pragma unroll
    for (int k = 0; k < kOwn; ++k) weight[k] = 1.0f;
  }
};

template <int kOwn, int kTeam>
HSTU_DEVICE void layer_norm_forward(const LayerNormForward& o) {
  using Team = RowTeam<kTeam>;
  const float share = 1.0f / static_cast<float>(o.cols);
  const Weights<kOwn> w(Team{}, o.weight, o.bias, o.cols);
  const std::int64_t first = Team::index() * kRowsOfTeam, last = min(o.rows, first + kRowsOfTeam);
  for (std::int64_t row = first; row < last; ++row) {
    float x[kOwn];
    Team::load(x, o.x + row * o.cols, o.cols);
    const float mean = Team::sum(x) * share;
#pragma unroll
    for (int k = 0; k < kOwn; ++k) x[k] = Team::id() + k * kTeam < o.cols ? x[k] - mean : 0.0f;
    const float rstd = rsqrtf(Team::dot(x, x) * share + o.eps);
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      const int c = Team::id() + k * kTeam;
      if (c >= o.cols) break;
      float y = fmaf(x[k] * rstd, w.weight[k], w.bias[k]);
      if (o.gate != nullptr) y *= o.gate[row * o.gate_stride + c];
      o.y[row * o.cols + c] = drop(o.dropout, static_cast<std::uint64_t>(row * o.cols + c), y);
    }
    if (Team::id() == 0) {
      o.mean[row] = mean;
      o.rstd[row] = rstd;
    }
  }
}

template <int kOwn, int kTeam>
HSTU_DEVICE void layer_norm_backward(const LayerNormBackward& o) {
  using Team = RowTeam<kTeam>;
  const float share = 1.0f / static_cast<float>(o.cols);
  const Weights<kOwn> w(Team{}, o.weight, o.bias, o.cols);
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
        if (o.dgate != nullptr) o.dgate[row * o.dgate_stride + c] = g[k] * fmaf(x[k], w.weight[k], w.bias[k]);
        g[k] *= o.gate[row * o.gate_stride + c];
      }
      dweight[k] = fmaf(g[k], x[k], dweight[k]);
      dbias[k] += g[k];
      g[k] *= w.weight[k];
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
