// SPDX-License-Identifier: MIT
// filter_ratings: threshold, k-core, new ids.
#include <hstu/data/filter.hpp>

#include <limits>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/core/random.hpp>

#include "make_ratings.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

/// The definition: drop whole users and items that have too few rows, again and again.
std::vector<std::size_t> kept_rows_by_rounds(const Ratings& ratings, const FilterOptions& options) {
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < ratings.user.size(); ++row) {
    if (ratings.rating[row] >= options.min_rating) rows.push_back(row);
  }
  while (true) {
    std::map<int, int> users;
    std::map<int, int> items;
    for (const std::size_t row : rows) {
      ++users[ratings.user[row]];
      ++items[ratings.item[row]];
    }
    std::vector<std::size_t> next;
    for (const std::size_t row : rows) {
      if (users[ratings.user[row]] >= options.min_user_count && items[ratings.item[row]] >= options.min_item_count) {
        next.push_back(row);
      }
    }
    if (next.size() == rows.size()) return rows;
    rows = next;
  }
}

}  // namespace

TEST_CASE("filter: the defaults keep everything", "[data][filter][property]") {
  const Ratings ratings = make_ratings({{"b", "y", 1}, {"a", "x", 2}, {"b", "x", 3}});
  const Ratings kept = filter_ratings(ratings, {});
  CHECK(kept.user == ratings.user);
  CHECK(kept.item == ratings.item);
  CHECK(kept.users == ratings.users);
  CHECK(kept.items == ratings.items);
  CHECK(kept.source == "test rows");
  CHECK(kept.filters == FilterOptions{});
}

TEST_CASE("filter: the threshold includes its own value and ids are made anew", "[data][filter][property]") {
  const Ratings kept =
      filter_ratings(make_ratings({{"a", "x", 1, 2.5F}, {"b", "y", 2, 3.0F}, {"a", "z", 3, 3.5F}, {"c", "x", 4, 1.0F}}),
                     {.min_rating = 3.0F});
  CHECK(kept.users == std::vector<std::string>{"b", "a"});
  CHECK(kept.items.names() == std::vector<std::string>{"y", "z"});
  CHECK(kept.user == std::vector<std::int32_t>{0, 1});
  CHECK(kept.item == std::vector<std::int32_t>{1, 2});
  CHECK(kept.timestamp_s == std::vector<std::int64_t>{2, 3});
  CHECK(kept.filters.min_rating == 3.0F);
}

TEST_CASE("filter: removals go on until every user and item has enough", "[data][filter][property]") {
  // z has one event; without it c has one; without c, y has one; a and b keep x and w.
  const Ratings kept = filter_ratings(
      make_ratings(
          {{"a", "x", 1}, {"a", "w", 2}, {"b", "x", 3}, {"b", "w", 4}, {"b", "y", 5}, {"c", "y", 6}, {"c", "z", 7}}),
      {.min_user_count = 2, .min_item_count = 2});
  CHECK(kept.users == std::vector<std::string>{"a", "b"});
  CHECK(kept.items.names() == std::vector<std::string>{"x", "w"});
  CHECK(kept.size() == 4);
}

TEST_CASE("filter: equals repeated removal on random tables", "[data][filter][parity]") {
  int nonempty = 0;
  for (std::uint32_t round = 0; round < 200; ++round) {
    const RandomStream random{.seed = 7, .step = round, .site = 0};
    std::vector<Row> rows;
    for (std::uint64_t i = 0; i < 120; ++i) {
      rows.push_back({"u" + std::to_string(random.below(3 * i, 20)), "i" + std::to_string(random.below(3 * i + 1, 25)),
                      static_cast<std::int64_t>(i), static_cast<float>(random.below(3 * i + 2, 5))});
    }
    const Ratings ratings = make_ratings(rows);
    const FilterOptions options{.min_user_count = static_cast<std::int64_t>(round % 7),
                                .min_item_count = static_cast<std::int64_t>(round % 6),
                                .min_rating = static_cast<float>(round % 3)};
    const auto expected = kept_rows_by_rounds(ratings, options);
    if (expected.empty()) {
      CHECK_THROWS_AS(filter_ratings(ratings, options), DataError);
      continue;
    }
    ++nonempty;
    const Ratings kept = filter_ratings(ratings, options);
    REQUIRE(kept.user.size() == expected.size());
    bool equal = true;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      equal &= kept.users[static_cast<std::size_t>(kept.user[i])] == rows[expected[i]].user;
      equal &= kept.items.decode(kept.item[i]) == rows[expected[i]].item;
      equal &= kept.timestamp_s[i] == rows[expected[i]].timestamp_s && kept.rating[i] == rows[expected[i]].rating;
    }
    CHECK(equal);
  }
  CHECK(nonempty > 50);
}

TEST_CASE("filter: a chain of 200,000 removals takes no longer than its rows", "[data][filter][property]") {
  // User k meets items k and k + 1, the last user only one: everything unravels from the end, one by one.
  std::vector<Row> rows;
  constexpr int kManyUsers = 100'000;
  for (int k = 0; k < kManyUsers; ++k) {
    rows.push_back({std::to_string(k), std::to_string(k), 0});
    rows.push_back({std::to_string(k), std::to_string(k + 1), 0});
  }
  rows.push_back({"p", "p", 0});
  rows.push_back({"p", "q", 0});
  rows.push_back({"r", "p", 0});
  rows.push_back({"r", "q", 0});
  const Ratings kept = filter_ratings(make_ratings(rows), {.min_user_count = 2, .min_item_count = 2});
  CHECK(kept.users == std::vector<std::string>{"p", "r"});
}

TEST_CASE("filter: filters add up over two calls", "[data][filter][property]") {
  const Ratings ratings = make_ratings({{"a", "x", 1, 4.0F}, {"a", "y", 2, 5.0F}, {"b", "x", 3, 3.0F}});
  const Ratings kept = filter_ratings(filter_ratings(ratings, {.min_user_count = 2}), {.min_rating = 4.0F});
  CHECK(kept.filters == FilterOptions{.min_user_count = 2, .min_item_count = 0, .min_rating = 4.0F});
}

TEST_CASE("filter: impossible options, empty results and broken tables are errors", "[data][filter][errors]") {
  const Ratings ratings = make_ratings({{"a", "x", 1}});
  CHECK_THROWS_AS(filter_ratings(ratings, {.min_user_count = -1}), ConfigError);
  CHECK_THROWS_AS(filter_ratings(ratings, {.min_rating = std::numeric_limits<float>::quiet_NaN()}), ConfigError);
  CHECK_THROWS_MATCHES(filter_ratings(ratings, {.min_user_count = 2}), DataError,
                       MessageMatches(ContainsSubstring("expected some of 1 events to be left, got none")));
  CHECK_THROWS_AS(filter_ratings(Ratings{}, {}), DataError);
  Ratings broken = ratings;
  broken.item[0] = 2;
  CHECK_THROWS_MATCHES(filter_ratings(broken, {}), DataError,
                       MessageMatches(ContainsSubstring("row 1: expected an item in [1, 2), got 2")));
  broken = ratings;
  broken.user[0] = -1;
  CHECK_THROWS_AS(filter_ratings(broken, {}), DataError);
  broken = ratings;
  broken.rating.clear();
  CHECK_THROWS_MATCHES(filter_ratings(broken, {}), DataError,
                       MessageMatches(ContainsSubstring("columns of one length")));
}
