// SPDX-License-Identifier: MIT
// Softmax over the target and sampled negatives of each position: gather, logits and loss in one pass.
#pragma once
#include <cmath>
#include <limits>

#include <hstu/autograd/backward.hpp>
#include <hstu/core/simd.hpp>
#include <hstu/loss/reduction.hpp>
#include <hstu/ops/columns.hpp>

namespace hstu {

struct SampledSoftmaxOptions {
  double temperature = 0.05;
  std::int64_t ignored_target = 0;  ///< positions with this target do not count
  Reduction reduction = Reduction::mean;
};

namespace detail {

/// One call, position by position.  A position's hidden state and its gradient stay in registers, 64 columns at a time,
/// while its candidates' rows pass by.
template <class Scalar>
class SampledSoftmaxPass {
 public:
  SampledSoftmaxPass(const Tensor& hidden, const Tensor& table, const Tensor& targets, const Tensor& negatives,
                     const PoolVector<std::int64_t>& rows, double temperature)
      : hidden_(hidden.data<Scalar>()), table_(table.data<Scalar>()), targets_(targets.data<std::int32_t>()),
        negatives_(negatives.data<std::int32_t>()), rows_(rows), width_(hidden.size(1)), stride_(table.size(1)),
        num_negatives_(negatives.size(1)), inverse_temperature_(static_cast<Scalar>(1.0 / temperature)),
        candidates_({whole_packs(num_negatives_ + 1)}, DType::int32) {}

  /// Sum of the losses; `weights` [positions, candidates padded] receives the softmax, minus one at the target.
  double forward(Tensor& weights) {
    double loss = 0.0;
    Scalar* weight = weights.mutable_data<Scalar>();
    for (const std::int64_t position : rows_) {
      load_candidates(position);
      for_each_block([&]<int Packs>(std::int64_t first) { add_logits<Packs>(position, first, weight); });
      loss += softmax(targets_[position], weight);
      weight += candidates_.numel();
    }
    return loss;
  }

  /// dtable += scale·g·hiddenᵀ / temperature, and dhidden likewise; g = weights.  Null: not wanted.
  void backward(const Tensor& weights, Scalar scale, Scalar* dhidden, Scalar* dtable) {
    scale *= inverse_temperature_;
    const Scalar* weight = weights.data<Scalar>();
    for (const std::int64_t position : rows_) {
      load_candidates(position);
      Scalar* const dquery = dhidden == nullptr ? nullptr : dhidden + position * width_;
      for_each_block([&]<int Packs>(std::int64_t first) {
        if (dtable == nullptr) add_gradients<Packs, false>(position, first, weight, scale, dquery, dtable);
        else add_gradients<Packs, true>(position, first, weight, scale, dquery, dtable);
      });
      weight += candidates_.numel();
    }
  }

 private:
  static constexpr int kBlockPacks = 8;
  static constexpr std::int64_t kAhead = 16;  // rows between a prefetch and its use; reading alone gains nothing by it
  template <int Packs>
  static constexpr std::int64_t kBytes = Packs * kLanes * std::int64_t{sizeof(Scalar)};

  /// body<Packs>(first column) for the blocks of the width.
  template <class Body>
  void for_each_block(const Body& body) const {
    const std::int64_t packs = whole_packs(width_) / kLanes;
    std::int64_t first = 0;
    for (; first + kBlockPacks <= packs; first += kBlockPacks) body.template operator()<kBlockPacks>(first * kLanes);
    last_block<kBlockPacks - 1>(packs - first, first * kLanes, body);
  }
  template <int Packs, class Body>
  static void last_block(std::int64_t packs, std::int64_t first, const Body& body) {
    if constexpr (Packs > 0) {
      if (packs == Packs) body.template operator()<Packs>(first);
      else last_block<Packs - 1>(packs, first, body);
    }
  }

  /// Negatives, target, and the target again in the lanes behind it.
  void load_candidates(std::int64_t position) {
    std::int32_t* const items = candidates_.mutable_data<std::int32_t>();
    std::copy_n(negatives_ + position * num_negatives_, num_negatives_, items);
    std::fill(items + num_negatives_, items + candidates_.numel(), targets_[position]);
  }
  /// The block of the position's hidden state, zeros behind its last column.
  template <int Packs>
  HSTU_INLINE void load_query(std::int64_t position, std::int64_t first, Pack<Scalar> (&q)[Packs]) const {
    const Scalar* const from = hidden_ + position * width_ + first;
    HSTU_UNROLL
    for (int n = 0; n + 1 < Packs; ++n) q[n] = load(from + n * kLanes);
    const auto left = static_cast<Scalar>(width_ - first - (Packs - 1) * kLanes);
    q[Packs - 1] = select(lane_numbers<Scalar>() < splat(left), load(from + (Packs - 1) * kLanes), Pack<Scalar>{});
  }
  const std::int32_t* candidates_data() const { return candidates_.data<std::int32_t>(); }

