// SPDX-License-Identifier: MIT
// Time differences -> bucket numbers.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <hstu/core/check.hpp>

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
    check<ConfigError>(options.max_bucket >= 0 && options.max_bucket < (1 << 16),
                       "time buckets: the last bucket must be in [0, 65535], got ", options.max_bucket);
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
    std::uint16_t bucket = 0;
    for (std::size_t cell = 0; cell < first_bucket_.size(); ++cell) {
      while (start_of(static_cast<std::int64_t>(cell)) >= borders_[bucket + std::size_t{1}]) ++bucket;
      first_bucket_[cell] = bucket;
    }
  }

  /// The smallest difference of every bucket that occurs, ascending from 0.
  std::span<const std::int64_t> starts() const { return std::span(borders_).first(borders_.size() - 1); }

  /// The bucket of |difference|.
  std::uint16_t find(std::int64_t difference_s) const {
    const auto bits = static_cast<std::uint64_t>(difference_s);  // GCC 12 gets std::abs wrong here when it inlines
    const auto d = static_cast<std::int64_t>(
        std::min(difference_s < 0 ? 0 - bits : bits, static_cast<std::uint64_t>(kLongest)));
    std::size_t bucket = first_bucket_[static_cast<std::size_t>(cell_of(d))];
    while (d >= borders_[bucket + 1]) ++bucket;  // hardly ever: cells are finer than the usual buckets
    return static_cast<std::uint16_t>(bucket);
  }

 private:
  static constexpr std::int64_t kLongest = std::numeric_limits<std::int64_t>::max() - 1;
  // Cells cut every power of two into 64: the differences 64 to 127 are 64 cells of one each, 128 to 255 of two each.
  static constexpr std::int64_t kCells = 64;
  static constexpr std::int64_t kNumCells = kCells * (64 - 6);

  static std::int64_t cell_of(std::int64_t d) {
    if (d < kCells) return d;
    const auto exponent = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(d))) - 1;
    return kCells * (exponent - 6) + (d >> (exponent - 6));
  }
  /// The smallest difference of a cell.
  static std::int64_t start_of(std::int64_t cell) {
    if (cell < 2 * kCells) return cell;
    return (kCells + cell % kCells) << (cell / kCells - 1);
  }

  std::vector<std::int64_t> borders_;  // [bucket] -> smallest difference in seconds; one past the end: infinity
  std::array<std::uint16_t, kNumCells> first_bucket_{};  // by cell
};

}  // namespace hstu
