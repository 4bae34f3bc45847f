// SPDX-License-Identifier: MIT
// Configurations as JSON: one flat object, every field under its own name; unknown fields are refused.
#pragma once
#include <array>
#include <string>
#include <type_traits>
#include <utility>

#include <hstu/io/json.hpp>
#include <hstu/train/train_config.hpp>

namespace hstu {

namespace detail {

template <class Enum>
struct EnumNames;
template <>
struct EnumNames<LayerKind> {
  static constexpr std::array<const char*, 3> names = {"rechub-0.1", "rechub-0.9", "meta"};
};
template <>
struct EnumNames<PositionBias> {
  static constexpr std::array<const char*, 4> names = {"none", "linear", "signed_distance", "directional_log"};
};
template <>
struct EnumNames<TimeBias> {
  static constexpr std::array<const char*, 3> names = {"none", "own_time", "query_time"};
};
template <>
struct EnumNames<TimeFunction> {
  static constexpr std::array<const char*, 2> names = {"sqrt", "log"};
};
template <>
struct EnumNames<TimeUnit> {
  static constexpr std::array<const char*, 2> names = {"seconds", "minutes"};
};
template <>
struct EnumNames<Similarity> {
  static constexpr std::array<const char*, 2> names = {"dot", "mixture"};
};
template <>
struct EnumNames<InitKind> {
  static constexpr std::array<const char*, 2> names = {"xavier_uniform", "truncated_normal"};
};
template <>
struct EnumNames<LossKind> {
  static constexpr std::array<const char*, 5> names = {"sampled_softmax", "next_item", "last_item", "sampled_binary",
                                                       "nce"};
};
template <>
struct EnumNames<NegativeKind> {
  static constexpr std::array<const char*, 3> names = {"uniform", "popularity", "in_batch"};
};
template <>
struct EnumNames<OptimizerKind> {
  static constexpr std::array<const char*, 3> names = {"sgd", "adam", "adamw"};
};
template <>
struct EnumNames<ItemOptimizerKind> {
  static constexpr std::array<const char*, 3> names = {"dense", "rowwise_adagrad", "sparse_adam"};
};
template <>
struct EnumNames<SampleKind> {
  static constexpr std::array<const char*, 2> names = {"users", "windows"};
};
template <>
struct EnumNames<Decay> {
  static constexpr std::array<const char*, 2> names = {"constant", "cosine"};
};

/// Calls visit(name, member) for every field of a Config, const or not.
template <class ConfigType, class Visit>
void visit_fields(ConfigType& c, const Visit& visit) {
  visit("layer", c.model.layer);
  visit("num_items", c.model.num_items);
  visit("item_table_rows", c.model.item_table_rows);
  visit("d_model", c.model.d_model);
  visit("num_heads", c.model.num_heads);
  visit("dqk", c.model.dqk);
  visit("dv", c.model.dv);
  visit("num_layers", c.model.num_layers);
  visit("max_seq_len", c.model.max_seq_len);
  visit("dropout", c.model.dropout);
  visit("position_bias", c.model.position_bias);
  visit("num_position_buckets", c.model.num_position_buckets);
  visit("time_bias", c.model.time_bias);
  visit("num_time_buckets", c.model.num_time_buckets);
  visit("time_function", c.model.time_function);
  visit("time_unit", c.model.time_unit);
  visit("time_divisor", c.model.time_divisor);
  visit("max_attn_len", c.model.max_attn_len);
  visit("min_full_attn_seq_len", c.model.min_full_attn_seq_len);
  visit("use_time_embedding", c.model.use_time_embedding);
  visit("scale_input_embedding", c.model.scale_input_embedding);
  visit("concat_ua", c.model.concat_ua);
  visit("tie_embeddings", c.model.tie_embeddings);
  visit("use_output_bias", c.model.use_output_bias);
  visit("l2_scores", c.model.l2_scores);
  visit("temperature", c.model.temperature);
  visit("similarity", c.model.similarity);
  visit("mixture_query_parts", c.model.mixture_query_parts);
  visit("mixture_item_parts", c.model.mixture_item_parts);
  visit("mixture_part_width", c.model.mixture_part_width);
  visit("layer_norm_eps", c.model.layer_norm_eps);
  visit("l2_eps", c.model.l2_eps);
  visit("init", c.model.init);
  visit("loss", c.train.loss);
  visit("num_negatives", c.train.num_negatives);
  visit("negatives", c.train.negatives);
  visit("shared_negatives", c.train.shared_negatives);
  visit("log_q", c.train.log_q);
  visit("samples", c.train.samples);
  visit("max_history", c.train.max_history);
  visit("whole_history", c.train.whole_history);
  visit("recompute_activations", c.train.recompute_activations);
  visit("stochastic_length_alpha", c.train.stochastic_length_alpha);
  visit("batch_size", c.train.batch_size);
  visit("optimizer", c.train.optimizer);
  visit("item_optimizer", c.train.item_optimizer);
  visit("item_learning_rate", c.train.item_learning_rate);
  visit("learning_rate", c.train.learning_rate);
  visit("beta1", c.train.beta1);
  visit("beta2", c.train.beta2);
  visit("eps", c.train.eps);
  visit("weight_decay", c.train.weight_decay);
  visit("momentum", c.train.momentum);
  visit("max_grad_norm", c.train.max_grad_norm);
  visit("warmup_steps", c.train.warmup_steps);
  visit("decay", c.train.decay);
  visit("min_learning_rate", c.train.min_learning_rate);
  visit("epochs", c.train.epochs);
  visit("keep_seen", c.train.keep_seen);
  visit("validate", c.train.validate);
  visit("metric", c.train.metric);
  visit("patience", c.train.patience);
  visit("test_every", c.train.test_every);
  visit("seed", c.train.seed);
}

template <class Field>
nlohmann::json field_to_json(const Field& field) {
  if constexpr (std::is_enum_v<Field>) return EnumNames<Field>::names[static_cast<std::size_t>(field)];
  else return field;
}

template <class Field>
void field_from_json(const nlohmann::json& object, const char* name, Field& field, const std::string& origin) {
  if constexpr (std::is_enum_v<Field>) {
    const auto text = required<std::string, ConfigError>(object, name, origin);
    std::string choices;
    for (std::size_t i = 0; i < EnumNames<Field>::names.size(); ++i) {
      if (text == EnumNames<Field>::names[i]) {
        field = static_cast<Field>(i);
        return;
      }
      choices += concat(i > 0 ? ", " : "", EnumNames<Field>::names[i]);
    }
    throw ConfigError(concat(origin, ": ", name, ": expected one of ", choices, ", got '", text, "'"));
  } else {
    field = required<Field, ConfigError>(object, name, origin);
  }
}

}  // namespace detail

inline nlohmann::json to_json(const Config& config) {
  nlohmann::json object = nlohmann::json::object();
  detail::visit_fields(config, [&](const char* name, const auto& field) { object[name] = detail::field_to_json(field); });
  return object;
}

/// Changes the fields of `config` that `object` names.  Throws ConfigError "origin: ..." for unknown names and values
/// of the wrong kind; `config` is then unchanged.
inline void update_from_json(Config& config, const nlohmann::json& object, const std::string& origin) {
  check<ConfigError>(object.is_object(), origin, ": expected a JSON object of fields");
  Config changed = config;
  for (const auto& item : object.items()) {
    const std::string& key = item.key();
    bool is_known = false;
    detail::visit_fields(changed, [&](const char* name, auto& field) {
      if (key != name) return;
      is_known = true;
      detail::field_from_json(object, name, field, origin);
    });
    check<ConfigError>(is_known, origin, ": no field is called '", key, "'");
  }
  config = changed;
}

/// Applies "name=value"; the value is JSON, or a bare word for text.  Throws ConfigError naming the assignment.
inline void set_field(Config& config, const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  check<ConfigError>(equals != std::string::npos && equals > 0, "set: expected key=value, got '", assignment, "'");
  const std::string key = assignment.substr(0, equals), text = assignment.substr(equals + 1);
  nlohmann::json value;
  try {
    value = *parse_json<ConfigError>(text, "set " + key);
  } catch (const ConfigError&) {
    value = text;
  }
  update_from_json(config, {{key, value}}, "set");
}

}  // namespace hstu
