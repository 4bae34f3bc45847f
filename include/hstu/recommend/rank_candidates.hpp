// SPDX-License-Identifier: MIT
// What a user would do with each of many items, from one pass over the history.
#pragma once
#include <hstu/model/ranking_model.hpp>

namespace hstu {

/// Candidates that one pass scores.
inline constexpr std::int64_t kCandidatesPerPass = 256;

/// Per candidate and task a probability, or a number, float64 [m, K], as if each candidate alone were the event after
/// `events`, at `time_s`.  The candidates are targets of one pass (interleaved) or share its last token (fused), in
/// groups of kCandidatesPerPass.  `events` are events of `user`; only the last `max_history` − 1 count.
/// Throws DataError for a user or item that the data do not have, a time before the last event, or where there is
/// nothing to predict from.
inline Tensor rank_candidates(const RankingModel& model, const RankingData& data, std::int64_t user, EventRange events,
                              std::span<const std::int32_t> candidates, std::int64_t time_s,
                              std::int64_t max_history = 200) {
  const Sequences& sequences = *data.sequences;
  check<DataError>(user >= 0 && user < sequences.num_users(), "rank: user ", user, " of ", sequences.num_users());
  const std::int64_t first = sequences.offsets[static_cast<std::size_t>(user)];
  check<DataError>(events.begin >= first && events.begin <= events.end && events.end <= first + sequences.length(user),
                   "rank: the events ", events.begin, " to ", events.end, " are not those of user ", user);
  for (const std::int32_t item : candidates) {
    check<DataError>(item >= 0 && item < sequences.vocabulary.size(), "rank: item ", item,
                     " is outside of the table of ", sequences.vocabulary.size());
  }
  events.begin = std::max(events.begin, events.end - max_history + 1);
  const std::int64_t last_s =
      events.size() > 0 ? sequences.timestamps_s[static_cast<std::size_t>(events.end - 1)] : time_s;
  check<DataError>(time_s >= last_s, "rank: asked at ", time_s, " s, expected from the time of the last event, ", last_s,
                   " s, on");
  const NoGrad no_grad;
  const RankingConfig& ranking = model.ranking();
  const auto m = std::ssize(candidates), K = std::ssize(ranking.tasks);
  Tensor predicted({m, K}, DType::float64);
  for (std::int64_t begin = 0; begin < m; begin += kCandidatesPerPass) {
    const std::int64_t count = std::min(kCandidatesPerPass, m - begin);
    RankingBatchBuilder builder(sequences, ranking.input, std::ssize(ranking.user_features));
    builder.add_candidates(user, events, candidates.subspan(static_cast<std::size_t>(begin),
                                                            static_cast<std::size_t>(count)), time_s);
    ForwardContext context;
    const Tensor outputs = model(builder.build(), data, context).to(DType::float64);
    for (std::int64_t i = 0; i < count * K; ++i) {
      predicted.mutable_data<double>()[begin * K + i] =
          model.predicted(static_cast<std::size_t>(i % K), outputs.data<double>()[i]);
    }
  }
  return predicted;
}

}  // namespace hstu
