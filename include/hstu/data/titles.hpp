// SPDX-License-Identifier: MIT
// read_titles: item id -> title, from the item files that accompany ratings files.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <hstu/data/fields.hpp>

namespace hstu {
namespace detail {

/// How a file of items is cut, decided by its first line.
struct TitlesLayout {
  std::string_view separator;
  bool is_typed_header = false;  ///< RecBole's name:type
  bool is_csv = false;           ///< header and RFC 4180 quotes
};

inline TitlesLayout detect_titles_layout(const std::string& path, std::string_view first_line) {
  const auto has = [&](std::string_view text) { return first_line.find(text) != std::string_view::npos; };
  if (has("\t") && has(":token")) return {.separator = "\t", .is_typed_header = true};
  if (has("::")) return {.separator = "::"};
  if (has("|")) return {.separator = "|"};
  if (has(",")) return {.separator = ",", .is_csv = true};
  throw DataError(concat(path, ":1:1: expected a RecBole .item header, movies.dat, u.item or movies.csv, got ",
                         quote_text(first_line)));
}

}  // namespace detail

/// Titles by item id from a RecBole `.item` file (item_id and the first of movie_title, title, item_name, name),
/// `movies.dat` (id::title::genres), `u.item` (id|title|…) or `movies.csv` (movieId,title,…), recognised by the first
/// line. Lines of movies.dat and u.item that are not UTF-8 are Latin-1, as the older MovieLens sets are; the result is
/// UTF-8. Throws IoError if the file cannot be read, DataError at file:line:column on a bad line, on a repeated id and
/// on a file without items.
inline std::unordered_map<std::string, std::string> read_titles(const std::string& path) {
  LineReader reader(path, TextEncoding::utf8_or_latin1);
  std::string_view line;
  check<DataError>(reader.next(line), path, ": expected items, got an empty file");
  const detail::TitlesLayout layout = detail::detect_titles_layout(path, line);
  FieldSplitter splitter(layout.separator, layout.is_csv);

  std::size_t id = 0;
  std::size_t title = 1;
  const std::size_t count = splitter.split(reader, line).size();
  bool has_line = true;
  if (layout.is_typed_header || layout.is_csv) {
    const ColumnNames header = parse_header(reader, splitter.split(reader, line), layout.is_typed_header);
    id = header.find({"item_id", "itemId", "movie_id", "movieId"});
    for (const std::string_view name : {"movie_title", "title", "item_name", "name"}) {
      title = header.find({name});
      if (title != ColumnNames::kMissing) break;
    }
    if (id == ColumnNames::kMissing || title == ColumnNames::kMissing) {
      reader.fail(1, "expected a header with an item id and a title", line);
    }
    has_line = reader.next(line);
  }

  std::unordered_map<std::string, std::string> titles;
  for (; has_line; has_line = reader.next(line)) {
    const std::vector<Field>& fields = splitter.split(reader, line);
    check_field_count(reader, line, fields, count);
    if (fields[id].text.empty()) reader.fail(fields[id].column, "expected an item id", fields[id].text);
    if (!titles.emplace(fields[id].text, fields[title].text).second) {
      reader.fail(fields[id].column, "expected distinct item ids", fields[id].text);
    }
  }
  check<DataError>(!titles.empty(), path, ": expected items, got only a header");
  return titles;
}

}  // namespace hstu
