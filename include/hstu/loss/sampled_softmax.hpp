// SPDX-License-Identifier: MIT
// Softmax over the target and sampled negatives of each position, fused: gather, logits, loss and gradients.
#pragma once
#include <cmath>
#include <limits>

#include <hstu/autograd/backward.hpp>
#include <hstu/loss/reduction.hpp>
#include <hstu/loss/touched_items.hpp>

namespace hstu {

struct SampledSoftmaxOptions {
  double temperature = 0.05;
  double l2_eps = 1e-6;             ///< items shorter than this are divided by it
  bool normalize_items = true;      ///< false: raw rows of the table
  std::int64_t ignored_target = 0;  ///< positions with this target do not count
  Reduction reduction = Reduction::mean;
};

namespace detail {

/// Positions one after the other: all rows of a position are read for the logits and, still in cache, for the
/// gradients.
template <class Scalar>
class SampledSoftmaxSum {
 public:
  SampledSoftmaxSum(const Tensor& hidden, const Tensor& table, const SampledSoftmaxOptions& options)
      : hidden_(matrix<Scalar>(hidden)),
        inverse_temperature_(static_cast<Scalar>(1.0 / options.temperature)),
        items_(table, options.normalize_items, options.l2_eps),
        query_(Tensor::zeros({items_.num_vectors() * kLanes}, dtype_of<Scalar>())),
        dquery_(zeros_like(query_)) {}

  /// Sum over the positions `rows`.  `dhidden` may be undefined; `differentiate` asks for the gradients of the items.
  double run(const std::vector<std::int64_t>& rows, const Tensor& targets, const Tensor& negatives, Tensor& dhidden,
             bool differentiate) {
    const std::int64_t num_negatives = negatives.size(1), width = hidden_.cols();
    std::vector<std::int32_t> slots;  // of each position: target, then the negatives that are not the target
    std::vector<std::size_t> ends;
    slots.reserve(rows.size() * static_cast<std::size_t>(num_negatives + 1));
    for (const std::int64_t row : rows) {
      const std::int32_t target = targets.data<std::int32_t>()[row];
      slots.push_back(items_.slot(target));
      for (std::int64_t r = 0; r < num_negatives; ++r) {
        const std::int32_t item = negatives.data<std::int32_t>()[row * num_negatives + r];
        if (item != target) slots.push_back(items_.slot(item));
      }
      ends.push_back(slots.size());
    }
    items_.load(differentiate);

    double loss = 0.0;
    weights_.resize(num_negatives + 1);
    std::size_t first = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto candidates = std::span<const std::int32_t>(slots).subspan(first, ends[i] - first);
      first = ends[i];
      mutable_array<Scalar>(query_).head(width) = hidden_.row(rows[i]).array() * inverse_temperature_;
      loss += softmax(candidates);
      if (!differentiate) continue;
      add_gradients(candidates);
      if (dhidden.defined()) {
        mutable_matrix<Scalar>(dhidden).row(rows[i]) =
            array<Scalar>(dquery_).head(width).matrix().transpose() * inverse_temperature_;
      }
    }
    return loss;
  }

  TouchedItems<Scalar>& items() { return items_; }

 private:
  static constexpr std::int64_t kLanes = TouchedItems<Scalar>::kLanes;
  static constexpr std::size_t kGroup = 4;  // rows at a time: hides the latency of the sums
  using Vector = Eigen::Array<Scalar, kLanes, 1>;
  using Aligned = Eigen::Map<const Vector, 4 * sizeof(double)>;
  using MutableAligned = Eigen::Map<Vector, 4 * sizeof(double)>;

  /// −log softmax of the first candidate; leaves the softmax, minus one at the first, in weights_.
  double softmax(std::span<const std::int32_t> candidates) {
    std::size_t r = 0;
    for (; r + kGroup <= candidates.size(); r += kGroup)
      add_logits<kGroup>(candidates.data() + r, &weights_[static_cast<std::int64_t>(r)]);
    for (; r < candidates.size(); ++r) add_logits<1>(candidates.data() + r, &weights_[static_cast<std::int64_t>(r)]);
    auto weights = weights_.head(std::ssize(candidates));
    const Scalar target_logit = weights[0], largest = weights.maxCoeff();
    weights = (weights - largest).exp();
    const Scalar sum = weights.sum();
    weights *= Scalar(1) / sum;
    weights[0] -= Scalar(1);
    return static_cast<double>(largest - target_logit) + std::log(static_cast<double>(sum));
  }

