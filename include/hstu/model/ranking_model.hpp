// SPDX-License-Identifier: MIT
// DLRM-HSTU: an HSTU stack over items, actions and context, and a head that predicts several things of each event.
#pragma once
#include <hstu/data/features.hpp>
#include <hstu/data/ranking_batch.hpp>
#include <hstu/loss/multi_task.hpp>
#include <hstu/model/hstu.hpp>

namespace hstu {

/// What is known and what is predicted.
struct RankingConfig {
  ActionInput input = ActionInput::interleaved;
  std::vector<FeatureSpec> actions;        ///< columns of the events: what the user did, known only afterwards
  std::vector<FeatureSpec> item_features;  ///< of the candidates, added to their embeddings
  std::vector<FeatureSpec> user_features;  ///< each a token of its own in front
  std::vector<Task> tasks;
  std::int64_t head_width = 64;
};

/// The columns that a ranking model reads, with a row per user, per item of the vocabulary, and per event.
struct RankingData {
  std::shared_ptr<const Sequences> sequences;
  FeatureTable users, items, actions;
  Tensor labels;  ///< float32 [events, tasks]
};

/// Embedding of one feature: a row per category, or a number times a vector plus another.
class FeatureEmbedding {
 public:
  FeatureEmbedding(const FeatureColumn& column, std::int64_t width, Initializer& init) : spec_(column.spec) {
    if (spec_.kind == FeatureKind::category) weight_ = init.normal({column.num_categories, width}, kStd);
    else linear_ = {init.normal({width, 1}, kStd), init.normal({width}, kStd)};
  }

  /// Of the given rows of the column, [n, D].
  Tensor operator()(const FeatureColumn& column, std::span<const std::int64_t> rows) const {
    if (spec_.kind == FeatureKind::category) return embedding(weight_, Tensor::from(picked(column.categories, rows)));
    const Tensor numbers = Tensor::from(picked(column.numbers, rows), {std::ssize(rows), 1});
    return linear_(numbers.to(linear_.weight.dtype()));
  }
  void list(const std::string& prefix, ParameterList& into) const {
    if (weight_.defined()) into.push_back({prefix + spec_.name + ".category", weight_});
    else linear_.list(prefix + spec_.name + ".number", into);
  }

 private:
  static constexpr double kStd = 0.02;
  template <class Value>
  static std::vector<Value> picked(const std::vector<Value>& values, std::span<const std::int64_t> rows) {
    std::vector<Value> result;
    for (const std::int64_t row : rows) result.push_back(values.at(static_cast<std::size_t>(row)));
    return result;
  }

  FeatureSpec spec_;
  Tensor weight_;
  Linear linear_;
};

/// item tokens E[item] + features, action tokens the same + what was done, context tokens
///   → HSTU layers → h [N, D] at the predicting tokens
///   → [LN(h), c, LN(h) ⊙ c] with c the candidate's embedding → SiLU layer → output per task, [N, K].
/// Source of the design: Meta's generative-recommenders, DlrmHSTU: user times item embedding before a multi-task head.
/// Meta's candidates are targets of one shared history; in training every event of a causal pass is a candidate in its
/// place.
class RankingModel {
 public:
  /// config.num_items is that of the data.  Output biases start at what predicts the mean labels of `prior_labels`,
  /// float32 [n, K].  Throws ConfigError without tasks or without actions.
  RankingModel(const HstuConfig& config, const RankingConfig& ranking, const RankingData& data,
               const Tensor& prior_labels, std::uint64_t seed, DType dtype = DType::float32)
      : ranking_(ranking), hstu_(config, seed, dtype) {
    check<ConfigError>(!ranking.tasks.empty(), "ranking: expected at least one task");
    check<ConfigError>(!data.actions.empty(), "ranking: expected at least one action column");
    Initializer init(seed ^ kSeedOfFeatures, dtype);
    for (const FeatureColumn& c : data.items) items_.emplace_back(c, config.d_model, init);
    for (const FeatureColumn& c : data.actions) actions_.emplace_back(c, config.d_model, init);
    for (const FeatureColumn& c : data.users) users_.emplace_back(c, config.d_model, init);
    const auto K = static_cast<std::int64_t>(ranking.tasks.size());
    hidden_ = {init.xavier_uniform({ranking.head_width, 3 * config.d_model}), init.zeros({ranking.head_width})};
    output_ = {init.xavier_uniform({K, ranking.head_width}), init.zeros({K})};
    for (std::int64_t k = 0; k < K; ++k) set_bias(k, prior_labels);
  }

  const HstuConfig& config() const { return hstu_.config(); }
  const HstuModel& hstu() const { return hstu_; }
  const RankingConfig& ranking() const { return ranking_; }
  ParameterList parameters() const {
    ParameterList list = hstu_.parameters();
    for (const FeatureEmbedding& e : items_) e.list("item_features.", list);
    for (const FeatureEmbedding& e : actions_) e.list("actions.", list);
    for (const FeatureEmbedding& e : users_) e.list("user_features.", list);
    hidden_.list("head.hidden", list);
    output_.list("head.output", list);
    return list;
  }

