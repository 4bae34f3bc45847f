// SPDX-License-Identifier: MIT
// Named configurations.  num_items is filled in from the data.
#pragma once
#include <array>
#include <string>
#include <string_view>

#include <hstu/train/train_config.hpp>

namespace hstu {

inline constexpr std::array<std::string_view, 6> kPresetNames = {"rechub-0.1",       "rechub-0.9", "meta-ml-1m",
                                                                 "meta-ml-1m-large", "ml-1m",      "complete-journey"};

namespace detail {

/// torch-rechub 0.1.0: softmax attention, absolute positions, ages in √minutes, untied output.
/// Its defaults (d_model 512, 4 layers) take days on a CPU; this is a size that trains in minutes.
inline Config preset_rechub_01() {
  Config c;
  c.model = {.layer = LayerKind::rechub_0_1,
             .d_model = 64,
             .num_heads = 2,
             .dqk = 32,
             .dv = 32,
             .num_layers = 2,
             .max_seq_len = 200,
             .dropout = 0.2,
             .position_bias = PositionBias::linear,
             .num_position_buckets = 32,
             .time_bias = TimeBias::none,
             .num_time_buckets = 2048,
             .time_function = TimeFunction::sqrt,
             .time_unit = TimeUnit::minutes,
             .time_divisor = 1.0,
             .use_time_embedding = true,
             .scale_input_embedding = true,
             .tie_embeddings = false,
             .use_output_bias = true,
             .l2_scores = false,
             .temperature = 1.0,
             .init = InitKind::xavier_uniform};
  c.train.loss = LossKind::next_item;
  c.train.epochs = 30;
  return c;
}

/// torch-rechub 0.9.0 with the options its authors report for ML-1M.
inline Config preset_rechub_09() {
  Config c;
  c.model = {.layer = LayerKind::rechub_0_9,
             .d_model = 50,
             .num_heads = 1,
             .dqk = 50,
             .dv = 50,
             .num_layers = 2,
             .max_seq_len = 200,
             .dropout = 0.2,
             .position_bias = PositionBias::signed_distance,
             .time_bias = TimeBias::own_time,
             .num_time_buckets = 128,
             .time_function = TimeFunction::log,
             .time_unit = TimeUnit::seconds,
             .time_divisor = 0.301,
             .scale_input_embedding = true,
             .l2_scores = true,
             .temperature = 0.05,
             .init = InitKind::xavier_uniform};
  c.train.loss = LossKind::next_item;
  return c;
}

/// Meta's configs/ml-1m/hstu-sampled-softmax-n128*.gin.  Tables and divisor have 200 + 11 positions: history, the
/// event to predict and Meta's gr_output_length of 10.
inline Config preset_meta_ml_1m() {
  Config c;
  c.model = {.layer = LayerKind::meta, .max_seq_len = 211, .time_bias = TimeBias::query_time};
  c.train.loss = LossKind::sampled_softmax;
  return c;
}

/// Our own for ML-1M: Meta's layer, wider and less deep, four times the negatives, all events of long histories, more
/// and larger steps that fade out.  docs/results.md tells what each of these gained.
inline Config preset_ml_1m() {
  Config c = preset_meta_ml_1m();
  c.model.d_model = 128;
  c.model.num_heads = 2;
  c.model.dqk = 64;
  c.model.dv = 64;
  c.model.num_layers = 3;
  c.train.whole_history = true;
  c.train.num_negatives = 512;
  c.train.batch_size = 64;
  c.train.learning_rate = 3e-3;
  c.train.warmup_steps = 100;
  c.train.decay = Decay::cosine;
  c.train.epochs = 28;
  return c;
}

/// The model of meta-ml-1m for groceries: histories of 500 purchases, thinned while training, and bought again.  Of
/// 68,509 products uniform negatives are seldom ones that people buy, hence those of the batch.
inline Config preset_complete_journey() {
  Config c = preset_meta_ml_1m();
  c.model.max_seq_len = 511;
  c.train.max_history = 500;
  c.train.stochastic_length_alpha = 1.7;
  c.train.keep_seen = true;
  c.train.num_negatives = 512;
  c.train.negatives = NegativeKind::in_batch;
  c.train.log_q = true;
  c.train.batch_size = 32;
  c.train.learning_rate = 3e-3;
  c.train.warmup_steps = 100;
  c.train.decay = Decay::cosine;
  c.train.epochs = 20;
  return c;
}

}  // namespace detail

/// "rechub-0.1, rechub-0.9, …", for messages.
inline std::string preset_names() {
  std::string names;
  for (const std::string_view name : kPresetNames) names += concat(names.empty() ? "" : ", ", name);
  return names;
}

/// The configuration called `name`.  Throws ConfigError, listing the names, if there is none.
inline Config make_preset(std::string_view name) {
  if (name == "rechub-0.1") return detail::preset_rechub_01();
  if (name == "rechub-0.9") return detail::preset_rechub_09();
  if (name == "meta-ml-1m") return detail::preset_meta_ml_1m();
  if (name == "meta-ml-1m-large") {
    Config c = detail::preset_meta_ml_1m();
    c.model.num_layers = 8;
    c.model.num_heads = 2;
    c.model.dqk = 25;
    c.model.dv = 25;
    return c;
  }
  if (name == "ml-1m") return detail::preset_ml_1m();
  if (name == "complete-journey") return detail::preset_complete_journey();
  throw ConfigError(concat("preset: expected one of ", preset_names(), ", got '", name, "'"));
}

}  // namespace hstu
