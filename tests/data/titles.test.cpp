// SPDX-License-Identifier: MIT
// read_titles: the four kinds of item files.
#include <hstu/data/titles.hpp>

#include <string>
#include <string_view>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "temp_file.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

void check_error(std::string_view bytes, std::string_view part) {
  const TempFile file("items", bytes);
  CAPTURE(bytes, part);
  CHECK_THROWS_MATCHES(read_titles(file.path()), DataError, MessageMatches(ContainsSubstring(std::string(part))));
}

}  // namespace

TEST_CASE("read_titles: all kinds of item files give titles in UTF-8", "[data][titles][parity]") {
  for (const std::string_view bytes : {
           "1::Toy Story (1995)::Animation|Comedy\n20::Am\xE9lie (2001)::Comedy\n",
           "1::Toy Story (1995)::Animation|Comedy\r\n20::Amélie (2001)::Comedy",
           "1|Toy Story (1995)|01-Jan-1995||http://x/M?Toy%20Story|0|1\n20|Am\xE9lie (2001)||||0|0\n",
           "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy Story (1995)\tAnimation Comedy\n20\tAmélie "
           "(2001)\t\n",
           "name:token\titem_id:token\nToy Story (1995)\t1\nAmélie (2001)\t20\n",
           "movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n20,\"Amélie (2001)\",Comedy\n",
       }) {
    const TempFile file("items", bytes);
    CAPTURE(bytes);
    const auto titles = read_titles(file.path());
    REQUIRE(titles.size() == 2);
    CHECK(titles.at("1") == "Toy Story (1995)");
    CHECK(titles.at("20") == "Amélie (2001)");
  }
}

TEST_CASE("read_titles: bad files are errors with place and text", "[data][titles][errors]") {
  check_error("", "empty file");
  check_error("one column\n", "items:1:1: expected a RecBole .item header");
  check_error("1::A::x\n2::B\n", "items:2:5: expected 3 columns, found 2, got «2::B»");
  check_error("1::A::x\n1::B::y\n", "items:2:1: expected distinct item ids, got «1»");
  check_error("1::A::x\n::B::y\n", "items:2:1: expected an item id");
  check_error("1::A::x\n\n", "items:2:1: expected 3 columns and no empty line");
  check_error("item_id:token\tyear:float\n1\t1995\n", "expected a header with an item id and a title");
  check_error("item_id:token\ttitle:token\n", "only a header");
  check_error("movieId,title\n1,\"A\n", "items:2:3: expected the quote to be closed");
  check_error(std::string_view("1::A\0B::x\n", 10), "items:1:5: expected no control character");
  const TempFolder folder;
  CHECK_THROWS_AS(read_titles(folder.path("missing")), IoError);
}
