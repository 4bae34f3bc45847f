// SPDX-License-Identifier: MIT
// Sequences: the events of each user in order of time, jagged; the rule for equal timestamps travels with them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <hstu/core/check.hpp>
#include <hstu/core/random.hpp>
#include <hstu/data/filter.hpp>
#include <hstu/data/ratings.hpp>

namespace hstu {

/// Order of a user's events that carry the same timestamp.  It decides what "the next item" is: on MovieLens-1M 53 % of
/// the steps have the timestamp of the step before.
enum class TieRule {
  file,    ///< order of the file (stable sort by time)
  random,  ///< by a random number of each event, a function of seed and row
  given,   ///< no sort at all: the file is in order already, which is checked
};

constexpr std::string_view name_of(TieRule rule) {
  switch (rule) {
    case TieRule::file:
      return "file";
    case TieRule::random:
      return "random";
    case TieRule::given:
      return "given";
  }
  return "unknown";
}

/// The rule called `name`.  Throws ConfigError, listing the names, if there is none.
inline TieRule parse_tie_rule(std::string_view name) {
  for (const TieRule rule : {TieRule::file, TieRule::random, TieRule::given}) {
    if (name == name_of(rule)) return rule;
  }
  throw ConfigError(concat("ties: expected file, random or given, got ", quote_text(name)));
}

/// Events of U users: those of user u are the entries [offsets[u], offsets[u + 1]) of the columns.
struct Sequences {
  std::vector<std::int64_t> offsets = {0};  ///< [U + 1], ascending from 0
  std::vector<std::int32_t> items;          ///< ids of `vocabulary`, never padding
  std::vector<float> ratings;
  std::vector<std::int64_t> timestamps_s;  ///< not descending within a user
  std::vector<EventColumn> columns;        ///< further columns of the events
  std::vector<std::string> users;          ///< names, in order of first appearance
  Vocabulary vocabulary;
  std::vector<std::string> titles;  ///< of vocabulary.names(), for display; an unknown title is empty; or none at all
  TieRule ties = TieRule::file;
  std::uint64_t tie_seed = 0;  ///< matters for TieRule::random only
  std::string source;
  FilterOptions filters;

  std::int64_t num_users() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t num_events() const { return static_cast<std::int64_t>(items.size()); }
  /// The functions below throw DataError if `user` is not in [0, num_users()).
  std::int64_t length(std::int64_t user) const { return offsets[place(user) + 1] - offsets[place(user)]; }
  std::span<const std::int32_t> items_of(std::int64_t user) const { return of(items, user); }
  std::span<const float> ratings_of(std::int64_t user) const { return of(ratings, user); }
  std::span<const std::int64_t> timestamps_of(std::int64_t user) const { return of(timestamps_s, user); }

  /// Title of `item`, its name where no title is known.  Throws DataError if it is not in [0, vocabulary.size()).
  std::string_view title_of(std::int32_t item) const {
    const std::string_view name = vocabulary.decode(item);
    if (titles.empty() || item < vocabulary.first_id()) return name;
    const std::string_view title = titles[static_cast<std::size_t>(item - vocabulary.first_id())];
    return title.empty() ? name : title;
  }

  /// The column called `name`; "rating" is one.  Throws DataError, listing the names, if there is none.
  std::span<const float> column(std::string_view name) const {
    if (name == "rating") return ratings;
    std::string names = "rating";
    for (const EventColumn& column : columns) {
      if (column.name == name) return column.values;
      names += ", " + column.name;
    }
    throw DataError(concat("sequences: expected a column among ", names, ", got ", quote_text(name)));
  }

  /// Place of the user called `name`.  Throws DataError if there is none.
  std::int64_t find_user(std::string_view name) const {
    const auto found = std::ranges::find(users, name);
    check<DataError>(found != users.end(), "sequences: expected one of ", users.size(), " known users, got ",
                     quote_text(name));
    return found - users.begin();
  }

