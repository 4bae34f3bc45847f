// SPDX-License-Identifier: MIT
// Cross-entropy over all items, from hidden states and item table, without the [T, V] logits.
#pragma once
#include <cmath>
#include <limits>

#include <hstu/autograd/backward.hpp>
#include <hstu/core/simd.hpp>
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

/// A block of logits.  With fewer tokens, packing the table and adding to its gradient cost more; with fewer items,
/// logits of a large vocabulary are computed twice (measured, docs/performance.md).  At most 128 MiB of float32.
inline constexpr std::int64_t kLogitBlockTokens = 256;
inline constexpr std::int64_t kLogitBlockItems = 131'072;

/// Sum of the losses of one call and, where asked for, its gradients.
template <class Scalar>
class CrossEntropySum {
 public:
  CrossEntropySum(const Tensor& hidden, const Tensor& table, const Tensor& bias, const CrossEntropyOptions& options)
      : hidden_(view<Scalar>(hidden)), table_(view<Scalar>(table)),
        bias_(bias.defined() ? bias.data<Scalar>() : nullptr), options_(options),
        inverse_temperature_(static_cast<Scalar>(1.0 / options.temperature)) {
    const std::int64_t tokens = std::min(kLogitBlockTokens, hidden_.rows), items = std::min(kLogitBlockItems, table_.rows);
    const auto block = [&](std::int64_t cols) { return Tensor::zeros({tokens, cols}, dtype_of<Scalar>()); };
    queries_ = block(table_.cols);  // columns of the table beyond the hidden states' meet zeros
    scaled_queries_ = block(table_.cols);
    dqueries_ = block(table_.cols);
    logits_ = Tensor({tokens, spread_over_sets(items)}, dtype_of<Scalar>());
    statistics_ = Tensor({3, tokens}, dtype_of<Scalar>());
  }

  /// Loss of the positions `rows`; `targets` is indexed by position.  Undefined gradients are left out.
  double run(const PoolVector<std::int64_t>& rows, const std::int32_t* targets, Tensor& dhidden, Tensor& dtable,
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
  using Rows = std::span<const std::int64_t>;

  /// `count` in whole packs, and more until a row has an odd number of cache lines: walking down a column, as the product
  /// for the table's gradient does, then meets all sets of the cache.
  static std::int64_t spread_over_sets(std::int64_t count) {
    constexpr std::int64_t kLine = 64 / std::int64_t{sizeof(Scalar)};
    const std::int64_t lines = (count + kLine - 1) / kLine;
    return (lines + (lines % 2 == 0 ? 1 : 0)) * kLine;
  }

  Scalar* row_of(Tensor& block, std::int64_t i) const { return block.mutable_data<Scalar>() + i * block.size(1); }
  /// The first `count` rows and `cols` columns of a block.
  static MatrixView<Scalar> part(Tensor& block, std::int64_t count, std::int64_t cols) {
    return {block.mutable_data<Scalar>(), count, cols, block.size(1)};
  }
  MatrixView<const Scalar> table_part(std::int64_t first, std::int64_t items, std::int64_t cols) const {
    return {table_.data + first * table_.stride, items, cols, table_.stride};
  }
  Scalar* largest() { return statistics_.mutable_data<Scalar>(); }
  Scalar* sums() { return largest() + statistics_.size(1); }
  Scalar* target_logits() { return sums() + statistics_.size(1); }

  double run_block(Rows rows, const std::int32_t* targets, Tensor& dhidden, Tensor& dtable, Tensor& dbias) {
    const std::int64_t count = std::ssize(rows);
    for (std::int64_t i = 0; i < count; ++i) {
      const Scalar* const from = hidden_.data + rows[static_cast<std::size_t>(i)] * hidden_.stride;
      Scalar* const to = row_of(queries_, i);
      for (std::int64_t d = 0; d < hidden_.cols; ++d) to[d] = from[d] * inverse_temperature_;
    }
    std::fill_n(largest(), count, std::numeric_limits<Scalar>::lowest());
    std::fill_n(sums(), count, Scalar(0));
    for (std::int64_t first = 0; first < table_.rows; first += kLogitBlockItems) add_to_softmax(first, rows, targets);

    double loss = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
      loss += static_cast<double>(largest()[i]) + std::log(static_cast<double>(sums()[i])) -
              static_cast<double>(target_logits()[i]);
    }
    if (dhidden.defined() || dtable.defined() || dbias.defined()) add_gradients(rows, targets, dhidden, dtable, dbias);
    return loss;
  }

