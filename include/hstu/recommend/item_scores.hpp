// SPDX-License-Identifier: MIT
// Scores of all items for a few hidden states: the item table laid out once so that a single row is no waste.
#pragma once
#include <hstu/core/tile.hpp>
#include <hstu/model/hstu.hpp>

namespace hstu {

/// The table that scores are made of, normalised if the model says so, in panels [D][64 items] with the items in the
/// SIMD lanes: eight independent sums for one row.  Of a mixture the items' parts as they are.
class ItemScores {
 public:
  explicit ItemScores(const HstuModel& model) {
    const NoGrad no_grad;
    const ItemScorer scorer = model.scorer();
    num_items_ = scorer.table.size(0);
    width_ = model.config().d_model;
    dtype_ = scorer.table.dtype();
    if (scorer.mixture) {
      mixture_ = scorer;
      return;
    }
    padded_ = (num_items_ + kPanel - 1) / kPanel * kPanel;
    panels_ = Tensor::zeros({padded_ / kPanel, width_, kPanel}, scorer.table.dtype());
    bias_ = scorer.bias;
    temperature_ = scorer.temperature;
    dispatch_floating("item_scores", panels_.dtype(), [&]<class Scalar>(Scalar) {
      const Scalar* from = scorer.table.data<Scalar>();
      Scalar* to = panels_.mutable_data<Scalar>();
      for (std::int64_t item = 0; item < num_items_; ++item) {
        for (std::int64_t d = 0; d < width_; ++d) {
          to[(item / kPanel * width_ + d) * kPanel + item % kPanel] = from[item * width_ + d];
        }
      }
    });
  }

  std::int64_t num_items() const { return num_items_; }

  /// [rows, V] of hidden [rows, D], as HstuModel::scores.
  Tensor operator()(const Tensor& hidden) const {
    check<ShapeError>(hidden.rank() == 2 && hidden.size(1) == width_ && hidden.dtype() == dtype_,
                      "item scores: hidden states must be ", dtype_, " [rows, ", width_, "], got ",
                      hidden.dtype(), hidden.shape());
    Tensor scores({hidden.size(0), num_items_}, hidden.dtype());
    if (mixture_) {
      const NoGrad no_grad;
      for (std::int64_t row = 0; row < hidden.size(0); ++row) {  // one by one: bits do not depend on company
        scores.rows(row, row + 1).copy_from((*mixture_)(hidden.rows(row, row + 1)));
      }
      return scores;
    }
    dispatch_floating("item_scores", hidden.dtype(),
                      [&]<class Scalar>(Scalar) { multiply<Scalar>(hidden, scores); });
    return scores;
  }

 private:
  static constexpr std::int64_t kPanel = 8 * kLanes;

  template <class Scalar>
  void multiply(const Tensor& hidden, Tensor& scores) const {
    const std::int64_t rows = hidden.size(0);
    Tensor padded({rows, padded_}, hidden.dtype());
    Scalar* const all = padded.mutable_data<Scalar>();
    for (std::int64_t first = 0; first < padded_; first += kPanel) {
      const Scalar* const panel = panels_.data<Scalar>() + first * width_;
      for (std::int64_t row = 0; row < rows; ++row) {
        const TileOperand<Scalar> left{hidden.data<Scalar>() + row * width_, width_, 1};
        Scalar* const to = all + row * padded_ + first;
        detail::tile<1, kPanel / kLanes, detail::TileStart::zero>(left, width_, panel, kPanel, to, 0, to, 0);
      }
    }
    const auto factor = static_cast<Scalar>(1.0 / temperature_);
    const Scalar* const bias = bias_.defined() ? bias_.data<Scalar>() : nullptr;
    for (std::int64_t row = 0; row < rows; ++row) {
      const Scalar* from = all + row * padded_;
      Scalar* to = scores.mutable_data<Scalar>() + row * num_items_;
      for (std::int64_t v = 0; v < num_items_; ++v) {
        to[v] = (from[v] + (bias != nullptr ? bias[v] : Scalar(0))) * factor;
      }
    }
  }

  std::int64_t num_items_ = 0, width_ = 0, padded_ = 0;
  DType dtype_;
  std::optional<ItemScorer> mixture_;
  Tensor panels_, bias_;
  double temperature_ = 1.0;
};

}  // namespace hstu
