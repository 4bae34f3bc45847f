// SPDX-License-Identifier: MIT
// Numbers, lanes, text and errors: what every part of the PTX machine uses.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ptx {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
using f32 = float;
using f64 = double;
__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 s128;

inline constexpr u32 kLanes = 32;
inline constexpr u32 kAllLanes = ~0u;

/// Text that is no PTX, or PTX that the machine does not know; the message names line and instruction.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

inline std::string hex(u64 value) {
  std::ostringstream out;
  out << "0x" << std::hex << value;
  return out.str();
}

inline u64 round_up(u64 n, u64 to) {
  return (n + to - 1) / to * to;
}

inline u32 first_lane(u32 mask) {
  return u32(std::countr_zero(mask));
}

/// Calls f(lane) for every lane of the mask, in ascending order.
template <class F>
void each_lane(u32 mask, F&& f) {
  for (; mask != 0; mask &= mask - 1) f(first_lane(mask));
}

/// Types that instructions name.
enum class Type : u8 {
  kNone,
  kPred,
  kB8,
  kB16,
  kB32,
  kB64,
  kB128,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kF16,
  kF16x2,
  kBF16,
  kBF16x2,
  kTF32,
  kF32,
  kF32x2,
  kF64,
  kU16x2,
  kS16x2
};

/// kNone if the word is no type.
Type parse_type(std::string_view word);
u32 bytes_of(Type type);
inline bool is_signed(Type t) {
  return t >= Type::kS8 && t <= Type::kS64;
}
inline bool is_float(Type t) {
  return t == Type::kF32 || t == Type::kF64;
}

}  // namespace ptx
