// SPDX-License-Identifier: MIT
// Packs: functions over the whole range of floats, sums in one order, lookups, transposes.
#include <cmath>
#include <limits>
#include <vector>

#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <hstu/core/random.hpp>
#include <hstu/core/simd.hpp>

using namespace hstu;
using namespace hstu::simd;

namespace {

float float_of(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

/// Calls check(x) for about a million floats spread over all bit patterns, and for every float near the bounds of exp.
template <class Check>
void for_all_floats(const Check& check) {
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 4093) check(float_of(static_cast<std::uint32_t>(bits)));
  for (const float bound : {-87.0f, 88.37f, 0.0f}) {
    float above = bound, below = bound;
    for (int i = 0; i < 1000; ++i) {
      check(above = std::nextafter(above, 1e30f));
      check(below = std::nextafter(below, -1e30f));
    }
  }
  for (const float x : {0.0f, -0.0f, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                        std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::max()}) {
    check(x);
  }
}

template <class Scalar>
std::vector<Scalar> random_values(std::size_t count, std::uint32_t site) {
  std::vector<Scalar> values(count);
  const RandomStream stream{.seed = 11, .site = site};
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<Scalar>(stream.normal(i));
  return values;
}

}  // namespace

TEST_CASE("simd exp: relative error below 2.5e-7 for every float between its bounds", "[core][simd][parity]") {
  double worst = 0;
  for_all_floats([&](float x) {
    const float got = simd::exp(splat(x))[3];
    if (std::isnan(x)) {
      if (!std::isnan(got)) FAIL("exp of NaN is " << got);
    } else if (x > 88.38f) {
      if (!std::isinf(got)) FAIL("exp of " << x << " is " << got);
    } else if (x < 88.37f) {
      const double expected = std::exp(std::max(static_cast<double>(x), -87.0));
      worst = std::max(worst, std::abs(static_cast<double>(got) - expected) / expected);
    }
  });
  CHECK(worst < 2.5e-7);
  CHECK(simd::exp(splat(0.0f))[0] == 1.0f);
  CHECK(simd::exp(splat(1.5))[7] == std::exp(1.5));
}

TEST_CASE("simd sigmoid: within 3e-7 of itself, and x·sigmoid(x) goes to 0 for very negative x", "[core][simd][parity]") {
  double worst = 0;
  for_all_floats([&](float x) {
    const float got = sigmoid(splat(x))[0];
    if (std::isnan(x)) {
      if (!std::isnan(got)) FAIL("sigmoid of NaN is " << got);
      return;
    }
    if (!(got >= 0.0f && got <= 1.0f)) FAIL("sigmoid of " << x << " is " << got);
    if (x < -80.0f && std::isfinite(x) && std::abs(x * got) > 2e-33f) FAIL("SiLU of " << x << " is " << x * got);
    if (x < -85.0f) return;
    const double expected = 1.0 / (1.0 + std::exp(-static_cast<double>(x)));
    worst = std::max(worst, std::abs(static_cast<double>(got) - expected) / expected);
  });
  CHECK(worst < 3e-7);
}

TEST_CASE("simd sums_of_packs: the bits of sum() of each pack", "[core][simd][property]") {
  const auto values = random_values<float>(64, 1);
  Pack<float> packs[8];
  for (int i = 0; i < 8; ++i) packs[i] = load(&values[static_cast<std::size_t>(8 * i)]);
  const Pack<float> sums = sums_of_packs(packs);
  for (int i = 0; i < 8; ++i) {
    const float* v = &values[static_cast<std::size_t>(8 * i)];
    const float expected = ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
    CHECK(sum(packs[i]) == expected);
    CHECK(sums[i] == expected);
  }
}

TEMPLATE_TEST_CASE("simd: rows, columns, masks and lookups", "[core][simd][property]", float, double) {
  using Scalar = TestType;
  const auto values = random_values<Scalar>(256, 2);
  SECTION("transpose_8x8 turns rows into columns") {
    const Scalar* rows[8];
    for (std::size_t i = 0; i < 8; ++i) rows[i] = &values[20 * i];
    std::vector<Scalar> to(8 * 11, Scalar(-7));
    transpose_8x8(rows, 3, splat(Scalar(2)), to.data(), 11);
    for (std::size_t i = 0; i < 8; ++i) {
      for (std::size_t j = 0; j < 8; ++j) CHECK(to[j * 11 + i] == Scalar(2) * values[20 * i + 3 + j]);
      CHECK(to[i * 11 + 8] == Scalar(-7));
    }
  }
  SECTION("for_each_pack visits every number once and clears what lies behind") {
    for (const std::int64_t count : {0, 1, 7, 8, 9, 50}) {
      Pack<Scalar> total{};
      std::int64_t next = 0;
      for_each_pack<Scalar>(count, [&](std::int64_t i, auto keep) {
        CHECK(i == next);
        next += kLanes;
        total += keep(load(&values[static_cast<std::size_t>(i)]));
      });
      double expected = 0;
      for (std::int64_t i = 0; i < count; ++i) expected += static_cast<double>(values[static_cast<std::size_t>(i)]);
      CHECK(std::abs(static_cast<double>(sum(total)) - expected) < 1e-5);
    }
  }
  SECTION("lookup reads ascending and other indices") {
    for (const std::vector<std::uint16_t>& index :
         {std::vector<std::uint16_t>{3, 3, 3, 4, 5, 9, 10, 10}, {0, 1, 2, 3, 4, 5, 6, 8}, {9, 9, 9, 9, 9, 9, 9, 200}}) {
      const Pack<Scalar> ascending = lookup<true>(values.data(), index.data());
      for (int i = 0; i < 8; ++i) CHECK(ascending[i] == values[index[static_cast<std::size_t>(i)]]);
    }
    const std::uint16_t wild[8] = {5, 100, 6, 7, 8, 2, 9, 7};  // first and last are near each other
    const Pack<Scalar> other = lookup<false>(values.data(), wild);
    for (int i = 0; i < 8; ++i) CHECK(other[i] == values[wild[i]]);
  }
  SECTION("masks become bits and come back") {
    const std::uint32_t words[8] = {0, 5, 10, 0x80000000u, 9, 11, 0xFFFFFFFFu, 1};
    const Mask<float> mask = at_least(words, 10);
    REQUIRE(bits_of(mask) == 0b01101100);
    const Mask<Scalar> back = mask_of<Scalar>(0b01101100);
    for (int i = 0; i < 8; ++i) CHECK((back[i] != 0) == (words[i] >= 10));
    const Pack<Scalar> chosen = select(back, splat(Scalar(1)), splat(Scalar(2)));
    for (int i = 0; i < 8; ++i) CHECK(chosen[i] == (words[i] >= 10 ? Scalar(1) : Scalar(2)));
  }
}
