// SPDX-License-Identifier: MIT
// Softmax over the target and sampled negatives of each position, or binary losses of each.  The hidden state stays in
// registers while the candidates' rows pass by; nothing of size positions × candidates × width exists.  The gradient of
// the table is a sum by sorted ids (embedding.cu) with the weights as coefficients.
#include <hstu/cuda/operands/sampled_softmax.hpp>

#include "rows.cuh"

namespace hstu::cuda {

/// The candidates of one position.
struct Candidates {
  const SampledSoftmaxOperands& o;
  std::int64_t token;
  std::int32_t target;

  HSTU_DEVICE Candidates(const SampledSoftmaxOperands& operands, std::int64_t position)
      : o(operands), token(o.tokens[position]), target(o.targets[token]) {}
  HSTU_DEVICE std::int32_t item(int r) const {
    return r < o.num_negatives ? o.negatives[token * o.num_negatives + r] : target;
  }
  /// Negatives that are the target are left out.
  HSTU_DEVICE bool counts(int r) const { return r == o.num_negatives || item(r) != target; }
};

/// Calls body(r, item) for the candidates from `base` on, up to 32, which the lanes read at once.
template <class Body>
HSTU_DEVICE void for_32(const Candidates& candidates, int base, int count, const Body& body) {
  const int own = base + lane_id() < count ? candidates.item(base + lane_id()) : 0;
  for (int k = 0; k < min(count - base, kWarpSize); ++k) body(base + k, __shfl_sync(kAllLanes, own, k));
}

/// This thread's part of −ln σ(s⁺) − Σ ln(1 − σ(s)); the logits s in `weights` become derivatives.
template <int kTeam>
HSTU_DEVICE float binary_losses(const Candidates& candidates, float* weights) {
  float loss = 0.0f;
  for (int r = RowTeam<kTeam>::id(); r <= candidates.o.num_negatives; r += kTeam) {
    const float sign = r == candidates.o.num_negatives ? -1.0f : 1.0f, x = sign * weights[r];
    const bool counts = candidates.counts(r);
    if (counts) loss += fmaxf(x, 0.0f) + logf(1.0f + __expf(-fabsf(x)));
    weights[r] = counts ? sign * sigmoid(x) : 0.0f;
  }
  return loss;
}

template <int kOwn, int kTeam>
HSTU_DEVICE void sampled_softmax_forward(const SampledSoftmaxForward& f) {
  using Team = RowTeam<kTeam>;
  const SampledSoftmaxOperands& o = f.of;
  const std::int64_t position = Team::index();
  if (position >= o.rows) return;
  const Candidates candidates(o, position);
  const int count = o.num_negatives + 1;
  float* const weights = o.weights + position * count;
  float hidden[kOwn];
  Team::load(hidden, o.hidden + candidates.token * o.cols, o.cols);
  float largest = -INFINITY, of_target = 0.0f;
  for (int base = 0; base < count; base += kWarpSize) {
    float own = 0.0f;
    for_32(candidates, base, count, [&](int r, int item) {
      float row[kOwn];
      Team::load(row, o.table + item * o.table_stride, o.cols);
      float logit = Team::dot(hidden, row) * o.inverse_temperature;
      if (o.log_expected != nullptr) logit -= o.log_expected[item];
      if (r == o.num_negatives) of_target = logit;
      if (r == o.num_negatives || item != candidates.target) largest = fmaxf(largest, logit);
      if (r - base == lane_id()) own = logit;
    });
    const int r = base + lane_id();  // read again by the thread that writes it
    if (r < count && r % kTeam == Team::id()) weights[r] = own;
  }
  if (o.is_binary) {
    const float loss = Team::sum(binary_losses<kTeam>(candidates, weights));
    if (Team::id() == 0) f.losses[position] = loss;
    return;
  }
  float total = 0.0f;
  for (int r = Team::id(); r < count; r += kTeam) {
    const float power = candidates.counts(r) ? __expf(weights[r] - largest) : 0.0f;
    weights[r] = power;
    total += power;
  }
  total = Team::sum(total);
  const float share = 1.0f / total;
  for (int r = Team::id(); r < count; r += kTeam) {
    weights[r] = fmaf(weights[r], share, r == o.num_negatives ? -1.0f : 0.0f);
  }
  if (Team::id() == 0) f.losses[position] = largest - of_target + logf(total);
}

template <int kOwn, int kTeam>
HSTU_DEVICE void sampled_softmax_dhidden(const SampledSoftmaxBackward& b) {
  using Team = RowTeam<kTeam>;
  const SampledSoftmaxOperands& o = b.of;
  const std::int64_t position = Team::index();
  if (position >= o.rows) return;
  const Candidates candidates(o, position);
  const int count = o.num_negatives + 1;
  const float* const weights = o.weights + position * count;
  float sums[kOwn];
#pragma unroll
  for (int k = 0; k < kOwn; ++k) sums[k] = 0.0f;
  for (int base = 0; base < count; base += kWarpSize) {
    const float own = base + lane_id() < count ? weights[base + lane_id()] : 0.0f;
    for_32(candidates, base, count, [&](int r, int item) {
      float row[kOwn];
      Team::load(row, o.table + item * o.table_stride, o.cols);
      const float weight = __shfl_sync(kAllLanes, own, r - base);
#pragma unroll
      for (int k = 0; k < kOwn; ++k) sums[k] = fmaf(weight, row[k], sums[k]);
    });
  }
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
    const int c = Team::id() + k * kTeam;
    if (c < o.cols) b.dhidden[candidates.token * o.cols + c] = b.scale * o.inverse_temperature * sums[k];
  }
}

HSTU_KERNELS_BY_WIDTH(sampled_softmax_forward, SampledSoftmaxForward)
HSTU_KERNELS_BY_WIDTH(sampled_softmax_dhidden, SampledSoftmaxBackward)

}  // namespace hstu::cuda
