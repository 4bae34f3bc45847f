// SPDX-License-Identifier: MIT
// Sequences → jagged batches: training passes, and histories with an event to predict.
#pragma once
#include <algorithm>

#include <hstu/data/batch.hpp>
#include <hstu/data/sequences.hpp>
#include <hstu/data/split.hpp>

namespace hstu {

/// Adds one causal pass over the events [begin, end) of the columns: every event but the last is an input whose target
/// is the next event; the last event is only a target.  At most `max_history` inputs, the most recent ones.
/// The time at which a prediction is asked for is that of its target; the age of an input is the time until then.
/// Adds nothing for fewer than two events.  Throws ConfigError for a max_history below 1.
inline void add_training_pass(JaggedBatchBuilder& builder, const Sequences& sequences, const EventRange& events,
                              std::int64_t max_history) {
  check<ConfigError>(max_history >= 1, "training pass: max_history must be at least 1, got ", max_history);
  if (events.size() < 2) return;
  builder.begin_user();
  const std::int64_t first = std::max(events.begin, events.end - 1 - max_history);
  for (std::int64_t i = first; i + 1 < events.end; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::int64_t time_s = sequences.timestamps_s[at], next_s = sequences.timestamps_s[at + 1];
    builder.add(sequences.items[at], static_cast<std::int32_t>(i - first), time_s, next_s, next_s - time_s,
                sequences.items[at + 1]);
  }
}

/// Adds a history to predict from at `query_time_s`, e.g. the time of a held-out event.
/// items, timestamps_s: the user's events in order, the most recent `max_history` of them are used.
/// Only the last token has a target.  Throws DataError for an empty history, columns of two lengths, or a time further
/// from 1970 than kLastTimestamp; ConfigError for a max_history below 1.
inline void add_history(JaggedBatchBuilder& builder, std::span<const std::int32_t> items,
                        std::span<const std::int64_t> timestamps_s, std::int64_t query_time_s, std::int32_t target,
                        std::int64_t max_history) {
  check<ConfigError>(max_history >= 1, "history: max_history must be at least 1, got ", max_history);
  check<DataError>(!items.empty() && items.size() == timestamps_s.size(),
                   "history: expected at least one event and as many times as items, got ", items.size(), " items and ",
                   timestamps_s.size(), " times");
  const auto check_time = [](std::int64_t time_s) {
    check<DataError>(time_s >= -kLastTimestamp && time_s <= kLastTimestamp, "history: time ", time_s,
                     " s is out of range");
  };
  check_time(query_time_s);
  builder.begin_user();
  const std::size_t first = items.size() - std::min(items.size(), static_cast<std::size_t>(max_history));
  for (std::size_t i = first; i < items.size(); ++i) {
    check_time(timestamps_s[i]);
    const bool is_last = i + 1 == items.size();
    const std::int64_t next_s = is_last ? query_time_s : timestamps_s[i + 1];
    builder.add(items[i], static_cast<std::int32_t>(i - first), timestamps_s[i], next_s, next_s - timestamps_s[i],
                is_last ? target : 0);
  }
}

/// Rows of the last token of every user of a batch.  Throws DataError for a user without tokens.
inline PoolVector<std::int64_t> last_tokens(const JaggedBatch& batch) {
  PoolVector<std::int64_t> rows;
  const auto offsets = batch.offsets.values<std::int64_t>();
  for (std::size_t b = 0; b + 1 < offsets.size(); ++b) {
    check<DataError>(offsets[b + 1] > offsets[b], "last_tokens: user ", b, " has no tokens");
    rows.push_back(offsets[b + 1] - 1);
  }
  return rows;
}

}  // namespace hstu
