// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/optim/schedule.hpp>

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;

TEST_CASE("schedule: constant by default", "[optim][schedule][property]") {
  REQUIRE(learning_rate({.learning_rate = 0.5}, 0, 10) == 0.5);
  REQUIRE(learning_rate({.learning_rate = 0.5}, 1000, 10) == 0.5);
}

TEST_CASE("schedule: the warm-up rises by equal steps to the full rate", "[optim][schedule][parity]") {
  const Schedule schedule{.learning_rate = 0.8, .warmup_steps = 4};
  const double expected[] = {0.2, 0.4, 0.6, 0.8, 0.8, 0.8};
  for (std::int64_t step = 0; step < 6; ++step) {
    CHECK_THAT(learning_rate(schedule, step, 100), WithinRel(expected[step], 1e-15));
  }
}

TEST_CASE("schedule: the cosine falls from the full rate to the floor and stays there", "[optim][schedule][parity]") {
  const Schedule schedule{.learning_rate = 1.0, .warmup_steps = 2, .decay = Decay::cosine, .floor = 0.1};
  CHECK_THAT(learning_rate(schedule, 2, 12), WithinRel(1.0, 1e-15));
  CHECK_THAT(learning_rate(schedule, 7, 12), WithinRel(0.55, 1e-12));  // half way
  CHECK(learning_rate(schedule, 12, 12) == 0.1);
  CHECK(learning_rate(schedule, 50, 12) == 0.1);
  for (std::int64_t step = 2; step < 12; ++step) {
    CHECK(learning_rate(schedule, step + 1, 12) < learning_rate(schedule, step, 12));
  }
}

TEST_CASE("schedule: a run shorter than its warm-up", "[optim][schedule][property]") {
  const Schedule schedule{.learning_rate = 1.0, .warmup_steps = 10, .decay = Decay::cosine};
  CHECK_THAT(learning_rate(schedule, 2, 3), WithinRel(0.3, 1e-15));
  CHECK(learning_rate(schedule, 10, 3) == 0.0);
}

TEST_CASE("schedule: errors", "[optim][schedule][errors]") {
  CHECK(parse_decay("cosine") == Decay::cosine);
  CHECK(parse_decay("constant") == Decay::constant);
  CHECK_THROWS_MATCHES(parse_decay("linear"), ConfigError, MessageMatches(ContainsSubstring("got linear")));
  CHECK_THROWS_MATCHES(learning_rate({.learning_rate = -1}, 0, 1), ConfigError,
                       MessageMatches(ContainsSubstring("got -1")));
  CHECK_THROWS_MATCHES(learning_rate({.learning_rate = 1, .floor = 2}, 0, 1), ConfigError,
                       MessageMatches(ContainsSubstring("floor")));
  CHECK_THROWS_MATCHES(learning_rate({.warmup_steps = -1}, 0, 1), ConfigError,
                       MessageMatches(ContainsSubstring("warm-up")));
  CHECK_THROWS_MATCHES(learning_rate({}, -1, 1), ConfigError, MessageMatches(ContainsSubstring("step")));
}
