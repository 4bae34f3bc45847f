// SPDX-License-Identifier: MIT
// Fields and headers of lines, and where complaints about them point.
#include <hstu/data/fields.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "temp_file.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

/// The only line of a file, and a reader that stands behind it.
struct OneLine {
  explicit OneLine(std::string_view text) : file("line.txt", text), reader(file.path()) { reader.next(line); }
  std::vector<Field> fields(const char* separator = ",") {
    return FieldSplitter(separator, false).split(reader, line);
  }
  TempFile file;
  LineReader reader;
  std::string_view line;
};

}  // namespace

TEST_CASE("fields: a header's names and types, and their places", "[data][fields][property]") {
  OneLine one("user_id:token\tgenre:token_seq\tscore:float");
  const ColumnNames header = parse_header(one.reader, one.fields("\t"), true);
  REQUIRE(header.columns.size() == 3);
  CHECK(header.columns[1].name == "genre");
  CHECK(header.columns[1].type == "token_seq");
  CHECK(header.columns[1].at == 15);
  CHECK(header.find({"rating", "score"}) == 2);
  CHECK(header.find({"rating"}) == ColumnNames::kMissing);
  OneLine plain("a,b:c");
  CHECK(parse_header(plain.reader, plain.fields(), false).columns[1].name == "b:c");
}

TEST_CASE("fields: repeated names, unknown types and wrong counts are errors with their column",
          "[data][fields][errors]") {
  const auto header_of = [](std::string_view text, bool is_typed) {
    OneLine one(text);
    return parse_header(one.reader, one.fields(), is_typed);
  };
  CHECK_THROWS_MATCHES(header_of("a,b,a", false), DataError,
                       MessageMatches(ContainsSubstring(":1:5: expected distinct column names, got «a»")));
  CHECK_THROWS_MATCHES(header_of("a:token,b:word", true), DataError,
                       MessageMatches(ContainsSubstring(":1:9: expected a header of name:type")));
  CHECK_THROWS_AS(header_of("a", true), DataError);
  CHECK_THROWS_AS(header_of("a:token,a:float", true), DataError);

  const auto count = [](std::string_view text, std::size_t expected) {
    OneLine one(text);
    check_field_count(one.reader, one.line, one.fields(), expected);
  };
  CHECK_NOTHROW(count("a,b", 2));
  CHECK_THROWS_MATCHES(count("a,b", 3), DataError,
                       MessageMatches(ContainsSubstring(":1:4: expected 3 columns, found 2")));
  CHECK_THROWS_MATCHES(count("a,b,c", 2), DataError,
                       MessageMatches(ContainsSubstring(":1:5: expected 2 columns, found 3")));
  CHECK_THROWS_MATCHES(count("\n", 2), DataError,
                       MessageMatches(ContainsSubstring("expected 2 columns and no empty line")));
}
