// SPDX-License-Identifier: MIT
// Features of users, items and events: categories and numbers, from RecBole's .user and .item files or CSV.
#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <hstu/data/read_ratings.hpp>
#include <hstu/data/vocab.hpp>

namespace hstu {

enum class FeatureKind { category, number };

struct FeatureSpec {
  std::string name;
  FeatureKind kind = FeatureKind::category;
};

/// One feature of every row.  Category 0 and number 0 stand for "not known".
struct FeatureColumn {
  FeatureSpec spec;
  std::vector<std::int32_t> categories;  ///< category: per row, from 1 in order of first appearance
  std::int64_t num_categories = 1;       ///< with the unknown one
  std::vector<float> numbers;            ///< number: per row, with mean 0 and variance 1 over the known rows
};
using FeatureTable = std::vector<FeatureColumn>;

namespace detail {

/// Shifts and scales the known values to mean 0 and variance 1, and sets the others to 0.  A constant becomes 0.
inline void standardize(std::vector<float>& values, std::span<const char> is_known) {
  double count = 0.0, mean = 0.0, variance = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) count += is_known[i];
  for (std::size_t i = 0; i < values.size(); ++i) mean += is_known[i] ? static_cast<double>(values[i]) / count : 0.0;
  const auto distance = [&](std::size_t i) { return is_known[i] ? static_cast<double>(values[i]) - mean : 0.0; };
  for (std::size_t i = 0; i < values.size(); ++i) variance += distance(i) * distance(i) / count;
  const double scale = variance > 0.0 ? 1.0 / std::sqrt(variance) : 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(distance(i) * scale);
}

}  // namespace detail

/// Features of the rows called names[0], names[1], …, which become rows first_row, first_row + 1, … (items: from 1).
/// The file has a header, RecBole's (name:type, tabs) or that of a CSV; one of `id_columns` holds the name of the row.
/// Lines about others are skipped; rows without a line, and empty fields, are not known.
/// Throws IoError if the file cannot be read, DataError for a feature that the header does not have, a number that is
/// none, a name twice, or a bad line.
inline FeatureTable read_features(const std::string& path, std::initializer_list<std::string_view> id_columns,
                                  std::span<const std::string> names, std::int64_t first_row,
                                  std::span<const FeatureSpec> specs) {
  LineReader reader(path);
  std::string_view line;
  check<DataError>(reader.next(line), path, ": expected a header, got an empty file");
  const bool is_typed = line.find(":token") != std::string_view::npos;
  FieldSplitter splitter(is_typed ? "\t" : ",", !is_typed);
  const ColumnNames header = parse_header(reader, splitter.split(reader, line), is_typed);
  const std::size_t id = header.find(id_columns);
  if (id == ColumnNames::kMissing) {
    reader.fail(1, concat("expected a header with the column ", *id_columns.begin()), line);
  }
  const std::size_t rows = names.size() + static_cast<std::size_t>(first_row);
  std::vector<std::size_t> places;
  FeatureTable table;
  for (const FeatureSpec& spec : specs) {
    places.push_back(header.find({spec.name}));
    if (places.back() == ColumnNames::kMissing) {
      reader.fail(1, concat("expected a header with the feature ", quote_text(spec.name)), line);
    }
    table.push_back({.spec = spec, .categories = {}, .num_categories = 1, .numbers = {}});
    if (spec.kind == FeatureKind::category) table.back().categories.assign(rows, 0);
    else table.back().numbers.assign(rows, 0.0f);
  }
  std::unordered_map<std::string_view, std::size_t> row_of;
  for (std::size_t i = 0; i < names.size(); ++i) row_of.emplace(names[i], i + static_cast<std::size_t>(first_row));
  std::vector<detail::TextIndex> categories(specs.size());
  std::vector<std::vector<char>> is_known(specs.size(), std::vector<char>(rows, 0));
  std::vector<char> is_met(rows, 0);
  while (reader.next(line)) {
    const std::vector<Field>& fields = splitter.split(reader, line);
    check_field_count(reader, line, fields, header.columns.size());
    const auto found = row_of.find(fields[id].text);
    if (found == row_of.end()) continue;
    const std::size_t row = found->second;
    if (is_met[row]++) reader.fail(fields[id].column, "expected distinct ids", fields[id].text);
    for (std::size_t f = 0; f < specs.size(); ++f) {
      const Field& field = fields[places[f]];
      if (field.text.empty()) continue;
      is_known[f][row] = 1;
      if (specs[f].kind == FeatureKind::category) table[f].categories[row] = 1 + categories[f].add(field.text);
      else table[f].numbers[row] = detail::parse_number_field(reader, field);
    }
  }
  for (std::size_t f = 0; f < specs.size(); ++f) {
    table[f].num_categories = 1 + std::ssize(categories[f].names());
    if (specs[f].kind == FeatureKind::number) detail::standardize(table[f].numbers, is_known[f]);
  }
  return table;
}

/// A column of numbers as a feature.  Category: every distinct number is one, numbered from 1 in ascending order.
inline FeatureColumn make_feature(const FeatureSpec& spec, std::span<const float> values) {
  FeatureColumn feature{.spec = spec, .categories = {}, .num_categories = 1, .numbers = {}};
  if (spec.kind == FeatureKind::number) {
    feature.numbers.assign(values.begin(), values.end());
    detail::standardize(feature.numbers, std::vector<char>(values.size(), 1));
    return feature;
  }
  std::vector<float> distinct(values.begin(), values.end());
  std::ranges::sort(distinct);
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  for (const float value : values) {
    const auto place = std::ranges::lower_bound(distinct, value) - distinct.begin();
    feature.categories.push_back(static_cast<std::int32_t>(place) + 1);
  }
  feature.num_categories = std::ssize(distinct) + 1;
  return feature;
}

}  // namespace hstu
