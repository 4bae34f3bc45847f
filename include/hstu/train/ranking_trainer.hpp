// SPDX-License-Identifier: MIT
// Training of a ranking model.
#pragma once
#include <numeric>
#include <optional>

#include <hstu/optim/clip.hpp>
#include <hstu/train/checkpoint.hpp>
#include <hstu/train/evaluate_ranking.hpp>
#include <hstu/train/gradient_sum.hpp>
#include <hstu/train/make_optimizer.hpp>

namespace hstu {

/// Trains one ranking model.  Every event is predicted once per epoch.  Same bits for any number of threads, as with
/// Trainer.
class RankingTrainer {
 public:
  RankingTrainer(RankingSettings settings, RankingData data)
      : settings_(with_items(std::move(settings), data)), data_(std::move(data)),
        passes_(training_passes(*data_.sequences, settings_)),
        model_(settings_.hstu.model, settings_.ranking, data_, training_labels(), settings_.hstu.train.seed),
        parameters_(model_.parameters()), gradients_(parameters_),
        optimizer_(make_optimizer(settings_.hstu.train, parameters_)) {}

  const RankingSettings& settings() const { return settings_; }
  const RankingModel& model() const { return model_; }
  const RankingData& data() const { return data_; }
  std::int64_t finished_epochs() const { return epoch_; }

  /// Mean loss per predicted event; none if `should_stop`, asked after every step, has ended the epoch early: the trainer
  /// is then good for nothing but its last checkpoint.  Throws NumericError if the loss or a gradient is not finite.
  std::optional<double> train_one_epoch(const std::function<bool()>& should_stop = {}) {
    std::vector<std::size_t> order(passes_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto& train = settings_.hstu.train;
    shuffle(order, {.seed = train.seed, .step = static_cast<std::uint32_t>(epoch_), .site = kSiteUserOrder});
    double loss = 0.0;
    std::int64_t count = 0;
    const auto size = static_cast<std::size_t>(train.batch_size);
    for (std::size_t first = 0; first < order.size(); first += size) {
      const auto chosen = std::span(order).subspan(first, std::min(size, order.size() - first));
      const auto [step_loss, step_count] = step(chosen);
      loss += step_loss;
      count += step_count;
      if (should_stop && should_stop() && first + size < order.size()) return std::nullopt;
    }
    ++epoch_;
    return loss / static_cast<double>(count);
  }

  /// See predict_held_out().
  TaskPredictions predict(bool is_test) const { return predict_held_out(model_, data_, settings_, is_test); }

  /// Everything needed to go on after the last epoch.
  Checkpoint checkpoint() const {
    Checkpoint saved{weights(), {}, JsonTree(nlohmann::json::object({{"epoch", epoch_}}))};
    saved.optimizer.tensors = optimizer_->state();
    return saved;
  }
  /// Copies of the parameters, with the settings as metadata.
  TensorFile weights() const {
    TensorFile file;
    for (const NamedParameter& p : parameters_) file.tensors.emplace(p.name, p.value.clone());
    file.metadata["config"] = to_json(settings_).dump();
    return file;
  }
  /// Goes back to a checkpoint of the same settings.  Throws CheckpointError if it does not fit.
  void restore(const Checkpoint& saved) {
    const auto epoch = required<std::int64_t, CheckpointError>(*saved.state, "epoch", "state");
    check<CheckpointError>(epoch >= 0 && epoch < (std::int64_t{1} << 31), "state: epoch ", epoch);
    load_weights(parameters_, saved.weights);
    optimizer_->load_state(saved.optimizer.tensors);
    epoch_ = epoch;
    step_ = epoch * steps_per_epoch();
  }

 private:
  static RankingSettings with_items(RankingSettings settings, const RankingData& data) {
    settings.hstu.model.num_items = data.sequences->vocabulary.size();
    validate(settings);
    return settings;
  }
  Tensor training_labels() const {
    const std::int64_t K = data_.labels.size(1);
    std::vector<float> labels;
    for (const RankingPass& pass : passes_) {
      const auto of_pass = data_.labels.rows(pass.events.begin, pass.events.end).to_vector<float>();
      labels.insert(labels.end(), of_pass.begin(), of_pass.end());
    }
    return Tensor::from(labels, {std::ssize(labels) / K, K});
  }
  std::int64_t steps_per_epoch() const {
    const std::int64_t size = settings_.hstu.train.batch_size;
    return (std::ssize(passes_) + size - 1) / size;
  }

  std::pair<double, std::int64_t> step(std::span<const std::size_t> chosen) {
    constexpr std::int64_t kGroups = 8;
    std::vector<RankingPass> passes;
    for (const std::size_t i : chosen) passes.push_back(passes_[i]);
    const auto chunks = chunks_of(passes, settings_.ranking);
    std::vector<RankingBatch> batches(chunks.size());
    parallel_for(std::ssize(chunks), [&](std::int64_t c) {
      const auto i = static_cast<std::size_t>(c);
      batches[i] = batch_of(passes, chunks[i], *data_.sequences, settings_.ranking);
    });
    std::int64_t count = 0, tokens = 0;
    std::vector<std::int64_t> first_token;
    std::vector<double> work;
    for (const RankingBatch& batch : batches) {
      first_token.push_back(tokens);
      tokens += batch.sequence.tokens();
      count += batch.predictions();
      work.push_back(static_cast<double>(batch.sequence.tokens()));
    }
    const auto groups = make_groups(work, kGroups);
    std::vector<double> losses(batches.size(), 0.0);
    gradients_.prepare(groups.size());
    try {
      parallel_for(std::ssize(groups), [&](std::int64_t g) {
        const IndexRange& group = groups[static_cast<std::size_t>(g)];
        for (auto i = static_cast<std::size_t>(group.begin); i < static_cast<std::size_t>(group.end); ++i) {
          ForwardContext context{.is_training = true,
                                 .seed = settings_.hstu.train.seed,
                                 .step = static_cast<std::uint32_t>(step_),
                                 .first_token = first_token[i],
                                 .recompute = settings_.hstu.train.recompute_activations};
          const Tensor loss = model_.loss(model_(batches[i], data_, context), batches[i], data_);
          losses[i] = loss.item();
          backward(loss, gradients_.group(static_cast<std::size_t>(g)), 1.0 / static_cast<double>(count));
        }
      });
      const double sum = std::accumulate(losses.begin(), losses.end(), 0.0);
      check<NumericError>(std::isfinite(sum), "ranking: epoch ", epoch_ + 1, ": the loss is ", sum);
      gradients_.reduce();
      if (settings_.hstu.train.max_grad_norm > 0) clip_grad_norm(parameters_, settings_.hstu.train.max_grad_norm);
    } catch (...) {
      gradients_.clear();
      throw;
    }
    optimizer_->step(scheduled_rate(settings_.hstu.train, step_, steps_per_epoch()));
    ++step_;
    return {std::accumulate(losses.begin(), losses.end(), 0.0), count};
  }

  RankingSettings settings_;
  RankingData data_;
  std::vector<RankingPass> passes_;
  RankingModel model_;
  ParameterList parameters_;
  GradientSum gradients_;
  std::unique_ptr<Optimizer> optimizer_;
  std::int64_t epoch_ = 0, step_ = 0;  // finished
};

}  // namespace hstu
