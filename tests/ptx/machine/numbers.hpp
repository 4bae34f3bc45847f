// SPDX-License-Identifier: MIT
// Number formats: float16, bfloat16, tf32, flushing of subnormal numbers, and functions with hardware approximations.
#pragma once
#include <cmath>
#include <limits>

#include "types.hpp"

namespace ptx {

/// |x| below the least normal number becomes zero of its sign.
inline f32 flushed(f32 x) {
  const u32 bits = std::bit_cast<u32>(x);
  return (bits & 0x7f800000u) == 0 ? std::bit_cast<f32>(bits & 0x80000000u) : x;
}

inline f32 saturated(f32 x) {
  return x > 0 ? (x < 1 ? x : 1.f) : 0.f;
}
inline f64 saturated(f64 x) {
  return x > 0 ? (x < 1 ? x : 1.) : 0.;
}

/// x to single precision so that a second rounding to a shorter format gives what one rounding of x would.
inline f32 rounded_to_odd(f64 x) {
  const f32 near = f32(x);
  if (f64(near) == x || near != near) return near;
  u32 bits = std::bit_cast<u32>(near);
  if (std::fabs(f64(near)) > std::fabs(x)) --bits;
  return std::bit_cast<f32>(bits | 1);
}

/// a + b in double precision, rounded to odd.
inline f64 sum_to_odd(f64 a, f64 b) {
  const f64 sum = a + b;
  const f64 part = sum - a;
  const f64 error = (a - (sum - part)) + (b - part);
  u64 bits = std::bit_cast<u64>(sum);
  if (error == 0 || error != error || (bits & 1) != 0) return sum;
  bits += (error > 0) == (sum > 0) ? 1 : ~u64{0};
  return std::bit_cast<f64>(bits);
}

struct F16 {
  static constexpr u16 kOne = 0x3c00, kNaN = 0x7fff;
  static f32 wide(u16 h) {
    const u32 sign = u32(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    const u32 normal = (exponent + 112) << 23 | mantissa << 13;
    const u32 small = std::bit_cast<u32>(f32(s32(mantissa)) * 0x1p-24f);
    const u32 huge = 0x7f800000u | mantissa << 13;
    return std::bit_cast<f32>(sign | (exponent == 0 ? small : exponent == 31 ? huge : normal));
  }
  static u16 narrow(f32 x) {
    const u32 bits = std::bit_cast<u32>(x), magnitude = bits & 0x7fffffff;
    const u32 normal = (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
    // adding one half leaves a multiple of 2^-24, the step of subnormal numbers
    const u32 small = std::bit_cast<u32>(std::bit_cast<f32>(magnitude) + 0.5f) - 0x3f000000u;
    const u32 sign = bits >> 16 & 0x8000;
    if (magnitude > 0x7f800000u) return kNaN;
    return u16(sign | (magnitude >= 0x477ff000u ? 0x7c00u : magnitude >= 0x38800000u ? normal : small));
  }
  static u16 truncated(f32 x) {
    const u32 bits = std::bit_cast<u32>(x), magnitude = bits & 0x7fffffff, sign = bits >> 16 & 0x8000;
    if (magnitude > 0x7f800000u) return kNaN;
    if (magnitude == 0x7f800000u) return u16(sign | 0x7c00);
    if (magnitude >= 0x47800000u) return u16(sign | 0x7bff);
    if (magnitude >= 0x38800000u) return u16(sign | (magnitude - (112u << 23)) >> 13);
    return u16(sign | u32(std::bit_cast<f32>(magnitude) * 0x1p24f));
  }
  static bool is_nan(u16 h) { return (h & 0x7fff) > 0x7c00; }
  static u16 without_subnormals(u16 h) { return (h & 0x7c00) == 0 ? u16(h & 0x8000) : h; }
};

struct BF16 {
  static constexpr u16 kOne = 0x3f80, kNaN = 0x7fff;
  static f32 wide(u16 h) { return std::bit_cast<f32>(u32(h) << 16); }
  static u16 narrow(f32 x) {
    const u32 bits = std::bit_cast<u32>(x);
    const u32 near = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return u16((bits & 0x7fffffff) > 0x7f800000u ? kNaN : near);
  }
  static u16 truncated(f32 x) {
    const u32 bits = std::bit_cast<u32>(x);
    return (bits & 0x7fffffff) > 0x7f800000u ? kNaN : u16(bits >> 16);
  }
  static bool is_nan(u16 h) { return (h & 0x7fff) > 0x7f80; }
  static u16 without_subnormals(u16 h) { return (h & 0x7f80) == 0 ? u16(h & 0x8000) : h; }
};

inline u16 low(u32 pair) {
  return u16(pair);
}
inline u16 high(u32 pair) {
  return u16(pair >> 16);
}
inline u32 pair_of(u16 low_half, u16 high_half) {
  return u32(low_half) | u32(high_half) << 16;
}

/// To nearest, ties away from zero, 10 bits of mantissa (cvt.rna.tf32.f32).
inline u32 tf32_away(f32 x) {
  const u32 bits = std::bit_cast<u32>(x);
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}
inline u32 tf32_even(f32 x) {
  const u32 bits = std::bit_cast<u32>(x);
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0xfffu + (bits >> 13 & 1)) & 0xffffe000u;
}
/// What the tensor cores see of a register.
inline f32 tf32_seen(u32 bits) {
  return std::bit_cast<f32>(bits & 0xffffe000u);
}

/// 2^x within two units in the last place; a polynomial, so that the compiler can do eight or sixteen at once.
inline f32 exp2_fast(f32 x) {
  const f32 bounded = x < -151.f ? -151.f : x > 129.f ? 129.f : x;
  const f32 whole = std::floor(bounded + 0.5f);
  const f32 t = (bounded - whole) * 0.693147181f;
  f32 p = 1.f / 5040;
  p = p * t + 1.f / 720;
  p = p * t + 1.f / 120;
  p = p * t + 1.f / 24;
  p = p * t + 1.f / 6;
  p = p * t + 0.5f;
  p = p * t + 1.f;
  p = p * t + 1.f;
  const s32 exponent = s32(whole), half = exponent / 2;
  const f32 scale = std::bit_cast<f32>((half + 127) << 23), rest = std::bit_cast<f32>((exponent - half + 127) << 23);
  return x != x ? x : p * scale * rest;
}

/// tanh with the error of tanh.approx, at most 2^-11 relative: cut to 12 significant bits.
inline f32 tanh_rough(f32 x) {
  return std::bit_cast<f32>(std::bit_cast<u32>(std::tanh(x)) & 0xfffff000u);
}

}  // namespace ptx
