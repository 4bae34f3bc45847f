// SPDX-License-Identifier: MIT
// Rows of the position bias: three forms against their formulas.
#include <hstu/ops/position_buckets.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("linear_distance_rows: min(d·(buckets − 1) / L, buckets − 1)", "[ops][position_buckets][parity]") {
  CHECK(linear_distance_rows(8, 3) == DistanceRows{0, 0, 0, 0, 1, 1, 1, 1});
  CHECK(linear_distance_rows(3, 7) == DistanceRows{0, 2, 4});
  CHECK(linear_distance_rows(1, 1) == DistanceRows{0});
  for (const std::int64_t L : {1, 2, 31, 200}) {
    for (const std::int64_t buckets : {1, 2, 32, 1000}) {
      const DistanceRows rows = linear_distance_rows(L, buckets);
      REQUIRE(std::ssize(rows) == L);
      for (std::int64_t d = 0; d < L; ++d) {
        const double share = static_cast<double>(d) / static_cast<double>(L);
        const auto exact = std::floor(share * static_cast<double>(buckets - 1) + 1e-9);
        REQUIRE(rows[static_cast<std::size_t>(d)] == static_cast<std::int32_t>(exact));
      }
    }
  }
}

TEST_CASE("signed_distance_rows: the query's own key has the row in the middle, older keys those before it",
          "[ops][position_buckets][parity]") {
  CHECK(signed_distance_rows(1) == DistanceRows{0});
  CHECK(signed_distance_rows(4) == DistanceRows{3, 2, 1, 0});
}

TEST_CASE("directional_log_bucket: exact nearby, logarithmic far off, halves for past and future",
          "[ops][position_buckets][parity]") {
  // 32 buckets up to 128: 16 for each side, 8 of them exact; bucket 8 + trunc(8·log(d/8) / log(16)).
  for (std::int64_t d = 0; d < 8; ++d) CHECK(directional_log_bucket(-d, 32, 128) == d);
  CHECK(directional_log_bucket(-8, 32, 128) == 8);
  CHECK(directional_log_bucket(-11, 32, 128) == 8);   // 8·0.115 = 0.92
  CHECK(directional_log_bucket(-12, 32, 128) == 9);   // 8·0.146 = 1.17
  CHECK(directional_log_bucket(-60, 32, 128) == 13);  // 8·0.727 = 5.81
  CHECK(directional_log_bucket(-127, 32, 128) == 15);
  CHECK(directional_log_bucket(-1000000, 32, 128) == 15);
  for (const std::int64_t r : {1, 5, 8, 60, 500}) {
    CHECK(directional_log_bucket(r, 32, 128) == directional_log_bucket(-r, 32, 128) + 16);
  }
  CHECK(directional_log_bucket(1, 32, 128) != directional_log_bucket(-1, 32, 128));
}

TEST_CASE("directional_log_bucket: stays in its table and never falls with the distance",
          "[ops][position_buckets][property]") {
  for (const std::int64_t buckets : {4, 5, 7, 32, 33, 256}) {
    for (const std::int64_t max_distance : {buckets / 4 + 1, std::int64_t{200}, std::int64_t{1} << 40}) {
      std::int32_t previous = 0;
      for (std::int64_t d = 0; d < 1000; ++d) {
        const std::int32_t past = directional_log_bucket(-d, buckets, max_distance);
        REQUIRE(past >= previous);
        REQUIRE(past < buckets / 2);
        previous = past;
        const std::int32_t future = directional_log_bucket(d + 1, buckets, max_distance);
        REQUIRE(future >= buckets / 2);
        REQUIRE(future < buckets);
      }
      using Limits = std::numeric_limits<std::int64_t>;
      for (const std::int64_t far : {Limits::min(), Limits::max()}) {
        const std::int32_t bucket = directional_log_bucket(far, buckets, max_distance);
        REQUIRE(bucket == (far > 0 ? buckets / 2 : 0) + buckets / 2 - 1);
      }
    }
  }
}

TEST_CASE("directional_log_distance_rows: the buckets of keys at or before the query",
          "[ops][position_buckets][property]") {
  const DistanceRows rows = directional_log_distance_rows(300, 32, 128);
  REQUIRE(rows.size() == 300);
  for (std::int64_t d = 0; d < 300; ++d) {
    REQUIRE(rows[static_cast<std::size_t>(d)] == directional_log_bucket(-d, 32, 128));
  }
}

TEST_CASE("position buckets: sizes out of range are refused", "[ops][position_buckets][errors]") {
  CHECK_THROWS_MATCHES(linear_distance_rows(0, 3), ConfigError, says("got 0 and 3"));
  CHECK_THROWS_MATCHES(linear_distance_rows(3, 0), ConfigError, says("got 3 and 0"));
  CHECK_THROWS_MATCHES(signed_distance_rows(-1), ConfigError, says("got -1"));
  CHECK_THROWS_MATCHES(directional_log_distance_rows(0, 32, 128), ConfigError, says("got 0"));
  CHECK_THROWS_MATCHES(directional_log_distance_rows(9, 3, 128), ConfigError, says("got 3 buckets"));
  CHECK_THROWS_MATCHES(directional_log_bucket(-1, 32, 8), ConfigError, says("max_distance 8"));
}
