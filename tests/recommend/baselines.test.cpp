// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/recommend/baselines.hpp>

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;

namespace {

const std::vector<std::int64_t> kOffsets{0, 5, 5, 6, 10};
const std::vector<std::int32_t> kIds{1, 2, 1, 2, 3, /* user 2 */ 4, /* user 3 */ 1, 3, 3, 2};
constexpr std::int64_t kNumItems = 6;

InteractionView view(std::int64_t held_out) {
  return {kOffsets, kIds, held_out, kNumItems};
}

std::vector<double> markov_scores(std::int64_t held_out, const std::vector<std::int32_t>& history) {
  return MarkovBaseline(view(held_out)).scores(history);
}

}  // namespace

TEST_CASE("popularity: counts the events that are not held out", "[recommend][baselines][parity]") {
  REQUIRE(PopularityBaseline(view(0)).counts() == std::vector<double>{0, 3, 3, 3, 1, 0});
  REQUIRE(PopularityBaseline(view(2)).counts() == std::vector<double>{0, 3, 1, 1, 0, 0});
  REQUIRE(PopularityBaseline(view(100)).counts() == std::vector<double>(6));
  const std::vector<std::int32_t> history{4};
  REQUIRE(PopularityBaseline(view(0)).scores(history) == PopularityBaseline(view(0)).counts());
}

TEST_CASE("markov: counts what followed the last item, then popularity", "[recommend][baselines][parity]") {
  const auto scores = markov_scores(0, {4, 1});  // after 1: 2 twice, 3 once; 10 events
  const double expected[] = {0.0, 3.0 / 11.0, 2.0 + 3.0 / 11.0, 1.0 + 3.0 / 11.0, 1.0 / 11.0, 0.0};
  for (std::size_t v = 0; v < 6; ++v) CHECK_THAT(scores[v], WithinRel(expected[v], 1e-15));
}

TEST_CASE("markov: pairs of held-out events and of two users do not count", "[recommend][baselines][property]") {
  const auto scores = markov_scores(2, {2});  // left are 1 2 1 and 1 3
  CHECK_THAT(scores[1], WithinRel(1.0 + 3.0 / 6.0, 1e-15));
  CHECK(scores[3] < 1.0);
  CHECK(markov_scores(0, {4})[1] < 1.0);  // 4 ends user 2; user 3 begins with 1
}

TEST_CASE("markov: without a usable last item only popularity is left", "[recommend][baselines][property]") {
  const auto popularity = markov_scores(0, {});
  CHECK_THAT(popularity[1], WithinRel(3.0 / 11.0, 1e-15));
  for (const std::int32_t last : {0, -3, 6, 5}) CHECK(markov_scores(0, {1, last}) == popularity);
}

TEST_CASE("baselines: errors", "[recommend][baselines][errors]") {
  const std::vector<std::int64_t> too_long{0, 11}, falling{5, 3};
  const std::vector<std::int32_t> unknown{1, 6}, padded{1, 0};
  const std::vector<std::int64_t> two{0, 2};
  CHECK_THROWS_MATCHES(PopularityBaseline({too_long, kIds, 0, 6}), DataError,
                       MessageMatches(ContainsSubstring("user 0")));
  CHECK_THROWS_MATCHES(MarkovBaseline({falling, kIds, 0, 6}), DataError, MessageMatches(ContainsSubstring("[5, 3)")));
  CHECK_THROWS_MATCHES(MarkovBaseline({two, unknown, 0, 6}), DataError, MessageMatches(ContainsSubstring("item 6")));
  CHECK_THROWS_MATCHES(MarkovBaseline({two, padded, 0, 6}), DataError, MessageMatches(ContainsSubstring("item 0")));
  CHECK_THROWS_MATCHES(PopularityBaseline({two, padded, -1, 6}), DataError,
                       MessageMatches(ContainsSubstring("held-out")));
  CHECK_NOTHROW(PopularityBaseline({two, unknown, 1, 6}));  // the unknown item is held out
  CHECK_NOTHROW(MarkovBaseline({{}, {}, 0, 3}));
}
