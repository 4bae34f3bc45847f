// SPDX-License-Identifier: MIT
// make_windows: torch-rechub 0.1.0's samples.
#include <hstu/data/windows.hpp>

#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/data/synthetic.hpp>

#include "make_ratings.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

/// User 0: items 1, 2, 3, 4 at 100, 130, 130, 200; user 1: item 5; user 2: items 4, 1 at 0, 7.
Sequences three() {
  return make_sequences(make_ratings({{"a", "p", 100},
                                      {"a", "q", 130},
                                      {"a", "r", 130},
                                      {"a", "s", 200},
                                      {"b", "t", 1},
                                      {"c", "s", 0},
                                      {"c", "p", 7}}));
}

}  // namespace

TEST_CASE("windows: every prefix predicts the next item, left-padded and cut to the latest",
          "[data][windows][property]") {
  const std::vector<std::int64_t> users = {0, 1, 2};
  const Windows windows = make_windows(three(), users, 2);
  CHECK(windows.size() == 4);
  CHECK(windows.tokens == std::vector<std::int32_t>{0, 1, 1, 2, 2, 3, 0, 4});
  CHECK(windows.targets == std::vector<std::int32_t>{2, 3, 4, 1});
  CHECK(windows.positions == std::vector<std::int32_t>{0, 1, 0, 1, 0, 1, 0, 1});
  CHECK(windows.time_diffs_s == std::vector<std::int64_t>{0, 0, 30, 0, 0, 0, 0, 0});
  CHECK(make_windows(three(), users, 4).time_diffs_s ==
        std::vector<std::int64_t>{0, 0, 0, 0, 0, 0, 30, 0, 0, 30, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("windows: equal to a direct transcription of the definition", "[data][windows][parity]") {
  const Sequences sequences =
      make_sequences(make_synthetic_ratings({.users = 15, .items = 60, .max_length = 25, .seed = 4}));
  const std::vector<std::int64_t> users = {3, 0, 14};
  for (const std::int64_t width : {1, 7, 40}) {
    const Windows windows = make_windows(sequences, users, width);
    std::vector<std::int32_t> tokens;
    std::vector<std::int64_t> diffs;
    std::vector<std::int32_t> targets;
    for (const std::int64_t user : users) {
      const auto items = sequences.items_of(user);
      const auto times = sequences.timestamps_of(user);
      for (std::int64_t end = 1; end < sequences.length(user); ++end) {
        for (std::int64_t i = end - width; i < end; ++i) {  // negative: padding
          tokens.push_back(i < 0 ? 0 : items[static_cast<std::size_t>(i)]);
          diffs.push_back(i < 0 ? 0 : times[static_cast<std::size_t>(end - 1)] - times[static_cast<std::size_t>(i)]);
        }
        targets.push_back(items[static_cast<std::size_t>(end)]);
      }
    }
    CHECK(windows.tokens == tokens);
    CHECK(windows.time_diffs_s == diffs);
    CHECK(windows.targets == targets);
  }
}

TEST_CASE("windows: users with fewer than two events give none", "[data][windows][property]") {
  const std::vector<std::int64_t> single = {1};
  CHECK(list_windows(three(), single).empty());
  CHECK(make_windows(three(), single, 3).size() == 0);
  const std::vector<WindowRef> chosen = {{2, 1}, {0, 3}};
  CHECK(make_windows(three(), chosen, 1).tokens == std::vector<std::int32_t>{4, 3});
}

TEST_CASE("windows: widths, users and targets out of range are errors", "[data][windows][errors]") {
  const std::vector<std::int64_t> users = {0};
  const std::vector<std::int64_t> unknown = {3};
  CHECK_THROWS_MATCHES(make_windows(three(), users, 0), ConfigError, MessageMatches(ContainsSubstring("max_seq_len")));
  CHECK_THROWS_AS(make_windows(three(), users, std::int64_t{1} << 62), ShapeError);
  CHECK_THROWS_AS(make_windows(three(), unknown, 2), DataError);
  for (const std::int64_t target : {-1, 0, 4}) {
    const std::vector<WindowRef> ref = {{0, target}};
    CHECK_THROWS_MATCHES(make_windows(three(), ref, 2), DataError,
                         MessageMatches(ContainsSubstring("expected a target in [1, 4)")));
  }
}
