// SPDX-License-Identifier: MIT
// make_sequences and data_report: order of time, rules for ties, figures.
#include <hstu/data/sequences.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/data/report.hpp>

#include "make_ratings.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

std::vector<std::string> names_of(const Sequences& sequences, std::int64_t user) {
  std::vector<std::string> names;
  for (const std::int32_t item : sequences.items_of(user)) names.emplace_back(sequences.vocabulary.decode(item));
  return names;
}

/// One user, `count` items "0", "1", … of one moment.
Ratings tied_ratings(int count) {
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) rows.push_back({"u", std::to_string(i), 5});
  return make_ratings(rows);
}

}  // namespace

TEST_CASE("sequences: each user's events by time, ties in file order", "[data][sequences][property]") {
  const Sequences sequences = make_sequences(make_ratings({{"b", "p", 30, 3.0F},
                                                           {"a", "q", 7, 1.0F},
                                                           {"b", "r", 10, 4.0F},
                                                           {"b", "s", 30, 5.0F},
                                                           {"a", "p", 7, 2.0F},
                                                           {"b", "q", 30, 1.0F}}));
  CHECK(sequences.users == std::vector<std::string>{"b", "a"});
  CHECK(sequences.offsets == std::vector<std::int64_t>{0, 4, 6});
  CHECK(names_of(sequences, 0) == std::vector<std::string>{"r", "p", "s", "q"});
  CHECK(names_of(sequences, 1) == std::vector<std::string>{"q", "p"});
  CHECK(sequences.ratings == std::vector<float>{4, 3, 5, 1, 1, 2});
  CHECK(std::ranges::equal(sequences.timestamps_of(0), std::vector<std::int64_t>{10, 30, 30, 30}));
  CHECK(sequences.ratings_of(1)[1] == 2.0F);
  CHECK(sequences.length(1) == 2);
  CHECK(sequences.num_users() == 2);
  CHECK(sequences.num_events() == 6);
  CHECK(sequences.find_user("a") == 1);
  CHECK(sequences.source == "test rows");
  CHECK(sequences.ties == TieRule::file);
}

TEST_CASE("sequences: random ties are a permutation fixed by the seed, and leave time in order",
          "[data][sequences][property]") {
  const Ratings ratings = tied_ratings(50);
  const Sequences first = make_sequences(ratings, TieRule::random, 1);
  CHECK(first.items == make_sequences(ratings, TieRule::random, 1).items);
  CHECK(first.items != make_sequences(ratings, TieRule::random, 2).items);
  CHECK(first.items != make_sequences(ratings, TieRule::file).items);
  CHECK(std::set(first.items.begin(), first.items.end()).size() == 50);
  CHECK(first.tie_seed == 1);

  std::vector<Row> rows;
  for (int i = 0; i < 60; ++i) rows.push_back({"u", std::to_string(i), 100 - i / 3});
  const Sequences sorted = make_sequences(make_ratings(rows), TieRule::random, 3);
  CHECK(std::ranges::is_sorted(sorted.timestamps_of(0)));
}

TEST_CASE("sequences: random ties are uniform", "[data][sequences][property]") {
  // Of three tied events each comes first in a third of the seeds: 1,000 +- 4.5 standard deviations of 25.8.
  const Ratings ratings = tied_ratings(3);
  std::vector<int> first(4, 0);
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    ++first[static_cast<std::size_t>(make_sequences(ratings, TieRule::random, seed).items.front())];
  }
  for (int item = 1; item <= 3; ++item) CHECK(std::abs(first[static_cast<std::size_t>(item)] - 1000) < 116);
}

TEST_CASE("sequences: given order is kept, and refused where time goes back", "[data][sequences][errors]") {
  const Ratings ordered = make_ratings({{"a", "x", 1}, {"b", "x", 0}, {"a", "y", 1}, {"a", "z", 4}});
  CHECK(names_of(make_sequences(ordered, TieRule::given), 0) == std::vector<std::string>{"x", "y", "z"});
  const Ratings backwards = make_ratings({{"a", "x", 1}, {"b", "x", 9}, {"b", "y", 8}});
  CHECK_THROWS_MATCHES(
      make_sequences(backwards, TieRule::given), DataError,
      MessageMatches(ContainsSubstring("user «b»") && ContainsSubstring("got 8 at event 3 behind 9 at event 2")));
}

TEST_CASE("sequences: users without events and empty tables are defined", "[data][sequences][property]") {
  CHECK(make_sequences(Ratings{}).num_users() == 0);
  Ratings ratings = make_ratings({{"a", "x", 1}, {"b", "x", 2}});
  ratings.users.push_back("silent");
  const Sequences sequences = make_sequences(ratings);
  CHECK(sequences.length(2) == 0);
  CHECK(sequences.items_of(2).empty());
}

