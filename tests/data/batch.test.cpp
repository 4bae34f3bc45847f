// SPDX-License-Identifier: MIT
// Jagged batches: from windows with both paddings, from training passes and from histories.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/data/batcher.hpp>
#include <hstu/data/windows.hpp>

#include "make_ratings.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

using Ids = std::vector<std::int32_t>;
using Longs = std::vector<std::int64_t>;

Ids ids(const Tensor& x) { return x.to_vector<std::int32_t>(); }
Longs longs(const Tensor& x) { return x.to_vector<std::int64_t>(); }

/// Users with 0 … 5 events; event i of a user of length n has item i + 1 and time 100·i².
Sequences staircase() {
  Sequences sequences;
  for (std::int64_t n = 0; n <= 5; ++n) {
    for (std::int64_t i = 0; i < n; ++i) {
      sequences.items.push_back(static_cast<std::int32_t>(i + 1));
      sequences.timestamps_s.push_back(100 * i * i);
      sequences.ratings.push_back(1.0F);
    }
    sequences.offsets.push_back(std::ssize(sequences.items));
    sequences.users.push_back(std::to_string(n));
  }
  for (int i = 1; i <= 5; ++i) sequences.vocabulary.add(std::to_string(i));
  return sequences;
}

EventRange events_of(const Sequences& s, std::size_t user) { return {s.offsets[user], s.offsets[user + 1]}; }

JaggedBatch history(const Ids& items, const Longs& times, std::int64_t query_time_s, std::int64_t max_history) {
  JaggedBatchBuilder builder;
  add_history(builder, items, times, query_time_s, 9, max_history);
  return builder.build();
}

const Ids kTokens{0, 0, 4, 7, /**/ 1, 2, 3, 5};
const Longs kDiffs{0, 0, 60, 0, /**/ 90, 30, 10, 0};
const Ids kTargets{8, 6};

}  // namespace

TEST_CASE("batch_from_windows: skipped padding leaves real tokens with their columns as positions",
          "[data][batch][property]") {
  const JaggedBatch batch = batch_from_windows(kTokens, kDiffs, kTargets, 4, Padding::skip);
  CHECK(batch.users() == 2);
  CHECK(batch.tokens() == 6);
  CHECK(longs(batch.offsets) == Longs{0, 2, 6});
  CHECK(ids(batch.items) == Ids{4, 7, 1, 2, 3, 5});
  CHECK(ids(batch.positions) == Ids{2, 3, 0, 1, 2, 3});
  CHECK(ids(batch.targets) == Ids{7, 8, 2, 3, 5, 6});
  CHECK(longs(batch.ages_s) == Longs{60, 0, 90, 30, 10, 0});
  CHECK(longs(batch.times_s) == Longs{-60, 0, -90, -30, -10, 0});
  CHECK(longs(batch.query_times_s) == longs(batch.times_s));
  CHECK(std::ranges::equal(last_tokens(batch), Longs{1, 5}));
}

TEST_CASE("batch_from_windows: kept padding stays in the sequence without a target", "[data][batch][property]") {
  const JaggedBatch batch = batch_from_windows(kTokens, kDiffs, kTargets, 4, Padding::keep);
  CHECK(longs(batch.offsets) == Longs{0, 4, 8});
  CHECK(ids(batch.items) == kTokens);
  CHECK(ids(batch.positions) == Ids{0, 1, 2, 3, 0, 1, 2, 3});
  CHECK(ids(batch.targets) == Ids{0, 0, 7, 8, 2, 3, 5, 6});
  CHECK(longs(batch.ages_s) == kDiffs);
  CHECK(std::ranges::equal(last_tokens(batch), Longs{3, 7}));
}

TEST_CASE("batch_from_windows: no windows, and a window of padding only", "[data][batch][property]") {
  const JaggedBatch none = batch_from_windows({}, {}, {}, 4, Padding::skip);
  CHECK(none.users() == 0);
  CHECK(none.tokens() == 0);
  CHECK(last_tokens(none).empty());
  const JaggedBatch padding = batch_from_windows(Ids{0, 0}, Longs{0, 0}, Ids{3}, 2, Padding::skip);
  CHECK(padding.users() == 1);
  CHECK_THROWS_MATCHES(last_tokens(padding), DataError, MessageMatches(ContainsSubstring("user 0 has no tokens")));
}

TEST_CASE("batch_from_windows: sizes and times that do not fit are refused", "[data][batch][errors]") {
  const auto make = [](const Ids& tokens, const Longs& diffs, std::int64_t window) {
    return batch_from_windows(tokens, diffs, kTargets, window, Padding::skip);
  };
  CHECK_THROWS_MATCHES(make(kTokens, kDiffs, 3), ShapeError,
                       MessageMatches(ContainsSubstring("2 windows of 3 need 6 tokens, got 8")));
  CHECK_THROWS_AS(make(kTokens, {1, 2}, 4), ShapeError);
  CHECK_THROWS_AS(make({}, {}, -1), ShapeError);
  CHECK_THROWS_AS(make({}, {}, std::int64_t{1} << 63U), ShapeError);
  CHECK_THROWS_AS(make({}, {}, (std::int64_t{1} << 62U) + 1), ShapeError);
  Longs wild = kDiffs;
  wild[5] = std::numeric_limits<std::int64_t>::min();
  CHECK_THROWS_MATCHES(make(kTokens, wild, 4), DataError, MessageMatches(ContainsSubstring("window 1, column 1")));
}