 private:
  std::size_t place(std::int64_t user) const {
    check<DataError>(user >= 0 && user < num_users(), "sequences: expected a user in [0, ", num_users(), "), got ",
                     user);
    return static_cast<std::size_t>(user);
  }
  template <class Value>
  std::span<const Value> of(const std::vector<Value>& column, std::int64_t user) const {
    return std::span(column).subspan(static_cast<std::size_t>(offsets[place(user)]),
                                     static_cast<std::size_t>(length(user)));
  }
};

namespace detail {

inline constexpr std::uint32_t kTieSite = 0x0DA7A001;  ///< RandomStream::site of the tie order

/// Sorts one user's rows, which come in file order, by time and then by `rule`.
inline void sort_rows(const Ratings& ratings, TieRule rule, const RandomStream& stream, std::span<std::size_t> rows) {
  const auto is_earlier = [&](std::size_t a, std::size_t b) { return ratings.timestamp_s[a] < ratings.timestamp_s[b]; };
  if (rule == TieRule::given) {
    for (std::size_t i = 1; i < rows.size(); ++i) {
      check<DataError>(!is_earlier(rows[i], rows[i - 1]), "sequences: user ",
                       quote_text(ratings.users[static_cast<std::size_t>(ratings.user[rows[i]])]),
                       ": expected times in order (ties \"given\"), got ", ratings.timestamp_s[rows[i]], " at event ",
                       rows[i] + 1, " behind ", ratings.timestamp_s[rows[i - 1]], " at event ", rows[i - 1] + 1);
    }
    return;
  }
  if (rule == TieRule::random) {
    std::ranges::sort(rows, [&](std::size_t a, std::size_t b) {
      const auto key_a = stream.bits(a);
      const auto key_b = stream.bits(b);
      return key_a != key_b ? key_a < key_b : a < b;
    });
  }
  std::ranges::stable_sort(rows, is_earlier);
}

}  // namespace detail

/// Groups events by user, in order of time; users keep their order.  Events of equal time follow `rule`.
/// Throws DataError if the ratings contradict themselves, or if under TieRule::given a user's time goes backwards.
inline Sequences make_sequences(const Ratings& ratings, TieRule rule = TieRule::file, std::uint64_t seed = 0) {
  check_ratings(ratings);
  const std::size_t num_users = ratings.users.size();
  detail::RowsByKey groups(ratings.user, num_users);
  const RandomStream stream{.seed = seed, .step = 0, .site = detail::kTieSite};

  Sequences sequences;
  sequences.offsets.assign(groups.offsets.begin(), groups.offsets.end());
  sequences.items.reserve(groups.rows.size());
  sequences.ratings.reserve(groups.rows.size());
  sequences.timestamps_s.reserve(groups.rows.size());
  for (const EventColumn& column : ratings.columns) sequences.columns.push_back({column.name, {}});
  for (std::size_t user = 0; user < num_users; ++user) {
    const std::span<std::size_t> rows =
        std::span(groups.rows).subspan(groups.offsets[user], groups.offsets[user + 1] - groups.offsets[user]);
    detail::sort_rows(ratings, rule, stream, rows);
    for (const std::size_t row : rows) {
      sequences.items.push_back(ratings.item[row]);
      sequences.ratings.push_back(ratings.rating[row]);
      sequences.timestamps_s.push_back(ratings.timestamp_s[row]);
      for (std::size_t c = 0; c < sequences.columns.size(); ++c) {
        sequences.columns[c].values.push_back(ratings.columns[c].values[row]);
      }
    }
  }
  sequences.users = ratings.users;
  sequences.vocabulary = ratings.items;
  sequences.ties = rule;
  sequences.tie_seed = rule == TieRule::random ? seed : 0;
  sequences.source = ratings.source;
  sequences.filters = ratings.filters;
  return sequences;
}

/// Throws DataError, beginning with `origin`, unless offsets, columns, ids, times and user names fit together.
inline void check_sequences(const Sequences& sequences, std::string_view origin = "sequences") {
  const auto require = [&](bool holds, const auto&... fact) {
    check<DataError>(holds, origin, ": expected ", fact...);
  };
  const auto num_events = sequences.num_events();
  const auto& offsets = sequences.offsets;
  require(!offsets.empty() && offsets.front() == 0, "offsets to begin with 0, got ",
          offsets.empty() ? "none" : std::to_string(offsets.front()));
  const auto descent = std::ranges::adjacent_find(offsets, std::greater<>{});
  require(descent == offsets.end(), "ascending offsets, got a descent behind entry ", descent - offsets.begin());
  require(offsets.back() == num_events, "offsets to end at the number of events ", num_events, ", got ",
          offsets.back());
  require(std::ssize(sequences.ratings) == num_events && std::ssize(sequences.timestamps_s) == num_events,
          "columns of ", num_events, " events, got ", sequences.ratings.size(), " ratings and ",
          sequences.timestamps_s.size(), " timestamps");
  detail::TextIndex column_names;
  column_names.add("rating");
  for (const EventColumn& column : sequences.columns) {
    require(!column_names.find(column.name), "distinct column names, got ", quote_text(column.name), " twice");
    column_names.add(column.name);
    require(std::ssize(column.values) == num_events, "columns of ", num_events, " events, got ", column.values.size(),
            " of ", quote_text(column.name));
    const auto bad = std::ranges::find_if(column.values, [](float value) { return !std::isfinite(value); });
    require(bad == column.values.end(), "finite numbers in the column ", quote_text(column.name),
            ", got another at event ", bad - column.values.begin());
  }
  require(std::ssize(sequences.users) == sequences.num_users(), sequences.num_users(), " user names, got ",
          sequences.users.size());
  detail::TextIndex names;
  for (const std::string& name : sequences.users) {
    require(!names.find(name), "distinct user names, got ", quote_text(name), " twice");
    names.add(name);
  }
  const Vocabulary& vocabulary = sequences.vocabulary;
  require(sequences.titles.empty() || std::ssize(sequences.titles) == vocabulary.num_names(), vocabulary.num_names(),
          " titles or none, got ", sequences.titles.size());
  for (std::int64_t user = 0; user < sequences.num_users(); ++user) {
    const auto items = sequences.items_of(user);
    const auto times = sequences.timestamps_of(user);
    const auto ratings = sequences.ratings_of(user);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const auto at = [&] { return concat(" at event ", i, " of user ", user); };
      if (items[i] < vocabulary.first_id() || items[i] >= vocabulary.size()) {
        require(false, "items in [", vocabulary.first_id(), ", ", vocabulary.size(), "), got ", items[i], at());
      }
      if (!std::isfinite(ratings[i])) require(false, "finite ratings, got ", ratings[i], at());
      if (times[i] < (i == 0 ? 0 : times[i - 1]) || times[i] > kLastTimestamp) {
        require(false, "times in order, of the years 1970 to 9999, got ", times[i], at());
      }
    }
  }
}

}  // namespace hstu
