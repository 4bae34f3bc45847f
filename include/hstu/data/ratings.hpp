// SPDX-License-Identifier: MIT
// Ratings: the events of a file as columns, in file order, with dense ids.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <hstu/core/check.hpp>
#include <hstu/data/vocab.hpp>

namespace hstu {

/// End of the year 9999 in seconds since 1970: a later "second" is a millisecond in disguise, and differences of
/// smaller ones never overflow.
inline constexpr std::int64_t kLastTimestamp = 253402300799;

/// What filter_ratings() keeps.  The defaults keep everything.
struct FilterOptions {
  std::int64_t min_user_count = 0;                             ///< events a user must have
  std::int64_t min_item_count = 0;                             ///< events an item must have
  float min_rating = -std::numeric_limits<float>::infinity();  ///< ratings of at least this are kept

  friend bool operator==(const FilterOptions&, const FilterOptions&) = default;
};

/// What else is known of every event, such as a click or the seconds watched.
struct EventColumn {
  std::string name;
  std::vector<float> values;  ///< finite, one per event

  friend bool operator==(const EventColumn&, const EventColumn&) = default;
};

/// Columns of equal length, one entry per event, in file order.  A user may meet an item more than once.
struct Ratings {
  std::vector<std::int32_t> user;         ///< from 0, in order of first appearance: an index into `users`
  std::vector<std::int32_t> item;         ///< from 1, in order of first appearance: an id of `items`
  std::vector<float> rating;              ///< finite
  std::vector<std::int64_t> timestamp_s;  ///< seconds since 1970, in [0, kLastTimestamp]
  std::vector<EventColumn> columns;       ///< further ones, if the reader was asked for them
  std::vector<std::string> users;         ///< names
  Vocabulary items;
  std::string source;     ///< where the events come from, for reports
  FilterOptions filters;  ///< what has been applied already

  std::int64_t size() const { return static_cast<std::int64_t>(user.size()); }
};

/// Throws DataError if columns differ in length or an id has no name.
inline void check_ratings(const Ratings& ratings) {
  const std::size_t rows = ratings.user.size();
  check<DataError>(ratings.item.size() == rows && ratings.rating.size() == rows && ratings.timestamp_s.size() == rows,
                   "ratings: expected columns of one length, got users ", rows, ", items ", ratings.item.size(),
                   ", ratings ", ratings.rating.size(), ", timestamps ", ratings.timestamp_s.size());
  for (const EventColumn& column : ratings.columns) {
    check<DataError>(column.values.size() == rows, "ratings: expected columns of one length, got users ", rows, ", ",
                     column.name, " ", column.values.size());
  }
  const auto num_users = static_cast<std::int64_t>(ratings.users.size());
  for (std::size_t row = 0; row < rows; ++row) {
    check<DataError>(ratings.user[row] >= 0 && ratings.user[row] < num_users, "ratings: row ", row + 1,
                     ": expected a user in [0, ", num_users, "), got ", ratings.user[row]);
    check<DataError>(ratings.item[row] >= ratings.items.first_id() && ratings.item[row] < ratings.items.size(),
                     "ratings: row ", row + 1, ": expected an item in [", ratings.items.first_id(), ", ",
                     ratings.items.size(), "), got ", ratings.item[row]);
  }
}

}  // namespace hstu
