// SPDX-License-Identifier: MIT
// The items that may be recommended: all but the padding and the excluded.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <hstu/core/check.hpp>

namespace hstu::detail {

/// Calls body(first, last) for the runs of items 1 … V−1 between excluded ones, ascending.
/// Throws DataError for an excluded id outside of the table, NumericError if a candidate's score is NaN or Inf.
template <class Scalar, class Body>
void for_each_candidate_range(std::span<const Scalar> scores, std::span<const std::int32_t> excluded,
                              const Body& body) {
  std::vector<std::int32_t> stops(excluded.begin(), excluded.end());
  std::ranges::sort(stops);
  check<DataError>(stops.empty() || (stops.front() >= 0 && stops.back() < std::ssize(scores)),
                   "candidates: excluded items must be from 0 to ", std::ssize(scores) - 1, ", got ",
                   stops.empty() ? 0 : (stops.front() < 0 ? stops.front() : stops.back()));
  std::int64_t first = 1;
  const auto run_until = [&](std::int64_t last) {
    if (last <= first) return;
    bool all_finite = true;
    for (std::int64_t i = first; i < last; ++i) all_finite &= std::isfinite(scores[static_cast<std::size_t>(i)]);
    if (!all_finite) {
      while (std::isfinite(scores[static_cast<std::size_t>(first)])) ++first;
      throw NumericError(
          concat("candidates: the score of item ", first, " is ", scores[static_cast<std::size_t>(first)]));
    }
    body(first, last);
  };
  for (const std::int64_t stop : stops) {
    run_until(stop);
    first = std::max(first, stop + 1);
  }
  run_until(std::ssize(scores));
}

}  // namespace hstu::detail
