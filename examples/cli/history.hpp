// SPDX-License-Identifier: MIT
// A user's history as the command line names it, and items as people read them.
#pragma once
#include <hstu/data/sequences.hpp>

#include "options.hpp"

namespace hstu::cli {

struct History {
  std::vector<std::int32_t> items;
  std::vector<std::int64_t> timestamps_s;
  std::int64_t query_time_s = 0;
};

/// What --user did until --at, by default until the last event.
inline History history_of_user(const Options& options, const Sequences& sequences) {
  const std::string name = options.required_text("user");
  const std::int64_t user = sequences.find_user(name);
  const auto items = sequences.items_of(user);
  const auto times = sequences.timestamps_of(user);
  check<DataError>(!items.empty(), "user ", quote_text(name), ": expected a history, found no event");
  const std::int64_t at = options.integer("at", times.back(), 0, kLastTimestamp);
  const auto count = std::ranges::upper_bound(times, at) - times.begin();
  check<DataError>(count > 0, "user ", quote_text(name), ": expected a history, but the first event is at ",
                   times.front(), " and the request at ", at);
  return {{items.begin(), items.begin() + count}, {times.begin(), times.begin() + count}, at};
}

/// Items by their names.
inline std::vector<std::int32_t> items_called(const std::string& option, const std::vector<std::string>& names,
                                              const Sequences& sequences) {
  std::vector<std::int32_t> items;
  for (const std::string& name : names) {
    const auto item = sequences.vocabulary.find(name);
    check<DataError>(item.has_value(), option, ": expected ids of the ", sequences.vocabulary.num_names(),
                     " known items, got ", quote_text(name));
    items.push_back(*item);
  }
  return items;
}

/// "a|b|c" in parts.
inline std::vector<std::string> split_ids(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('|', begin), text.size());
    names.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

inline nlohmann::json describe_item(const Sequences& sequences, std::int32_t item) {
  nlohmann::json json = {{"item", sequences.vocabulary.decode(item)}};
  if (!sequences.titles.empty()) json["title"] = sequences.title_of(item);
  return json;
}

/// A title, with the id behind it where it is another text.
inline std::string label_of(const Sequences& sequences, std::int32_t item) {
  const std::string_view id = sequences.vocabulary.decode(item), title = sequences.title_of(item);
  return id == title ? plain(id) : concat(plain(title), "  [", plain(id), "]");
}

}  // namespace hstu::cli
