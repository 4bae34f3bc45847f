// SPDX-License-Identifier: MIT
// filter_ratings: rating threshold, then the largest part in which every user and item has enough events (k-core).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <hstu/core/check.hpp>
#include <hstu/data/ratings.hpp>

namespace hstu {
namespace detail {

/// Rows grouped by a key in [0, num_keys): rows_of(key) lists them in ascending order.
struct RowsByKey {
  std::vector<std::size_t> offsets;
  std::vector<std::size_t> rows;

  RowsByKey(std::span<const std::int32_t> keys, std::size_t num_keys) : offsets(num_keys + 1, 0), rows(keys.size()) {
    for (const std::int32_t key : keys) ++offsets[static_cast<std::size_t>(key) + 1];
    for (std::size_t key = 0; key < num_keys; ++key) offsets[key + 1] += offsets[key];
    std::vector<std::size_t> next(offsets.begin(), offsets.end() - 1);
    for (std::size_t row = 0; row < keys.size(); ++row) rows[next[static_cast<std::size_t>(keys[row])]++] = row;
  }
  std::span<const std::size_t> rows_of(std::size_t key) const {
    return std::span(rows).subspan(offsets[key], offsets[key + 1] - offsets[key]);
  }
};

/// Clears `is_kept` until every user and item with a kept row has enough of them.  Each user and item is removed at
/// most once, so the cost is linear in the rows however long the chain of removals is.
inline void peel_to_core(const Ratings& ratings, const FilterOptions& options, std::vector<char>& is_kept) {
  struct Side {
    std::span<const std::int32_t> keys;
    std::int64_t min_count;
    RowsByKey groups;
    std::vector<std::int64_t> counts;
    std::vector<std::size_t> doomed;  ///< keys that fell below min_count and still have kept rows
  };
  const auto num_items = static_cast<std::size_t>(ratings.items.size());
  Side sides[2] = {{ratings.user,
                    options.min_user_count,
                    RowsByKey(ratings.user, ratings.users.size()),
                    std::vector<std::int64_t>(ratings.users.size()),
                    {}},
                   {ratings.item,
                    options.min_item_count,
                    RowsByKey(ratings.item, num_items),
                    std::vector<std::int64_t>(num_items),
                    {}}};
  for (Side& side : sides) {
    for (std::size_t row = 0; row < is_kept.size(); ++row) {
      side.counts[static_cast<std::size_t>(side.keys[row])] += is_kept[row];
    }
    for (std::size_t key = 0; key < side.counts.size(); ++key) {
      if (side.counts[key] > 0 && side.counts[key] < side.min_count) side.doomed.push_back(key);
    }
  }
  while (!sides[0].doomed.empty() || !sides[1].doomed.empty()) {
    Side& side = sides[sides[0].doomed.empty() ? 1 : 0];
    const std::size_t doomed = side.doomed.back();
    side.doomed.pop_back();
    for (const std::size_t row : side.groups.rows_of(doomed)) {
      if (!is_kept[row]) continue;
      is_kept[row] = 0;
      for (Side& other : sides) {
        const auto key = static_cast<std::size_t>(other.keys[row]);
        const bool was_enough = other.counts[key]-- >= other.min_count;
        if (was_enough && other.counts[key] > 0 && other.counts[key] < other.min_count) other.doomed.push_back(key);
      }
    }
  }
}

}  // namespace detail

/// The events with rating >= min_rating, and of those the largest set in which every user has at least min_user_count
/// and every item at least min_item_count events: removing an item can push a user below the limit and so on, until
/// nothing changes (torch-rechub removes items once and then users once, which leaves some below the limit). Rows keep
/// their order; users and items are numbered anew in order of first appearance; names without events are dropped.
/// Throws ConfigError on a negative count or a NaN threshold, DataError if no event is left.
inline Ratings filter_ratings(const Ratings& ratings, const FilterOptions& options) {
  check<ConfigError>(options.min_user_count >= 0 && options.min_item_count >= 0,
                     "filter: expected counts of at least 0, got ", options.min_user_count, " and ",
                     options.min_item_count);
  check<ConfigError>(!(options.min_rating != options.min_rating), "filter: expected a number as min_rating, got NaN");
  check_ratings(ratings);
  const std::size_t rows = ratings.user.size();
  std::vector<char> is_kept(rows);
  for (std::size_t row = 0; row < rows; ++row) is_kept[row] = ratings.rating[row] >= options.min_rating ? 1 : 0;
  detail::peel_to_core(ratings, options, is_kept);

  Ratings kept;
  kept.source = ratings.source;
  kept.items = Vocabulary(ratings.items.has_unknown());
  kept.filters = {.min_user_count = std::max(options.min_user_count, ratings.filters.min_user_count),
                  .min_item_count = std::max(options.min_item_count, ratings.filters.min_item_count),
                  .min_rating = std::max(options.min_rating, ratings.filters.min_rating)};
  for (const EventColumn& column : ratings.columns) kept.columns.push_back({column.name, {}});
  std::vector<std::int32_t> new_user(ratings.users.size(), -1);
  for (std::size_t row = 0; row < rows; ++row) {
    if (!is_kept[row]) continue;
    const auto user = static_cast<std::size_t>(ratings.user[row]);
    if (new_user[user] < 0) {
      new_user[user] = static_cast<std::int32_t>(kept.users.size());
      kept.users.push_back(ratings.users[user]);
    }
    kept.user.push_back(new_user[user]);
    kept.item.push_back(kept.items.add(ratings.items.decode(ratings.item[row])));
    kept.rating.push_back(ratings.rating[row]);
    kept.timestamp_s.push_back(ratings.timestamp_s[row]);
    for (std::size_t c = 0; c < kept.columns.size(); ++c) {
      kept.columns[c].values.push_back(ratings.columns[c].values[row]);
    }
  }
  check<DataError>(kept.size() > 0, "filter: expected some of ", rows, " events to be left, got none (min_user_count ",
                   options.min_user_count, ", min_item_count ", options.min_item_count, ", min_rating ",
                   options.min_rating, ")");
  return kept;
}

}  // namespace hstu
