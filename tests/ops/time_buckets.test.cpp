// SPDX-License-Identifier: MIT
// Buckets of time differences: integer borders against the formula, runs against bucketing every pair.
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

struct Times {
  std::vector<std::int64_t> offsets, queries, keys;
  TimeRuns runs(const TimeBorders& borders) const {
    return make_time_runs(Tensor::from(offsets), Tensor::from(queries), Tensor::from(keys), borders);
  }
};

/// Every run of every query against |query − key| bucketed pair by pair; runs must be maximal.
void require_runs_of(const Times& times, const TimeBucketOptions& options) {
  const TimeRuns runs = times.runs(TimeBorders(options));
  REQUIRE(runs.first_run.size() == times.keys.size() + 1);
  for (std::size_t b = 0; b + 1 < times.offsets.size(); ++b) {
    const auto first = static_cast<std::size_t>(times.offsets[b]);
    const auto last = static_cast<std::size_t>(times.offsets[b + 1]);
    for (std::size_t i = first; i < last; ++i) {
      std::size_t key = first;
      std::int32_t previous = -1;
      for (const TimeRuns::Run& run : runs.of(static_cast<std::int64_t>(i))) {
        REQUIRE(run.bucket != previous);
        previous = run.bucket;
        REQUIRE(first + static_cast<std::size_t>(run.key_end) > key);
        for (; key < first + static_cast<std::size_t>(run.key_end); ++key) {
          REQUIRE(run.bucket == time_bucket(std::abs(times.queries[i] - times.keys[key]), options));
        }
      }
      REQUIRE(key == i + 1);
    }
  }
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
    std::int32_t near = 0;
    const auto require_at = [&](std::int64_t difference) {
      const std::int64_t expected = time_bucket(difference, options);
      const std::int32_t found = borders.find(difference, near);
      if (found != expected) FAIL("difference " << difference << ": " << found << ", expected " << expected);
      if (borders.find(-difference, found) != expected) FAIL("difference -" << difference);
      near = found;
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
    CHECK(borders.find(kMin, 0) == time_bucket(kMax, options));
  }
}

TEST_CASE("TimeBorders: 10^5 random differences of a preset", "[ops][time_buckets][parity]") {
  const TimeBucketOptions options{.divisor = 0.301, .max_bucket = 128};
  const TimeBorders borders(options);
  const RandomStream stream{.seed = 4};
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const auto difference = static_cast<std::int64_t>(stream.bits(2 * i) >> stream.below(2 * i + 1, 32));
    if (borders.find(difference, static_cast<std::int32_t>(i % 40)) != time_bucket(difference, options)) {
      FAIL("difference " << difference);
    }
  }
  SUCCEED();
}

TEST_CASE("make_time_runs: equals bucketing every pair, sorted or not, with ties and empty users",
          "[ops][time_buckets][parity]") {
  Times times{.offsets = {0, 1, 1, 34, 36, 36}, .queries = {}, .keys = {}};
  const RandomStream stream{.seed = 8};
  for (const bool is_sorted : {true, false}) {
    times.keys.clear();
    times.queries.clear();
    for (std::uint64_t i = 0; i < 36; ++i) {
      times.keys.push_back(static_cast<std::int64_t>(i / 3) * 5000 + (is_sorted ? 0 : stream.below(i, 100000)) - 20000);
      times.queries.push_back(times.keys.back() + (is_sorted ? 5000 : 0));
    }
    for (const TimeBucketOptions& options : all_options()) {
      INFO(describe(options) << ", sorted " << is_sorted);
      require_runs_of(times, options);
    }
  }
  require_runs_of({.offsets = {0}, .queries = {}, .keys = {}}, {});
}

TEST_CASE("make_time_runs: times at the limits are bucketed, beyond them an error", "[ops][time_buckets][errors]") {
  const TimeBucketOptions options{.divisor = 0.301};
  const std::int64_t limit = kMax / 4;
  require_runs_of({{0, 3}, {limit, -limit, limit}, {-limit, limit, 0}}, options);
  const TimeBorders borders(options);
  for (const std::int64_t wild : {kMin, kMin + 1, -limit - 3, limit + 3, kMax}) {
    const Times by_query{{0, 2}, {0, wild}, {0, 0}}, by_key{{0, 2}, {0, 0}, {0, wild}};
    CHECK_THROWS_MATCHES(by_query.runs(borders), DataError, says(concat("token 1 out of range: query ", wild)));
    CHECK_THROWS_MATCHES(by_key.runs(borders), DataError, says(concat("event ", wild)));
  }
}

TEST_CASE("make_time_runs: offsets that do not fit are refused", "[ops][time_buckets][errors]") {
  const TimeBorders borders{TimeBucketOptions{}};
  const std::vector<std::int64_t> two{5, 6};
  for (const std::vector<std::int64_t>& offsets : std::vector<std::vector<std::int64_t>>{
           {}, {0}, {0, 1}, {0, 3}, {1, 2}, {-1, 2}, {0, 100, 2}, {0, -100, 2}}) {
    CHECK_THROWS_MATCHES((Times{offsets, two, two}.runs(borders)), ShapeError, says("offsets must ascend from 0"));
  }
  CHECK_THROWS_AS((Times{{0, 2}, {5}, two}.runs(borders)), ShapeError);
}

TEST_CASE("TimeBorders: options out of range are refused", "[ops][time_buckets][errors]") {
  const auto make = [](double divisor, std::int64_t max_bucket) {
    return TimeBorders({.divisor = divisor, .max_bucket = max_bucket});
  };
  for (const double divisor : {0.0, -1.0, 1e-300, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_MATCHES(make(divisor, 10), ConfigError, says("divisor must be in [1e-06, 1e+09]"));
  }
  CHECK_THROWS_MATCHES(make(1.0, -1), ConfigError, says("got -1"));
  CHECK_THROWS_MATCHES(make(1.0, 1 << 20), ConfigError, says("got 1048576"));
}
