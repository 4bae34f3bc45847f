// SPDX-License-Identifier: MIT
// Stochastic Length: long histories are thinned at random, anew in every epoch.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <hstu/data/batcher.hpp>

namespace hstu {

/// Of a history of n events, N being the longest there is:  all n if n ≤ N^(α/2), or with probability N^α / n²; else
/// ⌊N^(α/2)⌋ of them.  So attention, which costs n², costs N^α on average.  α in (1, 2]; 2 keeps everything.
/// docs/math.md (D1).  Source: Zhai et al. 2024, section on Stochastic Length.
struct StochasticLength {
  double alpha = 2.0;
  std::int64_t max_length = 200;  ///< N
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;

  /// Events that remain of history number `unit`, which has `length`.
  std::int64_t kept(std::int64_t length, std::int64_t unit) const {
    const double n = static_cast<double>(length), N = static_cast<double>(max_length);
    const double target = std::floor(std::pow(N, alpha / 2));
    if (n <= target) return length;
    const double keep_all = std::pow(N, alpha) / (n * n);
    const RandomStream stream{.seed = seed, .step = epoch, .site = kLengthSite};
    return stream.uniform(static_cast<std::uint64_t>(unit)) < keep_all ? length : static_cast<std::int64_t>(target);
  }

  /// Which ones, ascending places from 0: the last and, of the others, every choice equally likely.
  std::vector<std::int64_t> places(std::int64_t length, std::int64_t unit) const {
    const RandomStream stream{.seed = seed, .step = epoch, .site = kPlaceSite};
    std::int64_t wanted = kept(length, unit) - 1;
    std::vector<std::int64_t> chosen;
    for (std::int64_t i = 0; i + 1 < length; ++i) {  // Knuth's algorithm S
      const auto index = (static_cast<std::uint64_t>(unit) << 24) + static_cast<std::uint64_t>(i);
      if (stream.uniform(index) * static_cast<double>(length - 1 - i) >= static_cast<double>(wanted)) continue;
      chosen.push_back(i);
      --wanted;
    }
    chosen.push_back(length - 1);
    return chosen;
  }

 private:
  static constexpr std::uint32_t kLengthSite = 0x0DA7A005, kPlaceSite = 0x0DA7A006;  // RandomStream::site
};

/// The pass of add_training_pass() over `events` with the inputs that `thinning` keeps.  Each still predicts the event
/// that really came next.
inline void add_thinned_pass(JaggedBatchBuilder& builder, const Sequences& sequences, const EventRange& events,
                             const StochasticLength& thinning, std::int64_t unit) {
  if (events.size() < 2) return;
  builder.begin_user();
  const std::int64_t first = std::max(events.begin, events.end - 1 - thinning.max_length);
  std::int32_t position = 0;
  for (const std::int64_t place : thinning.places(events.end - 1 - first, unit)) {
    const auto at = static_cast<std::size_t>(first + place);
    const std::int64_t time_s = sequences.timestamps_s[at], next_s = sequences.timestamps_s[at + 1];
    builder.add(sequences.items[at], position++, time_s, next_s, next_s - time_s, sequences.items[at + 1]);
  }
}

}  // namespace hstu
