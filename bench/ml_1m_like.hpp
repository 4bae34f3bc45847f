// SPDX-License-Identifier: MIT
// Synthetic histories with the size and the lengths of MovieLens-1M, so that benches need no download.
#pragma once
#include <memory>

#include <hstu/data/sequences.hpp>
#include <hstu/data/synthetic.hpp>

namespace hstu::bench {

/// MovieLens-1M: 6,040 users, 3,706 items, half of the steps simultaneous.  Cut to a history of 200, a user trains
/// 108.0 tokens with 8,257 pairs of a query and a key on average; lengths uniform in [5, 226] give 112.1 and 8,269.
inline SyntheticOptions ml_1m_options(std::int64_t users) {
  return {.users = users, .items = 3706, .clusters = 18, .min_length = 5, .max_length = 226};
}

/// Sequences of synthetic ratings.  All items are in the vocabulary, whether somebody rated them or not.
inline std::shared_ptr<const Sequences> make_sequences_of(const SyntheticOptions& options) {
  Ratings ratings = make_synthetic_ratings(options);
  for (std::int64_t item = 1; item <= options.items; ++item) ratings.items.add(concat("i", item));
  return std::make_shared<const Sequences>(make_sequences(ratings));
}

}  // namespace hstu::bench
