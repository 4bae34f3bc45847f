// SPDX-License-Identifier: MIT
// Integer arithmetic: add, sub, mul, mad, div, rem, min, max, abs, neg, sad, dot .
#include <algorithm>

#include "decoder.hpp"
#include "lanes.hpp"
#include "op_arithmetic.hpp"

namespace ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;
template <class T>
using Bigger =
    std::conditional_t<std::is_signed_v<T>,
                       std::conditional_t<sizeof(T) == 2, s32, std::conditional_t<sizeof(T) == 4, s64, s128>>,
                       std::conditional_t<sizeof(T) == 2, u32, std::conditional_t<sizeof(T) == 4, u64, u128>>>;

template <class T>
inline T times(T a, T b) {
  return T(u64(a) * u64(b));
}

struct Add {
  template <class T>
  static T apply(T a, T b) {
    return T(a + b);
  }
};
struct Sub {
  template <class T>
  static T apply(T a, T b) {
    return T(a - b);
  }
};
struct MulLow {
  template <class T>
  static T apply(T a, T b) {
    return times(a, b);
  }
};
struct MulHigh {
  template <class T>
  static T apply(T a, T b) {
    return T(Bigger<T>(Bigger<T>(a) * Bigger<T>(b)) >> (8 * sizeof(T)));
  }
};
struct MulWide {
  template <class T>
  static Bigger<T> apply(T a, T b) {
    return Bigger<T>(Bigger<T>(a) * Bigger<T>(b));
  }
};
struct MadLow {
  template <class T>
  static T apply(T a, T b, T c) {
    return T(Unsigned<T>(times(a, b)) + Unsigned<T>(c));
  }
};
struct MadHigh {
  template <class T>
  static T apply(T a, T b, T c) {
    return T(Unsigned<T>(MulHigh::apply(a, b)) + Unsigned<T>(c));
  }
};
struct MadWide {
  template <class T>
  static u64 apply(T a, T b, u64 c) {
    return u64(Bigger<T>(Bigger<T>(a) * Bigger<T>(b))) + c;
  }
};
struct MadWide16 {
  template <class T>
  static u32 apply(T a, T b, u32 c) {
    return u32(s32(a) * s32(b)) + c;
  }
};
struct AddSat {
  static s32 apply(s32 a, s32 b) { return s32(std::clamp<s64>(s64(a) + b, INT32_MIN, INT32_MAX)); }
};
struct SubSat {
  static s32 apply(s32 a, s32 b) { return s32(std::clamp<s64>(s64(a) - b, INT32_MIN, INT32_MAX)); }
};
struct Div {
  template <class T>
  static T apply(T a, T b) {
    if (b == 0) return T(~T{0});
    if constexpr (std::is_signed_v<T>)
      if (b == -1) return T(Unsigned<T>(0) - Unsigned<T>(a));
    return T(a / b);
  }
};
struct Rem {
  template <class T>
  static T apply(T a, T b) {
    if (b == 0) return a;
    if constexpr (std::is_signed_v<T>)
      if (b == -1) return 0;
    return T(a % b);
  }
};
struct Min {
  template <class T>
  static T apply(T a, T b) {
    return a < b ? a : b;
  }
};
struct Max {
  template <class T>
  static T apply(T a, T b) {
    return a > b ? a : b;
  }
};
struct MinRelu {
  template <class T>
  static T apply(T a, T b) {
    return std::max<T>(a < b ? a : b, 0);
  }
};
struct MaxRelu {
  template <class T>
  static T apply(T a, T b) {
    return std::max<T>(a > b ? a : b, 0);
  }
};
struct Abs {
  template <class T>
  static T apply(T a) {
    return a < 0 ? T(Unsigned<T>(0) - Unsigned<T>(a)) : a;
  }
};
struct Neg {
  template <class T>
  static T apply(T a) {
    return T(T(0) - a);
  }
};
template <class F>
Handler two_unsigned(Type t) {
  switch (bytes_of(t)) {
    case 2:
      return binary<F, u16, u16, u16>;
    case 4:
      return binary<F, u32, u32, u32>;
    default:
      return binary<F, u64, u64, u64>;
  }
}
template <class F>
Handler two(Type t) {
  if (!is_signed(t)) return two_unsigned<F>(t);
  switch (bytes_of(t)) {
    case 2:
      return binary<F, s16, s16, s16>;
    case 4:
      return binary<F, s32, s32, s32>;
    default:
      return binary<F, s64, s64, s64>;
  }
}
template <class F>
Handler three(Type t) {
  switch (bytes_of(t)) {
    case 2:
      return is_signed(t) ? ternary<F, s16, s16, s16, s16> : ternary<F, u16, u16, u16, u16>;
    case 4:
      return is_signed(t) ? ternary<F, s32, s32, s32, s32> : ternary<F, u32, u32, u32, u32>;
    default:
      return is_signed(t) ? ternary<F, s64, s64, s64, s64> : ternary<F, u64, u64, u64, u64>;
  }
}

