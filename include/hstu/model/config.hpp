// SPDX-License-Identifier: MIT
// One description of every model this library reproduces.
#pragma once
#include <cstdint>

#include <hstu/ops/attention_mask.hpp>
#include <hstu/ops/mixture_of_logits.hpp>
#include <hstu/ops/time_buckets.hpp>

namespace hstu {

/// Whose layer: torch-rechub 0.1.0 (softmax, sigmoid gate, FFN), torch-rechub 0.9.0 (SiLU, weighted norms) or Meta's
/// research code (SiLU, norms without weights).
enum class LayerKind { rechub_0_1, rechub_0_9, meta };

/// Position part of the attention bias: none; linear buckets of |i − j| (torch-rechub 0.1.0); one row per signed
/// distance (torch-rechub 0.9.0, Meta); directional logarithmic buckets (T5).
enum class PositionBias { none, linear, signed_distance, directional_log };

/// Time part of the attention bias, per pair of events: none; |tᵢ − tⱼ| (torch-rechub 0.9.0); |tᵢ₊₁ − tⱼ|, the time
/// of the event to predict against the key's (Meta).
enum class TimeBias { none, own_time, query_time };

/// How hidden states are scored against items: by dot products, or by a mixture of several (mixture_of_logits).
enum class Similarity { dot, mixture };

enum class InitKind { xavier_uniform, truncated_normal };

struct HstuConfig {
  LayerKind layer = LayerKind::meta;
  std::int64_t num_items = 0;  ///< padding included
  std::int64_t item_table_rows = 0;  ///< 0: a row per item; else items are hashed into so many rows (ItemRows)
  std::int64_t d_model = 50;
  std::int64_t num_heads = 1;
  std::int64_t dqk = 50;
  std::int64_t dv = 50;
  std::int64_t num_layers = 2;
  std::int64_t max_seq_len = 200;  ///< rows of the position embedding; divisor of SiLU attention
  double dropout = 0.2;

  PositionBias position_bias = PositionBias::signed_distance;
  std::int64_t num_position_buckets = 32;  ///< linear and directional_log
  TimeBias time_bias = TimeBias::query_time;
  std::int64_t num_time_buckets = 128;
  TimeFunction time_function = TimeFunction::log;
  TimeUnit time_unit = TimeUnit::seconds;
  double time_divisor = 0.301;

  std::int64_t max_attn_len = 0;           ///< window: a query sees itself and this many events back; 0 = no window
  std::int64_t min_full_attn_seq_len = 0;  ///< the last so many events of a history see past the window

  bool use_time_embedding = false;    ///< adds a row per bucket of the age to the input
  bool scale_input_embedding = true;  ///< item embedding × √d_model
  bool concat_ua = false;             ///< Meta: output projection sees [u, a, u·a] instead of u·a
  bool tie_embeddings = true;         ///< scores against the item table, else against an output projection
  bool use_output_bias = false;
  bool l2_scores = true;              ///< hidden states and item rows are L2-normalised before scoring
  double temperature = 0.05;          ///< scores are divided by it
  Similarity similarity = Similarity::dot;
  std::int64_t mixture_query_parts = 4;  ///< of a hidden state, in a mixture
  std::int64_t mixture_item_parts = 4;   ///< of an item
  std::int64_t mixture_part_width = 16;  ///< columns of each
  double layer_norm_eps = 1e-6;
  double l2_eps = 1e-6;
  InitKind init = InitKind::truncated_normal;  ///< of the item table
};

/// Which events a layer's attention sees.  There are no contextual tokens: they would see the event to predict.
constexpr AttentionMask attention_mask(const HstuConfig& c) {
  return {.max_attn_len = c.max_attn_len, .min_full_attn_seq_len = c.min_full_attn_seq_len};
}

/// Throws ConfigError, naming the field, if the description is not a model.
inline void validate(const HstuConfig& c) {
  const auto positive = [](const char* name, std::int64_t value, std::int64_t limit) {
    check<ConfigError>(value >= 1 && value <= limit, "config: ", name, " must be in [1, ", limit, "], got ", value);
  };
  positive("num_items", c.num_items, std::int64_t{1} << 31);
  check<ConfigError>(c.item_table_rows == 0 || (c.item_table_rows >= 2 && c.item_table_rows <= std::int64_t{1} << 31),
                     "config: item_table_rows must be 0 or in [2, 2^31], got ", c.item_table_rows);
  check<ConfigError>(c.item_table_rows == 0 || (c.tie_embeddings && !c.use_output_bias),
                     "config: item_table_rows needs tie_embeddings = true and use_output_bias = false");
  positive("d_model", c.d_model, 1 << 16);
  positive("num_heads", c.num_heads, 1 << 10);
  positive("dqk", c.dqk, 1 << 14);
  positive("dv", c.dv, 1 << 14);
  positive("num_layers", c.num_layers, 1 << 12);
  positive("max_seq_len", c.max_seq_len, 1 << 22);
  positive("num_position_buckets", c.num_position_buckets, 1 << 20);
  positive("num_time_buckets", c.num_time_buckets, (1 << 16) - 1);
  const auto no_mask_or = [](const char* name, std::int64_t value) {
    check<ConfigError>(value >= 0 && value <= 1 << 22, "config: ", name, " must be in [0, ", 1 << 22, "], got ", value);
  };
  no_mask_or("max_attn_len", c.max_attn_len);
  no_mask_or("min_full_attn_seq_len", c.min_full_attn_seq_len);
  check<ConfigError>(c.min_full_attn_seq_len == 0 || c.max_attn_len > 0,
                     "config: min_full_attn_seq_len needs a window, max_attn_len above 0");
  check<ConfigError>(c.dropout >= 0 && c.dropout < 1, "config: dropout must be in [0, 1), got ", c.dropout);
  check<ConfigError>(c.temperature > 0 && c.temperature < 1e6, "config: temperature must be positive, got ",
                     c.temperature);
  positive("mixture_query_parts", c.mixture_query_parts, kMaxMixturePairs);
  positive("mixture_item_parts", c.mixture_item_parts, kMaxMixturePairs);
  positive("mixture_part_width", c.mixture_part_width, 1 << 12);
  check<ConfigError>(c.mixture_query_parts * c.mixture_item_parts <= kMaxMixturePairs,
                     "config: mixture_query_parts · mixture_item_parts must be at most ", kMaxMixturePairs, ", got ",
                     c.mixture_query_parts, " · ", c.mixture_item_parts);
  check<ConfigError>(c.similarity == Similarity::dot || (c.tie_embeddings && !c.use_output_bias),
                     "config: similarity = mixture needs tie_embeddings = true and use_output_bias = false");
  check<ConfigError>(c.time_divisor >= kLeastTimeDivisor && c.time_divisor <= kLargestTimeDivisor,
                     "config: time_divisor must be in [", kLeastTimeDivisor, ", ", kLargestTimeDivisor, "], got ",
                     c.time_divisor);
  check<ConfigError>(c.layer_norm_eps > 0 && c.l2_eps > 0, "config: layer_norm_eps and l2_eps must be positive, got ",
                     c.layer_norm_eps, " and ", c.l2_eps);
  check<ConfigError>(!c.concat_ua || c.layer == LayerKind::meta, "config: concat_ua belongs to the layer meta");
  check<ConfigError>(c.layer != LayerKind::rechub_0_1 || c.time_bias == TimeBias::none,
                     "config: the layer rechub-0.1 has no time bias, got time_bias other than none");
}

}  // namespace hstu
