// SPDX-License-Identifier: MIT
// Softmax, or binary cross-entropy, of the target and sampled negatives of each position.
#pragma once
#include <hstu/loss/shared_negatives.hpp>
#include <hstu/ops/columns.hpp>

namespace hstu {

namespace detail {

/// One call with negatives of its own for every position: gather, logits and loss in one pass.  A position's
/// hidden state and its gradient stay in registers, 64 columns at a time, while its candidates' rows pass by.
template <class Scalar>
class OwnNegativesPass {
 public:
  OwnNegativesPass(const Tensor& hidden, const Tensor& table, const Tensor& targets, const Tensor& negatives,
                   const PoolVector<std::int64_t>& rows, const SampledRow<Scalar>& row)
      : hidden_(hidden.data<Scalar>()), table_(table.data<Scalar>()), targets_(targets.data<std::int32_t>()),
        negatives_(negatives.data<std::int32_t>()), rows_(rows), width_(hidden.size(1)), stride_(table.size(1)),
        num_negatives_(negatives.size(1)), row_(row), candidates_({row.width()}, DType::int32) {}

  /// Sum of the losses; `weights` [positions, candidates padded] receives their derivatives by the logits.
  double forward(Tensor& weights) {
    double loss = 0.0;
    Scalar* weight = weights.mutable_data<Scalar>();
    for (const std::int64_t position : rows_) {
      load_candidates(position);
      for_each_block([&]<int Packs>(std::int64_t first) { add_logits<Packs>(position, first, weight); });
      loss += row_(candidates_data(), weight);
      weight += candidates_.numel();
    }
    return loss;
  }