TEST_CASE("add_training_pass: every event but the last predicts the next at the next one's time",
          "[data][batch][property]") {
  const Sequences sequences = staircase();
  JaggedBatchBuilder builder;
  for (std::size_t user = 0; user < 5; ++user) add_training_pass(builder, sequences, events_of(sequences, user), 10);
  const JaggedBatch batch = builder.build();
  CHECK(longs(batch.offsets) == Longs{0, 1, 3, 6});  // users of 0 and 1 events add nothing
  CHECK(ids(batch.items) == Ids{1, 1, 2, 1, 2, 3});
  CHECK(ids(batch.targets) == Ids{2, 2, 3, 2, 3, 4});
  CHECK(ids(batch.positions) == Ids{0, 0, 1, 0, 1, 2});
  CHECK(longs(batch.times_s) == Longs{0, 0, 100, 0, 100, 400});
  CHECK(longs(batch.query_times_s) == Longs{100, 100, 400, 100, 400, 900});
  CHECK(longs(batch.ages_s) == Longs{100, 100, 300, 100, 300, 500});
}

TEST_CASE("add_training_pass: keeps the most recent inputs, positions from 0", "[data][batch][property]") {
  const Sequences sequences = staircase();
  for (std::int64_t max_history = 1; max_history <= 6; ++max_history) {
    JaggedBatchBuilder builder;
    add_training_pass(builder, sequences, events_of(sequences, 5), max_history);
    const JaggedBatch batch = builder.build();
    const std::int64_t kept = std::min<std::int64_t>(max_history, 4);
    REQUIRE(batch.tokens() == kept);
    for (std::int64_t i = 0; i < kept; ++i) {
      REQUIRE(ids(batch.items)[static_cast<std::size_t>(i)] == 4 - kept + i + 1);
      REQUIRE(ids(batch.positions)[static_cast<std::size_t>(i)] == i);
    }
    REQUIRE(ids(batch.targets).back() == 5);
  }
  JaggedBatchBuilder builder;
  CHECK_THROWS_MATCHES(add_training_pass(builder, sequences, events_of(sequences, 5), 0), ConfigError,
                       MessageMatches(ContainsSubstring("got 0")));
}

TEST_CASE("add_history: only the last token has a target, asked for at the query time", "[data][batch][property]") {
  const JaggedBatch batch = history({5, 3, 8}, {10, 20, 70}, 100, 10);
  CHECK(longs(batch.offsets) == Longs{0, 3});
  CHECK(ids(batch.targets) == Ids{0, 0, 9});
  CHECK(longs(batch.query_times_s) == Longs{20, 70, 100});
  CHECK(longs(batch.ages_s) == Longs{10, 50, 30});
  const JaggedBatch cut = history({5, 3, 8}, {10, 20, 70}, 100, 2);
  CHECK(ids(cut.items) == Ids{3, 8});
  CHECK(ids(cut.positions) == Ids{0, 1});
  CHECK(longs(cut.times_s) == Longs{20, 70});
  CHECK(history({5}, {10}, 10, 1).tokens() == 1);
}

TEST_CASE("add_history: the tokens of a training pass over the same events", "[data][batch][property]") {
  const Sequences sequences = staircase();
  JaggedBatchBuilder builder;
  add_training_pass(builder, sequences, events_of(sequences, 5), 3);
  const JaggedBatch pass = builder.build();
  const Ids items{1, 2, 3, 4};
  const JaggedBatch asked = history(items, {0, 100, 400, 900}, 1600, 3);
  CHECK(ids(asked.items) == ids(pass.items));
  CHECK(ids(asked.positions) == ids(pass.positions));
  CHECK(longs(asked.times_s) == longs(pass.times_s));
  CHECK(longs(asked.query_times_s) == longs(pass.query_times_s));
  CHECK(longs(asked.ages_s) == longs(pass.ages_s));
}

TEST_CASE("add_history: empty, contradicting and timeless histories are refused", "[data][batch][errors]") {
  CHECK_THROWS_MATCHES(history({}, {}, 5, 3), DataError, MessageMatches(ContainsSubstring("at least one event")));
  CHECK_THROWS_MATCHES(history({1, 2}, {1}, 5, 3), DataError, MessageMatches(ContainsSubstring("got 2 items and 1")));
  CHECK_THROWS_MATCHES(history({1}, {1}, 5, 0), ConfigError, MessageMatches(ContainsSubstring("max_history")));
  for (const std::int64_t wild : {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(),
                                  kLastTimestamp + 1, -kLastTimestamp - 1}) {
    CHECK_THROWS_MATCHES(history({1}, {wild}, 5, 3), DataError, MessageMatches(ContainsSubstring("out of range")));
    CHECK_THROWS_MATCHES(history({1}, {5}, wild, 3), DataError, MessageMatches(ContainsSubstring("out of range")));
  }
  CHECK_NOTHROW(history({1}, {0}, kLastTimestamp, 3));
}
