// SPDX-License-Identifier: MIT
// Optimizer and learning rate, as the configuration names them.
#pragma once
#include <memory>

#include <hstu/optim/adam.hpp>
#include <hstu/optim/sgd.hpp>
#include <hstu/optim/sparse_rows.hpp>
#include <hstu/train/train_config.hpp>

namespace hstu {

inline std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& c, const ParameterList& parameters) {
  const AdamOptions adam{.beta1 = c.beta1, .beta2 = c.beta2, .eps = c.eps, .weight_decay = c.weight_decay};
  switch (c.optimizer) {
    case OptimizerKind::sgd:
      return std::make_unique<Sgd>(parameters, SgdOptions{.momentum = c.momentum, .weight_decay = c.weight_decay});
    case OptimizerKind::adam: return std::make_unique<Adam>(parameters, adam);
    case OptimizerKind::adamw: break;
  }
  return std::make_unique<AdamW>(parameters, adam);
}

/// Of the item table, which shares its data; null if it is trained as the other parameters are.
inline std::unique_ptr<SparseOptimizer> make_item_optimizer(const TrainConfig& c, const Tensor& table) {
  switch (c.item_optimizer) {
    case ItemOptimizerKind::dense: break;
    case ItemOptimizerKind::rowwise_adagrad: return std::make_unique<RowwiseAdagrad>(table, c.eps);
    case ItemOptimizerKind::sparse_adam: return std::make_unique<SparseAdam>(table, c.beta1, c.beta2, c.eps);
  }
  return nullptr;
}

/// The learning rate of step `step`, from 0.
inline double scheduled_rate(const TrainConfig& c, std::int64_t step, std::int64_t steps_per_epoch) {
  return learning_rate({.learning_rate = c.learning_rate,
                        .warmup_steps = c.warmup_steps,
                        .decay = c.decay,
                        .floor = c.min_learning_rate},
                       step, c.epochs * steps_per_epoch);
}

}  // namespace hstu