  /// logits_ = queries · tableᵀ + bias of the items from `first`; the lanes behind them are below all logits.
  std::int64_t compute_logits(std::int64_t first, std::int64_t count) {
    const std::int64_t items = std::min(kLogitBlockItems, table_.rows - first);
    set_product<Scalar>(part(logits_, count, items), part(queries_, count, hidden_.cols),
                        table_part(first, items, hidden_.cols).transposed());
    const std::int64_t excluded = options_.excluded_item - first;
    const Pack<Scalar> scale = splat(inverse_temperature_);
    for (std::int64_t i = 0; i < count; ++i) {
      Scalar* const row = row_of(logits_, i);
      if (bias_ != nullptr) {
        for (std::int64_t v = 0; v < items; v += kLanes) {
          store(row + v, mul_add(load(bias_ + first + v), scale, load(row + v)));
        }
      }
      std::fill(row + items, row + whole_packs(items), std::numeric_limits<Scalar>::lowest());
      if (excluded >= 0 && excluded < items) row[excluded] = std::numeric_limits<Scalar>::lowest();
    }
    return items;
  }

  /// row = e^(row − largest), zero at the excluded item and behind the last; returns the sum.
  Scalar exponentials(Scalar* row, std::int64_t first, std::int64_t items, Scalar largest_logit) const {
    const Pack<Scalar> top = splat(largest_logit);
    for (std::int64_t v = 0; v < items; v += kLanes) store(row + v, exp(load(row + v) - top));
    std::fill(row + items, row + whole_packs(items), Scalar(0));
    const std::int64_t excluded = options_.excluded_item - first;
    if (excluded >= 0 && excluded < items) row[excluded] = Scalar(0);
    Pack<Scalar> total{};
    for (std::int64_t v = 0; v < items; v += kLanes) total += load(row + v);
    return sum(total);
  }

  /// One more block of items in the running maximum and sum; leaves exp(logit − maximum) in logits_.
  void add_to_softmax(std::int64_t first, Rows rows, const std::int32_t* targets) {
    const std::int64_t count = std::ssize(rows), items = compute_logits(first, count);
    for (std::int64_t i = 0; i < count; ++i) {
      Scalar* const row = row_of(logits_, i);
      const std::int64_t target = targets[rows[static_cast<std::size_t>(i)]] - first;
      if (target >= 0 && target < items) target_logits()[i] = row[target];
      Pack<Scalar> top = load(row);
      for (std::int64_t v = kLanes; v < items; v += kLanes) top = max(load(row + v), top);
      const Scalar before = largest()[i];
      Scalar now = before;
      for (int lane = 0; lane < kLanes; ++lane) now = std::max<Scalar>(now, top[lane]);
      largest()[i] = now;
      sums()[i] = sums()[i] * std::exp(before - now) + exponentials(row, first, items, now);
    }
  }

