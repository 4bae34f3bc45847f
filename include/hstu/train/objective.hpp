// SPDX-License-Identifier: MIT
// The training loss of a batch, as the configuration names it.
#pragma once
#include <hstu/data/batcher.hpp>
#include <hstu/loss/cross_entropy.hpp>
#include <hstu/loss/negatives.hpp>
#include <hstu/loss/sampled_softmax.hpp>
#include <hstu/model/hstu.hpp>
#include <hstu/ops/reshape.hpp>
#include <hstu/train/train_config.hpp>

namespace hstu {

/// Sum of the losses of the tokens that have a target; for last_item, of the last token of each user.
/// `scorer` is the model's, or one of a StepScorer.  torch-rechub 0.9.0 leaves the padding item out of the softmax, 0.1.0
/// does not.
inline Tensor training_loss(const HstuModel& model, const ItemScorer& scorer, const JaggedBatch& batch,
                            const TrainConfig& config, ForwardContext& context) {
  const Tensor hidden = model.hidden(batch, context);
  if (config.loss == LossKind::sampled_softmax) {
    const RandomStream stream{.seed = context.seed, .step = context.step, .site = kSiteNegatives};
    const Tensor negatives = sample_negatives(batch.tokens(), config.num_negatives, model.config().num_items, stream,
                                              context.first_token);
    return sampled_softmax(hidden, scorer.table, batch.targets, negatives,
                           {.temperature = scorer.temperature, .reduction = Reduction::sum});
  }
  const CrossEntropyOptions options{.temperature = scorer.temperature,
                                    .excluded_item = model.config().layer == LayerKind::rechub_0_1 ? -1 : 0,
                                    .reduction = Reduction::sum};
  if (config.loss == LossKind::next_item) {
    return cross_entropy(hidden, scorer.table, scorer.bias, batch.targets, options);
  }
  const auto rows = last_tokens(batch);
  PoolVector<std::int32_t> targets;
  for (const std::int64_t row : rows) targets.push_back(batch.targets.data<std::int32_t>()[row]);
  return cross_entropy(gather_rows(hidden, Tensor::from(rows)), scorer.table, scorer.bias, Tensor::from(targets),
                       options);
}

/// Number of losses that training_loss() sums.
inline std::int64_t count_losses(const JaggedBatch& batch, LossKind loss) {
  const auto targets = batch.targets.values<std::int32_t>();
  if (loss == LossKind::last_item) {
    return std::ranges::count_if(last_tokens(batch),
                                 [&](std::int64_t row) { return targets[static_cast<std::size_t>(row)] != 0; });
  }
  return std::ranges::count_if(targets, [](std::int32_t target) { return target != 0; });
}

}  // namespace hstu
