// SPDX-License-Identifier: MIT
// The training loss of a batch on the device: train/objective.hpp.
#pragma once
#include <optional>

#include <hstu/cuda/losses.hpp>
#include <hstu/train/objective.hpp>

namespace hstu::cuda {

/// Throws ConfigError for a loss or an optimizer without kernels.
inline void check_has_kernels(const TrainConfig& config) {
  check<ConfigError>(config.optimizer != OptimizerKind::sgd, "cuda: the optimizer sgd has no kernel");
  check<ConfigError>(config.item_optimizer == ItemOptimizerKind::dense,
                     "cuda: an item_optimizer other than dense has no kernels");
  check<ConfigError>(!config.recompute_activations, "cuda: recompute_activations has no kernels");
  check<ConfigError>(!config.shared_negatives, "cuda: shared_negatives have no kernels");
}

/// What sampler.draw() gives for a whole batch, on all threads: a draw is a function of its token.
inline Tensor draw_negatives(const NegativeSampler& sampler, std::int64_t tokens, const RandomStream& stream) {
  constexpr std::int64_t kPart = 512;
  std::vector<Tensor> parts(static_cast<std::size_t>(detail::divide_up(tokens, kPart)));
  parallel_for(std::ssize(parts), [&](std::int64_t i) {
    parts[static_cast<std::size_t>(i)] = sampler.draw(std::min(kPart, tokens - i * kPart), stream, i * kPart);
  });
  const std::int64_t own = parts.empty() ? 0 : parts.front().size(1);
  Tensor all({tokens, own}, DType::int32);
  parallel_for(std::ssize(parts), [&](std::int64_t i) {
    all.rows(i * kPart, std::min((i + 1) * kPart, tokens)).copy_from(parts[static_cast<std::size_t>(i)]);
  });
  return all;
}

/// The tokens of a batch whose losses count.
inline std::vector<std::int32_t> counted_tokens(const JaggedBatch& batch, LossKind loss) {
  const auto targets = batch.targets.values<std::int32_t>();
  std::vector<std::int32_t> tokens;
  const auto add = [&](std::int64_t token) {
    if (targets[static_cast<std::size_t>(token)] != 0) tokens.push_back(static_cast<std::int32_t>(token));
  };
  if (loss == LossKind::last_item) {
    for (const std::int64_t token : last_tokens(batch)) add(token);
  } else {
    for (std::int64_t token = 0; token < batch.tokens(); ++token) add(token);
  }
  return tokens;
}

/// What the loss sees of a batch: copied to the device once.
class LossBatch {
 public:
  /// `negatives` has begun the step.
  LossBatch(Device& device, const JaggedBatch& batch, const Config& config, const NegativeSampler& negatives,
            const RandomStream& stream)
      : positions_(device, counted_tokens(batch, config.train.loss), batch.targets.values<std::int32_t>()) {
    if (!has_negatives(config.train.loss)) return;
    const Tensor drawn = draw_negatives(negatives, batch.tokens(), stream);
    candidates_.emplace(device, positions_, drawn, config.model.num_items,
                        sampled_options(config.train, config.model, negatives));
  }

  std::int64_t count() const { return positions_.tokens().size(); }

  /// The sum that training_loss() of train/objective.hpp gives, [1]; backward is that of sum·scale, and this must live
  /// until then.
  Buffer<float> sum(Tape& tape, const Model& model, const Variable& hidden, const TrainConfig& config,
                    float scale) const {
    const ScoredTable table = model.scored_table(tape);
    const HstuConfig& c = model.config();
    return candidates_
               ? sampled_loss(tape, sampled_kind(config), hidden, table, positions_, *candidates_, c.temperature, scale)
               : cross_entropy(tape, hidden, table, model.output_bias(), positions_, cross_entropy_options(c), scale);
  }

 private:
  LossPositions positions_;
  std::optional<SampledCandidates> candidates_;
};

}  // namespace hstu::cuda
