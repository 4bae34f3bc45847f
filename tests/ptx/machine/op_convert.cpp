// SPDX-License-Identifier: MIT
// cvt.  Common conversions have handlers of their own; the others go through an array of 64-bit integers or doubles,
// which hold every source exactly.
#include <cfenv>
#include <cmath>

#include "decoder.hpp"
#include "lanes.hpp"
#include "numbers.hpp"
#include "op_arithmetic.hpp"

namespace ptx {
namespace {

// ---- common conversions
// -----------------------------------------------------------------------------------------------

template <class D>
struct To {
  template <class A>
  static D apply(A a) {
    return D(a);
  }
};
struct ToBrain {
  static u16 apply(f32 a) { return BF16::narrow(a); }
};
struct ToHalf {
  static u16 apply(f32 a) { return F16::narrow(a); }
};
struct FromBrain {
  static f32 apply(u16 a) { return BF16::wide(a); }
};
struct FromHalf {
  static f32 apply(u16 a) { return F16::wide(a); }
};
struct Same {
  static f32 apply(f32 a) { return a; }
};
struct SameFtz {
  static f32 apply(f32 a) { return flushed(a); }
};
struct Saturate {
  static f32 apply(f32 a) { return saturated(a); }
};
struct SaturateFtz {
  static f32 apply(f32 a) { return saturated(flushed(a)); }
};
struct Tf32Away {
  static u32 apply(f32 a) { return tf32_away(a); }
};
struct Tf32Even {
  static u32 apply(f32 a) { return tf32_even(a); }
};
struct Tf32Zero {
  static u32 apply(f32 a) { return std::bit_cast<u32>(a) & 0xffffe000u; }
};

// The first operand becomes the high half.
template <class N>
struct PairNear {
  static u32 apply(f32 a, f32 b) { return pair_of(N::narrow(b), N::narrow(a)); }
};
template <class N>
struct PairZero {
  static u32 apply(f32 a, f32 b) { return pair_of(N::truncated(b), N::truncated(a)); }
};
template <class P>
struct PairRelu {
  static u32 apply(f32 a, f32 b) { return P::apply(a > 0 || a != a ? a : 0.f, b > 0 || b != b ? b : 0.f); }
};

enum IntegerRounding : u8 { kNone, kEven, kZero, kDown, kUp };

template <IntegerRounding kMode>
inline f64 whole(f64 x) {
  return kMode == kEven   ? std::nearbyint(x)
         : kMode == kZero ? std::trunc(x)
         : kMode == kDown ? std::floor(x)
                          : std::ceil(x);
}
template <class D, IntegerRounding kMode>
struct ToInteger {
  static D apply(f32 a) {
    // the limits are exact in double precision, and so is every whole number between them
    const f64 x = whole<kMode>(f64(a));
    const f64 bounded = x < f64(std::numeric_limits<D>::min())   ? f64(std::numeric_limits<D>::min())
                        : x > f64(std::numeric_limits<D>::max()) ? f64(std::numeric_limits<D>::max())
                                                                 : x;
    return a != a ? D(0) : D(s64(bounded));
  }
};
template <IntegerRounding kMode>
struct Whole {
  static f32 apply(f32 a) { return f32(whole<kMode>(f64(a))); }
};

template <class D>
Handler to_integer(IntegerRounding mode) {
  switch (mode) {
    case kEven:
      return unary<ToInteger<D, kEven>, D, f32>;
    case kZero:
      return unary<ToInteger<D, kZero>, D, f32>;
    case kDown:
      return unary<ToInteger<D, kDown>, D, f32>;
    default:
      return unary<ToInteger<D, kUp>, D, f32>;
  }
}
Handler to_whole(IntegerRounding mode) {
  switch (mode) {
    case kEven:
      return unary<Whole<kEven>, f32, f32>;
    case kZero:
      return unary<Whole<kZero>, f32, f32>;
    case kDown:
      return unary<Whole<kDown>, f32, f32>;
    default:
      return unary<Whole<kUp>, f32, f32>;
  }
}

// ---- all the others: o[0] = result, o[1] = source, size, count = types
// -------------------------------------------------

struct General {
  Type to = Type::kNone, from = Type::kNone;
  IntegerRounding whole = kNone;
  bool ftz = false, sat = false, relu = false, truncates = false, wide_result = false, wide_source = false;
};

u64 packed(const General& g) {
  return u64(g.to) | u64(g.from) << 8 | u64(g.whole) << 16 | u64(g.ftz) << 24 | u64(g.sat) << 25 | u64(g.relu) << 26 |
         u64(g.truncates) << 27 | u64(g.wide_result) << 28 | u64(g.wide_source) << 29;
}
General unpacked(u64 bits) {
  return {Type(bits & 0xff),     Type(bits >> 8 & 0xff), IntegerRounding(bits >> 16 & 0xff),
          (bits >> 24 & 1) != 0, (bits >> 25 & 1) != 0,  (bits >> 26 & 1) != 0,
          (bits >> 27 & 1) != 0, (bits >> 28 & 1) != 0,  (bits >> 29 & 1) != 0};
}

bool is_real(Type t) {
  return is_float(t) || t == Type::kF16 || t == Type::kBF16;
}

u64 raw(Warp& w, u32 operand, bool wide, u32 lane) {
  return wide ? w.at<u64>(operand)[lane] : w.at<u32>(operand)[lane];
}

s64 extended(u64 bits, Type t) {
  const u32 shift = 64 - 8 * bytes_of(t);
  return is_signed(t) ? s64(bits << shift) >> shift : s64(bits << shift >> shift);
}

f64 real(u64 bits, Type t, bool ftz) {
  switch (t) {
    case Type::kF64:
      return std::bit_cast<f64>(bits);
    case Type::kF16:
      return F16::wide(u16(bits));
    case Type::kBF16:
      return BF16::wide(u16(bits));
    default:
      return ftz ? flushed(std::bit_cast<f32>(u32(bits))) : std::bit_cast<f32>(u32(bits));
  }
}

u64 narrowed(f64 x, const General& g) {
  switch (g.to) {
    case Type::kF64:
      return std::bit_cast<u64>(x);
    case Type::kF16:
      return g.truncates ? F16::truncated(rounded_to_odd(x)) : F16::narrow(rounded_to_odd(x));
    case Type::kBF16:
      return g.truncates ? BF16::truncated(rounded_to_odd(x)) : BF16::narrow(rounded_to_odd(x));
    default:
      return std::bit_cast<u32>(g.ftz ? flushed(f32(x)) : f32(x));
  }
}

f64 rounded(f64 x, IntegerRounding mode) {
  switch (mode) {
    case kEven:
      return whole<kEven>(x);
    case kZero:
      return whole<kZero>(x);
    case kDown:
      return whole<kDown>(x);
    case kUp:
      return whole<kUp>(x);
    default:
      return x;
  }
}

s128 least(Type t) {
  return is_signed(t) ? -(s128(1) << (8 * bytes_of(t) - 1)) : 0;
}
s128 most(Type t) {
  return (s128(1) << (8 * bytes_of(t) - (is_signed(t) ? 1 : 0))) - 1;
}

s64 to_integer(f64 x, const General& g) {
  x = rounded(x, g.whole);
  if (x != x) return 0;
  if (x <= f64(least(g.to))) return s64(least(g.to));
  if (x >= f64(most(g.to))) return s64(most(g.to));
  return is_signed(g.to) ? s64(x) : s64(u64(x));
}

u64 from_integer(s64 value, const General& g) {
  const bool big = !is_signed(g.from) && value < 0;  // an unsigned number of 64 bits
  if (g.to == Type::kF32) return std::bit_cast<u32>(big ? f32(u64(value)) : f32(value));
  return narrowed(big ? f64(u64(value)) : f64(value), g);
}

u64 convert(u64 bits, const General& g) {
  const bool from_real = is_real(g.from), to_real = is_real(g.to);
  if (!from_real && !to_real) {
    s128 value = is_signed(g.from) ? s128(extended(bits, g.from)) : s128(u64(extended(bits, g.from)));
    if (g.sat) value = std::min(std::max(value, least(g.to)), most(g.to));
    return u64(extended(u64(value), g.to));
  }
  if (!from_real) return from_integer(extended(bits, g.from), g);
  const f64 x = real(bits, g.from, g.ftz);
  if (!to_real) return u64(to_integer(x, g));
  f64 y = rounded(x, g.whole);
  if (g.sat) y = saturated(y);
  if (g.relu && !(y > 0) && y == y) y = 0;
  return narrowed(y, g);
}

void convert_general(Warp& w, const Inst& i) {
  const General g = unpacked(i.immediate);
  u64 t[kLanes];
  for (u32 l = 0; l < kLanes; ++l) t[l] = convert(raw(w, i.o[1], g.wide_source, l), g);
  if (g.wide_result) return put(w, i.o[0], t);
  const bool is_short = i.size == 2;
  u32 narrow[kLanes];
  for (u32 l = 0; l < kLanes; ++l) narrow[l] = is_short ? u16(t[l]) : u32(t[l]);
  put(w, i.o[0], narrow);
}

// ---- decoding
// ---------------------------------------------------------------------------------------------------------

Handler common(const General& g, int rounding) {
  if (g.sat || g.relu || g.truncates) return nullptr;
  const bool near = rounding < 0 || rounding == FE_TONEAREST;
  if (g.to == Type::kF32 && !g.ftz && g.whole == kNone) {
    if (g.from == Type::kS32) return unary<To<f32>, f32, s32>;
    if (g.from == Type::kU32) return unary<To<f32>, f32, u32>;
    if (g.from == Type::kF64) return unary<To<f32>, f32, f64>;
    if (g.from == Type::kBF16) return unary<FromBrain, f32, u16>;
    if (g.from == Type::kF16) return unary<FromHalf, f32, u16>;
  }
  if (g.from == Type::kF32 && near) {
    if (g.to == Type::kBF16 && g.whole == kNone && !g.ftz) return unary<ToBrain, u16, f32>;
    if (g.to == Type::kF16 && g.whole == kNone && !g.ftz) return unary<ToHalf, u16, f32>;
    if (g.to == Type::kF64 && !g.ftz && g.whole == kNone) return unary<To<f64>, f64, f32>;
    if (g.to == Type::kS32 && !g.ftz) return to_integer<s32>(g.whole);
    if (g.to == Type::kU32 && !g.ftz) return to_integer<u32>(g.whole);
    if (g.to == Type::kF32 && g.whole != kNone && !g.ftz) return to_whole(g.whole);
  }
  if (bytes_of(g.to) == 8 && !is_real(g.to)) {
    if (g.from == Type::kU32) return unary<To<u64>, u64, u32>;
    if (g.from == Type::kS32) return unary<To<s64>, s64, s32>;
  }
  if (bytes_of(g.to) == 4 && !is_real(g.to) && bytes_of(g.from) == 8 && !is_real(g.from))
    return unary<To<u32>, u32, u64>;
  return nullptr;
}

bool decode_tf32(Decoder& d) {
  if (!d.take("tf32")) return false;
  d.take("satfinite");
  d.inst.run = d.take("rna")  ? Handler(unary<Tf32Away, u32, f32>)
               : d.take("rn") ? Handler(unary<Tf32Even, u32, f32>)
               : d.take("rz") ? Handler(unary<Tf32Zero, u32, f32>)
                              : nullptr;
  if (d.inst.run == nullptr || d.type() != Type::kF32) d.unsupported();
  d.expect_size(2);
  d.define(0, d.operand(0), Type::kB32);
  d.use(1, d.operand(1), Type::kF32);
  return true;
}

template <class N>
Handler pair_handler(bool zero, bool relu) {
  if (relu)
    return zero ? Handler(binary<PairRelu<PairZero<N>>, u32, f32, f32>) : binary<PairRelu<PairNear<N>>, u32, f32, f32>;
  return zero ? Handler(binary<PairZero<N>, u32, f32, f32>) : binary<PairNear<N>, u32, f32, f32>;
}

bool decode_pair(Decoder& d) {
  const bool brain = d.take("bf16x2");
  if (!brain && !d.take("f16x2")) return false;
  const bool zero = d.take("rz"), relu = d.take("relu");
  d.take("rn");
  if (d.type() != Type::kF32) d.unsupported();
  d.expect_size(3);
  d.define(0, d.operand(0), Type::kB32);
  d.use(1, d.operand(1), Type::kF32);
  d.use(2, d.operand(2), Type::kF32);
  d.inst.run = brain ? pair_handler<BF16>(zero, relu) : pair_handler<F16>(zero, relu);
  return true;
}

IntegerRounding take_integer_rounding(Decoder& d) {
  switch (take_rounding(d, "i")) {
    case FE_TONEAREST:
      return kEven;
    case FE_TOWARDZERO:
      return kZero;
    case FE_DOWNWARD:
      return kDown;
    case FE_UPWARD:
      return kUp;
    default:
      return kNone;
  }
}

void decode_cvt(Decoder& d) {
  d.inst.kind = Class::kConvert;
  if (d.has("pack")) d.unsupported();
  if (decode_tf32(d) || decode_pair(d)) return d.emit();
  General g;
  g.whole = take_integer_rounding(d);
  const int rounding = take_rounding(d);
  g.ftz = d.take("ftz");
  g.sat = d.take("sat");
  g.relu = d.take("relu");
  g.to = d.type();
  g.from = d.type();
  d.expect_size(2);
  g.wide_result = d.register_bytes(d.operand(0)) == 8;
  g.wide_source =
      d.operand(1).kind == Operand::Kind::kRegister ? d.register_bytes(d.operand(1)) == 8 : bytes_of(g.from) == 8;
  if (is_real(g.from) && !is_real(g.to) && g.whole == kNone) d.unsupported("no rounding");
  if (rounding >= 0 && is_real(g.from) && !is_real(g.to)) d.unsupported();
  const bool to_half = g.to == Type::kF16 || g.to == Type::kBF16;
  g.truncates = to_half && rounding == FE_TOWARDZERO;
  if (to_half && rounding >= 0 && rounding != FE_TONEAREST && !g.truncates) d.unsupported();
  d.define(0, d.operand(0), g.wide_result ? Type::kB64 : Type::kB32);
  d.use(1, d.operand(1), is_float(g.from) ? g.from : g.wide_source ? Type::kB64 : Type::kB32);
  d.inst.size = u8(d.register_bytes(d.operand(0)));
  const bool fits = g.wide_result == (bytes_of(g.to) == 8) && g.wide_source == (bytes_of(g.from) == 8);
  d.inst.run = fits ? common(g, rounding) : nullptr;
  if (d.inst.run == nullptr && g.to == Type::kF32 && g.from == Type::kF32 && g.whole == kNone && !g.relu)
    d.inst.run = g.sat ? (g.ftz ? Handler(unary<SaturateFtz, f32, f32>) : unary<Saturate, f32, f32>)
                       : (g.ftz ? Handler(unary<SameFtz, f32, f32>) : unary<Same, f32, f32>);
  if (d.inst.run == nullptr) {
    d.inst.run = convert_general;
    d.inst.immediate = packed(g);
  }
  if (!to_half) set_rounding(d.inst, rounding);
  d.emit();
}

}  // namespace

std::span<const DecodeEntry> convert_decoders() {
  static constexpr DecodeEntry entries[] = {{"cvt", decode_cvt}};
  return entries;
}

}  // namespace ptx
