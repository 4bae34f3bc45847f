// SPDX-License-Identifier: MIT
// make_synthetic_ratings: the properties that tests and the offline demo rely on.
#include <hstu/data/synthetic.hpp>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/data/report.hpp>
#include <hstu/data/split.hpp>

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

/// Share of test users whose last item is among the 10 unseen items of the highest score.
template <class Score>
double hit_rate_at_10(const Sequences& sequences, const Score& score) {
  const LeaveLastOut split = leave_last_out(sequences);
  int hits = 0;
  for (const HeldOut& held : split.test) {
    const auto items = sequences.items_of(held.user);
    const std::set<std::int32_t> seen(items.begin(), items.end() - 1);
    const std::int32_t target = items.back();
    int better = 0;
    for (std::int32_t item = 1; item < sequences.vocabulary.size(); ++item) {
      if (item == target || seen.contains(item)) continue;
      better += score(items[items.size() - 2], item) >= score(items[items.size() - 2], target) ? 1 : 0;
    }
    hits += better < 10 ? 1 : 0;
  }
  return static_cast<double>(hits) / static_cast<double>(split.test.size());
}

}  // namespace

TEST_CASE("synthetic: the last item tells more about the next than popularity does", "[data][synthetic][property]") {
  const Sequences sequences = make_sequences(make_synthetic_ratings());
  const LeaveLastOut split = leave_last_out(sequences);
  std::map<std::int32_t, double> popularity;
  std::map<std::pair<std::int32_t, std::int32_t>, double> transitions;
  for (const EventRange& range : split.train) {
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      const auto at = static_cast<std::size_t>(i);
      ++popularity[sequences.items[at]];
      if (i > range.begin) ++transitions[{sequences.items[at - 1], sequences.items[at]}];
    }
  }
  const double by_popularity =
      hit_rate_at_10(sequences, [&](std::int32_t, std::int32_t item) { return popularity[item]; });
  const double by_last_item = hit_rate_at_10(sequences, [&](std::int32_t last, std::int32_t item) {
    return transitions[std::pair(last, item)] + 1e-6 * popularity[item];
  });
  CAPTURE(by_popularity, by_last_item);
  CHECK(by_popularity > 10.0 / 400.0);  // better than chance: popularity is uneven
  CHECK(by_popularity < 0.2);
  CHECK(by_last_item > 0.5);
}

TEST_CASE("synthetic: sizes, ties and order are as asked", "[data][synthetic][property]") {
  const Ratings ratings =
      make_synthetic_ratings({.users = 300, .items = 100, .clusters = 7, .min_length = 3, .max_length = 20});
  CHECK_NOTHROW(check_ratings(ratings));
  CHECK(ratings.users.size() == 300);
  const Sequences sequences = make_sequences(ratings, TieRule::given);  // in order of time already
  const DataReport report = data_report(sequences);
  CHECK(report.min_length == 3);
  CHECK(report.max_length == 20);
  CHECK(std::abs(report.tied_step_share - 0.5) < 0.05);
  bool distinct = true;
  for (std::int64_t user = 0; user < 300; ++user) {
    const auto items = sequences.items_of(user);
    distinct &= std::set(items.begin(), items.end()).size() == items.size();
  }
  CHECK(distinct);
  CHECK(std::ranges::all_of(ratings.rating, [](float rating) { return rating >= 1 && rating <= 5; }));
}

TEST_CASE("synthetic: a function of its options; users do not depend on their number", "[data][synthetic][property]") {
  const SyntheticOptions options{
      .users = 30, .items = 50, .clusters = 4, .min_length = 5, .max_length = 25, .seed = 11};
  const Ratings first = make_synthetic_ratings(options);
  CHECK(first.item == make_synthetic_ratings(options).item);
  CHECK(first.timestamp_s == make_synthetic_ratings(options).timestamp_s);
  SyntheticOptions other = options;
  other.seed = 12;
  CHECK(first.item != make_synthetic_ratings(other).item);
  other = options;
  other.users = 31;
  const Ratings more = make_synthetic_ratings(other);
  CHECK(std::equal(first.timestamp_s.begin(), first.timestamp_s.end(), more.timestamp_s.begin()));
}

TEST_CASE("synthetic: extreme shares and sizes are defined", "[data][synthetic][property]") {
  const Ratings tiny =
      make_synthetic_ratings({.users = 1, .items = 2, .clusters = 2, .min_length = 1, .max_length = 1});
  CHECK(tiny.size() == 1);
  const Ratings ring = make_synthetic_ratings({.users = 1,
                                               .items = 40,
                                               .clusters = 1,
                                               .min_length = 20,
                                               .max_length = 20,
                                               .follow_share = 1.0,
                                               .drift_share = 0.0,
                                               .tie_share = 1.0,
                                               .zipf_exponent = 0.0});
  CHECK(ring.item.back() == 20);
  CHECK(ring.timestamp_s.front() == ring.timestamp_s.back());
  CHECK(make_synthetic_ratings(
            {.users = 5, .items = 40, .max_length = 20, .follow_share = 0.0, .drift_share = 1.0, .tie_share = 0.0})
            .size() > 0);
}

TEST_CASE("synthetic: options out of range are errors", "[data][synthetic][errors]") {
  const auto refuses = [](const SyntheticOptions& options, const char* part) {
    CHECK_THROWS_MATCHES(make_synthetic_ratings(options), ConfigError, MessageMatches(ContainsSubstring(part)));
  };
  refuses({.users = 0}, "users");
  refuses({.items = 1}, "items");
  refuses({.clusters = 0}, "clusters");
  refuses({.clusters = 401}, "clusters");
  refuses({.min_length = 0}, "min_length");
  refuses({.min_length = 61}, "min_length");
  refuses({.items = 100, .max_length = 51}, "half the items");
  refuses({.follow_share = 1.5}, "follow_share");
  refuses({.drift_share = -0.1}, "drift_share");
  refuses({.tie_share = std::numeric_limits<double>::quiet_NaN()}, "tie_share");
  refuses({.zipf_exponent = -1.0}, "zipf_exponent");
}
