// SPDX-License-Identifier: MIT
// Panels of time buckets against bucketing every pair.
#include <hstu/ops/time_panels.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

constexpr std::int64_t kLastSecond = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kFirstSecond = std::numeric_limits<std::int64_t>::min();

struct Times {
  std::vector<std::int64_t> offsets, queries, keys;
  TimePanels panels(const TimeBorders& borders) const {
    return TimePanels(Tensor::from(offsets), Tensor::from(queries), Tensor::from(keys), borders);
  }
};

/// Every pair of a query and a key it may see, in its panel; entries of no pair are buckets that exist.
void require_panels_of(const Times& times, const TimeBucketOptions& options) {
  const TimePanels panels = times.panels(TimeBorders(options));
  REQUIRE(panels.users() + 1 == std::ssize(times.offsets));
  std::int64_t largest = 0;
  for (std::size_t b = 0; b + 1 < times.offsets.size(); ++b) {
    const std::int64_t first = times.offsets[b], length = times.offsets[b + 1] - first;
    REQUIRE(panels.fits(static_cast<std::int64_t>(b), length));
    REQUIRE_FALSE(panels.fits(static_cast<std::int64_t>(b), length + 1));
    const auto bucket = [&](std::int64_t i, std::int64_t key) {
      return time_bucket(std::abs(times.queries[static_cast<std::size_t>(first + i)] -
                                  times.keys[static_cast<std::size_t>(first + key)]), options);
    };
    for (std::int64_t i0 = 0; i0 < length; i0 += kPanelQueries) {
      for (std::int64_t key = 0; key < std::min(i0 + kPanelQueries, length); ++key) {
        const std::uint16_t* row = panels.row(static_cast<std::int64_t>(b), i0, key);
        for (std::int64_t lane = 0; lane < kPanelQueries; ++lane) {
          const std::int64_t i = i0 + lane;
          if (key <= i && i < length && row[lane] != bucket(i, key)) {
            FAIL("user " << b << ", query " << i << ", key " << key << ": " << row[lane] << ", expected "
                         << bucket(i, key));
          }
          if (row[lane] > panels.largest_bucket()) FAIL("query " << i << ", key " << key << ": " << row[lane]);
          if (panels.is_ascending() && lane > 0 && row[lane] < row[lane - 1]) FAIL("descends at query " << i);
          if (key <= i && i < length) largest = std::max<std::int64_t>(largest, row[lane]);
        }
      }
    }
  }
  REQUIRE(panels.largest_bucket() == largest);
}

}  // namespace

TEST_CASE("TimePanels: equal bucketing every pair, sorted or not, with ties and empty users",
          "[ops][time_panels][parity]") {
  Times times{.offsets = {0, 1, 1, 34, 36, 52, 100, 100}, .queries = {}, .keys = {}};
  const RandomStream stream{.seed = 8};
  for (const bool is_sorted : {true, false}) {
    times.keys.clear();
    times.queries.clear();
    for (std::uint64_t i = 0; i < 100; ++i) {
      times.keys.push_back(static_cast<std::int64_t>(i / 3) * 5000 + (is_sorted ? 0 : stream.below(i, 100000)) - 20000);
      times.queries.push_back(times.keys.back() + (is_sorted ? 5000 : 0));
    }
    for (const TimeFunction function : {TimeFunction::sqrt, TimeFunction::log}) {
      for (const double divisor : {1.0, 0.301, 1e-4, 1e4}) {
        for (const std::int64_t max_bucket : {0, 1, 127, 2047, 65535}) {
          INFO("divisor " << divisor << ", last bucket " << max_bucket << ", sorted " << is_sorted);
          require_panels_of(times, {.function = function, .divisor = divisor, .max_bucket = max_bucket});
        }
      }
    }
    CHECK(times.panels(TimeBorders({.divisor = 0.301})).is_ascending() == is_sorted);
  }
  require_panels_of({.offsets = {0}, .queries = {}, .keys = {}}, {});
}

TEST_CASE("TimePanels: times at the limits are bucketed, beyond them an error", "[ops][time_panels][errors]") {
  const TimeBucketOptions options{.divisor = 0.301};
  const std::int64_t limit = kLastSecond / 4;
  require_panels_of({{0, 3}, {limit, -limit, limit}, {-limit, limit, 0}}, options);
  const TimeBorders borders(options);
  for (const std::int64_t wild : {kFirstSecond, kFirstSecond + 1, -limit - 3, limit + 3, kLastSecond}) {
    const Times by_query{{0, 2}, {0, wild}, {0, 0}}, by_key{{0, 2}, {0, 0}, {0, wild}};
    CHECK_THROWS_MATCHES(by_query.panels(borders), DataError, says(concat("token 1 out of range: query ", wild)));
    CHECK_THROWS_MATCHES(by_key.panels(borders), DataError, says(concat("event ", wild)));
  }
}

TEST_CASE("TimePanels: offsets that do not fit are refused", "[ops][time_panels][errors]") {
  const TimeBorders borders{TimeBucketOptions{}};
  const std::vector<std::int64_t> two{5, 6};
  for (const std::vector<std::int64_t>& offsets : std::vector<std::vector<std::int64_t>>{
           {}, {0}, {0, 1}, {0, 3}, {1, 2}, {-1, 2}, {0, 100, 2}, {0, -100, 2}}) {
    CHECK_THROWS_MATCHES((Times{offsets, two, two}.panels(borders)), ShapeError, says("offsets must ascend from 0"));
  }
  CHECK_THROWS_AS((Times{{0, 2}, {5}, two}.panels(borders)), ShapeError);
}