void finish(Decoder& d, Handler run, std::size_t operands, Type t) {
  d.all(operands, t);
  d.inst.run = run;
  d.inst.kind = Class::kInteger;
  d.emit();
}

// ---- decoders
// ---------------------------------------------------------------------------------------------------------

/// Two integers of 16 bits in a register.
template <class F, class T>
struct Pair {
  static u32 apply(u32 a, u32 b) {
    const auto one = [](u32 x, u32 y) { return u32(Unsigned<T>(F::apply(T(x), T(y)))); };
    return one(a & 0xffff, b & 0xffff) | one(a >> 16, b >> 16) << 16;
  }
};
template <class F>
Handler pair(bool with_sign) {
  return with_sign ? Handler(binary<Pair<F, s16>, u32, u32, u32>) : binary<Pair<F, u16>, u32, u32, u32>;
}

/// True if the types are pairs of 16-bit integers.
bool decode_pairs(Decoder& d) {
  if (!d.has("s16x2") && !d.has("u16x2")) return false;
  const bool relu = d.take("relu"), with_sign = d.type() == Type::kS16x2;
  const std::string& name = d.name();
  if (relu && !with_sign) d.unsupported();
  if (name == "add" && !relu)
    finish(d, pair<Add>(with_sign), 3, Type::kB32);
  else if (name == "min")
    finish(d, relu ? pair<MinRelu>(true) : pair<Min>(with_sign), 3, Type::kB32);
  else if (name == "max")
    finish(d, relu ? pair<MaxRelu>(true) : pair<Max>(with_sign), 3, Type::kB32);
  else
    d.unsupported();
  return true;
}

void decode_add(Decoder& d) {
  if (decode_half(d) || decode_float(d) || decode_carry(d) || decode_pairs(d)) return;
  const bool sat = d.take("sat"), subtracts = d.name() == "sub";
  const Type t = d.type();
  if (sat && t != Type::kS32) d.unsupported();
  if (sat)
    finish(d, subtracts ? Handler(binary<SubSat, s32, s32, s32>) : binary<AddSat, s32, s32, s32>, 3, t);
  else
    finish(d, subtracts ? two_unsigned<Sub>(t) : two_unsigned<Add>(t), 3, t);
}

void decode_mul(Decoder& d) {
  if (decode_half(d) || decode_float(d)) return;
  if (!d.take("wide")) {
    const bool high = d.take("hi");
    if (!high && !d.take("lo")) d.unsupported();
    const Type t = d.type();
    return finish(d, high ? two<MulHigh>(t) : two_unsigned<MulLow>(t), 3, t);
  }
  const Type t = d.type();
  d.expect_size(3);
  d.define(0, d.operand(0), bytes_of(t) == 4 ? Type::kB64 : Type::kB32);
  d.use(1, d.operand(1), t);
  d.use(2, d.operand(2), t);
  if (bytes_of(t) == 2)
    d.inst.run = is_signed(t) ? Handler(binary<MulWide, s32, s16, s16>) : binary<MulWide, u32, u16, u16>;
  else if (bytes_of(t) == 4)
    d.inst.run = is_signed(t) ? Handler(binary<MulWide, s64, s32, s32>) : binary<MulWide, u64, u32, u32>;
  else
    d.unsupported();
  d.emit();
}

