// SPDX-License-Identifier: MIT
// Text: UTF-8, Latin-1, quoting.
#include <hstu/data/text.hpp>

#include <string>
#include <string_view>

#include <catch2/catch_test_macros.hpp>

using namespace hstu;

TEST_CASE("utf8: malformed bytes are found where they begin", "[data][text][property]") {
  using detail::find_invalid_utf8;
  constexpr auto kNone = std::string_view::npos;
  CHECK(find_invalid_utf8("") == kNone);
  CHECK(find_invalid_utf8("a\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF") ==
        kNone);
  CHECK(find_invalid_utf8("ab\x80") == 2);            // continuation without a start
  CHECK(find_invalid_utf8("a\xC1\x81") == 1);         // overlong, 2 bytes
  CHECK(find_invalid_utf8("\xE0\x9F\xBF") == 0);      // overlong, 3 bytes
  CHECK(find_invalid_utf8("\xF0\x8F\xBF\xBF") == 0);  // overlong, 4 bytes
  CHECK(find_invalid_utf8("\xED\xA0\x80") == 0);      // surrogate
  CHECK(find_invalid_utf8("\xF4\x90\x80\x80") == 0);  // above U+10FFFF
  CHECK(find_invalid_utf8("\xF5\x80\x80\x80") == 0);
  CHECK(find_invalid_utf8("é\xE2\x82") == 2);  // cut short
  CHECK(find_invalid_utf8("\xE2\x82x") == 0);
  CHECK(find_invalid_utf8("\xF0\x90x\x80") == 0);
  CHECK(find_invalid_utf8("\xF0\x90\x80x") == 0);
  CHECK(detail::utf8_length("a", 1) == 0);  // behind the end
}

TEST_CASE("latin1: every byte becomes its code point", "[data][text][property]") {
  CHECK(detail::latin1_to_utf8("Am\xE9lie \xFF\x80") == "Amélie ÿ\xC2\x80");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::string utf8 = detail::latin1_to_utf8(all);
  CHECK(utf8.size() == 128 + 2 * 128);
  CHECK(detail::find_invalid_utf8(utf8) == std::string_view::npos);
}

TEST_CASE("quote_text: foreign text is shown, cut and made harmless", "[data][text][property]") {
  CHECK(quote_text("") == "«»");
  CHECK(quote_text("Amélie") == "«Amélie»");
  CHECK(quote_text(std::string_view("a\0\x1B[2J\x7F\n", 8)) == "«a\\x00\\x1b[2J\\x7f\\x0a»");
  CHECK(quote_text("\xC2\x9B"
                   "31m") == "«\\xc2\\x9b31m»");  // C1 control: "CSI" of terminals
  CHECK(quote_text("\xC2\xA0") == "«\xC2\xA0»");  // the first character behind C1
  CHECK(quote_text("\xFF") == "«\\xff»");
  CHECK(quote_text("abcdef", 3) == "«abc…»");
  CHECK(quote_text("abc", 3) == "«abc»");
  CHECK(quote_text("ééé", 3) == "«éé…»");  // never cuts inside a character
}
