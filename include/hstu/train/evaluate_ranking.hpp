// SPDX-License-Identifier: MIT
// Predictions of a ranking model for held-out events, and what they are worth.
#pragma once
#include <hstu/core/parallel.hpp>
#include <hstu/metrics/prediction.hpp>
#include <hstu/train/ranking_passes.hpp>

namespace hstu {

using TaskPredictions = std::vector<std::vector<Prediction>>;  ///< of every task

namespace detail {

inline void add_predictions(const Tensor& outputs, const RankingBatch& batch, const RankingModel& model,
                            const RankingData& data, TaskPredictions& into) {
  const std::vector<double> z = outputs.to(DType::float64).to_vector<double>();
  const auto& offsets = data.sequences->offsets;
  for (std::size_t i = 0; i < batch.predicted_events.size(); ++i) {
    const std::int64_t event = batch.predicted_events[i];
    const std::int64_t user = std::ranges::upper_bound(offsets, event) - offsets.begin() - 1;
    for (std::size_t k = 0; k < into.size(); ++k) {
      const float label = data.labels.values<float>()[static_cast<std::size_t>(event) * into.size() + k];
      into[k].push_back({user, model.predicted(k, z[i * into.size() + k]), static_cast<double>(label)});
    }
  }
}

}  // namespace detail

/// Predictions for the events of every user's test part, or validation part, per task.  Each is made from the events
/// before it and what the user did with them, among them earlier ones of its part.
inline TaskPredictions predict_held_out(const RankingModel& model, const RankingData& data,
                                        const RankingSettings& settings, bool is_test) {
  const std::vector<RankingPass> passes = held_out_passes(*data.sequences, settings, is_test);
  const auto chunks = chunks_of(passes, settings.ranking);
  const std::size_t tasks = settings.ranking.tasks.size();
  std::vector<TaskPredictions> parts(chunks.size(), TaskPredictions(tasks));
  parallel_for(std::ssize(chunks), [&](std::int64_t c) {
    const NoGrad no_grad;
    const auto i = static_cast<std::size_t>(c);
    const RankingBatch batch = batch_of(passes, chunks[i], *data.sequences, settings.ranking);
    ForwardContext context;
    detail::add_predictions(model(batch, data, context), batch, model, data, parts[i]);
  });
  TaskPredictions all(tasks);
  for (const TaskPredictions& part : parts) {
    for (std::size_t k = 0; k < tasks; ++k) all[k].insert(all[k].end(), part[k].begin(), part[k].end());
  }
  return all;
}

/// Per task the metrics of its kind, by name; those that are not defined are null.
inline nlohmann::json ranking_metrics(const std::vector<Task>& tasks, const TaskPredictions& predictions) {
  nlohmann::json json = nlohmann::json::object();
  const auto number = [](double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(); };
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    if (tasks[k].kind == TaskKind::binary) {
      const BinaryMetrics m = binary_metrics(predictions[k]);
      json[tasks[k].name] = {{"events", m.count}, {"normalized_entropy", number(m.normalized_entropy)},
                             {"auc", number(m.auc)}, {"user_auc", number(m.user_auc)}, {"accuracy", m.accuracy},
                             {"mse", m.mse}, {"calibration", number(m.calibration)}};
    } else {
      const RegressionMetrics m = regression_metrics(predictions[k]);
      json[tasks[k].name] = {{"events", m.count}, {"mse", m.mse}, {"rmse", std::sqrt(m.mse)},
                             {"explained", number(m.explained)}, {"calibration", number(m.calibration)}};
    }
  }
  return json;
}

/// Σ over tasks of the normalised entropy, or of the share of the variance that is not explained: what the epoch is
/// chosen by.
inline double ranking_error(const std::vector<Task>& tasks, const TaskPredictions& predictions) {
  double error = 0.0;
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    error += tasks[k].kind == TaskKind::binary ? binary_metrics(predictions[k]).normalized_entropy
                                               : 1.0 - regression_metrics(predictions[k]).explained;
  }
  return error;
}

}  // namespace hstu
