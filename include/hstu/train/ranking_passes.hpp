// SPDX-License-Identifier: MIT
// Ranking: what of the data is trained on, validated and tested, and the passes over it.
#pragma once
#include <hstu/core/chunks.hpp>
#include <hstu/train/ranking_settings.hpp>

namespace hstu {

/// Events of a user by what they serve for: [begin, train_end) [train_end, validation_end) [validation_end, end).
struct RankingSplit {
  std::int64_t begin = 0, train_end = 0, validation_end = 0, end = 0;
};

inline RankingSplit ranking_split(const Sequences& sequences, std::int64_t user, std::int64_t held_out) {
  const std::int64_t begin = sequences.offsets[static_cast<std::size_t>(user)], length = sequences.length(user);
  const std::int64_t part = std::min(held_out, length / 4);
  return {begin, begin + length - 2 * part, begin + length - part, begin + length};
}

/// Columns and labels of the tasks.  The feature tables are those of the settings' item_features and user_features.
/// Throws DataError for a column that the events do not have.
inline RankingData make_ranking_data(std::shared_ptr<const Sequences> sequences, const RankingConfig& ranking,
                                     FeatureTable users = {}, FeatureTable items = {}) {
  check<DataError>(users.size() == ranking.user_features.size() && items.size() == ranking.item_features.size(),
                   "ranking: expected ", ranking.user_features.size(), " user and ", ranking.item_features.size(),
                   " item features, got ", users.size(), " and ", items.size());
  RankingData data{.sequences = std::move(sequences), .users = std::move(users), .items = std::move(items),
                   .actions = {}, .labels = {}};
  for (const FeatureSpec& spec : ranking.actions) {
    data.actions.push_back(make_feature(spec, data.sequences->column(spec.name)));
  }
  const auto K = std::ssize(ranking.tasks);
  data.labels = Tensor({data.sequences->num_events(), K}, DType::float32);
  for (std::int64_t k = 0; k < K; ++k) {
    const Task& task = ranking.tasks[static_cast<std::size_t>(k)];
    float* label = data.labels.mutable_data<float>() + k;
    for (const float value : data.sequences->column(task.column)) {
      *label = task.kind == TaskKind::regression ? value : static_cast<double>(value) >= task.threshold ? 1.0f : 0.0f;
      label += K;
    }
  }
  return data;
}

/// One pass over events of a user.
struct RankingPass {
  std::int64_t user = 0;
  EventRange events;
  std::int64_t first_predicted = 0;
};

/// Passes that predict every training event once: a user's events are cut, from the last one back, into passes of
/// max_history.  Throws DataError if there is none.
inline std::vector<RankingPass> training_passes(const Sequences& sequences, const RankingSettings& settings) {
  // A fused pass without context predicts from the second event on.
  const bool needs_two = settings.ranking.input == ActionInput::fused && settings.ranking.user_features.empty();
  std::vector<RankingPass> passes;
  for (std::int64_t user = 0; user < sequences.num_users(); ++user) {
    const RankingSplit split = ranking_split(sequences, user, settings.held_out);
    for (std::int64_t end = split.train_end; end > split.begin; end -= settings.hstu.train.max_history) {
      const std::int64_t first = std::max(split.begin, end - settings.hstu.train.max_history);
      if (end - first >= (needs_two ? 2 : 1)) passes.push_back({user, {first, end}, first});
    }
  }
  check<DataError>(!passes.empty(), "ranking: no user has events to train on, once the held-out ones are left out");
  return passes;
}

/// One pass per user that has events held out for testing, or for validation.
inline std::vector<RankingPass> held_out_passes(const Sequences& sequences, const RankingSettings& settings,
                                                bool is_test) {
  std::vector<RankingPass> passes;
  for (std::int64_t user = 0; user < sequences.num_users(); ++user) {
    const RankingSplit split = ranking_split(sequences, user, settings.held_out);
    const std::int64_t first = is_test ? split.validation_end : split.train_end;
    const std::int64_t end = is_test ? split.end : split.validation_end;
    if (first == end) continue;
    passes.push_back({user, {std::max(split.begin, end - settings.hstu.train.max_history), end}, first});
  }
  return passes;
}

/// Neighbouring passes of about kChunkTokens tokens.
inline PoolVector<IndexRange> chunks_of(std::span<const RankingPass> passes, const RankingConfig& ranking) {
  return make_chunks(std::ssize(passes), [&](std::int64_t i) {
    return RankingBatchBuilder::length(ranking.input, std::ssize(ranking.user_features),
                                       passes[static_cast<std::size_t>(i)].events.size());
  });
}

/// The passes of a chunk.
inline RankingBatch batch_of(std::span<const RankingPass> passes, const IndexRange& chunk, const Sequences& sequences,
                             const RankingConfig& ranking) {
  RankingBatchBuilder builder(sequences, ranking.input, std::ssize(ranking.user_features));
  for (std::int64_t i = chunk.begin; i < chunk.end; ++i) {
    const RankingPass& pass = passes[static_cast<std::size_t>(i)];
    builder.add(pass.user, pass.events, pass.first_predicted);
  }
  return builder.build();
}

}  // namespace hstu
