// SPDX-License-Identifier: MIT
// Tiny models of every kind and batches for them.
#pragma once
#include <hstu/model/hstu.hpp>

#include "../check_op.hpp"

namespace hstu::test {

inline constexpr LayerKind kLayerKinds[] = {LayerKind::rechub_0_1, LayerKind::rechub_0_9, LayerKind::meta};

inline const char* name_of(LayerKind kind) {
  switch (kind) {
    case LayerKind::rechub_0_1: return "rechub-0.1";
    case LayerKind::rechub_0_9: return "rechub-0.9";
    case LayerKind::meta: return "meta";
  }
  return "unknown";
}

/// 2 layers of 2 heads, 7 items, sequences up to 6; without dropout.
inline HstuConfig tiny_config(LayerKind kind) {
  HstuConfig c{.layer = kind,
               .num_items = 7,
               .d_model = 4,
               .num_heads = 2,
               .dqk = 3,
               .dv = 2,
               .num_layers = 2,
               .max_seq_len = 6,
               .dropout = 0.0,
               .position_bias = PositionBias::signed_distance,
               .num_position_buckets = 5,
               .time_bias = TimeBias::query_time,
               .num_time_buckets = 9,
               .time_divisor = 1.0,
               .temperature = 0.5,
               .init = InitKind::xavier_uniform};
  if (kind == LayerKind::rechub_0_9) c.time_bias = TimeBias::own_time;
  if (kind != LayerKind::rechub_0_1) return c;
  c.position_bias = PositionBias::linear;
  c.time_bias = TimeBias::none;
  c.use_time_embedding = true;
  c.tie_embeddings = false;
  c.use_output_bias = true;
  c.l2_scores = false;
  return c;
}

struct Event {
  std::int32_t item;
  std::int64_t time_s;
};
using History = std::vector<Event>;

/// A batch of histories, each asked 50 s after its last event.
inline JaggedBatch batch_of(const std::vector<History>& histories) {
  JaggedBatchBuilder builder;
  for (const History& history : histories) {
    builder.begin_user();
    for (std::size_t i = 0; i < history.size(); ++i) {
      const bool is_last = i + 1 == history.size();
      const std::int64_t next_s = is_last ? history[i].time_s + 50 : history[i + 1].time_s;
      builder.add(history[i].item, static_cast<std::int32_t>(i), history[i].time_s, next_s, next_s - history[i].time_s,
                  is_last ? 1 : history[i + 1].item);
    }
  }
  return builder.build();
}

inline const std::vector<History> kHistories = {{{3, 0}, {1, 20}, {6, 20}, {2, 400}},
                                                {{5, 90}},
                                                {{2, 10}, {4, 11}, {3, 500}, {6, 502}, {1, 9000}, {5, 9001}}};

inline Tensor hidden_of(const HstuModel& model, const std::vector<History>& histories) {
  ForwardContext context;
  return model.hidden(batch_of(histories), context);
}

/// Gives every parameter values away from its initial ones: biases and bias tables begin at zero.
inline void scatter_parameters(const HstuModel& model, double scale = 0.4) {
  std::uint32_t site = 100;
  for (const NamedParameter& p : model.parameters()) {
    Tensor values = p.value;
    add_in_place(values, random_input(values.shape(), site++, scale).to(values.dtype()));
  }
}

}  // namespace hstu::test
