// SPDX-License-Identifier: MIT
// Lengths and choices of thinned histories, and the passes made of them.
#include <functional>

#include <hstu/data/stochastic_length.hpp>

#include "../check_op.hpp"
#include "make_ratings.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("stochastic_length: short histories stay, long ones mostly become N^(α/2)",
          "[data][stochastic_length][property]") {
  const StochasticLength thinning{.alpha = 1.6, .max_length = 100, .seed = 7};  // N^(α/2) = 39.8, N^α = 1584.9
  CHECK(thinning.kept(1, 0) == 1);
  CHECK(thinning.kept(39, 5) == 39);
  constexpr std::int64_t kUnits = 4000;
  double whole = 0.0;
  for (std::int64_t unit = 0; unit < kUnits; ++unit) {
    const std::int64_t kept = thinning.kept(80, unit);
    CHECK((kept == 80 || kept == 39));
    whole += kept == 80 ? 1.0 / kUnits : 0.0;
  }
  CHECK(std::abs(whole - std::pow(100.0, 1.6) / 6400.0) < 0.04);  // five standard deviations
  const StochasticLength all{.alpha = 2.0, .max_length = 100};
  for (std::int64_t unit = 0; unit < 50; ++unit) CHECK(all.kept(100, unit) == 100);
}

TEST_CASE("stochastic_length: places ascend, the last is among them, others equally often",
          "[data][stochastic_length][property]") {
  constexpr std::int64_t kLength = 30, kUnits = 6000;
  Values found(kLength);
  std::int64_t thinned = 0;
  for (std::int64_t unit = 0; unit < kUnits; ++unit) {
    const StochasticLength thinning{.alpha = 1.2, .max_length = 60, .seed = 1, .epoch = 3};
    const auto places = thinning.places(kLength, unit);
    REQUIRE(std::ssize(places) == thinning.kept(kLength, unit));
    REQUIRE(std::ranges::is_sorted(places, std::less_equal<>{}));
    REQUIRE(places.back() == kLength - 1);
    if (std::ssize(places) == kLength) continue;
    ++thinned;
    for (const std::int64_t place : places) found[static_cast<std::size_t>(place)] += 1.0;
  }
  const double share = 10.0 / 29.0;  // ⌊60^0.6⌋ = 11
  for (std::size_t i = 0; i + 1 < found.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(found[i] / static_cast<double>(thinned) - share) < 0.04);
  }
  const StochasticLength one{.alpha = 1.2, .max_length = 60, .seed = 1, .epoch = 3};
  const StochasticLength other{.alpha = 1.2, .max_length = 60, .seed = 1, .epoch = 4};
  CHECK(one.places(kLength, 2) == one.places(kLength, 2));
  CHECK(one.places(kLength, 2) != other.places(kLength, 2));
}

TEST_CASE("add_thinned_pass: kept events predict what really came next", "[data][stochastic_length][property]") {
  std::vector<Row> rows;
  for (int i = 0; i < 40; ++i) rows.push_back({"u", concat("item ", i), 100 + 10 * i});
  const Sequences sequences = make_sequences(make_ratings(rows));
  const StochasticLength thinning{.alpha = 1.1, .max_length = 30, .seed = 2};
  JaggedBatchBuilder builder;
  add_thinned_pass(builder, sequences, {0, 40}, thinning, 1);
  const JaggedBatch batch = builder.build();
  CHECK(batch.tokens() == thinning.kept(30, 1));
  for (std::size_t t = 0; t < static_cast<std::size_t>(batch.tokens()); ++t) {
    const std::int32_t item = batch.items.values<std::int32_t>()[t];
    CHECK(item > 9);  // of the 30 most recent inputs
    CHECK(batch.targets.values<std::int32_t>()[t] == item + 1);
    CHECK(batch.positions.values<std::int32_t>()[t] == static_cast<std::int32_t>(t));
    CHECK(batch.ages_s.values<std::int64_t>()[t] == 10);
  }
  add_thinned_pass(builder, sequences, {3, 4}, thinning, 0);  // nothing to predict
  CHECK(builder.tokens() == batch.tokens());
}
