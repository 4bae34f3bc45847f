// SPDX-License-Identifier: MIT
// The best items of a row of scores.
#pragma once
#include <hstu/metrics/candidates.hpp>

namespace hstu {

struct ScoredItem {
  std::int32_t item = 0;
  double score = 0.0;
  friend bool operator==(const ScoredItem&, const ScoredItem&) = default;
};

/// The k best items, best first; of equal scores the lower id comes first.  scores [V]; candidates are the items
/// 1 … V−1 without `excluded` (any order, repeats and 0 allowed).  Fewer than k if there are not as many candidates.
/// Throws NumericError if the score of a candidate is NaN or Inf, DataError for an excluded id outside of the table.
template <class Scalar>
std::vector<ScoredItem> top_k(std::span<const Scalar> scores, std::int64_t k,
                              std::span<const std::int32_t> excluded = {}) {
  check<ConfigError>(k >= 0, "top_k: k must not be negative, got ", k);
  std::vector<std::int32_t> items;
  items.reserve(scores.size());
  detail::for_each_candidate_range(scores, excluded, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t item = first; item < last; ++item) items.push_back(static_cast<std::int32_t>(item));
  });
  const auto score = [&](std::int32_t item) { return scores[static_cast<std::size_t>(item)]; };
  const auto is_better = [&](std::int32_t a, std::int32_t b) {
    return score(a) > score(b) || (score(a) == score(b) && a < b);
  };
  const std::int64_t count = std::min(k, std::ssize(items));
  std::ranges::partial_sort(items, items.begin() + count, is_better);
  std::vector<ScoredItem> best;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t item = items[static_cast<std::size_t>(i)];
    best.push_back({item, static_cast<double>(score(item))});
  }
  return best;
}

}  // namespace hstu
