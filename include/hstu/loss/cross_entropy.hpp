// SPDX-License-Identifier: MIT
// Cross-entropy over all items, from hidden states and item table, without the [T, V] logits.
#pragma once
#include <cmath>
#include <limits>

#include <hstu/autograd/backward.hpp>
#include <hstu/loss/reduction.hpp>

namespace hstu {

struct CrossEntropyOptions {
  double temperature = 1.0;
  std::int64_t ignored_target = 0;  ///< positions with this target do not count
  std::int64_t excluded_item =
      -1;  ///< an item left out of the softmax (torch-rechub 0.9.0: the padding item); -1: none
  Reduction reduction = Reduction::mean;
};

namespace detail {

/// A block of logits: 1 MiB of float32.  32 to 128 tokens run at the same speed (measured, V = 3,706, D = 50).
inline constexpr std::int64_t kLogitBlockTokens = 64;
inline constexpr std::int64_t kLogitBlockItems = 4096;

/// Sum of the losses of one call and, where asked for, its gradients.
template <class Scalar>
class CrossEntropySum {
 public:
  CrossEntropySum(const Tensor& hidden, const Tensor& table, const Tensor& bias, const CrossEntropyOptions& options)
      : hidden_(matrix<Scalar>(hidden)),
        table_(matrix<Scalar>(table)),
        options_(options),
        inverse_temperature_(static_cast<Scalar>(1.0 / options.temperature)) {
    if (bias.defined()) bias_ = array<Scalar>(bias).matrix().transpose() * inverse_temperature_;
  }

  /// Loss of the positions `rows`; `targets` is indexed by position.  Undefined gradients are left out.
  double run(const std::vector<std::int64_t>& rows, const std::int32_t* targets, Tensor& dhidden, Tensor& dtable,
             Tensor& dbias) {
    double loss = 0.0;
    for (std::int64_t first = 0; first < std::ssize(rows); first += kLogitBlockTokens) {
      const std::int64_t count = std::min(kLogitBlockTokens, std::ssize(rows) - first);
      loss += run_block(std::span(rows).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
                        targets, dhidden, dtable, dbias);
    }
    return loss;
  }

 private:
  static MatrixView<Scalar> view_of(Matrix<Scalar>& m) { return {m.data(), m.rows(), m.cols(), m.cols()}; }
  MatrixView<const Scalar> table_rows(std::int64_t first, std::int64_t count) const {
    return {table_.data() + first * table_.cols(), count, table_.cols(), table_.cols()};
  }

  using Column = Eigen::Array<Scalar, Eigen::Dynamic, 1>;

  double run_block(std::span<const std::int64_t> rows, const std::int32_t* targets, Tensor& dhidden, Tensor& dtable,
                   Tensor& dbias) {
    const std::int64_t count = std::ssize(rows), num_items = table_.rows();
    queries_.resize(count, table_.cols());
    for (std::int64_t i = 0; i < count; ++i) {
      queries_.row(i) = hidden_.row(rows[static_cast<std::size_t>(i)]) * inverse_temperature_;
    }
    largest_ = Column::Constant(count, std::numeric_limits<Scalar>::lowest());
    sum_ = Column::Zero(count);
    target_logit_.resize(count);
    for (std::int64_t first = 0; first < num_items; first += kLogitBlockItems) add_to_softmax(first, rows, targets);

    double loss = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
      loss += static_cast<double>(largest_[i]) + std::log(static_cast<double>(sum_[i])) -
              static_cast<double>(target_logit_[i]);
    }
    if (dhidden.defined() || dtable.defined() || dbias.defined()) {
      add_gradients(rows, targets, dhidden, dtable, dbias);
    }
    return loss;
  }

  /// logits_ = queries · tableᵀ + bias of the items from `first`.
  void compute_logits(std::int64_t first) {
    const std::int64_t items = std::min(kLogitBlockItems, table_.rows() - first);
    logits_.resize(queries_.rows(), items);
    set_product<Scalar>(view_of(logits_), view_of(queries_), table_rows(first, items).transposed());
    if (bias_.size() > 0) logits_.rowwise() += bias_.segment(first, items);
    const std::int64_t excluded = options_.excluded_item - first;
    if (excluded >= 0 && excluded < items) logits_.col(excluded).setConstant(-std::numeric_limits<Scalar>::infinity());
  }