  void add_gradients(Rows rows, const std::int32_t* targets, Tensor& dhidden, Tensor& dtable, Tensor& dbias) {
    const std::int64_t count = std::ssize(rows), width = table_.cols;
    for (std::int64_t i = 0; i < count; ++i) {  // softmax = logits_ / sum, never written out
      const Scalar share = Scalar(1) / sums()[i];
      for (std::int64_t d = 0; d < width; ++d) row_of(scaled_queries_, i)[d] = row_of(queries_, i)[d] * share;
    }
    dqueries_.fill_zero();
    for (std::int64_t first = 0; first < table_.rows; first += kLogitBlockItems) {
      std::int64_t items = std::min(kLogitBlockItems, table_.rows - first);
      if (table_.rows > kLogitBlockItems) {  // with one block the exponentials are still there
        items = compute_logits(first, count);
        for (std::int64_t i = 0; i < count; ++i) exponentials(row_of(logits_, i), first, items, largest()[i]);
      }
      const MatrixView<Scalar> weights = part(logits_, count, items);
      if (dhidden.defined()) {
        add_product<Scalar>(part(dqueries_, count, width), weights, table_part(first, items, width));
      }
      if (dtable.defined()) {
        add_product<Scalar>(mutable_view<Scalar>(dtable).middle_rows(first, items),
                            MatrixView<const Scalar>(weights).transposed(), part(scaled_queries_, count, width));
      }
      if (dbias.defined()) {
        Scalar* const to = dbias.mutable_data<Scalar>() + first;
        for (std::int64_t i = 0; i < count; ++i) {
          const Scalar factor = inverse_temperature_ / sums()[i];
          const Scalar* const row = row_of(logits_, i);
          for (std::int64_t v = 0; v < items; ++v) to[v] += row[v] * factor;
        }
      }
    }
    for (std::int64_t i = 0; i < count; ++i) {  // minus one at the target
      const std::int64_t position = rows[static_cast<std::size_t>(i)], target = targets[position];
      if (dhidden.defined()) {
        Scalar* const to = dhidden.mutable_data<Scalar>() + position * hidden_.cols;
        const Scalar* const row = table_.data + target * table_.stride;
        for (std::int64_t d = 0; d < hidden_.cols; ++d) {
          to[d] = (row_of(dqueries_, i)[d] / sums()[i] - row[d]) * inverse_temperature_;
        }
      }
      if (dtable.defined()) {
        Scalar* const to = dtable.mutable_data<Scalar>() + target * table_.stride;
        for (std::int64_t d = 0; d < width; ++d) to[d] -= row_of(queries_, i)[d];
      }
      if (dbias.defined()) dbias.mutable_data<Scalar>()[target] -= inverse_temperature_;
    }
  }

  MatrixView<const Scalar> hidden_, table_;
  const Scalar* bias_;
  const CrossEntropyOptions& options_;
  Scalar inverse_temperature_;
  Tensor queries_, scaled_queries_, dqueries_;  // [tokens of the block, columns of the table]; queries / temperature
  Tensor logits_;                               // [tokens of the block, items of the block in whole packs]
  Tensor statistics_;                           // [3, tokens]: largest logit, sum of exponentials, logit of the target
};

inline void check_cross_entropy(const Tensor& hidden, const Tensor& table, const Tensor& bias, const Tensor& targets,
                                const CrossEntropyOptions& options) {
  check<ShapeError>(hidden.rank() == 2, "cross_entropy: hidden must be [T, D], got ", hidden.shape());
  check<ShapeError>(table.rank() == 2 && table.size(1) >= hidden.size(1), "cross_entropy: table must be [V, ",
                    hidden.size(1), "] or wider, got ", table.shape());
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
inline PoolVector<std::int64_t> counted_positions(const Tensor& targets, std::int64_t num_items,
                                                   const CrossEntropyOptions& options) {
  PoolVector<std::int64_t> rows;
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
///   hidden [T, D], table [V, W ≥ D] (columns beyond D do not count) and bias [V] (or undefined) float32 or float64;
///   targets int32 [T]; result: a scalar.
/// docs/math.md (L1) to (L3).
/// Positions whose target is `ignored_target` get no loss and no gradient; if none counts, the loss is 0 and so are all
/// gradients. With p = softmax(z), g = (p − onehot(target)) / temperature:  dhidden = g·table,  dtable = gᵀ·hidden,
/// dbias = Σ_t g_t. Cost: 3 products of 2·T·V·D flops with gradients (a fourth when V > 131,072), all in the forward
/// pass; backward only scales. Memory: one block of at most 256 tokens × 131,072 items, and the gradients themselves ([T,
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
                  const auto add = [&](const Tensor& x, const Tensor& dx) {
                    if (!dx.defined() || !into.wants(x)) return;
                    dispatch_floating("cross_entropy", dx.dtype(), [&]<class Scalar>(Scalar) {
                      mutable_array<Scalar>(into.buffer(x)) += static_cast<Scalar>(scale) * array<Scalar>(dx);
                    });
                  };
                  add(hidden, dhidden);
                  add(table, dtable);
                  add(bias, dbias);
                });
}

}  // namespace hstu
