// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/loss/negatives.hpp>

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("sample_negatives: a draw is a function of its index", "[loss][negatives][parity]") {
  const RandomStream stream{.seed = 11, .step = 2, .site = 3};
  const Tensor negatives = sample_negatives(33, 129, 3707, stream, 5);  // more than one buffer, odd sizes
  std::uint64_t index = 5 * 129;
  for (const std::int32_t item : negatives.values<std::int32_t>()) {
    REQUIRE(item == static_cast<std::int32_t>(stream.below(index++, 3706)) + 1);
  }
}

TEST_CASE("sample_negatives: chunks of tokens draw as the whole batch does", "[loss][negatives][property]") {
  const RandomStream stream{.seed = 5};
  const auto whole = sample_negatives(20, 7, 50, stream).to_vector<std::int32_t>();
  auto parts = sample_negatives(13, 7, 50, stream).to_vector<std::int32_t>();
  const auto rest = sample_negatives(7, 7, 50, stream, 13).to_vector<std::int32_t>();
  parts.insert(parts.end(), rest.begin(), rest.end());
  REQUIRE(parts == whole);
}

TEST_CASE("sample_negatives: uniform over the items, never the padding", "[loss][negatives][property]") {
  const std::int64_t items = 8, draws = 70000;
  const Tensor negatives = sample_negatives(draws / 7, 7, items, {.seed = 1});
  std::vector<double> counts(static_cast<std::size_t>(items));
  for (const std::int32_t item : negatives.values<std::int32_t>()) counts.at(static_cast<std::size_t>(item)) += 1.0;
  REQUIRE(counts[0] == 0.0);
  double chi_square = 0.0;
  const double expected = static_cast<double>(draws) / 7.0;
  for (std::size_t v = 1; v < counts.size(); ++v)
    chi_square += (counts[v] - expected) * (counts[v] - expected) / expected;
  REQUIRE(chi_square < 22.5);  // 6 degrees of freedom, p = 0.001
}

TEST_CASE("sample_negatives: empty and smallest requests", "[loss][negatives][property]") {
  REQUIRE(sample_negatives(0, 4, 9, {}).shape() == Shape{0, 4});
  REQUIRE(sample_negatives(3, 0, 9, {}).numel() == 0);
  REQUIRE(sample_negatives(1, 2, 2, {}).to_vector<std::int32_t>() == std::vector<std::int32_t>{1, 1});
}

TEST_CASE("sample_negatives: errors", "[loss][negatives][errors]") {
  CHECK_THROWS_MATCHES(sample_negatives(1, 1, 1, {}), ShapeError, MessageMatches(ContainsSubstring("padding row")));
  CHECK_THROWS_MATCHES(sample_negatives(-1, 1, 5, {}), ShapeError, MessageMatches(ContainsSubstring("negative")));
  CHECK_THROWS_MATCHES(sample_negatives(1, 4, 5, {}, std::int64_t{1} << 62), ShapeError,
                       MessageMatches(ContainsSubstring("64 bits")));
}
