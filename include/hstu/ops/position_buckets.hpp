// SPDX-License-Identifier: MIT
// Relative positions -> rows of a bias table: the row for every distance d = i − j >= 0 of query i and key j;
// docs/math.md (T2).
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <hstu/core/check.hpp>

namespace hstu {

using DistanceRows = std::vector<std::int32_t>;

/// Linear buckets of |i − j|: row = min(d·(buckets − 1) / max_seq_len, buckets − 1).
/// Source: torch-rechub 0.1.0, RelPosBias.
inline DistanceRows linear_distance_rows(std::int64_t max_seq_len, std::int64_t num_buckets) {
  check<ConfigError>(max_seq_len >= 1 && num_buckets >= 1,
                     "position buckets: max_seq_len and buckets must be positive, got ", max_seq_len, " and ",
                     num_buckets);
  DistanceRows rows(static_cast<std::size_t>(max_seq_len));
  for (std::int64_t d = 0; d < max_seq_len; ++d) {
    rows[static_cast<std::size_t>(d)] =
        static_cast<std::int32_t>(std::min(d * (num_buckets - 1) / max_seq_len, num_buckets - 1));
  }
  return rows;
}

/// One row per signed distance, table of 2·max_seq_len − 1 rows: row = max_seq_len − 1 + j − i.
/// Source: Meta's research code and torch-rechub 0.9.0.
inline DistanceRows signed_distance_rows(std::int64_t max_seq_len) {
  check<ConfigError>(max_seq_len >= 1, "position buckets: max_seq_len must be positive, got ", max_seq_len);
  DistanceRows rows(static_cast<std::size_t>(max_seq_len));
  for (std::int64_t d = 0; d < max_seq_len; ++d) {
    rows[static_cast<std::size_t>(d)] = static_cast<std::int32_t>(max_seq_len - 1 - d);
  }
  return rows;
}

/// Directional logarithmic bucket of a relative position r = key − query: half of the buckets for keys after the
/// query, half for keys at or before it; in each half the first half is exact, the rest grows logarithmically up to
/// max_distance.  Throws ConfigError for fewer than 4 buckets or a max_distance within the exact part.
/// Source: Raffel et al. 2020 (T5), relative attention, bidirectional form.
inline std::int32_t directional_log_bucket(std::int64_t key_minus_query, std::int64_t num_buckets,
                                           std::int64_t max_distance) {
  check<ConfigError>(num_buckets >= 4 && max_distance > num_buckets / 4,
                     "position buckets: the log form needs at least 4 buckets and max_distance above a quarter of them,"
                     " got ", num_buckets, " buckets, max_distance ", max_distance);
  const std::int64_t half = num_buckets / 2;
  const std::int64_t distance = std::abs(std::max(key_minus_query, -std::numeric_limits<std::int64_t>::max()));
  const std::int64_t exact = half / 2;
  std::int64_t bucket = distance;
  if (distance >= exact) {
    const double share = std::log(static_cast<double>(distance) / static_cast<double>(exact)) /
                         std::log(static_cast<double>(max_distance) / static_cast<double>(exact));
    bucket = std::min(exact + static_cast<std::int64_t>(share * static_cast<double>(half - exact)), half - 1);
  }
  return static_cast<std::int32_t>(bucket + (key_minus_query > 0 ? half : 0));
}

/// The rows of directional_log_bucket(−d).
inline DistanceRows directional_log_distance_rows(std::int64_t max_seq_len, std::int64_t num_buckets,
                                                  std::int64_t max_distance) {
  check<ConfigError>(max_seq_len >= 1, "position buckets: max_seq_len must be positive, got ", max_seq_len);
  DistanceRows rows(static_cast<std::size_t>(max_seq_len));
  for (std::int64_t d = 0; d < max_seq_len; ++d) {
    rows[static_cast<std::size_t>(d)] = directional_log_bucket(-d, num_buckets, max_distance);
  }
  return rows;
}

}  // namespace hstu
