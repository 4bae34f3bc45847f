// SPDX-License-Identifier: MIT
// read_ratings: a ratings file of any known format -> Ratings.
#pragma once
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>

#include <hstu/data/formats.hpp>
#include <hstu/data/ratings.hpp>

namespace hstu {

enum class TimestampUnit { seconds, milliseconds };

struct ReadOptions {
  TimestampUnit timestamp_unit = TimestampUnit::seconds;   ///< milliseconds are cut to whole seconds
  std::vector<std::string> columns = {};  ///< further columns of numbers, of files with a header
  std::size_t max_line_bytes = LineReader::kMaxLineBytes;  ///< a longer line is an error
};

namespace detail {

/// The whole of `text` as a decimal number; `error` is std::errc{} if it is one.
template <class Number>
Number parse_number(std::string_view text, std::errc& error) {
  Number value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  error = code != std::errc{} ? code : end == text.data() + text.size() ? std::errc{} : std::errc::invalid_argument;
  return value;
}

inline float parse_number_field(const LineReader& reader, const Field& field, std::string_view what = "number") {
  std::errc error{};
  const auto value = parse_number<double>(field.text, error);
  const bool holds =
      error == std::errc{} && std::isfinite(value) && std::abs(value) <= std::numeric_limits<float>::max();
  if (!holds) reader.fail(field.column, concat("expected a finite ", what), field.text);
  return static_cast<float>(value);
}

/// Whole seconds; "978300760.0" and "9.7830076e8" are whole too.
inline std::int64_t parse_timestamp(const LineReader& reader, const Field& field, TimestampUnit unit) {
  std::errc error{};
  auto timestamp = parse_number<std::int64_t>(field.text, error);
  if (error == std::errc::invalid_argument) {
    const auto value = parse_number<double>(field.text, error);
    const bool holds = error == std::errc{} && std::abs(value) < 0x1p53 && value == std::trunc(value);
    if (!holds) reader.fail(field.column, "expected a whole timestamp", field.text);
    timestamp = static_cast<std::int64_t>(value);
  }
  const bool is_milliseconds = unit == TimestampUnit::milliseconds;
  const std::int64_t scale = is_milliseconds ? 1000 : 1;
  if (error != std::errc{} || timestamp < 0 || timestamp / scale > kLastTimestamp) {
    reader.fail(field.column,
                concat("expected a timestamp in ", is_milliseconds ? "milliseconds" : "seconds",
                       " between the years 1970 and 9999"),
                field.text);
  }
  return timestamp / scale;
}

inline const Field& check_id(const LineReader& reader, const Field& field, std::string_view kind) {
  if (field.text.empty()) reader.fail(field.column, concat("expected ", kind, " id"), field.text);
  return field;
}

}  // namespace detail

/// Reads all events of `path`.  Users and items are numbered in order of first appearance; rows keep their order;
/// repeated (user, item) pairs are kept; a file without a rating column gives 1 to every event; a time column called
/// time_ms is in milliseconds, whatever options say.  Throws IoError if the
/// file cannot be read, DataError "path:line:column: expectation, got «text»" at the first line that breaks the format,
/// and DataError on a file without events.  Memory: the columns and one line, whatever the file says.
inline Ratings read_ratings(const std::string& path, RatingsFormat format = RatingsFormat::automatic,
                            const ReadOptions& options = {}) {
  LineReader reader(path, TextEncoding::utf8, options.max_line_bytes);
  std::string_view line;
  check<DataError>(reader.next(line), path, ": expected ratings, got an empty file");
  if (format == RatingsFormat::automatic) format = detect_ratings_format(path, line);

  FieldSplitter splitter(detail::separator_of(format), format == RatingsFormat::csv);
  detail::RatingsColumns columns;
  bool has_line = true;
  if (detail::has_header(format)) {
    const bool is_typed = format == RatingsFormat::inter;
    columns = detail::find_ratings_columns(reader, line, parse_header(reader, splitter.split(reader, line), is_typed),
                                           options.columns);
    has_line = reader.next(line);
  }

  check<DataError>(columns.further.size() == options.columns.size(), path, ": expected a format with a header for ",
                   "further columns, got ", name_of(format));
  const TimestampUnit unit = columns.is_milliseconds ? TimestampUnit::milliseconds : options.timestamp_unit;

  Ratings ratings;
  ratings.source = path;
  for (const std::string& name : options.columns) ratings.columns.push_back({name, {}});
  detail::TextIndex users;
  for (; has_line; has_line = reader.next(line)) {
    const std::vector<Field>& fields = splitter.split(reader, line);
    check_field_count(reader, line, fields, columns.count);
    const Field& user = detail::check_id(reader, fields[columns.user], "a user");
    const Field& item = detail::check_id(reader, fields[columns.item], "an item");
    const bool has_rating = columns.rating != ColumnNames::kMissing;
    ratings.rating.push_back(has_rating ? detail::parse_number_field(reader, fields[columns.rating], "rating") : 1.0F);
    ratings.timestamp_s.push_back(detail::parse_timestamp(reader, fields[columns.timestamp], unit));
    for (std::size_t c = 0; c < columns.further.size(); ++c) {
      ratings.columns[c].values.push_back(detail::parse_number_field(reader, fields[columns.further[c]]));
    }
    const bool same_user =
        !ratings.user.empty() && users.names()[static_cast<std::size_t>(ratings.user.back())] == user.text;
    ratings.user.push_back(same_user ? ratings.user.back() : users.add(user.text));
    ratings.item.push_back(ratings.items.add(item.text));
  }
  check<DataError>(ratings.size() > 0, path, ": expected ratings, got only a header");
  ratings.users = users.names();
  return ratings;
}

}  // namespace hstu
