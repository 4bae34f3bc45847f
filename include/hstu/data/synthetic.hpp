// SPDX-License-Identifier: MIT
// Synthetic ratings: users with drifting tastes whose next item depends on the last, for tests and for machines
// offline.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <hstu/core/check.hpp>
#include <hstu/core/random.hpp>
#include <hstu/data/ratings.hpp>

namespace hstu {

/// Items lie on a ring that is cut into `clusters` equal arcs.  A user walks: with `follow_share` to the next unseen
/// item on the ring, else to an unseen item of the current arc drawn by popularity ~ 1 / (rank in the
/// arc)^zipf_exponent; before each step the taste moves to a random arc with `drift_share`.  No user meets an item
/// twice.
struct SyntheticOptions {
  std::int64_t users = 500;
  std::int64_t items = 400;
  std::int64_t clusters = 10;
  std::int64_t min_length = 10;  ///< events of a user: uniform in [min_length, max_length]
  std::int64_t max_length = 60;  ///< at most half of the items
  double follow_share = 0.6;
  double drift_share = 0.05;
  double tie_share = 0.5;  ///< of the steps, those that carry the timestamp of the step before
  double zipf_exponent = 0.8;
  std::uint64_t seed = 1;
};

namespace detail {

inline constexpr std::uint32_t kSyntheticSite = 0x0DA7A005;  ///< RandomStream::site; the user is the step

inline void check_synthetic(const SyntheticOptions& options) {
  constexpr std::int64_t kMost = 1'000'000'000;  // names and ids stay within 32 bits
  const auto require = [](bool holds, const char* text, auto got) {
    check<ConfigError>(holds, "synthetic: expected ", text, ", got ", got);
  };
  const auto is_share = [](double share) { return share >= 0.0 && share <= 1.0; };
  require(options.users >= 1 && options.users <= kMost, "users in [1, 1e9]", options.users);
  require(options.items >= 2 && options.items <= kMost, "items in [2, 1e9]", options.items);
  require(options.clusters >= 1 && options.clusters <= options.items, "clusters in [1, items]", options.clusters);
  require(options.min_length >= 1 && options.min_length <= options.max_length, "min_length in [1, max_length]",
          options.min_length);
  require(options.max_length <= options.items / 2, "max_length of at most half the items", options.max_length);
  require(is_share(options.follow_share), "follow_share in [0, 1]", options.follow_share);
  require(is_share(options.drift_share), "drift_share in [0, 1]", options.drift_share);
  require(is_share(options.tie_share), "tie_share in [0, 1]", options.tie_share);
  require(options.zipf_exponent >= 0.0 && options.zipf_exponent <= 10.0, "zipf_exponent in [0, 10]",
          options.zipf_exponent);
}

/// The walk of one user over the ring; all randomness is a function of (seed, user, draw).
class SyntheticWalk {
 public:
  /// `popularity` [widest arc] holds running sums of the weights by rank.
  SyntheticWalk(const SyntheticOptions& options, const std::vector<double>& popularity, std::int64_t user)
      : options_(options),
        popularity_(popularity),
        stream_{.seed = options.seed, .step = static_cast<std::uint32_t>(user), .site = kSyntheticSite},
        is_seen_(static_cast<std::size_t>(options.items), false),
        cluster_(below(options.clusters)) {}

  /// Integer in [0, n).
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(uniform() * static_cast<double>(n)); }
  double uniform() { return stream_.uniform(draws_++); }

  /// The next item, a place on the ring.
  std::int64_t next() {
    if (uniform() < options_.drift_share) cluster_ = below(options_.clusters);
    const bool follows = last_ >= 0 && uniform() < options_.follow_share;
    std::int64_t place = follows ? last_ + 1 : draw_from_cluster();
    while (is_seen_[static_cast<std::size_t>(place % options_.items)]) ++place;  // half of the ring stays unseen
    last_ = place % options_.items;
    is_seen_[static_cast<std::size_t>(last_)] = true;
    return last_;
  }

 private:
  std::int64_t draw_from_cluster() {
    const std::int64_t begin = cluster_ * options_.items / options_.clusters;
    const std::int64_t end = (cluster_ + 1) * options_.items / options_.clusters;
    const auto weights_end = popularity_.begin() + (end - begin);
    const double at = uniform() * *(weights_end - 1);
    const auto rank = std::min(std::upper_bound(popularity_.begin(), weights_end, at), weights_end - 1);
    return begin + (rank - popularity_.begin());
  }

  const SyntheticOptions& options_;
  const std::vector<double>& popularity_;
  RandomStream stream_;
  std::uint64_t draws_ = 0;
  std::vector<bool> is_seen_;
  std::int64_t cluster_;
  std::int64_t last_ = -1;
};

}  // namespace detail

/// Users "u1", "u2", … and items "i1", "i2", … (numbered along the ring), each user's rows together and in order of
/// time; ratings 1 … 5.  The same options give the same ratings.  Throws ConfigError on options out of range.
inline Ratings make_synthetic_ratings(const SyntheticOptions& options = {}) {
  detail::check_synthetic(options);
  const std::int64_t widest = (options.items + options.clusters - 1) / options.clusters;
  std::vector<double> popularity;
  for (std::int64_t rank = 1; rank <= widest; ++rank) {
    const double before = popularity.empty() ? 0.0 : popularity.back();
    popularity.push_back(before + std::pow(static_cast<double>(rank), -options.zipf_exponent));
  }
  Ratings ratings;
  ratings.source = concat("synthetic, seed ", options.seed);
  for (std::int64_t user = 0; user < options.users; ++user) {
    detail::SyntheticWalk walk(options, popularity, user);
    const std::int64_t length = options.min_length + walk.below(options.max_length - options.min_length + 1);
    std::int64_t time_s = 1'000'000'000 + walk.below(10'000'000);
    for (std::int64_t event = 0; event < length; ++event) {
      if (event > 0 && walk.uniform() >= options.tie_share) {
        const bool is_new_session = walk.uniform() < 0.1;
        time_s += 1 + walk.below(is_new_session ? 3'000'000 : 120);
      }
      ratings.user.push_back(static_cast<std::int32_t>(user));
      ratings.item.push_back(ratings.items.add(concat("i", walk.next() + 1)));
      ratings.rating.push_back(static_cast<float>(1 + walk.below(5)));
      ratings.timestamp_s.push_back(time_s);
    }
    ratings.users.push_back(concat("u", user + 1));
  }
  return ratings;
}

}  // namespace hstu
