// SPDX-License-Identifier: MIT
// Text from files: UTF-8 checks, Latin-1, and quoting of foreign text inside error messages.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace hstu {
namespace detail {

/// Bytes of the well-formed UTF-8 character that begins at text[at], 0 if there is none.
/// Surrogates, overlong forms and code points above U+10FFFF are malformed (Unicode 15, table 3-7).
inline std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned first = byte(at);
  if (at >= text.size()) return 0;
  if (first < 0x80U) return 1;
  if (first >= 0xC2U && first <= 0xDFU) return follows(at + 1) ? 2 : 0;
  if (first >= 0xE0U && first <= 0xEFU) {
    const unsigned low = first == 0xE0U ? 0xA0U : 0x80U;
    const unsigned high = first == 0xEDU ? 0x9FU : 0xBFU;
    return byte(at + 1) >= low && byte(at + 1) <= high && follows(at + 2) ? 3 : 0;
  }
  if (first >= 0xF0U && first <= 0xF4U) {
    const unsigned low = first == 0xF0U ? 0x90U : 0x80U;
    const unsigned high = first == 0xF4U ? 0x8FU : 0xBFU;
    return byte(at + 1) >= low && byte(at + 1) <= high && follows(at + 2) && follows(at + 3) ? 4 : 0;
  }
  return 0;
}

/// Place of the first byte that is not part of well-formed UTF-8, npos if there is none.
inline std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

/// Every Latin-1 byte is the code point of the same number.
inline std::string latin1_to_utf8(std::string_view text) {
  std::string utf8;
  utf8.reserve(text.size() + text.size() / 8);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80U) {
      utf8 += c;
    } else {
      utf8 += static_cast<char>(0xC0U | (byte >> 6U));
      utf8 += static_cast<char>(0x80U | (byte & 0x3FU));
    }
  }
  return utf8;
}

/// Control characters would act on the terminal that shows the message: C0, DEL and C1 (U+0080..U+009F).
inline bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20U || first == 0x7FU;
  return first == 0xC2U && static_cast<unsigned char>(character[1]) < 0xA0U;
}

}  // namespace detail

/// «text» for an error message: control and malformed bytes as \xNN, cut after about `max_bytes` bytes with "…".
inline std::string quote_text(std::string_view text, std::size_t max_bytes = 40) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string quoted = "«";
  std::size_t at = 0;
  while (at < text.size() && at < max_bytes) {
    const std::size_t length = detail::utf8_length(text, at);
    const std::string_view character = text.substr(at, length == 0 ? 1 : length);
    if (length != 0 && !detail::is_control(character)) {
      quoted += character;
    } else {
      for (const char c : character) {
        const auto byte = static_cast<unsigned char>(c);
        quoted += "\\x";
        quoted += kDigits[byte >> 4U];
        quoted += kDigits[byte & 0xFU];
      }
    }
    at += character.size();
  }
  if (at < text.size()) quoted += "…";
  return quoted + "»";
}

}  // namespace hstu