  /// The items of events.
  static std::vector<std::int64_t> items_of(std::span<const std::int64_t> events, const RankingData& data) {
    std::vector<std::int64_t> items;
    for (const std::int64_t event : events) items.push_back(data.sequences->items[static_cast<std::size_t>(event)]);
    return items;
  }

  /// Outputs [N, K] for the predicted events: log-odds of binary tasks, numbers of the others.
  Tensor operator()(const RankingBatch& batch, const RankingData& data, ForwardContext& context) const {
    std::vector<Tensor> parts;
    if (ranking_.input == ActionInput::interleaved) parts.push_back(embed_items(batch.items, data));
    parts.push_back(embed_items(items_of(batch.action_events, data), data) + embed_actions(batch.action_events, data));
    if (!users_.empty()) parts.push_back(embed_context(batch.users, data));
    const Tensor tokens = gather_rows(concat_rows(parts), batch.order);
    const Tensor hidden = hstu_.hidden_of(tokens, batch.sequence, context, batch.num_targets);
    const Tensor h = layer_norm(gather_rows(hidden, batch.predicted_at), config().layer_norm_eps);
    const Tensor c = embed_items(batch.predicted_items, data);
    return output_(linear_silu(concat_columns({h, c, h * c}), hidden_.weight, hidden_.bias));
  }

  /// What an output of task k says: a probability of binary tasks, else itself.
  double predicted(std::size_t k, double output) const {
    return ranking_.tasks.at(k).kind == TaskKind::binary ? 1.0 / (1.0 + std::exp(-output)) : output;
  }

  /// Σ over predicted events and tasks of the weighted losses.
  Tensor loss(const Tensor& outputs, const RankingBatch& batch, const RankingData& data) const {
    const auto K = data.labels.size(1);
    Tensor labels({batch.predictions(), K}, DType::float32);
    for (std::int64_t i = 0; i < batch.predictions(); ++i) {
      std::copy_n(data.labels.data<float>() + batch.predicted_events[static_cast<std::size_t>(i)] * K, K,
                  labels.mutable_data<float>() + i * K);
    }
    return multi_task_loss(outputs, labels, ranking_.tasks);
  }

 private:
  static constexpr std::uint64_t kSeedOfFeatures = 0x9E3779B97F4A7C15u;

  void set_bias(std::int64_t k, const Tensor& labels) {
    const std::int64_t rows = labels.size(0), K = labels.size(1);
    double mean = 0.0;
    for (std::int64_t i = 0; i < rows; ++i) {
      mean += static_cast<double>(labels.data<float>()[i * K + k]) / static_cast<double>(rows);
    }
    const double share = std::clamp(mean, 1e-3, 1.0 - 1e-3);
    const bool is_binary = ranking_.tasks[static_cast<std::size_t>(k)].kind == TaskKind::binary;
    const double bias = is_binary ? std::log(share / (1.0 - share)) : mean;
    dispatch_floating("ranking", output_.bias.dtype(), [&]<class Scalar>(Scalar) {
      output_.bias.mutable_data<Scalar>()[k] = static_cast<Scalar>(bias);
    });
  }

  Tensor scaled(const Tensor& x) const {
    return config().scale_input_embedding ? scale(x, hstu_.embedding_scale()) : x;
  }
  Tensor embed_items(const std::vector<std::int64_t>& items, const RankingData& data) const {
    Tensor x = embedding(hstu_.item_table(), hstu_.rows().of(Tensor::from(items)), 0);
    for (std::size_t f = 0; f < items_.size(); ++f) x = x + items_[f](data.items[f], items);
    return scaled(x);
  }
  Tensor embed_actions(std::span<const std::int64_t> events, const RankingData& data) const {
    Tensor x = actions_[0](data.actions[0], events);
    for (std::size_t f = 1; f < actions_.size(); ++f) x = x + actions_[f](data.actions[f], events);
    return scaled(x);
  }
  /// The features of each user one below the other: row user·F + f.
  Tensor embed_context(std::span<const std::int64_t> users, const RankingData& data) const {
    std::vector<Tensor> columns;
    for (std::size_t f = 0; f < users_.size(); ++f) columns.push_back(users_[f](data.users[f], users));
    const Tensor side_by_side = concat_columns(columns);  // [B, F·D]
    return scaled(reshape(side_by_side, {std::ssize(users) * std::ssize(users_), config().d_model}));
  }

  RankingConfig ranking_;
  HstuModel hstu_;
  std::vector<FeatureEmbedding> items_, actions_, users_;
  Linear hidden_, output_;
};

}  // namespace hstu
