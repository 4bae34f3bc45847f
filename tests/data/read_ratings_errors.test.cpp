// SPDX-License-Identifier: MIT
// read_ratings: every way a file can be bad, with the place and text in the message.
#include <iostream>
#include <string>
#include <vector>

#include <hstu/data/read_ratings.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "temp_file.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

using enum RatingsFormat;

/// One bad row in each format: fields are joined by the format's separator and put behind a good row.
struct BadRow {
  std::vector<std::string> fields;
  int bad_field;  ///< whose first byte the message must name; -1: the end of the line
  std::string message;
};

struct Layout {
  RatingsFormat format;
  std::string header;
  std::string separator;
};

const std::vector<Layout> kLayouts = {
    {inter, "user_id:token\titem_id:token\trating:float\ttimestamp:float\n", "\t"},
    {movielens_dat, "", "::"},
    {u_data, "", "\t"},
    {csv, "userId,movieId,rating,timestamp\n", ","},
};

std::string join(const std::vector<std::string>& fields, const std::string& separator) {
  std::string line;
  for (const std::string& field : fields) line += (&field == fields.data() ? "" : separator) + field;
  return line;
}

void check_error(std::string_view bytes, std::string_view place, std::string_view part,
                 RatingsFormat format = automatic, std::string_view name = "f") {
  const TempFile file(name, bytes);
  CAPTURE(bytes.substr(0, 200), place, part);
  CHECK_THROWS_MATCHES(
      read_ratings(file.path(), format), DataError,
      MessageMatches(ContainsSubstring(file.path() + std::string(place)) && ContainsSubstring(std::string(part))));
}

}  // namespace

