// SPDX-License-Identifier: MIT
// Models of every family, histories for them, and the full forward pass that caches are compared with.
#pragma once
#include <hstu/data/batcher.hpp>
#include <hstu/recommend/history_cache.hpp>

#include "../model/small_models.hpp"

namespace hstu::test {

/// Of every family, with every input that may look ahead, and under masks: 70 positions, 30 items.
inline std::vector<HstuConfig> serve_configs() {
  std::vector<HstuConfig> all;
  for (const LayerKind kind : {LayerKind::meta, LayerKind::rechub_0_9, LayerKind::rechub_0_1}) {
    HstuConfig config = tiny_config(kind);
    config.num_items = 30;
    config.max_seq_len = 70;
    config.dqk = 5;
    config.dv = 9;
    all.push_back(config);
  }
  HstuConfig aged = all[1];
  aged.use_time_embedding = true;
  aged.position_bias = PositionBias::none;
  all.push_back(aged);
  HstuConfig wide = all[0];
  wide.concat_ua = true;
  wide.num_heads = 1;
  wide.dv = 16;
  wide.position_bias = PositionBias::directional_log;
  all.push_back(wide);
  HstuConfig plain = all[2];
  plain.use_time_embedding = false;
  plain.position_bias = PositionBias::none;
  all.push_back(plain);
  HstuConfig mixed = all[0];
  mixed.similarity = Similarity::mixture;
  mixed.mixture_query_parts = 2;
  mixed.mixture_item_parts = 3;
  mixed.mixture_part_width = 5;
  all.push_back(mixed);
  for (std::size_t family = 0; family < 3; ++family) {
    HstuConfig masked = all[family];
    masked.max_attn_len = 20;
    all.push_back(masked);
    masked.max_attn_len = 8 + static_cast<std::int64_t>(family);
    masked.min_full_attn_seq_len = 7;
    all.push_back(masked);
  }
  return all;
}

/// Every parameter away from its initial value.
inline HstuModel shaken_model(const HstuConfig& config, DType dtype) {
  HstuModel model(config, 5, dtype);
  scatter_parameters(model);
  return model;
}

struct Events {
  std::vector<std::int32_t> items;
  std::vector<std::int64_t> times_s;

  std::int64_t size() const { return std::ssize(items); }
  std::span<const std::int32_t> items_between(std::int64_t first, std::int64_t last) const {
    return std::span(items).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
  }
  std::span<const std::int64_t> times_between(std::int64_t first, std::int64_t last) const {
    return std::span(times_s).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
  }
  Events between(std::int64_t first, std::int64_t last) const {
    const auto i = items_between(first, last);
    const auto t = times_between(first, last);
    return {{i.begin(), i.end()}, {t.begin(), t.end()}};
  }
};

/// Every third event at the time of the one before.
inline Events random_events(std::int64_t count, std::int64_t num_items, std::uint64_t seed) {
  const RandomStream random{.seed = seed};
  Events events;
  std::int64_t time_s = 1000;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::uint64_t>(3 * i);
    time_s += random.below(at, 3) == 0 ? 0 : static_cast<std::int64_t>(random.below(at + 1, 5000));
    events.items.push_back(
        static_cast<std::int32_t>(1 + random.below(at + 2, static_cast<std::uint32_t>(num_items - 1))));
    events.times_s.push_back(time_s);
  }
  return events;
}

/// Hidden state of the last of the first `count` events, from the full forward pass, [1, D].
inline Tensor full_hidden(const HstuModel& model, const Events& events, std::int64_t count, std::int64_t query_time_s) {
  JaggedBatchBuilder builder;
  add_history(builder, events.items_between(0, count), events.times_between(0, count), query_time_s, 0, count);
  ForwardContext context;
  const NoGrad no_grad;
  const Tensor hidden = model.hidden(builder.build(), context);
  return hidden.rows(count - 1, count);
}

/// Hidden state of `item` as a target behind all events, at `time_s`, from the full forward pass, [1, D].
inline Tensor full_hidden_of_target(const HstuModel& model, Events events, std::int32_t item, std::int64_t time_s) {
  events.items.push_back(item);
  events.times_s.push_back(time_s);
  JaggedBatchBuilder builder;
  add_history(builder, events.items, events.times_s, time_s, 0, events.size());
  const JaggedBatch batch = builder.build();
  const RelativeBias bias = model.lookup().of(batch);
  const NoGrad no_grad;
  ForwardContext context;
  const Tensor hidden = model.through_layers(
      model.embed(batch), context,
      [&](std::size_t layer, const Columns& q, const Columns& k, const Columns& v, AttentionOptions options) {
        options.num_targets = Tensor::full({1}, 1.0, DType::int64);
        return hstu_attention(q, k, v, batch.offsets, model.tables_of(layer).in(bias), options);
      });
  return hidden.rows(events.size() - 1, events.size());
}

inline double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const Values x = a.to(DType::float64).to_vector<double>(), y = b.to(DType::float64).to_vector<double>();
  double worst = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double difference = std::abs(x[i] - y[i]);
    if (!(difference <= worst)) worst = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
  }
  return worst;
}

}  // namespace hstu::test
