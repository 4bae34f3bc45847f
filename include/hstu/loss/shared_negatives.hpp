// SPDX-License-Identifier: MIT
// Sampled losses whose negatives are the same for all positions: their rows are gathered once, logits are one product.
#pragma once
#include <hstu/autograd/backward.hpp>
#include <hstu/core/gemm.hpp>
#include <hstu/loss/sampled_row.hpp>

namespace hstu::detail {

/// One call of sampled_loss() with negatives [R]; the same two functions as OwnNegativesPass.
template <class Scalar>
class SharedNegativesPass {
 public:
  SharedNegativesPass(const Tensor& hidden, const Tensor& table, const Tensor& targets, const Tensor& negatives,
                      const PoolVector<std::int64_t>& rows, const SampledRow<Scalar>& row)
      : hidden_(hidden.data<Scalar>()), table_(table.data<Scalar>()), targets_(targets.data<std::int32_t>()),
        rows_(rows), width_(hidden.size(1)), stride_(table.size(1)), negatives_(negatives), row_(row),
        queries_({std::ssize(rows), width_}, hidden.dtype()), items_({negatives.numel(), width_}, hidden.dtype()) {
    Scalar* query = queries_.template mutable_data<Scalar>();
    for (const std::int64_t position : rows_) query = std::copy_n(hidden_ + position * width_, width_, query);
    Scalar* item = items_.template mutable_data<Scalar>();
    for (const std::int32_t id : negatives_.values<std::int32_t>()) {
      item = std::copy_n(table_ + id * stride_, width_, item);
    }
  }

  /// Sum of the losses; `weights` [positions, candidates padded] receives their derivatives by the logits.
  double forward(Tensor& weights) {
    set_product<Scalar>(of_negatives(weights), view(queries_), view(items_).transposed());
    const auto negatives = negatives_.values<std::int32_t>();
    PoolVector<std::int32_t> candidates(static_cast<std::size_t>(row_.width()));
    const auto behind = std::ranges::copy(negatives, candidates.begin()).out;
    double loss = 0.0;
    for (std::int64_t i = 0; i < std::ssize(rows_); ++i) {
      Scalar* const weight = weights.mutable_data<Scalar>() + i * row_.width();
      std::fill(behind, candidates.end(), target_of(i));
      std::fill(weight + negatives.size(), weight + row_.width(), target_logit(i));
      loss += row_(candidates.data(), weight);
    }
    return loss;
  }

  /// dtable += scale·g·hiddenᵀ / temperature, and dhidden likewise; g = weights.  Null: not wanted.
  void backward(const Tensor& weights, Scalar scale, Scalar* dhidden, Scalar* dtable) {
    scale *= row_.inverse_temperature();
    Tensor g = weights;  // read only
    if (dhidden != nullptr) {
      Tensor dqueries = empty_like(queries_);
      set_product<Scalar>(view(dqueries), of_negatives(g), view(items_), scale);
      for (std::int64_t i = 0; i < std::ssize(rows_); ++i) {
        Scalar* const to = dhidden + rows_[static_cast<std::size_t>(i)] * width_;
        add(to, row(dqueries, i), Scalar(1));
        add(to, table_ + target_of(i) * stride_, scale * target_weight(weights, i));
      }
    }
    if (dtable != nullptr) {
      Tensor ditems = empty_like(items_);
      set_product<Scalar>(view(ditems), MatrixView<const Scalar>(of_negatives(g)).transposed(), view(queries_), scale);
      for (std::int64_t r = 0; r < negatives_.numel(); ++r) {
        add(dtable + negatives_.data<std::int32_t>()[r] * stride_, row(ditems, r), Scalar(1));
      }
      for (std::int64_t i = 0; i < std::ssize(rows_); ++i) {
        add(dtable + target_of(i) * stride_, row(queries_, i), scale * target_weight(weights, i));
      }
    }
  }

 private:
  static MatrixView<Scalar> view(Tensor& x) {
    return {x.template mutable_data<Scalar>(), x.size(0), x.size(1), x.size(1)};
  }
  /// The columns of the negatives of [positions, candidates padded].
  MatrixView<Scalar> of_negatives(Tensor& weights) const {
    return {weights.template mutable_data<Scalar>(), weights.size(0), negatives_.numel(), row_.width()};
  }
  const Scalar* row(const Tensor& x, std::int64_t i) const { return x.template data<Scalar>() + i * width_; }
  std::int64_t target_of(std::int64_t i) const { return targets_[rows_[static_cast<std::size_t>(i)]]; }
  Scalar target_weight(const Tensor& weights, std::int64_t i) const {
    return weights.template data<Scalar>()[i * row_.width() + negatives_.numel()];
  }
  Scalar target_logit(std::int64_t i) const {
    const Scalar* const item = table_ + target_of(i) * stride_;
    Scalar dot = 0;
    for (std::int64_t d = 0; d < width_; ++d) dot += row(queries_, i)[d] * item[d];
    return dot;
  }
  void add(Scalar* to, const Scalar* from, Scalar factor) const {
    for (std::int64_t d = 0; d < width_; ++d) to[d] += factor * from[d];
  }

  const Scalar* hidden_;
  const Scalar* table_;
  const std::int32_t* targets_;
  const PoolVector<std::int64_t>& rows_;
  std::int64_t width_, stride_;
  Tensor negatives_;
  SampledRow<Scalar> row_;
  Tensor queries_;  // [positions, D], the hidden states that count
  Tensor items_;    // [R, D], the rows of the negatives
};

}  // namespace hstu::detail