  template <std::size_t Rows>
  void add_logits(const std::int32_t* slots, Scalar* logits) {
    const Scalar* row[Rows];
    Vector sum[Rows];
    for (std::size_t i = 0; i < Rows; ++i) {
      row[i] = items_.row(slots[i]);
      sum[i].setZero();
    }
    const Scalar* query = query_.template data<Scalar>();
    for (std::int64_t k = 0; k < query_.numel(); k += kLanes) {
      const Vector q = Aligned(query + k);
      for (std::size_t i = 0; i < Rows; ++i) sum[i] += q * Aligned(row[i] + k);
    }
    for (std::size_t i = 0; i < Rows; ++i) logits[i] = sum[i].sum();
  }

  /// dquery_ = Σ weight·row, and weight·query into the gradient of each row.
  void add_gradients(std::span<const std::int32_t> candidates) {
    dquery_.fill_zero();
    std::size_t r = 0;
    for (; r + kGroup <= candidates.size(); r += kGroup)
      add_row_gradients<kGroup>(candidates.data() + r, &weights_[static_cast<std::int64_t>(r)]);
    for (; r < candidates.size(); ++r)
      add_row_gradients<1>(candidates.data() + r, &weights_[static_cast<std::int64_t>(r)]);
  }

  template <std::size_t Rows>
  void add_row_gradients(const std::int32_t* slots, const Scalar* weights) {
    const Scalar* row[Rows];
    Scalar* gradient[Rows];
    for (std::size_t i = 0; i < Rows; ++i) {
      row[i] = items_.row(slots[i]);
      gradient[i] = items_.gradient(slots[i]);
    }
    const Scalar* query = query_.template data<Scalar>();
    Scalar* dquery = dquery_.template mutable_data<Scalar>();
    for (std::int64_t k = 0; k < query_.numel(); k += kLanes) {
      const Vector q = Aligned(query + k);
      Vector dq = Aligned(dquery + k);
      for (std::size_t i = 0; i < Rows; ++i) {
        dq += weights[i] * Aligned(row[i] + k);
        MutableAligned(gradient[i] + k) += weights[i] * q;  // one after the other: slots may repeat
      }
      MutableAligned(dquery + k) = dq;
    }
  }

  ConstMatrixMap<Scalar> hidden_;
  Scalar inverse_temperature_;
  TouchedItems<Scalar> items_;
  Tensor query_, dquery_;  // [D padded with zeros]
  Eigen::Array<Scalar, Eigen::Dynamic, 1> weights_;
};

inline void check_sampled_softmax(const Tensor& hidden, const Tensor& table, const Tensor& targets,
                                  const Tensor& negatives, const SampledSoftmaxOptions& options) {
  check<ShapeError>(hidden.rank() == 2, "sampled_softmax: hidden must be [T, D], got ", hidden.shape());
  check<ShapeError>(table.rank() == 2 && table.size(1) == hidden.size(1) && table.dtype() == hidden.dtype(),
                    "sampled_softmax: table must be ", hidden.dtype(), "[V, ", hidden.size(1), "], got ", table.dtype(),
                    table.shape());
  check<ShapeError>(targets.rank() == 1 && targets.size(0) == hidden.size(0) && targets.dtype() == DType::int32,
                    "sampled_softmax: targets must be int32[", hidden.size(0), "], got ", targets.dtype(),
                    targets.shape());
  check<ShapeError>(negatives.rank() == 2 && negatives.size(0) == hidden.size(0) && negatives.dtype() == DType::int32,
                    "sampled_softmax: negatives must be int32[", hidden.size(0), ", R], got ", negatives.dtype(),
                    negatives.shape());
  check<ConfigError>(std::isfinite(1.0 / options.temperature) && options.temperature > 0,
                     "sampled_softmax: temperature must be positive, got ", options.temperature);
  check<ConfigError>(options.l2_eps > 0, "sampled_softmax: l2_eps must be positive, got ", options.l2_eps);
}

/// Positions that count.  Throws DataError for a target or a negative outside of the table.
inline std::vector<std::int64_t> counted_positions(const Tensor& targets, const Tensor& negatives,
                                                   std::int64_t num_items, std::int64_t ignored_target) {
  std::vector<std::int64_t> rows;
  for (std::int64_t t = 0; t < targets.size(0); ++t) {
    const std::int64_t target = targets.data<std::int32_t>()[t];
    if (target == ignored_target) continue;
    check<DataError>(target >= 0 && target < num_items, "sampled_softmax: target of position ", t, " is ", target,
                     ", expected an item below ", num_items);
    for (const std::int32_t item : negatives.values<std::int32_t>().subspan(
             static_cast<std::size_t>(t * negatives.size(1)), static_cast<std::size_t>(negatives.size(1)))) {
      check<DataError>(item >= 0 && item < num_items, "sampled_softmax: negative of position ", t, " is ", item,
                       ", expected an item below ", num_items);
    }
    rows.push_back(t);
  }
  return rows;
}

}  // namespace detail

