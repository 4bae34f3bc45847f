// SPDX-License-Identifier: MIT
// CRC-64/XZ against published values, pieces against the whole, every flipped bit found.
#include <catch2/catch_test_macros.hpp>
#include <string>

#include <hstu/io/checksum.hpp>

using hstu::crc64;

TEST_CASE("crc64: known answers", "[io][checksum][golden]") {
  CHECK(crc64("") == 0);
  CHECK(crc64("123456789") == 0x995DC9BBDF1939FA);  // the check value of CRC-64/XZ in the CRC catalogue
  CHECK(crc64(std::string(1, '\0')) == 0x1FADA17364673F59);
}

TEST_CASE("crc64: the eight-byte steps equal the bitwise definition at every length", "[io][checksum][parity]") {
  std::string text;
  for (int i = 0; i < 70; ++i) text += static_cast<char>(37 * i + 11);
  for (std::size_t length = 0; length <= text.size(); ++length) {
    std::uint64_t crc = ~std::uint64_t{0};
    for (std::size_t i = 0; i < length; ++i) {
      crc ^= static_cast<unsigned char>(text[i]);
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0xC96C5795D7870F42U : 0U);
    }
    REQUIRE(crc64(std::string_view(text).substr(0, length)) == ~crc);
  }
}

TEST_CASE("crc64: pieces give the checksum of the whole", "[io][checksum][property]") {
  const std::string_view text = "jagged sequences are concatenated, never padded";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    REQUIRE(crc64(text.substr(cut), crc64(text.substr(0, cut))) == crc64(text));
  }
}

TEST_CASE("crc64: every flipped bit changes it", "[io][checksum][property]") {
  std::string text(61, 'x');
  const auto before = crc64(text);
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      text[i] = static_cast<char>(text[i] ^ (1 << bit));
      REQUIRE(crc64(text) != before);
      text[i] = static_cast<char>(text[i] ^ (1 << bit));
    }
  }
}

TEST_CASE("hex_digits: sixteen of them, leading zeros kept", "[io][checksum][property]") {
  CHECK(hstu::hex_digits(0) == "0000000000000000");
  CHECK(hstu::hex_digits(0x0123456789ABCDEF) == "0123456789abcdef");
  CHECK(hstu::hex_digits(~std::uint64_t{0}) == "ffffffffffffffff");
}
