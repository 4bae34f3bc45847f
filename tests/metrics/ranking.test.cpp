// SPDX-License-Identifier: MIT
#include <iostream>
#include <limits>
#include <numeric>
#include <set>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/core/random.hpp>
#include <hstu/metrics/ranking.hpp>

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

/// Straight from the definition: look at every other candidate.
template <class Scalar>
std::int64_t brute_force_rank(const std::vector<Scalar>& scores, std::int32_t target,
                              const std::vector<std::int32_t>& excluded) {
  const std::set<std::int32_t> out(excluded.begin(), excluded.end());
  std::int64_t rank = 1;
  for (std::int32_t v = 1; v < static_cast<std::int32_t>(scores.size()); ++v) {
    const bool is_other_candidate = v != target && !out.contains(v);
    if (is_other_candidate && scores[static_cast<std::size_t>(v)] >= scores[static_cast<std::size_t>(target)]) ++rank;
  }
  return rank;
}

template <class Scalar>
std::int64_t rank_of(const std::vector<Scalar>& scores, std::int32_t target,
                     const std::vector<std::int32_t>& excluded = {}) {
  return rank_of_target<Scalar>(scores, target, excluded);
}

}  // namespace

TEMPLATE_TEST_CASE("rank_of_target: equals brute force, with ties and repeated exclusions",
                   "[metrics][ranking][parity]", float, double) {
  std::uint64_t draw = 0;
  const RandomStream stream{.seed = 9};
  for (const std::uint32_t items : {2u, 3u, 8u, 33u, 300u}) {
    for (int repeat = 0; repeat < 60; ++repeat) {
      std::vector<TestType> scores;
      for (std::uint32_t v = 0; v < items; ++v) scores.push_back(static_cast<TestType>(stream.below(draw++, 7)) - 3);
      std::vector<std::int32_t> excluded;
      for (std::uint32_t i = stream.below(draw++, items); i > 0; --i)
        excluded.push_back(static_cast<std::int32_t>(stream.below(draw++, items)));
      const auto target = static_cast<std::int32_t>(stream.below(draw++, items - 1)) + 1;
      REQUIRE(rank_of(scores, target, excluded) == brute_force_rank(scores, target, excluded));
    }
  }
}

TEST_CASE("rank_of_target: a constant scorer does not score", "[metrics][ranking][property]") {
  const std::vector<float> scores(101, 0.25f);
  for (const std::int32_t target : {1, 50, 100}) REQUIRE(rank_of(scores, target) == 100);
  REQUIRE(rank_of(scores, 7, {1, 2, 3}) == 97);
}

TEST_CASE("rank_of_target: padding and excluded items are no candidates, whatever their score",
          "[metrics][ranking][property]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  REQUIRE(rank_of<float>({nan, 1, 5, infinity, 2}, 1, {3, 2, 2, 0}) == 2);
  REQUIRE(rank_of<float>({9, 1}, 1) == 1);                // one item
  REQUIRE(rank_of<float>({0, 3, 1, 2}, 3, {3, 1}) == 1);  // an excluded target still is ranked
}

TEST_CASE("rank_of_target: errors", "[metrics][ranking][errors]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  CHECK_THROWS_MATCHES(rank_of<float>({0, 1, nan, 2}, 1), NumericError, MessageMatches(ContainsSubstring("item 2")));
  CHECK_THROWS_MATCHES(rank_of<float>({0, 1, -infinity, 2}, 3), NumericError,
                       MessageMatches(ContainsSubstring("item 2")));
  CHECK_THROWS_MATCHES(rank_of<float>({0, nan, 1}, 1, {1}), NumericError, MessageMatches(ContainsSubstring("item 1")));
  CHECK_THROWS_MATCHES(rank_of<float>({0, 1, 2}, 0), DataError, MessageMatches(ContainsSubstring("target is 0")));
  CHECK_THROWS_MATCHES(rank_of<float>({0, 1, 2}, 3), DataError, MessageMatches(ContainsSubstring("target is 3")));
  CHECK_THROWS_MATCHES(rank_of<float>({}, 1), DataError, MessageMatches(ContainsSubstring("target is 1")));
  CHECK_THROWS_MATCHES(rank_of<float>({0, 1, 2}, 1, {3}), DataError, MessageMatches(ContainsSubstring("got 3")));
  CHECK_THROWS_MATCHES(rank_of<float>({0, 1, 2}, 1, {2, -1}), DataError, MessageMatches(ContainsSubstring("got -1")));
}

