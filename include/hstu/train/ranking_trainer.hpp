// SPDX-License-Identifier: MIT
// Training of a ranking model.
#pragma once
#include <optional>

#include <hstu/train/checkpoint.hpp>
#include <hstu/train/ranking_engine.hpp>

namespace hstu {

/// Trains one ranking model.  Every event is predicted once per epoch.  Same bits for any number of threads, as with
/// Trainer.
class RankingTrainer {
 public:
  RankingTrainer(RankingSettings settings, RankingData data,
                 const MakeRankingEngine& make_engine = make_cpu_ranking_engine)
      : settings_(with_items(std::move(settings), data)), data_(std::move(data)),
        passes_(training_passes(*data_.sequences, settings_)),
        model_(settings_.hstu.model, settings_.ranking, data_, training_labels(), settings_.hstu.train.seed),
        parameters_(model_.parameters()), engine_(make_engine(model_, data_, settings_)) {}
  RankingTrainer(const RankingTrainer&) = delete;  // the engine refers to settings and data
  RankingTrainer& operator=(const RankingTrainer&) = delete;

  const RankingSettings& settings() const { return settings_; }
  /// With the present parameters.
  const RankingModel& model() const {
    engine_->write_model();
    return model_;
  }
  std::string engine_name() const { return engine_->name(); }
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
      const StepLoss of_step = step(chosen);
      loss += of_step.sum;
      count += of_step.count;
      if (should_stop && should_stop() && first + size < order.size()) return std::nullopt;
    }
    ++epoch_;
    return loss / static_cast<double>(count);
  }

  /// See predict_held_out().
  TaskPredictions predict(bool is_test) const { return engine_->predict(is_test); }

  /// Everything needed to go on after the last epoch.
  Checkpoint checkpoint() const {
    Checkpoint saved{weights(), {}, JsonTree(nlohmann::json::object({{"epoch", epoch_}}))};
    saved.optimizer.tensors = engine_->optimizer_state();
    return saved;
  }
  /// Copies of the parameters, with the settings as metadata.
  TensorFile weights() const {
    TensorFile file;
    engine_->write_model();
    for (const NamedParameter& p : parameters_) file.tensors.emplace(p.name, p.value.clone());
    file.metadata["config"] = to_json(settings_).dump();
    return file;
  }
  /// Goes back to a checkpoint of the same settings.  Throws CheckpointError if it does not fit.
  void restore(const Checkpoint& saved) {
    const auto epoch = required<std::int64_t, CheckpointError>(*saved.state, "epoch", "state");
    check<CheckpointError>(epoch >= 0 && epoch < (std::int64_t{1} << 31), "state: epoch ", epoch);
    load_weights(parameters_, saved.weights);
    engine_->load_optimizer_state(saved.optimizer.tensors);
    engine_->read_model();
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

  StepLoss step(std::span<const std::size_t> chosen) {
    std::vector<RankingPass> passes;
    for (const std::size_t i : chosen) passes.push_back(passes_[i]);
    try {
      const double rate = scheduled_rate(settings_.hstu.train, step_, steps_per_epoch());
      const StepLoss loss = engine_->step({passes, step_, rate});
      ++step_;
      return loss;
    } catch (const NumericError& error) {
      throw NumericError(concat("ranking: epoch ", epoch_ + 1, ": ", error.what()));
    }
  }

  RankingSettings settings_;
  RankingData data_;
  std::vector<RankingPass> passes_;
  RankingModel model_;
  ParameterList parameters_;
  std::unique_ptr<RankingEngine> engine_;
  std::int64_t epoch_ = 0, step_ = 0;  // finished
};

}  // namespace hstu
