// SPDX-License-Identifier: MIT
// The item table in training steps that read and update only the rows they touch.
#pragma once
#include <hstu/train/make_optimizer.hpp>
#include <hstu/train/objective.hpp>

namespace hstu {

/// Gathers the rows of a step into a small table, on which model and losses work as on any other, and writes them back.
/// Nothing passes over the whole table.
class SparseItems {
 public:
  /// `model` shares its parameters.  The configuration's item_optimizer is not dense.
  SparseItems(const HstuModel& model, const TrainConfig& config)
      : model_(model), optimizer_(make_item_optimizer(config, model.item_table())),
        rate_(config.item_learning_rate > 0 ? config.item_learning_rate / config.learning_rate : 1.0) {}

  /// The model on the rows that a step touches.  Items and targets of the batches, and the negatives, become places among
  /// them; padding stays 0.
  HstuModel begin_step(PoolVector<JaggedBatch>& batches, PoolVector<Tensor>& negatives) {
    std::vector<std::int64_t> ids{0};
    const auto collect = [&](Tensor& items) {
      items = model_.rows().of(items);
      const auto values = items.values<std::int32_t>();
      ids.insert(ids.end(), values.begin(), values.end());
    };
    for (JaggedBatch& batch : batches) {
      collect(batch.items);
      collect(batch.targets);
    }
    for (Tensor& items : negatives) collect(items);
    rows_.emplace(std::move(ids));
    items_ = rows_->gather(model_.item_table());
    for (JaggedBatch& batch : batches) {
      batch.items = rows_->places(batch.items);
      batch.targets = rows_->places(batch.targets);
    }
    for (Tensor& items : negatives) items = rows_->places(items);
    return model_.with_item_table(items_);
  }
  /// Of a number per item, float64 [V], those of the rows; only without hashing, where a row is an item.
  Tensor at_rows(const Tensor& of_items) const {
    Tensor result({rows_->size()}, DType::float64);
    for (std::int64_t i = 0; i < rows_->size(); ++i) {
      result.mutable_data<double>()[i] = of_items.data<double>()[rows_->ids()[static_cast<std::size_t>(i)]];
    }
    return result;
  }

  /// Updates the rows by the gradient of begin_step()'s table, at the rate that goes with that of the other parameters.
  void step(double learning_rate) { optimizer_->step(*rows_, grad(items_), rate_ * learning_rate); }

  SparseOptimizer& optimizer() { return *optimizer_; }
  const SparseOptimizer& optimizer() const { return *optimizer_; }

 private:
  HstuModel model_;
  std::unique_ptr<SparseOptimizer> optimizer_;
  double rate_;
  std::optional<StepRows> rows_;
  Tensor items_;
};

}  // namespace hstu
