// SPDX-License-Identifier: MIT
// The training loss of a batch, as the configuration names it.
#pragma once
#include <hstu/data/batcher.hpp>
#include <hstu/loss/cross_entropy.hpp>
#include <hstu/loss/negative_sampler.hpp>
#include <hstu/loss/sampled_softmax.hpp>
#include <hstu/model/hstu.hpp>
#include <hstu/ops/reshape.hpp>
#include <hstu/train/train_config.hpp>

namespace hstu {

/// Where the negatives of a configuration come from; target_counts as TrainingUnits counts them.
inline NegativeSampler make_negative_sampler(const TrainConfig& config, std::vector<double> target_counts) {
  return NegativeSampler(
      {.kind = config.negatives, .count = config.num_negatives, .is_shared = config.shared_negatives},
      std::move(target_counts));
}

inline RandomStream negative_stream(std::uint64_t seed, std::uint32_t step) {
  return {.seed = seed, .step = step, .site = kSiteNegatives};
}

/// Of the losses over all items.  torch-rechub 0.9.0 leaves the padding item out of the softmax, 0.1.0 does not.
inline CrossEntropyOptions cross_entropy_options(const HstuConfig& config) {
  return {.temperature = config.temperature,
          .excluded_item = config.layer == LayerKind::rechub_0_1 ? -1 : 0,
          .reduction = Reduction::sum};
}

/// Sum of the losses of the tokens that have a target; for last_item, of the last token of each user.
/// `scorer` is the model's, or one of a StepScorer; `negatives` has begun the step.
inline Tensor training_loss(const HstuModel& model, const ItemScorer& scorer, const JaggedBatch& batch,
                            const TrainConfig& config, const NegativeSampler& negatives, ForwardContext& context) {
  const Tensor hidden = model.hidden(batch, context);
  if (has_negatives(config.loss)) {
    const Tensor items =
        negatives.draw(batch.tokens(), negative_stream(context.seed, context.step), context.first_token);
    SampledLossOptions options{.temperature = scorer.temperature, .reduction = Reduction::sum};
    if (config.log_q || config.loss == LossKind::nce) options.log_expected = negatives.log_expected();
    return config.loss == LossKind::sampled_softmax
               ? sampled_softmax(hidden, scorer.table, batch.targets, items, options)
               : sampled_binary(hidden, scorer.table, batch.targets, items, options);
  }
  const CrossEntropyOptions options = cross_entropy_options(model.config());
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