void decode_mad(Decoder& d) {
  if (decode_half(d) || decode_float(d) || decode_carry(d)) return;
  if (!d.take("wide")) {
    const bool high = d.take("hi");
    if (!high && !d.take("lo")) d.unsupported();
    const Type t = d.type();
    return finish(d, high ? three<MadHigh>(t) : three<MadLow>(t), 4, t);
  }
  const Type t = d.type(), sum = bytes_of(t) == 4 ? Type::kB64 : Type::kB32;
  d.expect_size(4);
  d.define(0, d.operand(0), sum);
  d.use(1, d.operand(1), t);
  d.use(2, d.operand(2), t);
  d.use(3, d.operand(3), sum);
  if (bytes_of(t) == 2)
    d.inst.run =
        is_signed(t) ? Handler(ternary<MadWide16, u32, s16, s16, u32>) : ternary<MadWide16, u32, u16, u16, u32>;
  else if (bytes_of(t) == 4)
    d.inst.run = is_signed(t) ? Handler(ternary<MadWide, u64, s32, s32, u64>) : ternary<MadWide, u64, u32, u32, u64>;
  else
    d.unsupported();
  d.emit();
}

void decode_div(Decoder& d) {
  if (decode_float(d)) return;
  const Type t = d.type();
  finish(d, two<Div>(t), 3, t);
}

void decode_rem(Decoder& d) {
  const Type t = d.type();
  finish(d, two<Rem>(t), 3, t);
}

void decode_min_max(Decoder& d) {
  if (decode_half(d) || decode_float(d) || decode_pairs(d)) return;
  const bool relu = d.take("relu"), is_min = d.name() == "min";
  const Type t = d.type();
  if (relu && t != Type::kS32) d.unsupported();
  if (relu)
    finish(d, is_min ? Handler(binary<MinRelu, s32, s32, s32>) : binary<MaxRelu, s32, s32, s32>, 3, t);
  else
    finish(d, is_min ? two<Min>(t) : two<Max>(t), 3, t);
}

void decode_abs(Decoder& d) {
  if (decode_half(d) || decode_float(d)) return;
  const Type t = d.type();
  switch (bytes_of(t)) {
    case 2:
      return finish(d, unary<Abs, s16, s16>, 2, t);
    case 4:
      return finish(d, unary<Abs, s32, s32>, 2, t);
    default:
      return finish(d, unary<Abs, s64, s64>, 2, t);
  }
}

void decode_neg(Decoder& d) {
  if (decode_half(d) || decode_float(d)) return;
  const Type t = d.type();
  switch (bytes_of(t)) {
    case 2:
      return finish(d, unary<Neg, u16, u16>, 2, t);
    case 4:
      return finish(d, unary<Neg, u32, u32>, 2, t);
    default:
      return finish(d, unary<Neg, u64, u64>, 2, t);
  }
}

}  // namespace

std::span<const DecodeEntry> integer_decoders() {
  static constexpr DecodeEntry entries[] = {
      {"add", decode_add},     {"sub", decode_add},     {"addc", decode_add}, {"subc", decode_add}, {"mul", decode_mul},
      {"mad", decode_mad},     {"madc", decode_mad},    {"fma", decode_mad},  {"div", decode_div},  {"rem", decode_rem},
      {"min", decode_min_max}, {"max", decode_min_max}, {"abs", decode_abs},  {"neg", decode_neg}};
  return entries;
}

}  // namespace ptx
