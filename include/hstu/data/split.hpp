// SPDX-License-Identifier: MIT
// Splits: the last events of each user held out, or whole users held out.  Index ranges only, nothing is copied.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include <hstu/core/check.hpp>
#include <hstu/core/chunks.hpp>
#include <hstu/core/random.hpp>
#include <hstu/data/sequences.hpp>

namespace hstu {

/// Events [begin, end) of the columns of Sequences.
using EventRange = IndexRange;

/// One event to predict from all events of the user before it.
struct HeldOut {
  std::int64_t user = 0;
  EventRange history;       ///< never empty
  std::int64_t target = 0;  ///< place of the event in the columns: history.end

  friend bool operator==(const HeldOut&, const HeldOut&) = default;
};

struct LeaveLastOut {
  std::vector<EventRange> train;    ///< [U], what training may see of each user
  std::vector<HeldOut> validation;  ///< by user, ascending
  std::vector<HeldOut> test;
};

/// Of each user, the last event is the test target and the second-last the validation target; training sees neither.
/// A user with n events has
///   n >= 3: training on n - 2 events, a validation and a test target (their histories are n - 2 and n - 1 events
///   long); n == 2: training on 1 event (which predicts nothing), no validation target, the last event as test target;
///   n == 1: training on that event, no targets;   n == 0: nothing.
inline LeaveLastOut leave_last_out(const Sequences& sequences) {
  LeaveLastOut split;
  for (std::int64_t user = 0; user < sequences.num_users(); ++user) {
    const std::int64_t begin = sequences.offsets[static_cast<std::size_t>(user)];
    const std::int64_t length = sequences.length(user);
    const std::int64_t end = begin + length;
    split.train.push_back({begin, length >= 3 ? end - 2 : length == 2 ? end - 1 : end});
    if (length >= 3) split.validation.push_back({user, {begin, end - 2}, end - 2});
    if (length >= 2) split.test.push_back({user, {begin, end - 1}, end - 1});
  }
  return split;
}

/// `sequences` without the last `count` events of every user; users and items stay, so that ids mean the same in both.
inline Sequences without_last(Sequences sequences, std::int64_t count) {
  check<ConfigError>(count >= 0, "split: expected to leave out 0 or more events, got ", count);
  std::vector<std::int64_t> offsets = {0};
  std::size_t kept = 0;
  for (std::int64_t user = 0; user < sequences.num_users(); ++user) {
    const auto first = static_cast<std::size_t>(sequences.offsets[static_cast<std::size_t>(user)]);
    const std::int64_t length = std::max<std::int64_t>(sequences.length(user) - count, 0);
    for (std::size_t i = first; i < first + static_cast<std::size_t>(length); ++i, ++kept) {
      sequences.items[kept] = sequences.items[i];
      sequences.ratings[kept] = sequences.ratings[i];
      sequences.timestamps_s[kept] = sequences.timestamps_s[i];
    }
    offsets.push_back(static_cast<std::int64_t>(kept));
  }
  sequences.items.resize(kept);
  sequences.ratings.resize(kept);
  sequences.timestamps_s.resize(kept);
  sequences.offsets = std::move(offsets);
  return sequences;
}

/// Shares of a three-way split; they sum to 1.
struct SplitRatios {
  double train = 0.8;
  double validation = 0.1;
  double test = 0.1;
};

/// Three disjoint ascending lists that together hold every index once.
struct IndexSplit {
  std::vector<std::int64_t> train;
  std::vector<std::int64_t> validation;
  std::vector<std::int64_t> test;
};

/// Indices 0 … count - 1 dealt out at random by `stream`: floor(count·train), floor(count·validation), and the rest.
/// Throws ConfigError if a ratio is negative or they do not sum to 1 within 1e-6.
inline IndexSplit split_indices(std::int64_t count, const SplitRatios& ratios, const RandomStream& stream) {
  const double sum = ratios.train + ratios.validation + ratios.test;
  check<ConfigError>(ratios.train >= 0 && ratios.validation >= 0 && ratios.test >= 0 && std::abs(sum - 1.0) < 1e-6,
                     "split: expected ratios of at least 0 with sum 1, got ", ratios.train, ", ", ratios.validation,
                     ", ", ratios.test);
  check<ConfigError>(count >= 0 && count <= std::numeric_limits<std::uint32_t>::max(),
                     "split: expected between 0 and 2^32 - 1 indices, got ", count);
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  shuffle(indices, stream);
  // A share that is whole up to rounding is whole: 0.29·100 is 28.999…96 in binary.
  const auto share = [&](double ratio) {
    return std::min(count, static_cast<std::int64_t>(std::floor(static_cast<double>(count) * ratio + 1e-6)));
  };
  const auto train_end = indices.begin() + share(ratios.train);
  const auto validation_end = train_end + std::min(share(ratios.validation), indices.end() - train_end);
  IndexSplit split{.train = {indices.begin(), train_end},
                   .validation = {train_end, validation_end},
                   .test = {validation_end, indices.end()}};
  for (std::vector<std::int64_t>* part : {&split.train, &split.validation, &split.test}) std::ranges::sort(*part);
  return split;
}

namespace detail {
inline constexpr std::uint32_t kUserSplitSite = 0x0DA7A002;  ///< RandomStream::site of split_users
}

/// Whole users dealt out at random, so that no user is in two parts, as torch-rechub 0.1.0 does.  Throws as
/// split_indices.
inline IndexSplit split_users(std::int64_t num_users, const SplitRatios& ratios = {}, std::uint64_t seed = 0) {
  return split_indices(num_users, ratios, {.seed = seed, .step = 0, .site = detail::kUserSplitSite});
}

}  // namespace hstu
