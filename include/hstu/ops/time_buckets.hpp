// SPDX-License-Identifier: MIT
// Time differences -> bucket numbers, and the runs of equal buckets along the keys of a query.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include <hstu/core/tensor.hpp>

namespace hstu {

enum class TimeFunction { sqrt, log };
enum class TimeUnit { seconds, minutes };

inline constexpr double kLeastTimeDivisor = 1e-6;  // keeps every quotient within float32
inline constexpr double kLargestTimeDivisor = 1e9;

/// How a time difference becomes a bucket.
struct TimeBucketOptions {
  TimeFunction function = TimeFunction::log;
  TimeUnit unit = TimeUnit::seconds;
  double divisor = 1.0;
  std::int64_t max_bucket = 127;  ///< larger buckets are clamped to it
};

/// bucket = clamp(trunc(f(max(Δ, 1e-6)) / divisor), 0, max_bucket), f = sqrt or log, Δ in the unit chosen.
/// Computed in float32 as the PyTorch models do.  docs/math.md (T1)
/// Source: torch-rechub 0.1.0 and 0.9.0, `_time_diff_to_bucket`, `_bucketize_time`; Meta's log(max(|Δ|, 1)) / 0.301
/// is the same for whole seconds, since log(1e-6) is clamped to bucket 0.
inline std::int64_t time_bucket(std::int64_t difference_s, const TimeBucketOptions& options) {
  auto difference = static_cast<float>(difference_s);
  if (options.unit == TimeUnit::minutes) difference /= 60.0f;
  difference = std::max(difference, 1e-6f);
  const float value = options.function == TimeFunction::sqrt ? std::sqrt(difference) : std::log(difference);
  const float scaled = value / static_cast<float>(options.divisor);
  return static_cast<std::int64_t>(std::clamp(scaled, 0.0f, static_cast<float>(options.max_bucket)));
}

/// The smallest difference of every bucket: bucketing by comparing integers, equal to time_bucket() everywhere.
class TimeBorders {
 public:
  explicit TimeBorders(const TimeBucketOptions& options) {
    check<ConfigError>(options.divisor >= kLeastTimeDivisor && options.divisor <= kLargestTimeDivisor,
                       "time buckets: divisor must be in [", kLeastTimeDivisor, ", ", kLargestTimeDivisor, "], got ",
                       options.divisor);
    check<ConfigError>(options.max_bucket >= 0 && options.max_bucket < (1 << 20),
                       "time buckets: the last bucket must be in [0, 2^20), got ", options.max_bucket);
    borders_.push_back(0);
    std::int64_t below = 0;
    while (std::ssize(borders_) <= options.max_bucket) {
      const auto bucket = std::ssize(borders_);
      std::int64_t above = kLongest;
      if (time_bucket(above, options) < bucket) break;
      while (above - below > 1) {  // invariant: time_bucket(below) < bucket <= time_bucket(above)
        const std::int64_t middle = below + (above - below) / 2;
        (time_bucket(middle, options) < bucket ? below : above) = middle;
      }
      borders_.push_back(time_bucket(below, options) >= bucket ? below : above);
      below = borders_.back() > 0 ? borders_.back() - 1 : 0;
    }
    borders_.push_back(std::numeric_limits<std::int64_t>::max());
  }

  /// The bucket of |difference|, starting the search at `near`.
  std::int32_t find(std::int64_t difference_s, std::int32_t near) const {
    const std::int64_t d = difference_s == std::numeric_limits<std::int64_t>::min()
                               ? kLongest
                               : std::min(std::abs(difference_s), kLongest);
    auto bucket = static_cast<std::size_t>(near);
    while (d >= borders_[bucket + 1]) ++bucket;
    while (d < borders_[bucket]) --bucket;
    return static_cast<std::int32_t>(bucket);
  }

 private:
  static constexpr std::int64_t kLongest = std::numeric_limits<std::int64_t>::max() - 1;
  std::vector<std::int64_t> borders_;  // [bucket] -> smallest difference in seconds; one past the end: infinity
};

/// For every query token the runs of keys that share a time bucket, keys ascending up to the query itself.
/// Sorted events give a few dozen runs a row, so bias and gradient are sums over segments, and nothing has L×L floats.
struct TimeRuns {
  struct Run {
    std::int32_t key_end;  ///< one past the last key, counted from the user's first token
    std::int32_t bucket;
  };
  std::vector<std::int64_t> first_run;  ///< [T + 1]
  std::vector<Run> runs;

  std::span<const Run> of(std::int64_t token) const {
    const auto first = static_cast<std::size_t>(first_run[static_cast<std::size_t>(token)]);
    const auto last = static_cast<std::size_t>(first_run[static_cast<std::size_t>(token) + 1]);
    return std::span(runs).subspan(first, last - first);
  }
};

/// Buckets |query_time[i] − key_time[j]| for j <= i inside each user.
///   offsets int64 [B+1]   query_times_s, key_times_s int64 [T]
/// Throws ShapeError for offsets that do not fit, DataError for times whose differences could leave int64.
inline TimeRuns make_time_runs(const Tensor& offsets, const Tensor& query_times_s, const Tensor& key_times_s,
                               const TimeBorders& borders) {
  const auto starts = offsets.values<std::int64_t>();
  const auto queries = query_times_s.values<std::int64_t>();
  const auto keys = key_times_s.values<std::int64_t>();
  check<ShapeError>(queries.size() == keys.size() && !starts.empty() && starts.front() == 0 &&
                        starts.back() == std::ssize(keys) && std::ranges::is_sorted(starts),
                    "time_runs: offsets must ascend from 0 to the number of events, got ",
                    starts.empty() ? 0 : starts.front(), " to ", starts.empty() ? 0 : starts.back(), " for ",
                    queries.size(), " query times and ", keys.size(), " key times");
  // Differences of times beyond this would overflow; no calendar reaches it.
  constexpr std::int64_t kMaxTime = std::numeric_limits<std::int64_t>::max() / 8;
  TimeRuns result;
  result.first_run.reserve(keys.size() + 1);
  result.first_run.push_back(0);
  for (std::size_t b = 0; b + 1 < starts.size(); ++b) {
    const auto first = static_cast<std::size_t>(starts[b]);
    const auto last = static_cast<std::size_t>(starts[b + 1]);
    std::int32_t first_bucket = 0;  // the oldest key's bucket changes little from query to query
    for (std::size_t i = first; i < last; ++i) {
      check<DataError>(std::abs(queries[i] / 2) <= kMaxTime && std::abs(keys[i] / 2) <= kMaxTime,
                       "time_runs: timestamps of token ", i, " out of range: query ", queries[i], ", event ", keys[i]);
      std::int32_t bucket = first_bucket = borders.find(queries[i] - keys[first], first_bucket);
      for (std::size_t j = first; j <= i; ++j) {
        bucket = borders.find(queries[i] - keys[j], bucket);
        const auto key_end = static_cast<std::int32_t>(j - first + 1);
        if (j > first && result.runs.back().bucket == bucket) result.runs.back().key_end = key_end;
        else result.runs.push_back({key_end, bucket});
      }
      result.first_run.push_back(std::ssize(result.runs));
    }
  }
  return result;
}

}  // namespace hstu
