// SPDX-License-Identifier: MIT
// The training loss of a batch, as the configuration names it.
#pragma once
#include <hstu/data/batcher.hpp>
#include <hstu/loss/cross_entropy.hpp>
#include <hstu/loss/negative_sampler.hpp>
#include <hstu/loss/sampled_softmax.hpp>
#include <hstu/loss/target_softmax.hpp>
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

/// True if the loss takes off how often an item is expected among the negatives.
constexpr bool corrects_by_frequency(const TrainConfig& config) {
  return config.log_q || config.loss == LossKind::nce;
}

/// Of the losses with negatives.
constexpr SampledLoss sampled_kind(const TrainConfig& config) {
  return config.loss == LossKind::sampled_softmax ? SampledLoss::softmax : SampledLoss::binary;
}
inline SampledLossOptions sampled_options(const TrainConfig& config, const HstuConfig& model,
                                          const NegativeSampler& negatives) {
  SampledLossOptions options{.temperature = model.temperature, .reduction = Reduction::sum};
  if (corrects_by_frequency(config)) options.log_expected = negatives.log_expected();
  return options;
}

/// Of the losses over all items.  torch-rechub 0.9.0 leaves the padding item out of the softmax, 0.1.0 does not.
inline CrossEntropyOptions cross_entropy_options(const HstuConfig& config) {
  return {.temperature = config.temperature,
          .excluded_item = config.layer == LayerKind::rechub_0_1 ? -1 : 0,
          .reduction = Reduction::sum};
}

/// Sum of the sampled softmax losses of a mixture of logits.
inline Tensor mixture_loss(const ItemScorer& scorer, const Tensor& hidden, const Tensor& targets,
                           const Tensor& negatives) {
  const Tensor candidates = targets_and_negatives(targets, negatives);
  return target_softmax(mixture_of_logits(scorer.operands(hidden), candidates), candidates, Reduction::sum);
}

/// Sum of the losses of the tokens that have a target; for last_item, of the last token of each user.
/// `scorer` is the model's row_scorer(), or that of a StepScorer.  negatives: rows of its table, undefined for losses
/// without; log_expected: of rows, undefined if the loss does not correct.
inline Tensor training_loss(const HstuModel& model, const ItemScorer& scorer, const JaggedBatch& batch,
                            const TrainConfig& config, const Tensor& negatives, const Tensor& log_expected,
                            ForwardContext& context) {
  const Tensor hidden = model.hidden(batch, context);
  const Tensor targets = model.rows().of(batch.targets);
  if (scorer.mixture) return mixture_loss(scorer, hidden, targets, negatives);
  if (has_negatives(config.loss)) {
    const SampledLossOptions options{
        .temperature = scorer.temperature, .reduction = Reduction::sum, .log_expected = log_expected};
    return sampled_kind(config) == SampledLoss::softmax
               ? sampled_softmax(hidden, scorer.table, targets, negatives, options)
               : sampled_binary(hidden, scorer.table, targets, negatives, options);
  }
  const CrossEntropyOptions options = cross_entropy_options(model.config());
  if (config.loss == LossKind::next_item) {
    return cross_entropy(hidden, scorer.table, scorer.bias, targets, options);
  }
  const auto rows = last_tokens(batch);
  PoolVector<std::int32_t> last;
  for (const std::int64_t row : rows) last.push_back(targets.data<std::int32_t>()[row]);
  return cross_entropy(gather_rows(hidden, Tensor::from(rows)), scorer.table, scorer.bias, Tensor::from(last), options);
}

/// The same with negatives drawn from `negatives`, which has begun the step.
inline Tensor training_loss(const HstuModel& model, const ItemScorer& scorer, const JaggedBatch& batch,
                            const TrainConfig& config, const NegativeSampler& negatives, ForwardContext& context) {
  Tensor items, log_expected;
  if (has_negatives(config.loss)) {
    const RandomStream stream = negative_stream(context.seed, context.step);
    items = model.rows().of(negatives.draw(batch.tokens(), stream, context.first_token));
    if (corrects_by_frequency(config)) log_expected = negatives.log_expected();
  }
  return training_loss(model, scorer, batch, config, items, log_expected, context);
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