  /// weight[r] = or += hidden·row of candidate r over the columns of a block.
  template <int Packs>
  void add_logits(std::int64_t position, std::int64_t first, Scalar* weight) const {
    Pack<Scalar> q[Packs];
    load_query(position, first, q);
    const std::int32_t* const items = candidates_data();
    const Scalar* const table = table_ + first;
    const std::int64_t stride = stride_, count = candidates_.numel();
    for (std::int64_t r = 0; r < count; r += kLanes) {
      Pack<Scalar> sums[kLanes];
      HSTU_UNROLL
      for (std::int64_t i = 0; i < kLanes; ++i) {
        const Scalar* const row = table + items[r + i] * stride;
        sums[i] = q[0] * load(row);
        HSTU_UNROLL
        for (int n = 1; n < Packs; ++n) sums[i] = mul_add(q[n], load(row + n * kLanes), sums[i]);
      }
      const Pack<Scalar> logits = sums_of_packs(sums);
      store(weight + r, first == 0 ? logits : load(weight + r) + logits);
    }
  }

  /// Logits without temperature → g, in place; returns −log softmax of the target.  Negatives that are the target, and
  /// the lanes behind it, get weight 0.
  double softmax(std::int32_t target, Scalar* weight) const {
    const std::int32_t* const items = candidates_data();
    const std::int64_t width = candidates_.numel();
    Pack<Scalar> top = splat(std::numeric_limits<Scalar>::lowest());
    for (std::int64_t r = 0; r < width; r += kLanes) top = max(load(weight + r), top);
    Scalar largest = top[0];
    for (int i = 1; i < kLanes; ++i) largest = std::max<Scalar>(largest, top[i]);
    const Scalar target_logit = weight[num_negatives_];
    for (std::int64_t r = 0; r < width; r += kLanes) {
      store(weight + r, exp((load(weight + r) - splat(largest)) * inverse_temperature_));
    }
    for (std::int64_t r = 0; r < num_negatives_; ++r) weight[r] = items[r] == target ? Scalar(0) : weight[r];
    std::fill(weight + num_negatives_ + 1, weight + width, Scalar(0));
    Pack<Scalar> sums{};
    for (std::int64_t r = 0; r < width; r += kLanes) sums += load(weight + r);
    const Scalar total = sum(sums);
    for (std::int64_t r = 0; r < width; r += kLanes) store(weight + r, load(weight + r) * (Scalar(1) / total));
    weight[num_negatives_] -= Scalar(1);
    return static_cast<double>((largest - target_logit) * inverse_temperature_) + std::log(static_cast<double>(total));
  }

  /// dquery += Σ scale·weight·row;  gradient rows += scale·weight·query, one after the other: items may repeat.
  template <int Packs, bool HasTable>
  void add_gradients(std::int64_t position, std::int64_t first, const Scalar* weight, Scalar scale, Scalar* dquery,
                     Scalar* dtable) const {
    Pack<Scalar> q[Packs], dq[Packs];
    load_query(position, first, q);
    HSTU_UNROLL
    for (int n = 0; n < Packs; ++n) dq[n] = Pack<Scalar>{};
    const std::int32_t* const items = candidates_data();
    const Scalar* const table = table_ + first;
    const std::int64_t stride = stride_, last = num_negatives_;
    if constexpr (HasTable) dtable += first;
    for (std::int64_t r = 0; r <= last; ++r) {
      if constexpr (HasTable) prefetch(dtable + items[std::min(r + kAhead, last)] * stride, kBytes<Packs>);
      const Scalar* const row = table + items[r] * stride;
      const Pack<Scalar> factor = splat(scale * weight[r]);
      HSTU_UNROLL
      for (int n = 0; n < Packs; ++n) dq[n] = mul_add(factor, load(row + n * kLanes), dq[n]);
      if constexpr (HasTable) {
        Scalar* const gradient = dtable + items[r] * stride;
        HSTU_UNROLL
        for (int n = 0; n < Packs; ++n) {
          store(gradient + n * kLanes, mul_add(factor, q[n], load(gradient + n * kLanes)));
        }
      }
    }
    if (dquery == nullptr) return;
    for (int n = 0; n < Packs; ++n) {
      const std::int64_t c = first + n * kLanes, count = std::min(kLanes, width_ - c);
      for (std::int64_t i = 0; i < count; ++i) dquery[c + i] += dq[n][i];
    }
  }

