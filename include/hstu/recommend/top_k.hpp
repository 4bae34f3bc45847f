// SPDX-License-Identifier: MIT
// The best items of a row of scores.
#pragma once
#include <limits>

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
  struct Entry {
    Scalar score;
    std::int32_t item;
  };
  const auto is_better = [](const Entry& a, const Entry& b) {
    return a.score > b.score || (a.score == b.score && a.item < b.item);
  };
  const auto count = static_cast<std::size_t>(std::min(k, std::ssize(scores)));
  // Up to 2k entries that may be among the best.  Once k are known only better ones come in: ids ascend, so that of
  // equal scores the first stays.
  std::vector<Entry> entries;
  entries.reserve(2 * count);
  Scalar worst = std::numeric_limits<Scalar>::lowest();
  const auto keep_best = [&] {
    std::ranges::nth_element(entries, entries.begin() + static_cast<std::ptrdiff_t>(count) - 1, is_better);
    entries.resize(count);
    worst = entries.back().score;
  };
  detail::for_each_candidate_range(scores, excluded, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t item = first; item < last; ++item) {
      const Scalar score = scores[static_cast<std::size_t>(item)];
      if (entries.size() >= count && score <= worst) continue;
      if (count == 0) return;
      entries.push_back({score, static_cast<std::int32_t>(item)});
      if (entries.size() == 2 * count) keep_best();
    }
  });
  if (entries.size() > count) keep_best();
  std::ranges::sort(entries, is_better);
  std::vector<ScoredItem> best;
  best.reserve(entries.size());
  for (const Entry& entry : entries) best.push_back({entry.item, static_cast<double>(entry.score)});
  return best;
}

}  // namespace hstu
