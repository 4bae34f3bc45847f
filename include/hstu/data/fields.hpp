// SPDX-License-Identifier: MIT
// Fields of a line: splitting at a separator, RFC 4180 quotes, and named columns of a header.
#pragma once
#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <hstu/data/line_reader.hpp>

namespace hstu {

/// One field of a line and the byte column, from 1, where it begins.
struct Field {
  std::string_view text;
  std::size_t column = 1;
};

/// Cuts lines at `separator`.  With `has_quotes`, a field may be written "a ""b"", c" (RFC 4180, but within one line).
class FieldSplitter {
 public:
  explicit FieldSplitter(std::string_view separator, bool has_quotes = false)
      : separator_(separator), has_quotes_(has_quotes) {}

  /// The fields of `line`, at least one, valid until the next call and as long as `line` is.
  /// Throws DataError, placed by `reader`, on a quote that is never closed or stands inside a bare field.
  const std::vector<Field>& split(const LineReader& reader, std::string_view line) {
    fields_.clear();
    unquoted_.clear();
    unquoted_.reserve(line.size());  // never grows beyond: the views into it stay valid
    std::size_t at = 0;
    while (true) {
      if (has_quotes_ && at < line.size() && line[at] == '"') {
        at = split_quoted(reader, line, at);
      } else {
        const std::size_t end = std::min(line.find(separator_, at), line.size());
        const std::string_view text = line.substr(at, end - at);
        const std::size_t quote = has_quotes_ ? text.find('"') : std::string_view::npos;
        if (quote != std::string_view::npos) reader.fail(at + quote + 1, "expected no quote inside a bare field", text);
        fields_.push_back({text, at + 1});
        at = end;
      }
      if (at >= line.size()) return fields_;
      at += separator_.size();
    }
  }

 private:
  /// Appends the quoted field that opens at `open`; returns the place behind its closing quote.
  std::size_t split_quoted(const LineReader& reader, std::string_view line, std::size_t open) {
    const std::size_t start = unquoted_.size();
    for (std::size_t at = open + 1; at < line.size(); ++at) {
      if (line[at] != '"') {
        unquoted_ += line[at];
      } else if (at + 1 < line.size() && line[at + 1] == '"') {
        unquoted_ += '"';
        ++at;
      } else {
        if (at + 1 < line.size() && !line.substr(at + 1).starts_with(separator_)) {
          reader.fail(at + 2, concat("expected ", quote_text(separator_), " behind a closing quote"),
                      line.substr(at + 1));
        }
        fields_.push_back({std::string_view(unquoted_).substr(start), open + 1});
        return at + 1;
      }
    }
    reader.fail(open + 1, "expected the quote to be closed on the same line", line.substr(open));
  }

  std::string separator_;
  bool has_quotes_;
  std::string unquoted_;
  std::vector<Field> fields_;
};

/// Throws DataError unless `line` was cut into `count` fields.
inline void check_field_count(const LineReader& reader, std::string_view line, const std::vector<Field>& fields,
                              std::size_t count) {
  if (fields.size() == count) return;
  const std::size_t column = fields.size() > count ? fields[count].column : line.size() + 1;
  reader.fail(column,
              line.empty() ? concat("expected ", count, " columns and no empty line")
                           : concat("expected ", count, " columns, found ", fields.size()),
              line);
}

/// Names of a header's columns.  RecBole's are "name:type", type one of token, token_seq, float, float_seq.
struct ColumnNames {
  static constexpr std::size_t kMissing = static_cast<std::size_t>(-1);

  struct Column {
    std::string name;
    std::string type;  ///< empty for headers without types
    std::size_t at;    ///< byte column in the header line
  };
  std::vector<Column> columns;

  /// Place of the column with one of these names, kMissing if none.
  std::size_t find(std::initializer_list<std::string_view> names) const {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      for (const std::string_view name : names) {
        if (columns[i].name == name) return i;
      }
    }
    return kMissing;
  }
};

/// Reads a header line.  Throws DataError on a repeated name, and with `is_typed` on a column without a known type.
inline ColumnNames parse_header(const LineReader& reader, const std::vector<Field>& fields, bool is_typed) {
  ColumnNames header;
  for (const Field& field : fields) {
    std::string_view name = field.text;
    std::string_view type;
    if (is_typed) {
      const std::size_t colon = name.rfind(':');
      if (colon != std::string_view::npos) {
        type = name.substr(colon + 1);
        name = name.substr(0, colon);
      }
      if (type != "token" && type != "token_seq" && type != "float" && type != "float_seq") {
        reader.fail(field.column, "expected a header of name:type, type being token, token_seq, float or float_seq",
                    field.text);
      }
    }
    if (header.find({name}) != ColumnNames::kMissing) reader.fail(field.column, "expected distinct column names", name);
    header.columns.push_back({std::string(name), std::string(type), field.column});
  }
  return header;
}

}  // namespace hstu
