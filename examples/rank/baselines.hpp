// SPDX-License-Identifier: MIT
// What a ranking model has to beat: means of users and items, and regression on them and on the ids.
#pragma once
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/embedding.hpp>
#include <hstu/ops/matmul.hpp>
#include <hstu/optim/adam.hpp>
#include <hstu/train/ranking_trainer.hpp>

namespace rank_example {

using namespace hstu;

/// The same two parts as RankingTrainer: what is trained on, and events to predict.
struct BaselineRows {
  std::vector<std::int64_t> events, users;
  std::vector<float> features;  ///< kFeatures per row
};
inline constexpr std::int64_t kFeatures = 4;

/// Per task: mean label of the item in training (without the event itself), mean label of the user before the event,
/// and the counts of both.  The user's mean goes on through the held-out events, as the history of the HSTU model does.
class MeanFeatures {
 public:
  MeanFeatures(const RankingData& data, std::int64_t task, std::int64_t held_out) : data_(data), task_(task) {
    const Sequences& sequences = *data.sequences;
    sums_.resize(static_cast<std::size_t>(sequences.vocabulary.size()));
    counts_.resize(sums_.size());
    double all = 0.0;
    for (std::int64_t user = 0; user < sequences.num_users(); ++user) {
      const RankingSplit split = ranking_split(sequences, user, held_out);
      for (std::int64_t e = split.begin; e < split.train_end; ++e) {
        sums_[item(e)] += label(e);
        counts_[item(e)] += 1.0;
        sum_ += label(e);
        all += 1.0;
      }
    }
    mean_ = sum_ / all;
    for (std::int64_t user = 0; user < sequences.num_users(); ++user) {
      const RankingSplit split = ranking_split(sequences, user, held_out);
      double sum = 0.0;
      for (std::int64_t e = split.begin; e < split.end; ++e) {
        const bool is_training = e < split.train_end;
        const double before = static_cast<double>(e - split.begin);
        const double others = counts_[item(e)] - (is_training ? 1.0 : 0.0);
        const double of_others = sums_[item(e)] - (is_training ? label(e) : 0.0);
        BaselineRows& rows = is_training ? train : e < split.validation_end ? validation : test;
        rows.events.push_back(e);
        rows.users.push_back(user);
        for (const double x : {(of_others + kPrior * mean_) / (others + kPrior) - mean_,
                               (sum + kPrior * mean_) / (before + kPrior) - mean_, std::log1p(others) / 5.0 - 1.0,
                               std::log1p(before) / 5.0 - 1.0}) {
          rows.features.push_back(static_cast<float>(x));
        }
        sum += label(e);
      }
    }
  }

  double mean() const { return mean_; }
  float label_of(std::int64_t event) const { return data_.labels.data<float>()[event * data_.labels.size(1) + task_]; }

  BaselineRows train, validation, test;

 private:
  static constexpr double kPrior = 5.0;  // events of the overall mean that every mean begins with

  std::size_t item(std::int64_t event) const {
    return static_cast<std::size_t>(data_.sequences->items[static_cast<std::size_t>(event)]);
  }
  double label(std::int64_t event) const { return static_cast<double>(label_of(event)); }

  const RankingData& data_;
  std::int64_t task_;
  std::vector<double> sums_, counts_;
  double sum_ = 0.0, mean_ = 0.0;
};

inline std::vector<Prediction> predictions_of(const MeanFeatures& means, const BaselineRows& rows, TaskKind kind,
                                              const std::vector<double>& values) {
  std::vector<Prediction> all;
  for (std::size_t i = 0; i < rows.events.size(); ++i) {
    const double value = kind == TaskKind::binary ? std::clamp(values[i], 1e-3, 1.0 - 1e-3) : values[i];
    all.push_back({rows.users[i], value, static_cast<double>(means.label_of(rows.events[i]))});
  }
  return all;
}

/// Overall mean + what the item lies above it + what the user lies above it.
inline std::vector<Prediction> predict_by_means(const MeanFeatures& means, TaskKind kind) {
  std::vector<double> values;
  for (std::size_t i = 0; i < means.test.events.size(); ++i) {
    const float* const x = &means.test.features[i * kFeatures];
    values.push_back(means.mean() + static_cast<double>(x[0]) + static_cast<double>(x[1]));
  }
  return predictions_of(means, means.test, kind, values);
}

/// Logistic (or linear) regression on the four features, with a weight per user and per item: full-batch Adam, as many
/// steps as validate best.
inline std::vector<Prediction> predict_by_regression(const RankingData& data, const MeanFeatures& means,
                                                     const Task& task) {
  const Sequences& sequences = *data.sequences;
  const Tensor users = parameter(Tensor::zeros({sequences.num_users(), 1}));
  const Tensor items = parameter(Tensor::zeros({sequences.vocabulary.size(), 1}));
  const Tensor weight = parameter(Tensor::zeros({1, kFeatures})), bias = parameter(Tensor::full({1}, means.mean()));
  const auto outputs = [&](const BaselineRows& rows) {
    std::vector<std::int32_t> ids;
    for (const std::int64_t event : rows.events) ids.push_back(sequences.items[static_cast<std::size_t>(event)]);
    const Tensor x = Tensor::from(rows.features, {std::ssize(rows.events), kFeatures});
    return linear(x, weight, bias) + embedding(users, Tensor::from(rows.users)) + embedding(items, Tensor::from(ids));
  };
  const auto predict = [&](const BaselineRows& rows) {
    const NoGrad no_grad;
    std::vector<double> values;
    const Tensor z_of_rows = outputs(rows);  // has to outlive the loop over its values
    for (const float z : z_of_rows.values<float>()) {
      const auto value = static_cast<double>(z);
      values.push_back(task.kind == TaskKind::binary ? 1.0 / (1.0 + std::exp(-value)) : value);
    }
    return predictions_of(means, rows, task.kind, values);
  };
  std::vector<float> labels;
  for (const std::int64_t event : means.train.events) labels.push_back(means.label_of(event));
  const Tensor wanted = Tensor::from(labels, {std::ssize(labels), 1});
  const Task alone{.name = task.name, .column = task.column, .kind = task.kind};
  Adam optimizer({{"users", users}, {"items", items}, {"weight", weight}, {"bias", bias}});
  std::vector<Prediction> best;
  double least = std::numeric_limits<double>::infinity();
  constexpr int kSteps = 200, kBetweenValidations = 10;
  for (int step = 1; step <= kSteps; ++step) {
    for (const NamedParameter& p : optimizer.parameters()) zero_grad(p.value);
    const Tensor loss = multi_task_loss(outputs(means.train), wanted, std::span(&alone, 1));
    backward(scale(loss, 1.0 / static_cast<double>(labels.size())));
    optimizer.step(0.02);
    if (step % kBetweenValidations != 0) continue;
    const auto validated = predict(means.validation);
    const double error = task.kind == TaskKind::binary ? binary_metrics(validated).normalized_entropy
                                                       : regression_metrics(validated).mse;
    if (error >= least) continue;
    least = error;
    best = predict(means.test);
  }
  return best;
}

}  // namespace rank_example