  /// dtable += scale·g·hiddenᵀ / temperature, and dhidden likewise; g = weights.  Null: not wanted.
  void backward(const Tensor& weights, Scalar scale, Scalar* dhidden, Scalar* dtable) {
    scale *= row_.inverse_temperature();
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
  SampledRow<Scalar> row_;
  Tensor candidates_;  // of one position, in whole packs
};

inline void check_sampled_loss(std::string_view op, const Tensor& hidden, const Tensor& table, const Tensor& targets,
                               const Tensor& negatives, const SampledLossOptions& options) {
  check<ShapeError>(hidden.rank() == 2 && hidden.size(1) >= 1, op, ": hidden must be [T, D] with D >= 1, got ",
                    hidden.shape());
  check<ShapeError>(table.rank() == 2 && table.size(1) >= hidden.size(1) && table.dtype() == hidden.dtype(), op,
                    ": table must be ", hidden.dtype(), "[V, ", hidden.size(1), "] or wider, got ", table.dtype(),
                    table.shape());
  check<ShapeError>(targets.rank() == 1 && targets.size(0) == hidden.size(0) && targets.dtype() == DType::int32, op,
                    ": targets must be int32[", hidden.size(0), "], got ", targets.dtype(), targets.shape());
  check<ShapeError>(negatives.dtype() == DType::int32 &&
                        (negatives.rank() == 1 || (negatives.rank() == 2 && negatives.size(0) == hidden.size(0))),
                    op, ": negatives must be int32[", hidden.size(0), ", R] or int32[R], got ", negatives.dtype(),
                    negatives.shape());
  check<ConfigError>(std::isfinite(1.0 / options.temperature) && options.temperature > 0, op,
                     ": temperature must be positive, got ", options.temperature);
  const Tensor& log_expected = options.log_expected;
  check<ShapeError>(!log_expected.defined() || (log_expected.shape() == Shape{table.size(0)} &&
                                                log_expected.dtype() == DType::float64),
                    op, ": log_expected must be float64[", table.size(0), "], got ", log_expected.dtype(),
                    log_expected.shape());
}

/// Throws DataError unless all items are below num_items; `place` says whose they are.
template <class Place>
void check_negatives(std::string_view op, std::span<const std::int32_t> items, std::int64_t num_items,
                     const Place& place) {
  std::uint32_t largest = 0;  // a negative id counts as one above 2^31
  for (const std::int32_t item : items) largest = std::max(largest, static_cast<std::uint32_t>(item));
  if (items.empty() || largest < num_items) return;
  for (const std::int32_t item : items) {
    check<DataError>(item >= 0 && item < num_items, op, ": negative ", place(), "is ", item,
                     ", expected an item below ", num_items);
  }
}

/// Positions that count.  Throws DataError for a target or a negative outside of the table.
inline PoolVector<std::int64_t> counted_positions(std::string_view op, const Tensor& targets, const Tensor& negatives,
                                                   std::int64_t num_items, std::int64_t ignored_target) {
  const bool is_shared = negatives.rank() == 1;
  const auto items = negatives.values<std::int32_t>();
  if (is_shared) check_negatives(op, items, num_items, [] { return ""; });
  PoolVector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(targets.size(0)));
  for (std::int64_t t = 0; t < targets.size(0); ++t) {
    const std::int64_t target = targets.data<std::int32_t>()[t];
    if (target == ignored_target) continue;
    check<DataError>(target >= 0 && target < num_items, op, ": target of position ", t, " is ", target,
                     ", expected an item below ", num_items);
    rows.push_back(t);
    if (is_shared) continue;
    const auto count = static_cast<std::size_t>(negatives.size(1));
    check_negatives(op, items.subspan(static_cast<std::size_t>(t) * count, count), num_items,
                    [t] { return concat("of position ", t, " "); });
  }
  return rows;
}

/// Forward by Pass, and backward by another of its kind.
template <class Scalar, class Pass>
Tensor record_sampled_loss(std::string_view op, const Tensor& hidden, const Tensor& table, const Tensor& targets,
                           const Tensor& negatives, PoolVector<std::int64_t> rows, const SampledRow<Scalar>& row,
                           Reduction reduction) {
  const double count = static_cast<double>(rows.size());
  const double weight = reduction == Reduction::sum || rows.empty() ? 1.0 : 1.0 / count;
  Tensor weights({std::ssize(rows), row.width()}, hidden.dtype());
  const double loss = Pass(hidden, table, targets, negatives, rows, row).forward(weights);
  return record(op, Tensor::full({}, loss * weight, hidden.dtype()), {hidden, table},
                [hidden, table, targets, negatives, rows = std::move(rows), weights, weight,
                 row](const Tensor& dy, Accumulator& into) {
                  if (rows.empty()) return;
                  const auto scale = static_cast<Scalar>(dy.item() * weight);
                  const auto buffer = [&](const Tensor& x) {
                    return into.wants(x) ? into.buffer(x).mutable_data<Scalar>() : nullptr;
                  };
                  Pass(hidden, table, targets, negatives, rows, row)
                      .backward(weights, scale, buffer(hidden), buffer(table));
                });
}

inline Tensor sampled_loss(std::string_view op, SampledLoss loss, const Tensor& hidden, const Tensor& table,
                           const Tensor& targets, const Tensor& negatives, const SampledLossOptions& options) {
  check_sampled_loss(op, hidden, table, targets, negatives, options);
  const std::int64_t width = whole_packs(hidden.size(1));
  if (table.size(1) < width) {
    return sampled_loss(op, loss, hidden, pad_columns(table, width), targets, negatives, options);
  }
  auto rows = counted_positions(op, targets, negatives, table.size(0), options.ignored_target);
  return dispatch_floating(op, hidden.dtype(), [&]<class Scalar>(Scalar) {
    const SampledRow<Scalar> row(loss, options, negatives.size(negatives.rank() - 1));
    const auto record_with = [&]<class Pass>(std::type_identity<Pass>) {
      return record_sampled_loss<Scalar, Pass>(op, hidden, table, targets, negatives, std::move(rows), row,
                                               options.reduction);
    };
    return negatives.rank() == 1 ? record_with(std::type_identity<SharedNegativesPass<Scalar>>{})
                                 : record_with(std::type_identity<OwnNegativesPass<Scalar>>{});
  });
}

}  // namespace detail

/// Sampled softmax: mean or sum over counted positions t of  −log( e^{s⁺} / (e^{s⁺} + Σ_r e^{s_r}) ),
///   s = hidden_t · e / temperature − log_expected,  e: the row of the target (s⁺) or of a negative.
///   hidden [T, D] and table [V, W ≥ D] float32 or float64, columns of the table beyond D must be finite and do not
///   count; targets int32 [T]; negatives int32 [T, R], or [R] shared by all positions; result: a scalar.
///   docs/math.md (L4), (L5), (L8).
/// Negatives equal to the target are left out.  Operands are taken as they are: normalise both for Meta's loss.  A
/// table narrower than D rounded up to 8 is copied into one that is not: for many calls, pad_columns() it before.
/// With p the softmax, g = p − onehot(target):  dhidden = Σ g·e / temperature,  de = Σ g·hidden / temperature.  If no
/// position counts, the loss is 0 and so are all gradients.  Cost: 2·T·(R+1)·D flops, 4·T·(R+1)·D backward; with shared
/// negatives they are three matrix products, and the negatives' rows are gathered once.  Memory until backward: the
/// softmax, [T, R+1].  Throws DataError for a target or negative outside of the table.
/// Source: Meta's research code, SampledSoftmaxLoss (which gives an equal negative the logit −5e4: the same softmax).
inline Tensor sampled_softmax(const Tensor& hidden, const Tensor& table, const Tensor& targets, const Tensor& negatives,
                              const SampledLossOptions& options = {}) {
  return detail::sampled_loss("sampled_softmax", SampledLoss::softmax, hidden, table, targets, negatives, options);
}

/// Sampled binary cross-entropy: mean or sum over counted positions of  −ln σ(s⁺) − Σ_r ln(1 − σ(s_r)),  everything
/// else as in sampled_softmax(); docs/math.md (L6), (L7).  g = σ(s) − 1 at the target, σ(s) at a negative.
/// Without log_expected and with one negative it is SASRec's loss (Kang & McAuley 2018); with log_expected the noise
/// contrastive estimation of Gutmann & Hyvärinen 2010.
inline Tensor sampled_binary(const Tensor& hidden, const Tensor& table, const Tensor& targets, const Tensor& negatives,
                             const SampledLossOptions& options = {}) {
  return detail::sampled_loss("sampled_binary", SampledLoss::binary, hidden, table, targets, negatives, options);
}

}  // namespace hstu
