// SPDX-License-Identifier: MIT
// Rows scaled to length 1, and back.  A row stays in registers.
#include <hstu/cuda/operands/l2_normalize.hpp>

#include "rows.cuh"

namespace hstu::cuda {

template <int kOwn, int kTeam>
HSTU_DEVICE void l2_normalize_forward(const L2NormalizeForward& o) {
  using Team = RowTeam<kTeam>;
  const std::int64_t row = Team::index();
  if (row >= o.rows) return;
  float x[kOwn];
  Team::load(x, o.x + row * o.cols, o.cols);
  const float norm = sqrtf(Team::dot(x, x)), factor = 1.0f / fmaxf(norm, o.eps);
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
    const int c = Team::id() + k * kTeam;
    if (c < o.cols) o.y[row * o.cols + c] = x[k] * factor;
  }
  if (Team::id() == 0) o.norm[row] = norm;
}

template <int kOwn, int kTeam>
HSTU_DEVICE void l2_normalize_backward(const L2NormalizeBackward& o) {
  using Team = RowTeam<kTeam>;
  const std::int64_t row = Team::index();
  if (row >= o.rows) return;
  float y[kOwn], dy[kOwn];
  Team::load(y, o.y + row * o.cols, o.cols);
  Team::load(dy, o.dy + row * o.cols, o.cols);
  const float norm = o.norm[row];
  const bool is_short = norm < o.eps;
  const float along = is_short ? 0.0f : Team::dot(y, dy);
  const float factor = 1.0f / (is_short ? o.eps : norm);
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
    const int c = Team::id() + k * kTeam;
    if (c < o.cols) o.dx[row * o.cols + c] = (dy[k] - y[k] * along) * factor;
  }
}

HSTU_KERNELS_BY_WIDTH(l2_normalize_forward, L2NormalizeForward)
HSTU_KERNELS_BY_WIDTH(l2_normalize_backward, L2NormalizeBackward)

}  // namespace hstu::cuda
