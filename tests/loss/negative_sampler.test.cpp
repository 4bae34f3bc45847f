// SPDX-License-Identifier: MIT
// Where negatives come from: distributions, the correction that belongs to them, chunks, limits.
#include <set>

#include <hstu/loss/negative_sampler.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

const Values kCounts = {7, 40, 0, 9, 1, 20, 30};  // item 0 is padding: its count does not matter

/// How often each item is among `draws`, divided by `positions`.
Values frequencies(const Tensor& draws, double positions, std::size_t items) {
  Values found(items);
  for (const std::int32_t item : draws.values<std::int32_t>()) {
    found.at(static_cast<std::size_t>(item)) += 1.0 / positions;
  }
  return found;
}

/// Fails where the frequencies are further from `expected` than five standard deviations of `trials` draws.
void require_frequencies(const Values& found, const Values& expected, double trials) {
  for (std::size_t v = 0; v < expected.size(); ++v) {
    CAPTURE(v, found[v], expected[v]);
    REQUIRE(std::abs(found[v] - expected[v]) <= 5.0 * std::sqrt(expected[v] / trials) + (expected[v] > 0 ? 1e-9 : 0.0));
  }
}

}  // namespace

TEST_CASE("alias_table: every item in its share, the weightless never", "[loss][negatives][property]") {
  const RandomStream stream{.seed = 9};
  for (const Values& weights :
       {Values{3.0}, Values{0.0, 1.0}, Values{0, 5, 1, 1, 0, 13, 2.5, 0.001, 0}, Values(50, 2.0)}) {
    const AliasTable table(weights);
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    constexpr std::uint64_t kDraws = 40'000;
    Values found(weights.size()), expected;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
      found.at(static_cast<std::size_t>(table.draw(stream.bits(2 * i), stream.bits(2 * i + 1)))) += 1.0 / kDraws;
    }
    for (const double w : weights) expected.push_back(w / total);
    require_frequencies(found, expected, kDraws);
  }
}

TEST_CASE("negative_sampler: items are drawn as often as the correction says", "[loss][negatives][property]") {
  constexpr std::int64_t kTokens = 20'000;
  for (const NegativeKind kind : {NegativeKind::uniform, NegativeKind::popularity}) {
    const NegativeSampler sampler({.kind = kind, .count = 3}, kCounts);
    const Tensor draws = sampler.draw(kTokens, {.seed = 1}, 0);
    CHECK(draws.shape() == Shape{kTokens, 3});
    Values expected{0.0};
    for (const double x : sampler.log_expected().values<double>().subspan(1)) expected.push_back(std::exp(x));
    require_frequencies(frequencies(draws, kTokens, kCounts.size()), expected, kTokens);
  }
  const NegativeSampler popular({.kind = NegativeKind::popularity, .count = 3}, kCounts);
  CHECK(std::abs(std::exp(popular.log_expected().values<double>()[1]) - 3 * 41.0 / 106.0) < 1e-12);
}

TEST_CASE("negative_sampler: in_batch draws from the distinct targets as often as the correction says",
          "[loss][negatives][property]") {
  constexpr int kSteps = 4000;
  for (const bool is_shared : {false, true}) {
    for (const std::int64_t count : {2, 50}) {  // fewer and more than there are items
      NegativeSampler sampler({.kind = NegativeKind::in_batch, .count = count, .is_shared = is_shared}, kCounts);
      Values found(kCounts.size()), expected(kCounts.size());
      const AliasTable targets(Values{0, 40, 0, 9, 1, 20, 30});
      for (std::uint32_t step = 0; step < kSteps; ++step) {
        const RandomStream stream{.seed = 5, .step = step};
        std::vector<std::int32_t> drawn{0};
        for (std::uint64_t i = 0; i < 6; ++i) {
          drawn.push_back(targets.draw(stream.bits(1000 + 2 * i), stream.bits(1001 + 2 * i)));
        }
        sampler.begin_step(drawn, stream);
        const Tensor negatives = sampler.draw(1, stream, 0);
        const std::set<std::int32_t> pool(drawn.begin() + 1, drawn.end());
        if (is_shared) CHECK(negatives.numel() == std::min(count, std::ssize(pool)));
        else CHECK(negatives.shape() == Shape{1, count});
        for (const std::int32_t item : negatives.values<std::int32_t>()) REQUIRE(pool.contains(item));
        for (const std::int32_t item : pool) {
          expected[static_cast<std::size_t>(item)] +=
              std::exp(sampler.log_expected().values<double>()[static_cast<std::size_t>(item)]) / kSteps;
        }
        const Values more = frequencies(negatives, kSteps, found.size());
        for (std::size_t v = 0; v < found.size(); ++v) found[v] += more[v];
      }
      if (is_shared && count == 50) continue;  // all of them, always: nothing is random but the pool
      for (std::size_t v = 1; v < found.size(); ++v) {
        // The correction is the expectation over batches; given that an item is in the pool it is drawn more often.
        CAPTURE(v, found[v], expected[v], is_shared, count);
        const double there = -std::expm1(6 * std::log1p(-kCounts[v] / 100.0));
        CHECK(std::abs(found[v] * there - expected[v]) <= 0.1 * expected[v] + 0.01);
      }
    }
  }
}

TEST_CASE("negative_sampler: chunks draw as the whole step does, shared ones are the same in each",
          "[loss][negatives][property]") {
  const RandomStream stream{.seed = 2, .step = 7};
  for (const NegativeKind kind : {NegativeKind::uniform, NegativeKind::popularity, NegativeKind::in_batch}) {
    NegativeSampler own({.kind = kind, .count = 7}, kCounts);
    own.begin_step(std::vector<std::int32_t>{1, 3, 3, 0, 6}, stream);
    auto parts = own.draw(13, stream, 0).to_vector<std::int32_t>();
    const auto rest = own.draw(300, stream, 13).to_vector<std::int32_t>();
    parts.insert(parts.end(), rest.begin(), rest.end());
    CHECK(parts == own.draw(313, stream, 0).to_vector<std::int32_t>());
    NegativeSampler shared({.kind = kind, .count = 2, .is_shared = true}, kCounts);
    shared.begin_step(std::vector<std::int32_t>{1, 3, 3, 0, 6}, stream);
    CHECK(shared.draw(5, stream, 0).shape() == Shape{2});
    CHECK(shared.draw(5, stream, 0).to_vector<std::int32_t>() == shared.draw(9, stream, 30).to_vector<std::int32_t>());
  }
}

TEST_CASE("negative_sampler: a step without targets, tables without items", "[loss][negatives][errors]") {
  NegativeSampler sampler({.kind = NegativeKind::in_batch, .count = 4}, kCounts);
  sampler.begin_step(std::vector<std::int32_t>{0, 0}, {});
  CHECK(sampler.draw(2, {}, 0).shape() == Shape{2, 0});
  CHECK_THROWS_MATCHES(NegativeSampler({}, {1.0}), ShapeError, says("at least 2 rows"));
  CHECK_THROWS_MATCHES(AliasTable(Values{}), ConfigError, says("alias table: weights must be finite"));
  CHECK_THROWS_MATCHES(AliasTable(Values{1.0, -1.0, 3.0}), ConfigError, says("not negative"));
  CHECK_THROWS_MATCHES(AliasTable(Values{1.0, std::nan("")}), ConfigError, says("must be finite"));
}
