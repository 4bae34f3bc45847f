// SPDX-License-Identifier: MIT
// Integer arithmetic: add, sub, mul, mad, div, rem, min, max, abs, neg, sad, dot products, carries.
#include <algorithm>

#include "decoder.hpp"
#include "lanes.hpp"
#include "op_arithmetic.hpp"

namespace ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;
template <class T>
using Bigger = std::conditional_t<std::is_signed_v<T>, std::conditional_t<sizeof(T) == 2, s32, std::conditional_t<sizeof(T) == 4, s64, s128>>,
                                  std::conditional_t<sizeof(T) == 2, u32, std::conditional_t<sizeof(T) == 4, u64, u128>>>;

template <class T>
inline T times(T a, T b) {
  return T(u64(a) * u64(b));
}

struct Add { template <class T> static T apply(T a, T b) { return T(a + b); } };
struct Sub { template <class T> static T apply(T a, T b) { return T(a - b); } };
struct MulLow { template <class T> static T apply(T a, T b) { return times(a, b); } };
struct MulHigh {
  template <class T>
  static T apply(T a, T b) { return T(Bigger<T>(Bigger<T>(a) * Bigger<T>(b)) >> (8 * sizeof(T))); }
};
struct MulWide {
  template <class T>
  static Bigger<T> apply(T a, T b) { return Bigger<T>(Bigger<T>(a) * Bigger<T>(b)); }
};
struct MadLow { template <class T> static T apply(T a, T b, T c) { return T(times(a, b) + c); } };
struct MadHigh { template <class T> static T apply(T a, T b, T c) { return T(MulHigh::apply(a, b) + c); } };
struct MadWide {
  template <class T>
  static u64 apply(T a, T b, u64 c) { return u64(Bigger<T>(Bigger<T>(a) * Bigger<T>(b))) + c; }
};
struct MadWide16 {
  template <class T>
  static u32 apply(T a, T b, u32 c) { return u32(s32(a) * s32(b)) + c; }
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
struct Min { template <class T> static T apply(T a, T b) { return a < b ? a : b; } };
struct Max { template <class T> static T apply(T a, T b) { return a > b ? a : b; } };
struct MinRelu { template <class T> static T apply(T a, T b) { return std::max<T>(a < b ? a : b, 0); } };
struct MaxRelu { template <class T> static T apply(T a, T b) { return std::max<T>(a > b ? a : b, 0); } };
struct Abs { template <class T> static T apply(T a) { return a < 0 ? T(Unsigned<T>(0) - Unsigned<T>(a)) : a; } };
struct Neg { template <class T> static T apply(T a) { return T(T(0) - a); } };
struct Sad {
  template <class T>
  static T apply(T a, T b, T c) { return T(c + (a < b ? T(Unsigned<T>(b) - Unsigned<T>(a)) : T(Unsigned<T>(a) - Unsigned<T>(b)))); }
};
template <class T>
inline T low24(T a) {
  return std::is_signed_v<T> ? T(T(u32(a) << 8) >> 8) : T(a & T(0xffffff));
}
struct Mul24Low { template <class T> static T apply(T a, T b) { return times(low24(a), low24(b)); } };
struct Mul24High { template <class T> static T apply(T a, T b) { return T(Bigger<T>(low24(a)) * Bigger<T>(low24(b)) >> 16); } };
template <class M>
struct Mad24 {
  template <class T>
  static T apply(T a, T b, T c) { return T(u32(M::apply(a, b)) + u32(c)); }
};

template <class F>
Handler two_unsigned(Type t) {
  switch (bytes_of(t)) {
    case 2: return binary<F, u16, u16, u16>;
    case 4: return binary<F, u32, u32, u32>;
    default: return binary<F, u64, u64, u64>;
  }
}
template <class F>
Handler two(Type t) {
  if (!is_signed(t)) return two_unsigned<F>(t);
  switch (bytes_of(t)) {
    case 2: return binary<F, s16, s16, s16>;
    case 4: return binary<F, s32, s32, s32>;
    default: return binary<F, s64, s64, s64>;
  }
}
template <class F>
Handler three(Type t) {
  switch (bytes_of(t)) {
    case 2: return is_signed(t) ? ternary<F, s16, s16, s16, s16> : ternary<F, u16, u16, u16, u16>;
    case 4: return is_signed(t) ? ternary<F, s32, s32, s32, s32> : ternary<F, u32, u32, u32, u32>;
    default: return is_signed(t) ? ternary<F, s64, s64, s64, s64> : ternary<F, u64, u64, u64, u64>;
  }
}

void finish(Decoder& d, Handler run, std::size_t operands, Type t) {
  d.all(operands, t);
  d.inst.run = run;
  d.inst.kind = Class::kInteger;
  d.emit();
}

// ---- carries: o[0] = result, o[1], o[2] = operands, o[4] = carry in, o[5] = carry out ---------------------------------

template <class T, bool kSubtract>
void with_carry(Warp& w, const Inst& i) {
  const T *const a = w.at<T>(i.o[1]), *const b = w.at<T>(i.o[2]);
  const u32 carry = i.o[4] == kNoOperand ? 0 : w.predicate(i.o[4]);
  T t[kLanes];
  u32 out = 0;
  for (u32 l = 0; l < kLanes; ++l) {
    const T in = carry >> l & 1;
    t[l] = kSubtract ? T(a[l] - b[l] - in) : T(a[l] + b[l] + in);
    const bool over = kSubtract ? a[l] < b[l] || (in != 0 && a[l] == b[l]) : t[l] < a[l] || (in != 0 && t[l] == a[l]);
    out |= u32(over) << l;
  }
  put(w, i.o[0], t);
  w.set_predicate(i.o[5], out);
}

/// o[3] = addend; mode: 1 the high half of the product.
template <class T, class Signed>
void mad_with_carry(Warp& w, const Inst& i) {
  const T *const a = w.at<T>(i.o[1]), *const b = w.at<T>(i.o[2]), *const c = w.at<T>(i.o[3]);
  const u32 carry = i.o[4] == kNoOperand ? 0 : w.predicate(i.o[4]);
  T t[kLanes];
  u32 out = 0;
  for (u32 l = 0; l < kLanes; ++l) {
    const T product = i.mode == 0 ? T(a[l] * b[l]) : T(MulHigh::apply(Signed(a[l]), Signed(b[l])));
    const T in = carry >> l & 1;
    t[l] = T(product + c[l] + in);
    out |= u32(t[l] < product || (in != 0 && t[l] == product)) << l;
  }
  put(w, i.o[0], t);
  w.set_predicate(i.o[5], out);
}

/// True if the instruction reads or sets the carry.
bool decode_carry(Decoder& d) {
  const bool reads = d.name() == "addc" || d.name() == "subc" || d.name() == "madc";
  const bool sets = d.take("cc");
  if (!reads && !sets) return false;
  const bool multiplies = d.name().starts_with("mad"), subtracts = d.name().starts_with("sub");
  d.inst.mode = d.take("hi") ? 1 : 0;
  if (multiplies && d.inst.mode == 0 && !d.take("lo")) d.unsupported();
  const Type t = d.type();
  if (reads) d.use_register(4, d.carry_register(), false);
  if (sets) d.use_register(5, d.carry_register(), true);
  const bool is_long = bytes_of(t) == 8;
  if (multiplies) {
    if (is_long) finish(d, is_signed(t) ? mad_with_carry<u64, s64> : mad_with_carry<u64, u64>, 4, t);
    else finish(d, is_signed(t) ? mad_with_carry<u32, s32> : mad_with_carry<u32, u32>, 4, t);
  } else if (subtracts) {
    finish(d, is_long ? with_carry<u64, true> : with_carry<u32, true>, 3, t);
  } else {
    finish(d, is_long ? with_carry<u64, false> : with_carry<u32, false>, 3, t);
  }
  return true;
}

// ---- decoders ---------------------------------------------------------------------------------------------------------

void decode_add(Decoder& d) {
  if (decode_half(d) || decode_float(d) || decode_carry(d)) return;
  const bool sat = d.take("sat"), subtracts = d.name() == "sub";
  const Type t = d.type();
  if (sat && t != Type::kS32) d.unsupported();
  if (sat) finish(d, subtracts ? Handler(binary<SubSat, s32, s32, s32>) : binary<AddSat, s32, s32, s32>, 3, t);
  else finish(d, subtracts ? two_unsigned<Sub>(t) : two_unsigned<Add>(t), 3, t);
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
  if (bytes_of(t) == 2) d.inst.run = is_signed(t) ? Handler(binary<MulWide, s32, s16, s16>) : binary<MulWide, u32, u16, u16>;
  else if (bytes_of(t) == 4) d.inst.run = is_signed(t) ? Handler(binary<MulWide, s64, s32, s32>) : binary<MulWide, u64, u32, u32>;
  else d.unsupported();
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
  if (bytes_of(t) == 2) d.inst.run = is_signed(t) ? Handler(ternary<MadWide16, u32, s16, s16, u32>) : ternary<MadWide16, u32, u16, u16, u32>;
  else if (bytes_of(t) == 4) d.inst.run = is_signed(t) ? Handler(ternary<MadWide, u64, s32, s32, u64>) : ternary<MadWide, u64, u32, u32, u64>;
  else d.unsupported();
  d.emit();
}

void decode_24(Decoder& d) {
  const bool adds = d.name() == "mad24", high = d.take("hi");
  if (!high && !d.take("lo")) d.unsupported();
  const Type t = d.type();
  if (t != Type::kS32 && t != Type::kU32) d.unsupported();
  if (adds && is_signed(t)) finish(d, high ? ternary<Mad24<Mul24High>, s32, s32, s32, s32> : ternary<Mad24<Mul24Low>, s32, s32, s32, s32>, 4, t);
  else if (adds) finish(d, high ? ternary<Mad24<Mul24High>, u32, u32, u32, u32> : ternary<Mad24<Mul24Low>, u32, u32, u32, u32>, 4, t);
  else if (is_signed(t)) finish(d, high ? binary<Mul24High, s32, s32, s32> : binary<Mul24Low, s32, s32, s32>, 3, t);
  else finish(d, high ? binary<Mul24High, u32, u32, u32> : binary<Mul24Low, u32, u32, u32>, 3, t);
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
  if (decode_half(d) || decode_float(d)) return;
  const bool relu = d.take("relu"), is_min = d.name() == "min";
  const Type t = d.type();
  if (relu && t != Type::kS32) d.unsupported();
  if (relu) finish(d, is_min ? Handler(binary<MinRelu, s32, s32, s32>) : binary<MaxRelu, s32, s32, s32>, 3, t);
  else finish(d, is_min ? two<Min>(t) : two<Max>(t), 3, t);
}

void decode_abs(Decoder& d) {
  if (decode_half(d) || decode_float(d)) return;
  const Type t = d.type();
  switch (bytes_of(t)) {
    case 2: return finish(d, unary<Abs, s16, s16>, 2, t);
    case 4: return finish(d, unary<Abs, s32, s32>, 2, t);
    default: return finish(d, unary<Abs, s64, s64>, 2, t);
  }
}

void decode_neg(Decoder& d) {
  if (decode_half(d) || decode_float(d)) return;
  const Type t = d.type();
  switch (bytes_of(t)) {
    case 2: return finish(d, unary<Neg, u16, u16>, 2, t);
    case 4: return finish(d, unary<Neg, u32, u32>, 2, t);
    default: return finish(d, unary<Neg, u64, u64>, 2, t);
  }
}

void decode_sad(Decoder& d) {
  const Type t = d.type();
  finish(d, three<Sad>(t), 4, t);
}

/// mode: 1 a is signed, 2 b is signed, 4 the high half of a (dp2a).
template <bool kFour>
void dot_product(Warp& w, const Inst& i) {
  const u32 *const a = w.at<u32>(i.o[1]), *const b = w.at<u32>(i.o[2]), *const c = w.at<u32>(i.o[3]);
  u32 t[kLanes];
  for (u32 l = 0; l < kLanes; ++l) {
    t[l] = c[l];
    for (u32 k = 0; k < (kFour ? 4u : 2u); ++k) {
      const u32 x = kFour ? a[l] >> (8 * k) & 0xff : a[l] >> (16 * k) & 0xffff;
      const u32 y = b[l] >> (8 * (k + (!kFour && (i.mode & 4) ? 2 : 0))) & 0xff;
      const s32 left = !(i.mode & 1) ? s32(x) : kFour ? s32(s8(x)) : s32(s16(x));
      t[l] += u32(left * ((i.mode & 2) ? s32(s8(y)) : s32(y)));
    }
  }
  put(w, i.o[0], t);
}

void decode_dot(Decoder& d) {
  const bool four = d.name() == "dp4a";
  const bool high = !four && d.take("hi");
  if (!four && !high && !d.take("lo")) d.unsupported();
  const Type a = d.type(), b = d.maybe_type().value_or(a);
  d.inst.mode = u8((is_signed(a) ? 1 : 0) | (is_signed(b) ? 2 : 0) | (high ? 4 : 0));
  finish(d, four ? dot_product<true> : dot_product<false>, 4, Type::kB32);
}

}  // namespace

std::span<const DecodeEntry> integer_decoders() {
  static constexpr DecodeEntry entries[] = {
      {"add", decode_add},     {"sub", decode_add},     {"addc", decode_add}, {"subc", decode_add}, {"mul", decode_mul},
      {"mad", decode_mad},     {"madc", decode_mad},    {"fma", decode_mad},  {"div", decode_div},  {"rem", decode_rem},
      {"min", decode_min_max}, {"max", decode_min_max}, {"abs", decode_abs},  {"neg", decode_neg},  {"sad", decode_sad},
      {"mul24", decode_24},    {"mad24", decode_24},    {"dp4a", decode_dot}, {"dp2a", decode_dot}};
  return entries;
}

}  // namespace ptx
