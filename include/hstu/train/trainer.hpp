// SPDX-License-Identifier: MIT
// Trainer: steps, epochs and checkpoints on an engine that computes.
#pragma once
#include <chrono>

#include <hstu/train/checkpoint.hpp>
#include <hstu/train/config_json.hpp>
#include <hstu/train/cpu_engine.hpp>

namespace hstu {

enum class Split { validation, test };

/// Where an epoch stands after a step.
struct Progress {
  std::int64_t epoch = 0;  ///< from 1
  std::int64_t epochs = 0;
  std::int64_t step = 0;   ///< of this epoch, from 1
  std::int64_t steps = 0;
  double loss = 0.0;       ///< mean over the epoch so far
};

struct EpochResult {
  std::int64_t epoch = 0;  ///< from 1
  double loss = 0.0;       ///< mean per predicted item
  std::int64_t predictions = 0;
  double seconds = 0.0;    ///< spent in steps
  double learning_rate = 0.0;  ///< of the last step
};

/// Trains one model on one set of sequences.
///
/// Order of users, dropout and negatives are functions of (seed, epoch or step, place), so a run that stops after any
/// step and goes on from its checkpoint on the same engine gives the bits of an uninterrupted one.
class Trainer {
 public:
  /// config.model.num_items may be 0: it is taken from the data.
  Trainer(Config config, std::shared_ptr<const Sequences> sequences, const MakeEngine& make_engine = make_cpu_engine)
      : sequences_(std::move(sequences)), config_(with_items(std::move(config), *sequences_)),
        model_(config_.model, config_.train.seed), parameters_(model_.parameters()), units_(sequences_, config_),
        negatives_(make_negative_sampler(config_.train, units_.target_counts())), split_(leave_last_out(*sequences_)),
        engine_(make_engine(model_, config_)) {}

  const Config& config() const { return config_; }
  /// With the present parameters.
  const HstuModel& model() const {
    engine_->write_model();
    return model_;
  }
  const Sequences& sequences() const { return *sequences_; }
  std::string engine_name() const { return engine_->name(); }
  std::int64_t finished_epochs() const { return epoch_; }
  std::int64_t steps_per_epoch() const {
    return (units_.size() + config_.train.batch_size - 1) / config_.train.batch_size;
  }

  /// Trains on the next batch, of the next epoch if the current one has none left.
  /// Throws NumericError, with parameters unchanged, if the loss or a gradient is not finite.
  Progress step() {
    const auto begin = std::chrono::steady_clock::now();
    if (batch_ == steps_per_epoch()) finish_epoch();
    if (batch_ == 0) start_epoch();
    train();
    ++batch_;
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return {epoch_ + 1, config_.train.epochs, batch_, steps_per_epoch(), mean_loss()};
  }

  /// Trains to the end of the current epoch.  `on_step` may return false to stop early; the result is then empty, and
  /// the next call goes on behind that step.
  EpochResult train_one_epoch(const std::function<bool(const Progress&)>& on_step = {}) {
    while (batch_ < steps_per_epoch()) {
      const Progress progress = step();
      if (on_step && !on_step(progress)) return {};
    }
    finish_epoch();
    return {epoch_, mean_loss(), loss_count_, seconds_, learning_rate_of(step_ - 1)};
  }

  /// Full ranking of the held-out events; see evaluate().
  Evaluation evaluate(Split split, bool keep_seen = false) const {
    return engine_->evaluate(*sequences_, split == Split::test ? split_.test : split_.validation,
                             {.max_history = config_.train.max_history, .keep_seen = keep_seen});
  }

  /// Everything needed to go on after the last step.
  Checkpoint checkpoint() const {
    Checkpoint saved;
    saved.weights = weights();
    saved.optimizer.tensors = engine_->optimizer_state();
    nlohmann::json& state = *saved.state;
    state["epoch"] = epoch_;
    state["batch"] = batch_;
    state["step"] = step_;
    state["loss_sum"] = loss_sum_;
    state["loss_count"] = loss_count_;
    state["seconds"] = seconds_;
    return saved;
  }
  /// Copies of the parameters, with the configuration as metadata.
  TensorFile weights() const {
    TensorFile file;
    engine_->write_model();
    for (const NamedParameter& p : parameters_) file.tensors.emplace(p.name, p.value.clone());
    file.metadata["config"] = to_json(config_).dump();
    return file;
  }
  /// Goes back to a checkpoint of the same configuration.  Throws CheckpointError if it does not fit; the trainer is
  /// then unchanged.
  void restore(const Checkpoint& saved);