  const Scalar* hidden_;
  const Scalar* table_;
  const std::int32_t* targets_;
  const std::int32_t* negatives_;
  const PoolVector<std::int64_t>& rows_;
  std::int64_t width_, stride_, num_negatives_;
  Scalar inverse_temperature_;
  Tensor candidates_;  // of one position, in whole packs
};

inline void check_sampled_softmax(const Tensor& hidden, const Tensor& table, const Tensor& targets,
                                  const Tensor& negatives, const SampledSoftmaxOptions& options) {
  check<ShapeError>(hidden.rank() == 2 && hidden.size(1) >= 1,
                    "sampled_softmax: hidden must be [T, D] with D >= 1, got ", hidden.shape());
  check<ShapeError>(table.rank() == 2 && table.size(1) >= hidden.size(1) && table.dtype() == hidden.dtype(),
                    "sampled_softmax: table must be ", hidden.dtype(), "[V, ", hidden.size(1), "] or wider, got ",
                    table.dtype(), table.shape());
  check<ShapeError>(targets.rank() == 1 && targets.size(0) == hidden.size(0) && targets.dtype() == DType::int32,
                    "sampled_softmax: targets must be int32[", hidden.size(0), "], got ", targets.dtype(),
                    targets.shape());
  check<ShapeError>(negatives.rank() == 2 && negatives.size(0) == hidden.size(0) && negatives.dtype() == DType::int32,
                    "sampled_softmax: negatives must be int32[", hidden.size(0), ", R], got ", negatives.dtype(),
                    negatives.shape());
  check<ConfigError>(std::isfinite(1.0 / options.temperature) && options.temperature > 0,
                     "sampled_softmax: temperature must be positive, got ", options.temperature);
}

/// Positions that count.  Throws DataError for a target or a negative outside of the table.
inline PoolVector<std::int64_t> counted_positions(const Tensor& targets, const Tensor& negatives,
                                                   std::int64_t num_items, std::int64_t ignored_target) {
  PoolVector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(targets.size(0)));
  for (std::int64_t t = 0; t < targets.size(0); ++t) {
    const std::int64_t target = targets.data<std::int32_t>()[t];
    if (target == ignored_target) continue;
    check<DataError>(target >= 0 && target < num_items, "sampled_softmax: target of position ", t, " is ", target,
                     ", expected an item below ", num_items);
    const std::int32_t* const items = negatives.data<std::int32_t>() + t * negatives.size(1);
    std::uint32_t largest = 0;  // a negative id counts as one above 2^31
    for (std::int64_t r = 0; r < negatives.size(1); ++r) {
      largest = std::max(largest, static_cast<std::uint32_t>(items[r]));
    }
    for (std::int64_t r = 0; r < negatives.size(1) && largest >= num_items; ++r) {
      check<DataError>(items[r] >= 0 && items[r] < num_items, "sampled_softmax: negative of position ", t, " is ",
                       items[r], ", expected an item below ", num_items);
    }
    rows.push_back(t);
  }
  return rows;
}

}  // namespace detail

/// Sampled softmax: mean or sum over counted positions t of  −log( e^{s⁺} / (e^{s⁺} + Σ_r e^{s_r}) ),
///   s = hidden_t · e / temperature,  e: the row of the target (s⁺) or of a negative.
///   hidden [T, D] and table [V, W ≥ D] float32 or float64, columns of the table beyond D must be finite and do not
///   count; targets int32 [T]; negatives int32 [T, R]; result: a scalar.  docs/math.md (L4), (L5).
/// Negatives equal to the target are left out.  Operands are taken as they are: normalise both for Meta's loss.  A
/// table narrower than D rounded up to 8 is copied into one that is not: for many calls, pad_columns() it before.
/// With p the softmax, g = p − onehot(target):  dhidden = Σ g·e / temperature,  de = Σ g·hidden / temperature.  If no
/// position counts, the loss is 0 and so are all gradients.  Cost: 2·T·(R+1)·D flops, 4·T·(R+1)·D backward.  Memory
/// until backward: the softmax, [T, R+1].  Throws DataError for a target or negative outside of the table.
/// Source: Meta's research code, SampledSoftmaxLoss (which gives an equal negative the logit −5e4: the same softmax).
inline Tensor sampled_softmax(const Tensor& hidden, const Tensor& table, const Tensor& targets, const Tensor& negatives,
                              const SampledSoftmaxOptions& options = {}) {
  detail::check_sampled_softmax(hidden, table, targets, negatives, options);
  const std::int64_t width = simd::whole_packs(hidden.size(1));
  if (table.size(1) < width) return sampled_softmax(hidden, pad_columns(table, width), targets, negatives, options);
  auto rows = detail::counted_positions(targets, negatives, table.size(0), options.ignored_target);
  const double count = static_cast<double>(rows.size());
  const double weight = options.reduction == Reduction::sum || rows.empty() ? 1.0 : 1.0 / count;
  return dispatch_floating("sampled_softmax", hidden.dtype(), [&]<class Scalar>(Scalar) {
    using Pass = detail::SampledSoftmaxPass<Scalar>;
    Tensor weights({std::ssize(rows), simd::whole_packs(negatives.size(1) + 1)}, hidden.dtype());
    const double loss = Pass(hidden, table, targets, negatives, rows, options.temperature).forward(weights);
    return record("sampled_softmax", Tensor::full({}, loss * weight, hidden.dtype()), {hidden, table},
                  [hidden, table, targets, negatives, rows = std::move(rows), weights, weight,
                   temperature = options.temperature](const Tensor& dy, Accumulator& into) {
                    if (rows.empty()) return;
                    const auto scale = static_cast<Scalar>(dy.item() * weight);
                    const auto buffer = [&](const Tensor& x) {
                      return into.wants(x) ? into.buffer(x).mutable_data<Scalar>() : nullptr;
                    };
                    Pass(hidden, table, targets, negatives, rows, temperature)
                        .backward(weights, scale, buffer(hidden), buffer(table));
                  });
  });
}

}  // namespace hstu
