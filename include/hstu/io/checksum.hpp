// SPDX-License-Identifier: MIT
// CRC-64/XZ: finds every flipped bit and every damaged run of up to 64 bits.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace hstu {
namespace detail {

/// tables[k][b]: what byte b does to the checksum when k more bytes follow it.
constexpr std::array<std::array<std::uint64_t, 256>, 8> make_crc64_tables() {
  constexpr std::uint64_t kPolynomial = 0xC96C5795D7870F42;  // ECMA-182, bits reflected
  std::array<std::array<std::uint64_t, 256>, 8> tables{};
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    std::uint64_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint64_t crc = tables[k - 1][byte];
      tables[k][byte] = (crc >> 8U) ^ tables[0][crc & 255U];
    }
  }
  return tables;
}
inline constexpr auto kCrc64Tables = make_crc64_tables();

}  // namespace detail

/// CRC-64/XZ of `bytes`, going on from `previous`: crc64(b, crc64(a)) is the checksum of a followed by b.
inline std::uint64_t crc64(std::span<const std::byte> bytes, std::uint64_t previous = 0) {
  static_assert(std::endian::native == std::endian::little, "eight bytes are read as one little-endian number");
  const auto& tables = detail::kCrc64Tables;
  std::uint64_t crc = ~previous;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    word ^= crc;
    crc = 0;
    for (unsigned k = 0; k < 8; ++k) crc ^= tables[7 - k][(word >> (8 * k)) & 255U];
  }
  for (const std::byte byte : bytes) crc = (crc >> 8U) ^ tables[0][(crc ^ static_cast<std::uint64_t>(byte)) & 255U];
  return ~crc;
}
inline std::uint64_t crc64(std::string_view text, std::uint64_t previous = 0) {
  return crc64(std::as_bytes(std::span(text)), previous);
}

/// A checksum as 16 lower-case hex digits, in any locale.
inline std::string hex_digits(std::uint64_t crc) {
  std::string text(16, '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, crc >>= 4U) *digit = "0123456789abcdef"[crc & 15U];
  return text;
}

}  // namespace hstu
