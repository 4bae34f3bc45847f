// SPDX-License-Identifier: MIT
#include <limits>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/core/random.hpp>
#include <hstu/metrics/ranking.hpp>
#include <hstu/recommend/top_k.hpp>

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

std::vector<ScoredItem> best(const std::vector<float>& scores, std::int64_t k,
                             const std::vector<std::int32_t>& excluded = {}) {
  return top_k<float>(scores, k, excluded);
}

}  // namespace

TEST_CASE("top_k: best first, ties by lower id, padding and excluded left out", "[recommend][top_k][property]") {
  const std::vector<float> scores{99, 1, 5, 5, 3, 7};
  REQUIRE(best(scores, 3) == std::vector<ScoredItem>{{5, 7.0}, {2, 5.0}, {3, 5.0}});
  REQUIRE(best(scores, 2, {5, 2, 5, 0}) == std::vector<ScoredItem>{{3, 5.0}, {4, 3.0}});
}

TEST_CASE("top_k: fewer candidates than k", "[recommend][top_k][property]") {
  REQUIRE(best({0, 2, 1}, 10) == std::vector<ScoredItem>{{1, 2.0}, {2, 1.0}});
  REQUIRE(best({0, 2, 1}, 10, {1, 2}).empty());
  REQUIRE(best({0}, 3).empty());
  REQUIRE(best({}, 3).empty());
  REQUIRE(best({0, 2, 1}, 0).empty());
}

TEST_CASE("top_k: equals a full sort, and an item's place never passes its rank", "[recommend][top_k][parity]") {
  std::vector<float> scores;
  for (std::uint64_t v = 0; v < 500; ++v) scores.push_back(static_cast<float>(RandomStream{.seed = 2}.below(v, 40)));
  const std::vector<std::int32_t> excluded{7, 400, 13};
  std::vector<ScoredItem> all;
  for (std::int32_t v = 1; v < 500; ++v) {
    if (std::ranges::find(excluded, v) == excluded.end()) all.push_back({v, scores[static_cast<std::size_t>(v)]});
  }
  std::ranges::stable_sort(all, [](const ScoredItem& a, const ScoredItem& b) { return a.score > b.score; });
  const auto ten = best(scores, 10, excluded);
  REQUIRE(std::ranges::equal(ten, std::span(all).first(10)));
  for (std::size_t i = 0; i < ten.size(); ++i) {
    REQUIRE(static_cast<std::int64_t>(i) + 1 <= rank_of_target<float>(scores, ten[i].item, excluded));
  }
}

TEST_CASE("top_k: errors", "[recommend][top_k][errors]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_MATCHES(best({0, 1, nan}, 1), NumericError, MessageMatches(ContainsSubstring("item 2")));
  CHECK(best({nan, 1, nan}, 1, {2}).size() == 1);
  CHECK_THROWS_MATCHES(best({0, 1}, -1), ConfigError, MessageMatches(ContainsSubstring("got -1")));
  CHECK_THROWS_MATCHES(best({0, 1}, 1, {2}), DataError, MessageMatches(ContainsSubstring("got 2")));
}