  /// One more block of items in the running maximum and sum; leaves exp(logit − maximum) in logits_.
  void add_to_softmax(std::int64_t first, std::span<const std::int64_t> rows, const std::int32_t* targets) {
    compute_logits(first);
    for (std::int64_t i = 0; i < logits_.rows(); ++i) {
      const std::int64_t target = targets[rows[static_cast<std::size_t>(i)]] - first;
      if (target >= 0 && target < logits_.cols()) target_logit_[i] = logits_(i, target);
      auto row = logits_.row(i).array();
      const Scalar before = largest_[i];
      largest_[i] = std::max(before, row.maxCoeff());
      row = (row - largest_[i]).exp();
      sum_[i] = sum_[i] * std::exp(before - largest_[i]) + row.sum();
    }
  }

  void add_gradients(std::span<const std::int64_t> rows, const std::int32_t* targets, Tensor& dhidden, Tensor& dtable,
                     Tensor& dbias) {
    const std::int64_t count = std::ssize(rows), num_items = table_.rows();
    const Column share = sum_.inverse();  // softmax = logits_ · share, never written out
    scaled_queries_ = (queries_.array().colwise() * share).matrix();
    if (dhidden.defined()) dqueries_.setZero(count, table_.cols());
    for (std::int64_t first = 0; first < num_items; first += kLogitBlockItems) {
      if (num_items > kLogitBlockItems) {  // with one block the exponentials are still there
        compute_logits(first);
        for (std::int64_t i = 0; i < count; ++i) logits_.row(i) = (logits_.row(i).array() - largest_[i]).exp().matrix();
      }
      const std::int64_t items = logits_.cols();
      if (dhidden.defined()) add_product<Scalar>(view_of(dqueries_), view_of(logits_), table_rows(first, items));
      if (dtable.defined()) {
        add_product<Scalar>(mutable_view<Scalar>(dtable).middle_rows(first, items), view_of(logits_).transposed(),
                            view_of(scaled_queries_));
      }
      if (dbias.defined()) {
        auto sum = mutable_array<Scalar>(dbias).segment(first, items);
        for (std::int64_t i = 0; i < count; ++i) {
          sum += logits_.row(i).transpose().array() * (share[i] * inverse_temperature_);
        }
      }
    }
    for (std::int64_t i = 0; i < count; ++i) {  // minus one at the target
      const std::int64_t row = rows[static_cast<std::size_t>(i)], target = targets[row];
      if (dhidden.defined()) {
        mutable_matrix<Scalar>(dhidden).row(row) =
            (dqueries_.row(i) * share[i] - table_.row(target)) * inverse_temperature_;
      }
      if (dtable.defined()) mutable_matrix<Scalar>(dtable).row(target) -= queries_.row(i);
      if (dbias.defined()) dbias.mutable_data<Scalar>()[target] -= inverse_temperature_;
    }
  }

  ConstMatrixMap<Scalar> hidden_, table_;
  const CrossEntropyOptions& options_;
  Scalar inverse_temperature_;
  Eigen::Matrix<Scalar, 1, Eigen::Dynamic> bias_;       // divided by the temperature; empty: none
  Matrix<Scalar> queries_, scaled_queries_, dqueries_;  // [tokens of the block, D]
  Matrix<Scalar> logits_;                               // [tokens of the block, items of the block]
  Column largest_, sum_, target_logit_;
};

inline void check_cross_entropy(const Tensor& hidden, const Tensor& table, const Tensor& bias, const Tensor& targets,
                                const CrossEntropyOptions& options) {
  check<ShapeError>(hidden.rank() == 2, "cross_entropy: hidden must be [T, D], got ", hidden.shape());
  check<ShapeError>(table.rank() == 2 && table.size(1) == hidden.size(1), "cross_entropy: table must be [V, ",
                    hidden.size(1), "], got ", table.shape());
  check<ShapeError>(table.dtype() == hidden.dtype(), "cross_entropy: table must be ", hidden.dtype(),
                    " as hidden, got ", table.dtype());
  if (bias.defined()) {
    check<ShapeError>(bias.rank() == 1 && bias.size(0) == table.size(0) && bias.dtype() == hidden.dtype(),
                      "cross_entropy: bias must be ", hidden.dtype(), "[", table.size(0), "], got ", bias.dtype(),
                      bias.shape());
  }
  check<ShapeError>(targets.rank() == 1 && targets.size(0) == hidden.size(0) && targets.dtype() == DType::int32,
                    "cross_entropy: targets must be int32[", hidden.size(0), "], got ", targets.dtype(),
                    targets.shape());
  check<ConfigError>(std::isfinite(1.0 / options.temperature) && options.temperature > 0,
                     "cross_entropy: temperature must be positive, got ", options.temperature);
  check<ConfigError>(options.excluded_item >= -1 && options.excluded_item < table.size(0),
                     "cross_entropy: excluded item must be -1 or below ", table.size(0), ", got ",
                     options.excluded_item);
}

/// Positions that count.  Throws DataError for a target that is no candidate.
inline std::vector<std::int64_t> counted_positions(const Tensor& targets, std::int64_t num_items,
                                                   const CrossEntropyOptions& options) {
  std::vector<std::int64_t> rows;
  for (std::int64_t t = 0; t < targets.size(0); ++t) {
    const std::int64_t target = targets.data<std::int32_t>()[t];
    if (target == options.ignored_target) continue;
    check<DataError>(target >= 0 && target < num_items, "cross_entropy: target of position ", t, " is ", target,
                     ", expected an item below ", num_items);
    check<DataError>(target != options.excluded_item, "cross_entropy: target of position ", t, " is ", target,
                     ", the item excluded from the softmax");
    rows.push_back(t);
  }
  return rows;
}

}  // namespace detail

