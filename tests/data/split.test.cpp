// SPDX-License-Identifier: MIT
// leave_last_out, split_indices, split_users.
#include <hstu/data/split.hpp>

#include <algorithm>
#include <limits>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "make_ratings.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("leave_last_out: users with 0, 1, 2, 3 and 5 events", "[data][split][property]") {
  Sequences sequences;
  sequences.offsets = {0, 0, 1, 3, 6, 11};
  sequences.items.assign(11, 1);
  const LeaveLastOut split = leave_last_out(sequences);
  CHECK(split.train == std::vector<EventRange>{{0, 0}, {0, 1}, {1, 2}, {3, 4}, {6, 9}});
  CHECK(split.validation == std::vector<HeldOut>{{3, {3, 4}, 4}, {4, {6, 9}, 9}});
  CHECK(split.test == std::vector<HeldOut>{{2, {1, 2}, 2}, {3, {3, 5}, 5}, {4, {6, 10}, 10}});
  CHECK(split.train.back().size() == 3);
  CHECK(leave_last_out(Sequences{}).train.empty());
}

TEST_CASE("without_last: the last events of every user go, users and items stay", "[data][split][property]") {
  Sequences sequences;
  sequences.offsets = {0, 0, 1, 3, 7};
  sequences.items = {1, 2, 3, 4, 5, 6, 7};
  sequences.ratings = {1, 2, 3, 4, 5, 6, 7};
  sequences.timestamps_s = {10, 20, 30, 40, 50, 60, 70};
  const Sequences shorter = without_last(sequences, 2);
  CHECK(shorter.offsets == std::vector<std::int64_t>{0, 0, 0, 0, 2});
  CHECK(shorter.items == std::vector<std::int32_t>{4, 5});
  CHECK(shorter.ratings == std::vector<float>{4, 5});
  CHECK(shorter.timestamps_s == std::vector<std::int64_t>{40, 50});
  CHECK(without_last(sequences, 0).items == sequences.items);
  CHECK(without_last(sequences, 100).items.empty());
  REQUIRE_THROWS_AS(without_last(sequences, -1), ConfigError);
}

TEST_CASE("split_users: disjoint, complete, of the asked sizes, fixed by the seed", "[data][split][property]") {
  for (const std::int64_t users : {0, 1, 2, 9, 10, 1000}) {
    CAPTURE(users);
    const IndexSplit split = split_users(users, {.train = 0.8, .validation = 0.1, .test = 0.1}, 3);
    CHECK(std::ssize(split.train) == users * 8 / 10);
    CHECK(std::ssize(split.validation) == users / 10);
    std::vector<std::int64_t> all;
    for (const auto* part : {&split.train, &split.validation, &split.test}) {
      CHECK(std::ranges::is_sorted(*part));
      all.insert(all.end(), part->begin(), part->end());
    }
    std::ranges::sort(all);
    REQUIRE(std::ssize(all) == users);
    for (std::int64_t user = 0; user < users; ++user) CHECK(all[static_cast<std::size_t>(user)] == user);
  }
  CHECK(split_users(1000, {}, 3).test == split_users(1000, {}, 3).test);
  CHECK(split_users(1000, {}, 3).test != split_users(1000, {}, 4).test);
}

TEST_CASE("split_indices: shares that are whole up to rounding are whole", "[data][split][property]") {
  const RandomStream stream{.seed = 1, .step = 0, .site = 0};
  const IndexSplit split = split_indices(100, {.train = 0.29, .validation = 0.57, .test = 0.14}, stream);
  CHECK(split.train.size() == 29);
  CHECK(split.validation.size() == 57);
  CHECK(split_indices(10, {.train = 1.0, .validation = 0.0, .test = 0.0}, stream).train.size() == 10);
  CHECK(split_indices(10, {.train = 0.0, .validation = 1.0, .test = 0.0}, stream).validation.size() == 10);
  CHECK(split_indices(3'000'000, {.train = 0.5000005, .validation = 0.5, .test = 0.0}, stream).test.empty());
}

TEST_CASE("split_indices: bad ratios and counts are errors", "[data][split][errors]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const SplitRatios& ratios :
       {SplitRatios{0.8, 0.1, 0.2}, SplitRatios{1.1, -0.1, 0.0}, SplitRatios{nan, 0.5, 0.5}, SplitRatios{0, 0, 0}}) {
    CHECK_THROWS_MATCHES(split_users(10, ratios), ConfigError, MessageMatches(ContainsSubstring("with sum 1")));
  }
  CHECK_THROWS_MATCHES(split_indices(10, {1.0, 1.0, -1.0}, {}), ConfigError,
                       MessageMatches(ContainsSubstring("got 1, 1, -1")));
  CHECK_THROWS_MATCHES(split_users(-1), ConfigError, MessageMatches(ContainsSubstring("got -1")));
  CHECK_THROWS_AS(split_users(std::int64_t{1} << 40), ConfigError);
}