 private:
  static Config with_items(Config config, const Sequences& sequences) {
    if (config.model.num_items == 0) config.model.num_items = sequences.vocabulary.size();
    check<ConfigError>(config.model.num_items == sequences.vocabulary.size(), "config: num_items is ",
                       config.model.num_items, ", the data has ", sequences.vocabulary.size(), " with padding");
    validate(config);
    return config;
  }
  double mean_loss() const { return loss_count_ == 0 ? 0.0 : loss_sum_ / static_cast<double>(loss_count_); }

  void start_epoch() {
    shuffle_units();
    loss_sum_ = 0.0;
    loss_count_ = 0;
    seconds_ = 0.0;
  }
  void finish_epoch() {
    ++epoch_;
    batch_ = 0;
  }
  double learning_rate_of(std::int64_t step) const {
    return scheduled_rate(config_.train, step, steps_per_epoch());
  }
  void shuffle_units() {
    units_.begin_epoch(epoch_);
    order_.resize(static_cast<std::size_t>(units_.size()));
    std::iota(order_.begin(), order_.end(), std::int64_t{0});
    shuffle(order_, RandomStream{.seed = config_.train.seed,
                                 .step = static_cast<std::uint32_t>(epoch_),
                                 .site = kSiteUserOrder});
  }

  /// Samples of a batch of this epoch; none behind the last.
  std::span<const std::int64_t> samples_of(std::int64_t batch) const {
    const std::int64_t first = std::min(batch * config_.train.batch_size, units_.size());
    const std::int64_t last = std::min(first + config_.train.batch_size, units_.size());
    return std::span(order_).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
  }

  void train() {
    try {
      const StepLoss loss = engine_->step(
          {units_, samples_of(batch_), samples_of(batch_ + 1), negatives_, step_, learning_rate_of(step_)});
      ++step_;
      loss_sum_ += loss.sum;
      loss_count_ += loss.count;
    } catch (const NumericError& error) {
      throw NumericError(concat("train: epoch ", epoch_ + 1, ", step ", batch_ + 1, ": ", error.what()));
    }
  }

  std::shared_ptr<const Sequences> sequences_;
  Config config_;
  HstuModel model_;
  ParameterList parameters_;
  TrainingUnits units_;
  NegativeSampler negatives_;
  LeaveLastOut split_;
  std::unique_ptr<TrainingEngine> engine_;
  std::vector<std::int64_t> order_;  // of the current epoch
  std::int64_t epoch_ = 0;           // finished
  std::int64_t batch_ = 0;           // finished in the current epoch
  std::int64_t step_ = 0;            // finished in all
  double loss_sum_ = 0.0;            // of the current epoch
  std::int64_t loss_count_ = 0;
  double seconds_ = 0.0;             // in steps of the current epoch
};

inline void Trainer::restore(const Checkpoint& saved) {
  const auto number = [&](const char* key) { return required<std::int64_t, CheckpointError>(*saved.state, key, "state"); };
  const std::int64_t epoch = number("epoch"), batch = number("batch"), step = number("step");
  const std::int64_t loss_count = number("loss_count");
  const auto loss_sum = required<double, CheckpointError>(*saved.state, "loss_sum", "state");
  const auto seconds = required<double, CheckpointError>(*saved.state, "seconds", "state");
  check<CheckpointError>(epoch >= 0 && epoch < (std::int64_t{1} << 31) && batch >= 0 && batch <= steps_per_epoch() &&
                             step == epoch * steps_per_epoch() + batch && loss_count >= 0,
                         "state: epoch ", epoch, ", batch ", batch, ", step ", step, " do not fit an epoch of ",
                         steps_per_epoch(), " steps");
  const Checkpoint before = checkpoint();
  load_weights(parameters_, saved.weights);
  try {
    engine_->load_optimizer_state(saved.optimizer.tensors);
  } catch (...) {
    load_weights(parameters_, before.weights);
    throw;
  }
  engine_->read_model();
  epoch_ = epoch;
  batch_ = batch;
  step_ = step;
  loss_sum_ = loss_sum;
  loss_count_ = loss_count;
  seconds_ = seconds;
  if (batch_ > 0) shuffle_units();
}

}  // namespace hstu