TEST_CASE("read_ratings: a bad row is reported with file, line, column and text in every format",
          "[data][read_ratings][errors]") {
  const std::string time = "978300760";
  const std::vector<BadRow> rows = {
      {{"u", "i", "5"}, -1, "expected 4 columns, found 3"},
      {{"u"}, -1, "expected 4 columns, found 1"},
      {{"u", "i", "5", time, "more"}, 4, "expected 4 columns, found 5"},
      {{""}, -1, "no empty line"},
      {{"", "i", "5", time}, 0, "expected a user id"},
      {{"u", "", "5", time}, 1, "expected an item id"},
      {{"u", "i", "", time}, 2, "rating, got «»"},
      {{"u", "i", "nan", time}, 2, "rating, got «nan»"},
      {{"u", "i", "inf", time}, 2, "rating, got «inf»"},
      {{"u", "i", "-inf", time}, 2, "rating, got «-inf»"},
      {{"u", "i", "1e400", time}, 2, "rating, got «1e400»"},
      {{"u", "i", "1e39", time}, 2, "rating, got «1e39»"},
      {{"u", "i", "five", time}, 2, "rating, got «five»"},
      {{"u", "i", "5 ", time}, 2, "rating, got «5 »"},
      {{"u", "i", "+5", time}, 2, "rating, got «+5»"},
      {{"u", "i", "0x5", time}, 2, "rating, got «0x5»"},
      {{"u", "i", "5", ""}, 3, "timestamp, got «»"},
      {{"u", "i", "5", "-1"}, 3, "got «-1»"},
      {{"u", "i", "5", "-0.5"}, 3, "whole timestamp, got «-0.5»"},
      {{"u", "i", "5", "978300760.5"}, 3, "whole timestamp, got «978300760.5»"},
      {{"u", "i", "5", "nan"}, 3, "got «nan»"},
      {{"u", "i", "5", "1e400"}, 3, "got «1e400»"},
      {{"u", "i", "5", "1e18"}, 3, "got «1e18»"},
      {{"u", "i", "5", "978300760000"}, 3, "in seconds between the years 1970 and 9999"},
      {{"u", "i", "5", "9223372036854775808"}, 3, "got «9223372036854775808»"},
      {{"u", "i", "5", "-9223372036854775809"}, 3, "got «-9223372036854775809»"},
      {{"u", "i", "5", "1997-12-31"}, 3, "got «1997-12-31»"},
      {{"u", std::string("i\0i", 3), "5", time}, 1, "no control character"},
      {{"u", "i\x1B[2J", "5", time}, 1, "no control character"},
      {{"u\rv", "i", "5", time}, 0, "no control character"},
      {{"u", "i\xFF", "5", time}, 1, "expected UTF-8 text, got «\\xff"},
      {{"u", "Am\xE9lie", "5", time}, 1, "expected UTF-8 text"},
      {{"u", "\xC0\x80", "5", time}, 1, "expected UTF-8 text"},
      {{"u", "\xED\xA0\x80", "5", time}, 1, "expected UTF-8 text"},
      {{"u", "i", "5", "\xF4\x90\x80\x80"}, 3, "expected UTF-8 text"},
      {{"u", "i"}, -1, "expected 4 columns, found 2"},
      {{"u", "i", "5", time, ""}, 4, "expected 4 columns, found 5"},
      {{"u", "i", "5", time, "", "", ""}, 4, "expected 4 columns, found 7"},
      {{"u|i|5|" + time}, -1, "expected 4 columns, found 1"},
      {{"u;i;5;" + time}, -1, "expected 4 columns, found 1"},
      {{"u i 5 " + time}, -1, "expected 4 columns, found 1"},
      {{" "}, -1, "expected 4 columns, found 1"},
      {{"", "", "", ""}, 0, "expected a user id"},
      {{"u", "i", " 5", time}, 2, "rating, got « 5»"},
      {{"u", "i", "5.", "x" + time}, 3, "got «x978300760»"},
      {{"u", "i", ".", time}, 2, "rating, got «.»"},
      {{"u", "i", "-", time}, 2, "rating, got «-»"},
      {{"u", "i", "5e", time}, 2, "rating, got «5e»"},
      {{"u", "i", "--5", time}, 2, "rating, got «--5»"},
      {{"u", "i", "5 stars", time}, 2, "rating, got «5 stars»"},
      {{"u", "i", "1;5", time}, 2, "rating, got «1;5»"},
      {{"u", "i", "NaN", time}, 2, "rating, got «NaN»"},
      {{"u", "i", "nan(1)", time}, 2, "rating, got «nan(1)»"},
      {{"u", "i", "Infinity", time}, 2, "rating, got «Infinity»"},
      {{"u", "i", "-1e39", time}, 2, "rating, got «-1e39»"},
      {{"u", "i", "-1e400", time}, 2, "rating, got «-1e400»"},
      {{"u", "i", "5f", time}, 2, "rating, got «5f»"},
      {{"u", "i", "null", time}, 2, "rating, got «null»"},
      {{"u", "i", std::string(400, '9'), time}, 2, "rating, got «99999"},
      {{"u", "i", "٥", time}, 2, "rating, got «٥»"},
      {{"u", "i", "5", "+978300760"}, 3, "got «+978300760»"},
      {{"u", "i", "5", " 978300760"}, 3, "got « 978300760»"},
      {{"u", "i", "5", "978300760 "}, 3, "got «978300760 »"},
      {{"u", "i", "5", "978300760s"}, 3, "got «978300760s»"},
      {{"u", "i", "5", "0x3a4f9b58"}, 3, "got «0x3a4f9b58»"},
      {{"u", "i", "5", "1e"}, 3, "got «1e»"},
      {{"u", "i", "5", "inf"}, 3, "got «inf»"},
      {{"u", "i", "5", "0.1"}, 3, "whole timestamp, got «0.1»"},
      {{"u", "i", "5", "253402300800"}, 3, "between the years 1970 and 9999, got «253402300800»"},
      {{"u", "i", "5", "9223372036854775807"}, 3, "got «9223372036854775807»"},
      {{"u", "i", "5", "18446744073709551616"}, 3, "got «18446744073709551616»"},
      {{"u", "i", "5", std::string(400, '9')}, 3, "got «99999"},
      {{"u\x7F", "i", "5", "-7"}, 3, "got «-7»"},
      {{"u", "i", "5\x01", time}, 2, "no control character"},
      {{"u", "i", "5", "97830\x0B" "0760"}, 3, "no control character"},
      {{"\xEF\xBB", "i", "5", time}, 0, "expected UTF-8 text"},
      {{"u", "i", "\x80", time}, 2, "expected UTF-8 text"},
      {{"u", "i", "5", "\xFE\xFF"}, 3, "expected UTF-8 text"},
  };
  CHECK(rows.size() >= 75);
  std::cout << "figure: " << rows.size() * kLayouts.size() << " bad rows of ratings files refused with line and column\n";
  for (const Layout& layout : kLayouts) {
    const std::string good = join({"u", "i", "5", time}, layout.separator) + "\n";
    const int line = layout.header.empty() ? 2 : 3;
    for (const BadRow& row : rows) {
      const std::string text = join(row.fields, layout.separator);
      std::size_t column = row.bad_field < 0 ? text.size() + 1 : 1;
      for (int i = 0; i < row.bad_field; ++i)
        column += row.fields[static_cast<std::size_t>(i)].size() + layout.separator.size();
      // A bad byte is placed itself; the bytes before it are those of the field.
      if (row.message.find("control") != std::string::npos || row.message.find("UTF-8") != std::string::npos) {
        column = 1 + text.find_first_of(std::string_view("\0\x1B\r\x01\x0B\xFF\xE9\xC0\xED\xF4\xEF\x80\xFE", 13));
      }
      check_error(layout.header + good + text + "\n" + good, concat(":", line, ":", column, ": "), row.message,
                  layout.format);
    }
  }
}