/// Sampled softmax: mean or sum over counted positions t of  −log( e^{s⁺} / (e^{s⁺} + Σ_r e^{s_r}) ),
///   s = hidden_t · n(e) / temperature,  n(e) = e / max(‖e‖, l2_eps),  e: the row of the target (s⁺) or of a negative.
///   hidden [T, D] and table [V, D] float32 or float64; targets int32 [T]; negatives int32 [T, R]; result: a scalar.
/// docs/math.md (L4), (L5).
/// Negatives equal to the target are left out.  `hidden` is taken as it is: the model normalises it where it must be.
/// With p the softmax, g = p − onehot(target):  dhidden = Σ g·n / temperature,  dn = g·hidden / temperature, summed per
/// item, then de = (dn − n·(n·dn)) / ‖e‖.  If no position counts, the loss is 0 and so are all gradients. Cost:
/// 6·T·(R+1)·D flops, all in the forward pass; backward only scales.  Memory until backward: [T, D] and twice the
/// touched rows of the table, at most min(V, T·(R+1)) of them. Throws DataError for a target or negative outside of the
/// table. Source: Meta's research code, SampledSoftmaxLoss (which gives an equal negative the logit −5e4: the same
/// softmax).
inline Tensor sampled_softmax(const Tensor& hidden, const Tensor& table, const Tensor& targets, const Tensor& negatives,
                              const SampledSoftmaxOptions& options = {}) {
  detail::check_sampled_softmax(hidden, table, targets, negatives, options);
  const auto rows = detail::counted_positions(targets, negatives, table.size(0), options.ignored_target);
  const double count = static_cast<double>(rows.size());
  const double weight = options.reduction == Reduction::sum || rows.empty() ? 1.0 : 1.0 / count;
  return dispatch_floating("sampled_softmax", hidden.dtype(), [&]<class Scalar>(Scalar) {
    Tensor dhidden;
    std::shared_ptr<detail::SampledSoftmaxSum<Scalar>> sum;
    double loss = 0.0;
    if (!rows.empty()) {
      const bool differentiate = detail::recording && (hidden.needs_grad() || table.needs_grad());
      if (detail::recording && hidden.needs_grad()) dhidden = zeros_like(hidden);
      sum = std::make_shared<detail::SampledSoftmaxSum<Scalar>>(hidden, table, options);
      loss = sum->run(rows, targets, negatives, dhidden, differentiate);
    }
    return record("sampled_softmax", Tensor::full({}, loss * weight, hidden.dtype()), {hidden, table},
                  [hidden, table, dhidden, sum, weight](const Tensor& dy, Accumulator& into) {
                    if (!sum) return;
                    const auto scale = static_cast<Scalar>(dy.item() * weight);
                    if (into.wants(hidden))
                      mutable_array<Scalar>(into.buffer(hidden)) += scale * array<Scalar>(dhidden);
                    if (into.wants(table)) sum->items().add_gradient(into.buffer(table), scale);
                  });
  });
}

}  // namespace hstu
