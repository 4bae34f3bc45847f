// SPDX-License-Identifier: MIT
// Buckets of time differences: integer borders against the formula.
#include <hstu/ops/time_buckets.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

std::vector<TimeBucketOptions> all_options() {
  std::vector<TimeBucketOptions> all;
  for (const TimeFunction function : {TimeFunction::sqrt, TimeFunction::log}) {
    for (const TimeUnit unit : {TimeUnit::seconds, TimeUnit::minutes}) {
      for (const double divisor : {1.0, 0.301, 5.0, 1e-4, 1e4}) {
        for (const std::int64_t max_bucket : {0, 1, 127, 2047}) {
          all.push_back({function, unit, divisor, max_bucket});
        }
      }
    }
  }
  return all;
}

std::string describe(const TimeBucketOptions& o) {
  return concat(o.function == TimeFunction::sqrt ? "sqrt" : "log", o.unit == TimeUnit::seconds ? " s" : " min",
                " / ", o.divisor, ", last bucket ", o.max_bucket);
}

/// The smallest difference whose bucket is at least `bucket`; kMax if there is none.
std::int64_t border_of(std::int64_t bucket, const TimeBucketOptions& options) {
  if (time_bucket(0, options) >= bucket) return 0;
  std::int64_t below = 0, above = kMax;
  while (above - below > 1) {
    const std::int64_t middle = below + (above - below) / 2;
    (time_bucket(middle, options) < bucket ? below : above) = middle;
  }
  return above;
}

}  // namespace

TEST_CASE("time_bucket: the values of the formula", "[ops][time_buckets][parity]") {
  const TimeBucketOptions log_seconds{.divisor = 0.301};
  CHECK(time_bucket(0, log_seconds) == 0);
  CHECK(time_bucket(1, log_seconds) == 0);
  CHECK(time_bucket(2, log_seconds) == 2);         // log 2 / 0.301 = 2.30
  CHECK(time_bucket(86400, log_seconds) == 37);    // 11.367 / 0.301 = 37.76
  CHECK(time_bucket(-5, log_seconds) == 0);        // negative differences count as 1e-6
  CHECK(time_bucket(kMax, log_seconds) == 127);
  const TimeBucketOptions root_minutes{.function = TimeFunction::sqrt, .unit = TimeUnit::minutes, .max_bucket = 2047};
  CHECK(time_bucket(59, root_minutes) == 0);
  CHECK(time_bucket(60, root_minutes) == 1);
  CHECK(time_bucket(100 * 60, root_minutes) == 10);
  CHECK(time_bucket(2047 * 2047 * 60LL - 60, root_minutes) == 2046);
  CHECK(time_bucket(kMax, root_minutes) == 2047);
  CHECK(time_bucket(kMin, root_minutes) == 0);
}

TEST_CASE("TimeBorders: equals time_bucket() around every border and at random", "[ops][time_buckets][parity]") {
  for (const TimeBucketOptions& options : all_options()) {
    INFO(describe(options));
    const TimeBorders borders(options);
    const auto require_at = [&](std::int64_t difference) {
      const std::int64_t expected = time_bucket(difference, options);
      const std::int32_t found = borders.find(difference);
      if (found != expected) FAIL("difference " << difference << ": " << found << ", expected " << expected);
      if (borders.find(-difference) != expected) FAIL("difference -" << difference);
    };
    for (std::int64_t bucket = 0; bucket <= options.max_bucket; ++bucket) {
      const std::int64_t border = border_of(bucket, options);
      for (std::int64_t step = -2; step <= 2; ++step) {
        if (step < 0 ? border >= -step : border <= kMax - step) require_at(border + step);
      }
    }
    const RandomStream stream{.seed = 3};
    for (std::uint64_t i = 0; i < 2000; ++i) {  // all magnitudes alike
      const std::uint64_t word = (std::uint64_t{stream.bits(3 * i)} << 32) | stream.bits(3 * i + 1);
      require_at(static_cast<std::int64_t>(word >> (1 + stream.below(3 * i + 2, 63))));
    }
    require_at(0);
    require_at(kMax);
    CHECK(borders.find(kMin) == time_bucket(kMax, options));
  }
}

TEST_CASE("TimeBorders: 10^5 random differences of a preset", "[ops][time_buckets][parity]") {
  const TimeBucketOptions options{.divisor = 0.301, .max_bucket = 128};
  const TimeBorders borders(options);
  const RandomStream stream{.seed = 4};
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const auto difference = static_cast<std::int64_t>(stream.bits(2 * i) >> stream.below(2 * i + 1, 32));
    if (borders.find(difference) != time_bucket(difference, options)) {
      FAIL("difference " << difference);
    }
  }
  SUCCEED();
}

TEST_CASE("TimeBorders: options out of range are refused", "[ops][time_buckets][errors]") {
  const auto make = [](double divisor, std::int64_t max_bucket) {
    return TimeBorders({.divisor = divisor, .max_bucket = max_bucket});
  };
  for (const double divisor : {0.0, -1.0, 1e-300, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_MATCHES(make(divisor, 10), ConfigError, says("divisor must be in [1e-06, 1e+09]"));
  }
  CHECK_THROWS_MATCHES(make(1.0, -1), ConfigError, says("got -1"));
  CHECK_THROWS_MATCHES(make(1.0, 1 << 16), ConfigError, says("got 65536"));
}
