// SPDX-License-Identifier: MIT
// Formats of ratings files: their names, how one is recognised, and where its columns are.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <hstu/core/check.hpp>
#include <hstu/data/fields.hpp>

namespace hstu {

enum class RatingsFormat {
  automatic,  ///< recognise it by name and first line
  inter,      ///< RecBole: tabs, header "user_id:token item_id:token rating:float timestamp:float", any order and more
  movielens_dat,  ///< MovieLens 1M and 10M ratings.dat: user::item::rating::timestamp, no header
  u_data,         ///< MovieLens 100K u.data: the same four with tabs, no header
  csv,            ///< MovieLens 20M and later: header userId,movieId,rating,timestamp, RFC 4180 quotes
};

constexpr std::string_view name_of(RatingsFormat format) {
  switch (format) {
    case RatingsFormat::automatic:
      return "auto";
    case RatingsFormat::inter:
      return "inter";
    case RatingsFormat::movielens_dat:
      return "dat";
    case RatingsFormat::u_data:
      return "u.data";
    case RatingsFormat::csv:
      return "csv";
  }
  return "unknown";
}

/// The format called `name`.  Throws ConfigError, listing the names, if there is none.
inline RatingsFormat parse_ratings_format(std::string_view name) {
  using enum RatingsFormat;
  for (const RatingsFormat format : {automatic, inter, movielens_dat, u_data, csv}) {
    if (name == name_of(format)) return format;
  }
  throw ConfigError(concat("format: expected auto, inter, dat, u.data or csv, got ", quote_text(name)));
}

namespace detail {

constexpr std::string_view separator_of(RatingsFormat format) {
  switch (format) {
    case RatingsFormat::movielens_dat:
      return "::";
    case RatingsFormat::csv:
      return ",";
    default:
      return "\t";
  }
}
constexpr bool has_header(RatingsFormat format) {
  return format == RatingsFormat::inter || format == RatingsFormat::csv;
}

/// Places of the columns that matter, `count` being the number of all.
struct RatingsColumns {
  std::size_t user = 0;
  std::size_t item = 1;
  std::size_t rating = 2;  ///< ColumnNames::kMissing: every event counts 1
  std::size_t timestamp = 3;
  std::size_t count = 4;
  bool is_milliseconds = false;           ///< a column called time_ms, as KuaiRand's logs have it
  std::vector<std::size_t> further = {};  ///< other columns that are wanted
};

/// `further`: columns to be read beside the four.
inline RatingsColumns find_ratings_columns(const LineReader& reader, std::string_view line, const ColumnNames& header,
                                           std::span<const std::string> further) {
  RatingsColumns columns{.user = header.find({"user_id", "userId"}),
                         .item = header.find({"item_id", "itemId", "movie_id", "movieId", "video_id"}),
                         .rating = header.find({"rating"}),
                         .timestamp = header.find({"timestamp", "time_ms"}),
                         .count = header.columns.size()};
  const auto require = [&](std::size_t column, std::string_view names, std::string_view type) {
    if (column == ColumnNames::kMissing) reader.fail(1, concat("expected a header with the column ", names), line);
    const ColumnNames::Column& found = header.columns[column];
    if (!found.type.empty() && found.type != type) {
      reader.fail(found.at, concat("expected ", found.name, " to be of type ", type), found.type);
    }
  };
  require(columns.user, "user_id or userId", "token");
  require(columns.item, "item_id, itemId, movie_id, movieId or video_id", "token");
  if (columns.rating != ColumnNames::kMissing) require(columns.rating, "rating", "float");
  require(columns.timestamp, "timestamp or time_ms", "float");
  columns.is_milliseconds = header.columns[columns.timestamp].name == "time_ms";
  for (const std::string& name : further) {
    const std::size_t column = header.find({name});
    require(column, quote_text(name), "float");
    columns.further.push_back(column);
  }
  return columns;
}

}  // namespace detail

/// The format of a file called `path` that begins with `first_line`: a name ending in .inter decides; then the
/// separator found in the line, a tab with a typed header being .inter; then the ending .dat, .data or .csv. Throws
/// DataError if none of them tells.
inline RatingsFormat detect_ratings_format(std::string_view path, std::string_view first_line) {
  const auto has = [&](std::string_view text) { return first_line.find(text) != std::string_view::npos; };
  if (path.ends_with(".inter")) return RatingsFormat::inter;
  if (has("\t")) return has(":token") || has(":float") ? RatingsFormat::inter : RatingsFormat::u_data;
  if (has("::")) return RatingsFormat::movielens_dat;
  if (has(",")) return RatingsFormat::csv;
  if (path.ends_with(".dat")) return RatingsFormat::movielens_dat;
  if (path.ends_with(".data")) return RatingsFormat::u_data;
  if (path.ends_with(".csv")) return RatingsFormat::csv;
  throw DataError(concat(path,
                         ":1:1: expected ratings separated by tabs, \"::\" or commas (or a format given by name), got ",
                         quote_text(first_line)));
}

}  // namespace hstu
