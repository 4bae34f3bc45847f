// SPDX-License-Identifier: MIT
// Training of a ranking model, and its predictions for held-out events.
#pragma once
#include <numeric>

#include <hstu/core/chunks.hpp>
#include <hstu/metrics/prediction.hpp>
#include <hstu/optim/clip.hpp>
#include <hstu/train/gradient_sum.hpp>
#include <hstu/train/make_optimizer.hpp>
#include <hstu/train/ranking_settings.hpp>

namespace hstu {

/// Events of a user by what they serve for: [begin, train_end) [train_end, validation_end) [validation_end, end).
struct RankingSplit {
  std::int64_t begin = 0, train_end = 0, validation_end = 0, end = 0;
};

inline RankingSplit ranking_split(const Sequences& sequences, std::int64_t user, std::int64_t held_out) {
  const std::int64_t begin = sequences.offsets[static_cast<std::size_t>(user)], length = sequences.length(user);
  const std::int64_t part = std::min(held_out, length / 4);
  return {begin, begin + length - 2 * part, begin + length - part, begin + length};
}

/// Columns and labels of the tasks.  The feature tables are those of the settings' item_features and user_features.
/// Throws DataError for a column that the events do not have.
inline RankingData make_ranking_data(std::shared_ptr<const Sequences> sequences, const RankingConfig& ranking,
                                     FeatureTable users = {}, FeatureTable items = {}) {
  check<DataError>(users.size() == ranking.user_features.size() && items.size() == ranking.item_features.size(),
                   "ranking: expected ", ranking.user_features.size(), " user and ", ranking.item_features.size(),
                   " item features, got ", users.size(), " and ", items.size());
  RankingData data{.sequences = std::move(sequences), .users = std::move(users), .items = std::move(items),
                   .actions = {}, .labels = {}};
  for (const FeatureSpec& spec : ranking.actions) {
    data.actions.push_back(make_feature(spec, data.sequences->column(spec.name)));
  }
  const auto K = std::ssize(ranking.tasks);
  data.labels = Tensor({data.sequences->num_events(), K}, DType::float32);
  for (std::int64_t k = 0; k < K; ++k) {
    const Task& task = ranking.tasks[static_cast<std::size_t>(k)];
    float* label = data.labels.mutable_data<float>() + k;
    for (const float value : data.sequences->column(task.column)) {
      *label = task.kind == TaskKind::regression ? value : static_cast<double>(value) >= task.threshold ? 1.0f : 0.0f;
      label += K;
    }
  }
  return data;
}

/// Trains one ranking model.  Every event is predicted once per epoch: a user's events are cut, from the last one back,
/// into passes of max_history.  Same bits for any number of threads, as with Trainer.
class RankingTrainer {
 public:
  RankingTrainer(RankingSettings settings, RankingData data)
      : settings_(with_items(std::move(settings), data)), data_(std::move(data)), passes_(training_passes()),
        model_(settings_.hstu.model, settings_.ranking, data_, training_labels(), settings_.hstu.train.seed),
        parameters_(model_.parameters()), gradients_(parameters_),
        optimizer_(make_optimizer(settings_.hstu.train, parameters_)) {}

  const RankingSettings& settings() const { return settings_; }
  const RankingModel& model() const { return model_; }
  const RankingData& data() const { return data_; }