TEST_CASE("sequences: unknown users and contradicting tables are errors", "[data][sequences][errors]") {
  const Sequences sequences = make_sequences(make_ratings({{"a", "x", 1}}));
  CHECK_THROWS_MATCHES(sequences.items_of(1), DataError, MessageMatches(ContainsSubstring("[0, 1), got 1")));
  CHECK_THROWS_AS(sequences.length(-1), DataError);
  CHECK_THROWS_MATCHES(sequences.find_user("nobody"), DataError, MessageMatches(ContainsSubstring("«nobody»")));
  Ratings broken = make_ratings({{"a", "x", 1}});
  broken.user[0] = 1;
  CHECK_THROWS_AS(make_sequences(broken), DataError);
}

TEST_CASE("sequences: a user who is not there is an error", "[data][sequences][errors]") {
  const Sequences sequences = make_sequences(make_ratings({{"a", "x", 1}, {"b", "y", 2}}));
  for (const std::int64_t user : {std::int64_t{-1}, std::int64_t{2}, std::numeric_limits<std::int64_t>::max()}) {
    CAPTURE(user);
    CHECK_THROWS_AS(sequences.length(user), DataError);
    CHECK_THROWS_AS(sequences.items_of(user), DataError);
    CHECK_THROWS_AS(sequences.ratings_of(user), DataError);
    CHECK_THROWS_MATCHES(sequences.timestamps_of(user), DataError,
                         MessageMatches(ContainsSubstring(concat("got ", user))));
  }
}

TEST_CASE("sequences: parts that do not fit together are named", "[data][sequences][errors]") {
  const Sequences good = make_sequences(make_ratings({{"a", "x", 1}, {"b", "y", 2}}));
  CHECK_NOTHROW(check_sequences(good));
  const auto complaint = [&](const auto& change, const std::string& part) {
    Sequences bad = good;
    change(bad);
    CHECK_THROWS_MATCHES(check_sequences(bad), DataError, MessageMatches(ContainsSubstring(part)));
  };
  complaint([](Sequences& s) { s.ratings.pop_back(); }, "got 1 ratings and 2 timestamps");
  complaint([](Sequences& s) { s.timestamps_s.pop_back(); }, "got 2 ratings and 1 timestamps");
  complaint([](Sequences& s) { s.timestamps_s[1] = kLastTimestamp + 1; }, "of the years 1970 to 9999");
  complaint([](Sequences& s) { s.timestamps_s[0] = -1; }, "got -1 at event 0 of user 0");
  complaint([](Sequences& s) { s.titles = {"X"}; }, "titles or none, got 1");
  complaint([](Sequences& s) { s.ratings[0] = std::numeric_limits<float>::infinity(); }, "finite ratings");
  Sequences titled = good;
  titled.titles.resize(static_cast<std::size_t>(good.vocabulary.num_names()), "T");
  CHECK_NOTHROW(check_sequences(titled));

  const auto of_ratings = [](const auto& change) {
    Ratings ratings = make_ratings({{"a", "x", 1}, {"b", "y", 2}});
    change(ratings);
    check_ratings(ratings);
  };
  CHECK_NOTHROW(of_ratings([](Ratings&) {}));
  CHECK_THROWS_MATCHES(of_ratings([](Ratings& r) { r.item.pop_back(); }), DataError,
                       MessageMatches(ContainsSubstring("got users 2, items 1")));
  CHECK_THROWS_AS(of_ratings([](Ratings& r) { r.rating.pop_back(); }), DataError);
  CHECK_THROWS_AS(of_ratings([](Ratings& r) { r.timestamp_s.pop_back(); }), DataError);
  CHECK_THROWS_AS(of_ratings([](Ratings& r) { r.user[1] = 2; }), DataError);
  CHECK_THROWS_AS(of_ratings([](Ratings& r) { r.item[1] = 99; }), DataError);
}

TEST_CASE("ties: names go both ways, unknown ones are refused", "[data][sequences][errors]") {
  for (const TieRule rule : {TieRule::file, TieRule::random, TieRule::given})
    CHECK(parse_tie_rule(name_of(rule)) == rule);
  CHECK_THROWS_MATCHES(parse_tie_rule("stable"), ConfigError, MessageMatches(ContainsSubstring("«stable»")));
}

TEST_CASE("data report: figures of a small table by hand", "[data][report][property]") {
  Ratings ratings = make_ratings(
      {{"a", "x", 5}, {"a", "y", 5}, {"a", "z", 9}, {"a", "w", 9}, {"b", "x", 1}, {"c", "y", 3}, {"c", "x", 2}});
  const DataReport report = data_report(make_sequences(ratings));
  CHECK(report.users == 3);
  CHECK(report.items == 4);
  CHECK(report.events == 7);
  CHECK(report.min_length == 1);
  CHECK(report.median_length == 2.0);
  CHECK(report.mean_length == 7.0 / 3.0);
  CHECK(report.max_length == 4);
  CHECK(report.first_timestamp_s == 1);
  CHECK(report.last_timestamp_s == 9);
  CHECK(report.tied_step_share == 0.5);  // a: tie, step, tie; b: none; c: step
  ratings.users.push_back("silent");
  CHECK(data_report(make_sequences(ratings)).median_length == 1.5);
  CHECK(data_report(Sequences{}).users == 0);
  CHECK(data_report(make_sequences(make_ratings({{"a", "x", 1}}))).tied_step_share == 0.0);
}
