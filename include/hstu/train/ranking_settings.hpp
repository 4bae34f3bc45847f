// SPDX-License-Identifier: MIT
// The configuration of a ranking model as JSON: inputs, tasks, and the fields of an ordinary configuration.
#pragma once
#include <hstu/model/ranking_model.hpp>
#include <hstu/train/config_json.hpp>

namespace hstu {

struct RankingSettings {
  RankingConfig ranking;
  Config hstu;  ///< layers, optimizer, batches, epochs; its fields about losses, negatives and metrics are not used
  /// Last events of each user to test on, and as many before them to validate on; of users with few events a quarter
  /// each.
  std::int64_t held_out = 10;
};

/// Meta's layer with heads for ML-1M: a rating of 4 or 5, and the rating, from the history with ratings.
inline RankingSettings dlrm_hstu_settings() {
  RankingSettings s;
  s.ranking.actions = {{"rating", FeatureKind::category}};
  s.ranking.tasks = {{.name = "like", .column = "rating", .kind = TaskKind::binary, .threshold = 4.0, .weight = 1.0},
                     {.name = "rating", .column = "rating", .kind = TaskKind::regression, .weight = 0.5}};
  s.hstu.model = {.layer = LayerKind::meta,
                  .d_model = 64,
                  .num_heads = 2,
                  .dqk = 32,
                  .dv = 32,
                  .max_seq_len = 416,
                  .time_bias = TimeBias::query_time,
                  .l2_scores = false,
                  .temperature = 1.0};
  s.hstu.train.epochs = 10;
  s.hstu.train.weight_decay = 0.01;
  return s;
}

/// Throws ConfigError, naming the field, if the settings contradict themselves.  num_items may still be 0.
inline void validate(const RankingSettings& s) {
  Config checked = s.hstu;
  checked.model.num_items = std::max<std::int64_t>(1, checked.model.num_items);
  validate(checked);
  const auto context = std::ssize(s.ranking.user_features);
  const std::int64_t longest = RankingBatchBuilder::length(s.ranking.input, context, s.hstu.train.max_history);
  check<ConfigError>(longest <= s.hstu.model.max_seq_len, "ranking: max_history ", s.hstu.train.max_history, " makes ",
                     longest, " tokens, more than max_seq_len ", s.hstu.model.max_seq_len);
  check<ConfigError>(s.held_out >= 1 && s.held_out < s.hstu.train.max_history,
                     "ranking: held_out must be in [1, max_history), got ", s.held_out);
  check<ConfigError>(!s.ranking.actions.empty() && !s.ranking.tasks.empty(),
                     "ranking: actions and tasks must name at least one column each");
  check<ConfigError>(s.ranking.head_width >= 1 && s.ranking.head_width <= 1 << 16,
                     "ranking: head_width must be in [1, 65536], got ", s.ranking.head_width);
  for (const Task& task : s.ranking.tasks) {
    check<ConfigError>(std::isfinite(task.weight) && task.weight > 0 && std::isfinite(task.threshold),
                       "ranking: the task ", task.name, " needs a positive weight and a finite threshold");
  }
}

namespace detail {

template <>
struct EnumNames<ActionInput> {
  static constexpr std::array<const char*, 2> names = {"interleaved", "fused"};
};
template <>
struct EnumNames<FeatureKind> {
  static constexpr std::array<const char*, 2> names = {"category", "number"};
};
template <>
struct EnumNames<TaskKind> {
  static constexpr std::array<const char*, 2> names = {"binary", "regression"};
};

/// {"age": "number", "job": "category"}
inline std::vector<FeatureSpec> features_from_json(const nlohmann::json& object, const std::string& origin) {
  check<ConfigError>(object.is_object(), origin, ": expected an object of features and their kinds");
  std::vector<FeatureSpec> specs;
  for (const auto& [name, kind] : object.items()) {
    specs.push_back({.name = name});
    field_from_json(object, name.c_str(), specs.back().kind, origin);
  }
  return specs;
}

inline Task task_from_json(const nlohmann::json& object, const std::string& origin) {
  Task task{.name = required<std::string, ConfigError>(object, "name", origin),
            .column = required<std::string, ConfigError>(object, "column", origin)};
  field_from_json(object, "kind", task.kind, origin);
  for (const auto& [key, value] : object.items()) {
    if (key == "threshold") {
      task.threshold = required<double, ConfigError>(object, key, origin);
    } else if (key == "weight") {
      task.weight = required<double, ConfigError>(object, key, origin);
    } else if (key != "name" && key != "column" && key != "kind") {
      throw ConfigError(concat(origin, ": no field is called '", key, "'"));
    }
  }
  return task;
}

inline nlohmann::json features_to_json(const std::vector<FeatureSpec>& specs) {
  nlohmann::json object = nlohmann::json::object();
  for (const FeatureSpec& spec : specs) {
    check<ConfigError>(!object.contains(spec.name), "ranking: the feature ", quote_text(spec.name), " is named twice");
    object[spec.name] = field_to_json(spec.kind);
  }
  return object;
}

}  // namespace detail

/// What update_from_json() reads.  Throws ConfigError if a feature is named twice.
inline nlohmann::json to_json(const RankingSettings& s) {
  nlohmann::json tasks = nlohmann::json::array();
  for (const Task& task : s.ranking.tasks) {
    tasks.push_back({{"name", task.name},
                     {"column", task.column},
                     {"kind", detail::field_to_json(task.kind)},
                     {"threshold", task.threshold},
                     {"weight", task.weight}});
  }
  return {{"input", detail::field_to_json(s.ranking.input)},
          {"actions", detail::features_to_json(s.ranking.actions)},
          {"item_features", detail::features_to_json(s.ranking.item_features)},
          {"user_features", detail::features_to_json(s.ranking.user_features)},
          {"tasks", std::move(tasks)},
          {"head_width", s.ranking.head_width},
          {"held_out", s.held_out},
          {"hstu", to_json(s.hstu)}};
}

/// Changes what `object` names: input, actions, item_features, user_features, tasks, head_width, held_out, and under
/// "hstu" the fields of a Config.  Throws ConfigError "origin: …" for anything else; `settings` is then unchanged.
inline void update_from_json(RankingSettings& settings, const nlohmann::json& object, const std::string& origin) {
  check<ConfigError>(object.is_object(), origin, ": expected a JSON object of fields");
  RankingSettings changed = settings;
  RankingConfig& ranking = changed.ranking;
  for (const auto& [key, value] : object.items()) {
    const std::string where = concat(origin, ": ", key);
    if (key == "input") {
      detail::field_from_json(object, "input", ranking.input, origin);
    } else if (key == "actions") {
      ranking.actions = detail::features_from_json(value, where);
    } else if (key == "item_features") {
      ranking.item_features = detail::features_from_json(value, where);
    } else if (key == "user_features") {
      ranking.user_features = detail::features_from_json(value, where);
    } else if (key == "tasks") {
      ranking.tasks.clear();
      for (const nlohmann::json& task : json_elements<ConfigError>(value, where)) {
        ranking.tasks.push_back(detail::task_from_json(task, where));
      }
    } else if (key == "head_width" || key == "held_out") {
      (key == "head_width" ? ranking.head_width : changed.held_out) =
          required<std::int64_t, ConfigError>(object, key, origin);
    } else if (key == "hstu") {
      update_from_json(changed.hstu, value, where);
    } else {
      throw ConfigError(concat(origin, ": no field is called '", key, "'"));
    }
  }
  settings = changed;
}

}  // namespace hstu