  /// Mean loss per predicted event.  Throws NumericError if the loss or a gradient is not finite.
  double train_one_epoch() {
    std::vector<std::size_t> order(passes_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto& train = settings_.hstu.train;
    shuffle(order, {.seed = train.seed, .step = static_cast<std::uint32_t>(epoch_++), .site = kSiteUserOrder});
    double loss = 0.0;
    std::int64_t count = 0;
    const auto size = static_cast<std::size_t>(train.batch_size);
    const auto steps = static_cast<std::int64_t>((order.size() + size - 1) / size);
    for (std::size_t first = 0; first < order.size(); first += size) {
      const auto chosen = std::span(order).subspan(first, std::min(size, order.size() - first));
      const auto [step_loss, step_count] = step(chosen, steps);
      loss += step_loss;
      count += step_count;
    }
    return loss / static_cast<double>(count);
  }

  /// Predictions for the events of every user's test part, or validation part, per task.  Each is made from the events
  /// before it and what the user did with them, among them earlier ones of its part.
  std::vector<std::vector<Prediction>> predict(bool is_test) const {
    std::vector<Pass> passes;
    for (std::int64_t user = 0; user < data_.sequences->num_users(); ++user) {
      const RankingSplit split = ranking_split(*data_.sequences, user, settings_.held_out);
      const std::int64_t first = is_test ? split.validation_end : split.train_end;
      const std::int64_t end = is_test ? split.end : split.validation_end;
      if (first == end) continue;
      passes.push_back({user, {std::max(split.begin, end - settings_.hstu.train.max_history), end}, first});
    }
    const auto chunks = chunks_of(passes);
    std::vector<std::vector<std::vector<Prediction>>> parts(chunks.size());
    parallel_for(std::ssize(chunks), [&](std::int64_t c) {
      const NoGrad no_grad;
      const auto i = static_cast<std::size_t>(c);
      const RankingBatch batch = batch_of(std::span<const Pass>(passes).subspan(
          static_cast<std::size_t>(chunks[i].begin), static_cast<std::size_t>(chunks[i].size())));
      ForwardContext context;
      parts[i] = read_off(model_(batch, data_, context), batch);
    });
    std::vector<std::vector<Prediction>> all(settings_.ranking.tasks.size());
    for (const auto& part : parts) {
      for (std::size_t k = 0; k < all.size(); ++k) all[k].insert(all[k].end(), part[k].begin(), part[k].end());
    }
    return all;
  }

 private:
  struct Pass {
    std::int64_t user;
    EventRange events;
    std::int64_t first_predicted;
  };

  static RankingSettings with_items(RankingSettings settings, const RankingData& data) {
    settings.hstu.model.num_items = data.sequences->vocabulary.size();
    validate(settings);
    return settings;
  }
  std::vector<Pass> training_passes() const {
    std::vector<Pass> passes;
    for (std::int64_t user = 0; user < data_.sequences->num_users(); ++user) {
      const RankingSplit split = ranking_split(*data_.sequences, user, settings_.held_out);
      for (std::int64_t end = split.train_end; end > split.begin; end -= settings_.hstu.train.max_history) {
        const std::int64_t first = std::max(split.begin, end - settings_.hstu.train.max_history);
        if (is_trained({first, end})) passes.push_back({user, {first, end}, first});
      }
    }
    check<DataError>(!passes.empty(), "ranking: no user has events to train on, once the held-out ones are left out");
    return passes;
  }
  /// A fused pass without context predicts from the second event on.
  bool is_trained(const EventRange& events) const {
    const bool needs_two = settings_.ranking.input == ActionInput::fused && settings_.ranking.user_features.empty();
    return events.size() >= (needs_two ? 2 : 1);
  }
  Tensor training_labels() const {
    const std::int64_t K = data_.labels.size(1);
    std::vector<float> labels;
    for (const Pass& pass : passes_) {
      const auto of_pass = data_.labels.rows(pass.events.begin, pass.events.end).to_vector<float>();
      labels.insert(labels.end(), of_pass.begin(), of_pass.end());
    }
    return Tensor::from(labels, {std::ssize(labels) / K, K});
  }

  std::int64_t context_size() const { return std::ssize(settings_.ranking.user_features); }
  std::int64_t length_of(const Pass& pass) const {
    return RankingBatchBuilder::length(settings_.ranking.input, context_size(), pass.events.size());
  }
  PoolVector<IndexRange> chunks_of(std::span<const Pass> passes) const {
    return make_chunks(std::ssize(passes),
                       [&](std::int64_t i) { return length_of(passes[static_cast<std::size_t>(i)]); });
  }
  RankingBatch batch_of(std::span<const Pass> passes) const {
    RankingBatchBuilder builder(*data_.sequences, settings_.ranking.input, context_size());
    for (const Pass& pass : passes) builder.add(pass.user, pass.events, pass.first_predicted);
    return builder.build();
  }

  std::pair<double, std::int64_t> step(std::span<const std::size_t> chosen, std::int64_t steps_per_epoch) {
    constexpr std::int64_t kGroups = 8;
    std::vector<Pass> passes;
    for (const std::size_t i : chosen) passes.push_back(passes_[i]);
    const auto chunks = chunks_of(passes);
    std::vector<RankingBatch> batches(chunks.size());
    parallel_for(std::ssize(chunks), [&](std::int64_t c) {
      const IndexRange& chunk = chunks[static_cast<std::size_t>(c)];
      batches[static_cast<std::size_t>(c)] = batch_of(std::span<const Pass>(passes).subspan(
          static_cast<std::size_t>(chunk.begin), static_cast<std::size_t>(chunk.size())));
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
                                 .first_token = first_token[i]};
          const Tensor loss = model_.loss(model_(batches[i], data_, context), batches[i], data_);
          losses[i] = loss.item();
          backward(loss, gradients_.group(static_cast<std::size_t>(g)), 1.0 / static_cast<double>(count));
        }
      });
      const double sum = std::accumulate(losses.begin(), losses.end(), 0.0);
      check<NumericError>(std::isfinite(sum), "ranking: epoch ", epoch_, ": the loss is ", sum);
      gradients_.reduce();
      if (settings_.hstu.train.max_grad_norm > 0) clip_grad_norm(parameters_, settings_.hstu.train.max_grad_norm);
    } catch (...) {
      gradients_.clear();
      throw;
    }
    optimizer_->step(scheduled_rate(settings_.hstu.train, step_, steps_per_epoch));
    ++step_;
    return {std::accumulate(losses.begin(), losses.end(), 0.0), count};
  }

  /// Outputs [N, K] as probabilities and numbers.
  std::vector<std::vector<Prediction>> read_off(const Tensor& outputs, const RankingBatch& batch) const {
    const auto K = static_cast<std::size_t>(outputs.size(1));
    std::vector<std::vector<Prediction>> all(K);
    const auto z = outputs.values<float>();
    for (std::size_t i = 0; i < batch.predicted_events.size(); ++i) {
      const std::int64_t event = batch.predicted_events[i];
      const auto& offsets = data_.sequences->offsets;
      const std::int64_t user = std::ranges::upper_bound(offsets, event) - offsets.begin() - 1;
      for (std::size_t k = 0; k < K; ++k) {
        const auto value = static_cast<double>(z[i * K + k]);
        const bool is_binary = settings_.ranking.tasks[k].kind == TaskKind::binary;
        const float label = data_.labels.data<float>()[static_cast<std::size_t>(event) * K + k];
        all[k].push_back({user, is_binary ? 1.0 / (1.0 + std::exp(-value)) : value, static_cast<double>(label)});
      }
    }
    return all;
  }

  RankingSettings settings_;
  RankingData data_;
  std::vector<Pass> passes_;
  RankingModel model_;
  ParameterList parameters_;
  GradientSum gradients_;
  std::unique_ptr<Optimizer> optimizer_;
  std::int64_t epoch_ = 0, step_ = 0;
};

}  // namespace hstu