TEST_CASE("ranking: metrics equal their definitions", "[metrics][ranking][parity]") {
  RankingMetrics metrics;
  for (const std::int64_t rank : {1, 3, 10, 11, 500}) metrics.add(rank);
  CHECK(metrics.count() == 5);
  CHECK_THAT(metrics.hit_rate(1), WithinAbs(0.2, 1e-15));
  CHECK_THAT(metrics.hit_rate(10), WithinAbs(0.6, 1e-15));
  CHECK_THAT(metrics.hit_rate(499), WithinAbs(0.8, 1e-15));
  CHECK_THAT(metrics.ndcg(10), WithinRel((1.0 + 1.0 / std::log2(4.0) + 1.0 / std::log2(11.0)) / 5.0, 1e-15));
  CHECK_THAT(metrics.mrr(), WithinRel((1.0 + 1.0 / 3.0 + 0.1 + 1.0 / 11.0 + 0.002) / 5.0, 1e-15));
  const std::vector<std::int64_t> ks{1, 10};
  const auto named = metrics.named(ks);
  CHECK(named.size() == 5);
  CHECK(named.at("hr@10") == metrics.hit_rate(10));
  CHECK(named.at("ndcg@1") == metrics.ndcg(1));
  CHECK(named.at("mrr") == metrics.mrr());
}

TEST_CASE("ranking: a thousand random tables, sorted by hand", "[metrics][ranking][parity]") {
  constexpr int kCases = 1000, kUsers = 4;
  const RandomStream stream{.seed = 11};
  std::uint64_t draw = 0;
  const auto below = [&](std::size_t n) { return std::size_t{stream.below(draw++, static_cast<std::uint32_t>(n))}; };
  for (int number = 0; number < kCases; ++number) {
    const std::size_t items = 2 + below(60), levels = 1 + below(8);  // one level: all scores tie
    RankingMetrics metrics;
    std::vector<std::size_t> positions;
    for (int user = 0; user < kUsers; ++user) {
      std::vector<double> scores;
      for (std::size_t v = 0; v < items; ++v) scores.push_back(static_cast<double>(below(levels)) - 2.0);
      std::vector<std::int32_t> seen;
      for (std::size_t i = below(items); i > 0; --i) seen.push_back(static_cast<std::int32_t>(below(items)));
      const auto target = static_cast<std::int32_t>(1 + below(items - 1));  // seen before, in some cases
      metrics.add(rank_of(scores, target, seen));
      // The whole list as a user would get it, the target behind all that tie with it.
      std::vector<std::int32_t> list;
      for (std::int32_t v = 1; v < static_cast<std::int32_t>(items); ++v) {
        if (v == target || std::ranges::find(seen, v) == seen.end()) list.push_back(v);
      }
      std::ranges::sort(list, [&](std::int32_t a, std::int32_t b) {
        const double of_a = scores[static_cast<std::size_t>(a)], of_b = scores[static_cast<std::size_t>(b)];
        return of_a != of_b ? of_a > of_b : a != target && b == target;
      });
      positions.push_back(static_cast<std::size_t>(std::ranges::find(list, target) - list.begin()));
    }
    double mrr = 0.0;
    for (const std::size_t position : positions) mrr += 1.0 / static_cast<double>(position + 1) / kUsers;
    INFO("case " << number);
    REQUIRE_THAT(metrics.mrr(), WithinAbs(mrr, 1e-12));
    for (const std::size_t k :
         {std::size_t{1}, std::size_t{3}, std::size_t{10}, std::size_t{500}}) {  // 500 > candidates
      double hits = 0.0, gain = 0.0;
      for (const std::size_t position : positions) {
        if (position >= k) continue;
        hits += 1.0 / kUsers;
        gain += std::log(2.0) / std::log(static_cast<double>(position) + 2.0) / kUsers;
      }
      REQUIRE_THAT(metrics.hit_rate(static_cast<std::int64_t>(k)), WithinAbs(hits, 1e-12));
      REQUIRE_THAT(metrics.ndcg(static_cast<std::int64_t>(k)), WithinAbs(gain, 1e-12));
    }
  }
  std::cout << "figure: " << kCases << " random tables with ties whose HR, NDCG and MRR equal a sorted list's\n";
}

TEST_CASE("ranking: parts merged in any order give the same bits", "[metrics][ranking][property]") {
  RankingMetrics whole, even, odd;
  for (std::uint64_t u = 0; u < 1001; ++u) {
    const std::int64_t rank = 1 + RandomStream{.seed = 3}.below(u, 400);
    whole.add(rank);
    (u % 2 == 0 ? even : odd).add(rank);
  }
  RankingMetrics forward = even, backward = odd;
  forward.merge(odd);
  backward.merge(even);
  for (const RankingMetrics& parts : {forward, backward}) {
    REQUIRE(parts.count() == whole.count());
    REQUIRE(parts.ndcg(50) == whole.ndcg(50));
    REQUIRE(parts.mrr() == whole.mrr());
  }
}

TEST_CASE("ranking: no users give zeros; ranks below 1 and k below 1 are refused", "[metrics][ranking][errors]") {
  RankingMetrics metrics;
  CHECK(metrics.hit_rate(10) == 0.0);
  CHECK(metrics.mrr() == 0.0);
  CHECK_THROWS_MATCHES(metrics.add(0), DataError, MessageMatches(ContainsSubstring("got 0")));
  const std::vector<std::int64_t> ks{0};
  CHECK_THROWS_MATCHES(metrics.named(ks), ConfigError, MessageMatches(ContainsSubstring("k must be positive")));
}