/// Next-item cross-entropy: mean or sum over counted positions t of  −log softmax(z_t)[target_t],
///   z = (hidden · tableᵀ + bias) / temperature.
///   hidden [T, D], table [V, D] and bias [V] (or undefined) float32 or float64; targets int32 [T]; result: a scalar.
/// docs/math.md (L1) to (L3).
/// Positions whose target is `ignored_target` get no loss and no gradient; if none counts, the loss is 0 and so are all
/// gradients. With p = softmax(z), g = (p − onehot(target)) / temperature:  dhidden = g·table,  dtable = gᵀ·hidden,
/// dbias = Σ_t g_t. Cost: 3 products of 2·T·V·D flops with gradients (a fourth when V > 4,096), all in the forward
/// pass; backward only scales. Memory: one block of at most 64 tokens × 4,096 items, and the gradients themselves ([T,
/// D], [V, D], [V]) until backward. Throws DataError for a target outside of the table or equal to `excluded_item`.
/// Source: torch-rechub 0.9.0, trainers/seq_trainer.py, sets the logit of the excluded item to −1e9: the same softmax.
inline Tensor cross_entropy(const Tensor& hidden, const Tensor& table, const Tensor& bias, const Tensor& targets,
                            const CrossEntropyOptions& options = {}) {
  detail::check_cross_entropy(hidden, table, bias, targets, options);
  const auto rows = detail::counted_positions(targets, table.size(0), options);
  const bool differentiate = detail::recording && !rows.empty();
  Tensor dhidden, dtable, dbias;
  if (differentiate && hidden.needs_grad()) dhidden = zeros_like(hidden);
  if (differentiate && table.needs_grad()) dtable = zeros_like(table);
  if (differentiate && bias.needs_grad()) dbias = zeros_like(bias);

  double loss = 0.0;
  if (!rows.empty()) {
    dispatch_floating("cross_entropy", hidden.dtype(), [&]<class Scalar>(Scalar) {
      detail::CrossEntropySum<Scalar> sum(hidden, table, bias, options);
      loss = sum.run(rows, targets.data<std::int32_t>(), dhidden, dtable, dbias);
    });
  }
  const double weight =
      options.reduction == Reduction::sum || rows.empty() ? 1.0 : 1.0 / static_cast<double>(rows.size());
  return record("cross_entropy", Tensor::full({}, loss * weight, hidden.dtype()), {hidden, table, bias},
                [hidden, table, bias, dhidden, dtable, dbias, weight](const Tensor& dy, Accumulator& into) {
                  const double scale = dy.item() * weight;
                  for (const auto& [x, dx] : {std::pair{&hidden, &dhidden}, {&table, &dtable}, {&bias, &dbias}}) {
                    if (!dx->defined() || !into.wants(*x)) continue;
                    dispatch_floating("cross_entropy", dx->dtype(), [&]<class Scalar>(Scalar) {
                      mutable_array<Scalar>(into.buffer(*x)) += static_cast<Scalar>(scale) * array<Scalar>(*dx);
                    });
                  }
                });
}

}  // namespace hstu
