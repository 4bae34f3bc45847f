// SPDX-License-Identifier: MIT
// Ratings from a list of rows, for tests.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <hstu/data/ratings.hpp>

struct Row {
  std::string user;
  std::string item;
  std::int64_t timestamp_s;
  float rating = 1.0F;
};

inline hstu::Ratings make_ratings(const std::vector<Row>& rows) {
  hstu::Ratings ratings;
  hstu::detail::TextIndex users;
  for (const Row& row : rows) {
    ratings.user.push_back(users.add(row.user));
    ratings.item.push_back(ratings.items.add(row.item));
    ratings.rating.push_back(row.rating);
    ratings.timestamp_s.push_back(row.timestamp_s);
  }
  ratings.users = users.names();
  ratings.source = "test rows";
  return ratings;
}
