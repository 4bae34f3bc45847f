// SPDX-License-Identifier: MIT
// Lines: ends, byte order mark, encodings, bounds, places of complaints.
#include <hstu/data/line_reader.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "temp_file.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

std::vector<std::string> lines_in(std::string_view bytes, std::size_t max_line_bytes = LineReader::kMaxLineBytes) {
  const TempFile file("lines.txt", bytes);
  LineReader reader(file.path(), TextEncoding::utf8, max_line_bytes);
  std::vector<std::string> lines;
  for (std::string_view line; reader.next(line);) {
    lines.emplace_back(line);
    CHECK(reader.line_number() == std::ssize(lines));
  }
  return lines;
}

}  // namespace

TEST_CASE("line reader: LF, CRLF, no end, byte order mark", "[data][line_reader][property]") {
  using Lines = std::vector<std::string>;
  CHECK(lines_in("").empty());
  CHECK(lines_in("\n") == Lines{""});
  CHECK(lines_in("a\nb\r\n\nc") == Lines{"a", "b", "", "c"});
  CHECK(lines_in("\xEF\xBB\xBF" "a\n\xEF\xBB\xBF") == Lines{"a", "\xEF\xBB\xBF"});
  CHECK(lines_in("abc\nd", 3) == Lines{"abc", "d"});
  std::string many;  // lines that cross the edges of the buffer
  for (int i = 0; i < 30'000; ++i) many += std::to_string(i) + "\n";
  const Lines read = lines_in(many, 8);
  REQUIRE(read.size() == 30'000);
  for (int i = 0; i < 30'000; ++i) REQUIRE(read[static_cast<std::size_t>(i)] == std::to_string(i));
}

TEST_CASE("line reader: files, lengths and bytes that are none are errors with their place",
          "[data][line_reader][errors]") {
  const TempFolder folder;
  CHECK_THROWS_MATCHES(LineReader(folder.path("none.txt")), IoError,
                       MessageMatches(ContainsSubstring("none.txt: expected a readable file")));
  std::string_view line;
  LineReader of_folder(folder.path());
  CHECK_THROWS_AS(of_folder.next(line), IoError);
  CHECK_THROWS_MATCHES(lines_in("abc\nabcd\n", 3), DataError,
                       MessageMatches(ContainsSubstring(":2:1: expected at most 3 bytes in a line, got «abcd»")));
  CHECK_THROWS_AS(lines_in("abcd", 3), DataError);
  CHECK_THROWS_MATCHES(lines_in("a\nb\x01"), DataError,
                       MessageMatches(ContainsSubstring(":2:2: expected no control character, got «\\x01»")));
  CHECK_THROWS_MATCHES(lines_in("ab\xE9"), DataError, MessageMatches(ContainsSubstring(":1:3: expected UTF-8 text")));
  LineReader latin(folder.write("latin.txt", "Am\xE9lie\n"), TextEncoding::utf8_or_latin1);
  REQUIRE(latin.next(line));
  CHECK(line == "Amélie");
  CHECK_THROWS_MATCHES(latin.fail(3, "expected more", line), DataError,
                       MessageMatches(ContainsSubstring(":1:3: expected more, got «Amélie»")));
}
