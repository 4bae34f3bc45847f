// SPDX-License-Identifier: MIT
// A tiny ranking problem: three users, settings, made-up features.
#pragma once
#include <hstu/train/ranking_trainer.hpp>

#include "small_training.hpp"

namespace hstu::test {

/// Three users with 5, 1 and 9 events; ratings depend on the item.
inline std::shared_ptr<const Sequences> three_users() {
  Ratings ratings;
  ratings.source = "test";
  for (int v = 0; v < 7; ++v) ratings.items.add(concat("item ", v));
  ratings.users = {"a", "b", "c"};
  const std::int32_t lengths[] = {5, 1, 9};
  for (std::int32_t user = 0; user < 3; ++user) {
    for (std::int32_t i = 0; i < lengths[user]; ++i) {
      ratings.user.push_back(user);
      ratings.item.push_back(1 + (3 * i + user) % 7);
      ratings.rating.push_back(static_cast<float>(1 + (i * i + user) % 5));
      ratings.timestamp_s.push_back(1000 + 60 * i * i);
    }
  }
  return std::make_shared<const Sequences>(make_sequences(ratings));
}

inline RankingSettings small_settings(ActionInput input, bool has_context) {
  RankingSettings s = dlrm_hstu_settings();
  s.hstu.model.d_model = 8;
  s.hstu.model.dqk = 4;
  s.hstu.model.dv = 4;
  s.hstu.model.dropout = 0.1;
  s.hstu.model.max_seq_len = 32;
  s.hstu.model.num_time_buckets = 16;
  s.hstu.train.max_history = 12;
  s.hstu.train.batch_size = 60;
  s.held_out = 2;
  s.ranking.head_width = 6;
  s.ranking.input = input;
  s.ranking.actions = {{"rating", FeatureKind::category}, {"rating", FeatureKind::number}};
  s.ranking.item_features = {{"size", FeatureKind::number}};
  if (has_context) s.ranking.user_features = {{"job", FeatureKind::category}, {"age", FeatureKind::number}};
  return s;
}

/// Data with made-up features.
inline RankingData data_of(std::shared_ptr<const Sequences> sequences, const RankingSettings& settings) {
  const auto column = [](const FeatureSpec& spec, std::int64_t rows) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < rows; ++i) values.push_back(static_cast<float>(i * i % 5));
    return make_feature(spec, values);
  };
  FeatureTable users, items;
  for (const FeatureSpec& spec : settings.ranking.user_features) users.push_back(column(spec, sequences->num_users()));
  for (const FeatureSpec& spec : settings.ranking.item_features) {
    items.push_back(column(spec, sequences->vocabulary.size()));
  }
  return make_ranking_data(sequences, settings.ranking, users, items);
}

struct Variant {
  ActionInput input;
  bool has_context;
};
inline constexpr Variant kVariants[] = {{ActionInput::interleaved, false}, {ActionInput::interleaved, true},
                                 {ActionInput::fused, false}, {ActionInput::fused, true}};

}  // namespace hstu::test
