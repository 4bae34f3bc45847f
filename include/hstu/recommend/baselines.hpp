// SPDX-License-Identifier: MIT
// Two scorers without training, to give the numbers of a model a floor: popularity, and the items that followed the
// last.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <hstu/core/check.hpp>

namespace hstu {

/// What the baselines are fitted on: events of user u are items[offsets[u] … offsets[u+1]), of which the last
/// `held_out` (2 for leave-last-out with a validation item) are not looked at.
struct InteractionView {
  std::span<const std::int64_t> offsets;  ///< [U + 1]
  std::span<const std::int32_t> items;    ///< ids from 1 to num_items − 1
  std::int64_t held_out = 0;
  std::int64_t num_items = 0;  ///< V, the padding included
};

namespace detail {

/// Calls body(events) with what is left of each user.  Throws DataError for offsets or ids out of range.
template <class Body>
void for_each_user(const InteractionView& view, const Body& body) {
  check<DataError>(view.num_items >= 1 && view.held_out >= 0,
                   "baseline: expected a table with items and held-out events ", "of 0 or more, got ", view.num_items,
                   " and ", view.held_out);
  for (std::size_t u = 0; u + 1 < view.offsets.size(); ++u) {
    const std::int64_t first = view.offsets[u], last = view.offsets[u + 1];
    check<DataError>(first >= 0 && first <= last && last <= std::ssize(view.items), "baseline: events of user ", u,
                     " are [", first, ", ", last, ") of ", view.items.size());
    const auto events =
        view.items.subspan(static_cast<std::size_t>(first),
                           static_cast<std::size_t>(std::max<std::int64_t>(0, last - first - view.held_out)));
    for (const std::int32_t item : events) {
      check<DataError>(item >= 1 && item < view.num_items, "baseline: user ", u, " has item ", item, ", expected 1 to ",
                       view.num_items - 1);
    }
    body(events);
  }
}

}  // namespace detail

/// score(v) = number of events with v; the same for every history.
class PopularityBaseline {
 public:
  explicit PopularityBaseline(const InteractionView& view)
      : counts_(static_cast<std::size_t>(std::max<std::int64_t>(0, view.num_items))) {
    detail::for_each_user(view, [&](std::span<const std::int32_t> events) {
      for (const std::int32_t item : events) counts_[static_cast<std::size_t>(item)] += 1.0;
    });
  }

  /// [V]; ranking.hpp and top_k.hpp take it.
  std::vector<double> scores(std::span<const std::int32_t> /*history*/) const { return counts_; }
  const std::vector<double>& counts() const { return counts_; }

 private:
  std::vector<double> counts_;
};

/// First-order Markov chain: score(v) = number of times v came right after the last item of the history,
/// plus popularity(v) / (all events + 1), which is below 1 and so decides only between equal numbers.
class MarkovBaseline {
 public:
  explicit MarkovBaseline(const InteractionView& view) : popularity_(view) {
    const auto num_items = static_cast<std::size_t>(view.num_items);
    offsets_.assign(num_items + 1, 0);
    detail::for_each_user(view, [&](std::span<const std::int32_t> events) {
      for (std::size_t i = 0; i + 1 < events.size(); ++i) ++offsets_[static_cast<std::size_t>(events[i]) + 1];
    });
    for (std::size_t v = 0; v < num_items; ++v) offsets_[v + 1] += offsets_[v];
    next_.resize(offsets_.back());
    std::vector<std::size_t> end(offsets_.begin(), offsets_.end() - 1);
    detail::for_each_user(view, [&](std::span<const std::int32_t> events) {
      for (std::size_t i = 0; i + 1 < events.size(); ++i) {
        next_[end[static_cast<std::size_t>(events[i])]++] = events[i + 1];
      }
    });
  }

  /// [V].  An empty history, or one that ends with padding or an item outside of the table, gets popularity alone.
  std::vector<double> scores(std::span<const std::int32_t> history) const {
    std::vector<double> row = popularity_.counts();
    double total = 1.0;
    for (const double count : row) total += count;
    for (double& score : row) score /= total;
    if (history.empty() || history.back() < 1 || history.back() >= std::ssize(row)) return row;
    const auto last = static_cast<std::size_t>(history.back());
    for (std::size_t i = offsets_[last]; i < offsets_[last + 1]; ++i) row[static_cast<std::size_t>(next_[i])] += 1.0;
    return row;
  }

 private:
  PopularityBaseline popularity_;
  std::vector<std::size_t> offsets_;  // [V + 1] into next_
  std::vector<std::int32_t> next_;    // what came after each item, one entry per event
};

}  // namespace hstu