TEST_CASE("read_ratings: quotes that are not closed or misplaced are errors", "[data][read_ratings][errors]") {
  const std::string header = "userId,movieId,rating,timestamp\n";
  check_error(header + "\"u,i,5,1\nu,i,5,1\"\n", ":2:1: ", "quote to be closed on the same line, got «\"u,i,5,1»");
  check_error(header + "u,\"i\"x,5,1\n", ":2:6: ", "expected «,» behind a closing quote, got «x,5,1»");
  check_error(header + "u,i\"i,5,1\n", ":2:4: ", "no quote inside a bare field");
  check_error(header + "u,\"i\",5,1\"", ":2:10: ", "no quote inside a bare field");
}

TEST_CASE("read_ratings: headers that lack, repeat or mistype a column are errors", "[data][read_ratings][errors]") {
  check_error("user_id:token\titem_id:token\trating:float\nu\ti\t5\n", ":1:1: ", "the column timestamp");
  check_error("item_id:token\ttimestamp:float\ni\t5\n", ":1:1: ", "the column user_id or userId");
  check_error("user_id:token\ttimestamp:float\ni\t5\n", ":1:1: ", "the column item_id");
  check_error("user_id:token\titem_id:token_seq\ttimestamp:float\n", ":1:15: ", "item_id to be of type token");
  check_error("user_id:token\titem_id:token\ttimestamp:token\n", ":1:29: ", "timestamp to be of type float");
  check_error("user_id:token\tuser_id:token\titem_id:token\ttimestamp:float\n", ":1:15: ", "distinct column names");
  check_error("user_id:token\titem_id\ttimestamp:float\n", ":1:15: ", "name:type");
  check_error("u\ti\t5\t978300760\n", ":1:1: ", "name:type", automatic, "headless.inter");
  check_error("1,2,5,978300760\n", ":1:1: ", "the column user_id");
  check_error("u\ti\t5\t978300760\n", ":1:1: ", "the column user_id", csv);
  check_error("user_id:token\titem_id:token\trating:float\ttimestamp:float\n", ":1:29: ", "rating", u_data);
}

TEST_CASE("read_ratings: files without events are errors", "[data][read_ratings][errors]") {
  check_error("", ": ", "empty file");
  check_error("\xEF\xBB\xBF", ":1:1: ", "");
  check_error("\n", ":1:1: ", "expected ratings separated by");
  check_error("\n", ":1:1: ", "expected 4 columns and no empty line", movielens_dat);
  check_error("userId,movieId,rating,timestamp\n", ": ", "only a header");
  check_error("userId,movieId,rating,timestamp", ": ", "only a header");
  check_error("u::i::5::1\n\n", ":2:1: ", "no empty line");
}

TEST_CASE("read_ratings: a line without end is refused in bounded memory", "[data][read_ratings][errors]") {
  check_error("u::i::5::1\nu::" + std::string(10'000'000, 'i') + "::5::1\n", ":2:1: ", "at most 65536 bytes in a line");
  const std::string longest = "u::" + std::string(65536 - 3 - 6, 'i') + "::5::1";
  REQUIRE(longest.size() == 65536);
  const TempFile fits("f", longest + "\n");
  CHECK(read_ratings(fits.path()).size() == 1);
  check_error("u::i" + longest.substr(3), ":1:1: ", "at most 65536 bytes");
  const TempFile small("f", "user::item::5::1\n");
  CHECK_THROWS_AS(read_ratings(small.path(), automatic, {.max_line_bytes = 8}), DataError);
  CHECK_THROWS_AS(read_ratings("/dev/zero"), DataError);
}

TEST_CASE("read_ratings: a missing file and a folder are input errors", "[data][read_ratings][errors]") {
  const TempFolder folder;
  CHECK_THROWS_MATCHES(read_ratings(folder.path("missing.csv")), IoError,
                       MessageMatches(ContainsSubstring("missing.csv: expected a readable file: No such file")));
  CHECK_THROWS_MATCHES(read_ratings(folder.path()), IoError, MessageMatches(ContainsSubstring("Is a directory")));
}

TEST_CASE("read_ratings: every truncation of a valid file is read or refused, never worse",
          "[data][read_ratings][errors]") {
  const std::string whole = "userId,movieId,rating,timestamp\n\"u\"\"1\",Amélie,5,978300760\nb,10,0.5,1\n";
  int accepted = 0;
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const TempFile file("f.csv", std::string_view(whole).substr(0, length));
    try {
      accepted += read_ratings(file.path()).size() > 0 ? 1 : 0;
    } catch (const DataError&) {
    }
  }
  // Cut inside the timestamp a row is still a row: 9 digits, "…760\n" and what follows up to the second row's fields.
  CHECK(accepted == 9 + 1 + 1);
}
