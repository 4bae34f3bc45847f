// SPDX-License-Identifier: MIT
// Bits: logic, shifts, fields, permutations, counts.
#include "bitwise.hpp"
#include "decoder.hpp"
#include "lanes.hpp"

namespace ptx {
namespace {

struct Not {
  template <class T>
  static T apply(T a) {
    return T(~a);
  }
};
struct Cnot {
  template <class T>
  static T apply(T a) {
    return a == 0 ? T(1) : T(0);
  }
};

template <class T>
inline constexpr u32 kBits = 8 * sizeof(T);

// Counts beyond the width shift everything out.
struct Shl {
  template <class T>
  static T apply(T a, u32 n) {
    return n >= kBits<T> ? T(0) : T(a << n);
  }
};
struct Shr {
  template <class T>
  static T apply(T a, u32 n) {
    if constexpr (std::is_signed_v<T>)
      return T(a >> (n >= kBits<T> ? kBits<T> - 1 : n));
    else
      return n >= kBits<T> ? T(0) : T(a >> n);
  }
};
struct FunnelLeftWrap {
  static u32 apply(u32 a, u32 b, u32 n) { return u32((u64(b) << 32 | a) << (n & 31) >> 32); }
};
struct FunnelRightWrap {
  static u32 apply(u32 a, u32 b, u32 n) { return u32((u64(b) << 32 | a) >> (n & 31)); }
};
struct FunnelLeftClamp {
  static u32 apply(u32 a, u32 b, u32 n) { return n >= 32 ? a : FunnelLeftWrap::apply(a, b, n); }
};
struct FunnelRightClamp {
  static u32 apply(u32 a, u32 b, u32 n) { return n >= 32 ? b : FunnelRightWrap::apply(a, b, n); }
};

struct Popc {
  template <class T>
  static u32 apply(T a) {
    return u32(std::popcount(a));
  }
};
struct Clz {
  template <class T>
  static u32 apply(T a) {
    return u32(std::countl_zero(a));
  }
};
template <bool kShift>
struct Bfind {
  template <class T>
  static u32 apply(T a) {
    using U = std::make_unsigned_t<T>;
    const U bits = a < 0 ? U(~a) : U(a);
    if (bits == 0) return ~0u;
    const u32 zeros = u32(std::countl_zero(bits));
    return kShift ? zeros : kBits<T> - 1 - zeros;
  }
};
struct Brev {
  template <class T>
  static T apply(T a) {
    T result = 0;
    for (u32 k = 0; k < kBits<T>; ++k) result = T(result | (a >> k & 1) << (kBits<T> - 1 - k));
    return result;
  }
};
struct Bfe {
  template <class T>
  static T apply(T a, u32 position, u32 length) {
    using U = std::make_unsigned_t<T>;
    position &= 255;
    length &= 255;
    if (length == 0) return 0;
    const T sign = std::is_signed_v<T> && a < 0 ? T(-1) : T(0);
    if (position >= kBits<T>) {
      if constexpr (std::is_signed_v<T>) return sign;
      return 0;
    }
    const u32 taken = std::min(length, kBits<T> - position);
    const U field = U(U(a) << (kBits<T> - position - taken));
    if constexpr (std::is_signed_v<T>) {
      // a field that reaches beyond the top is filled with the sign of a, which is its own top bit then
      return T(T(field) >> (kBits<T> - taken));
    }
    return T(field >> (kBits<T> - taken));
  }
};
struct Bfi {
  template <class T>
  static T apply(T a, T b, u32 position, u32 length) {
    position &= 255;
    length &= 255;
    if (position >= kBits<T> || length == 0) return b;
    const T mask = T(T(length >= kBits<T> ? T(~T(0)) : T((T(1) << length) - 1)) << position);
    return T((b & T(~mask)) | (T(a << position) & mask));
  }
};
struct Bmsk {
  static u32 apply(u32 a, u32 b, bool clamps) {
    if (!clamps) a &= 31, b &= 31;
    if (a >= 32 || b == 0) return 0;
    return (b >= 32 ? ~0u : (1u << b) - 1) << a;
  }
};
template <bool kClamp>
struct BmskMode {
  static u32 apply(u32 a, u32 b) { return Bmsk::apply(a, b, kClamp); }
};
template <bool kClamp>
struct Szext {
  static s32 apply(s32 a, u32 n) {
    if (!kClamp) n &= 31;
    return n == 0 ? 0 : n >= 32 ? a : s32(u32(a) << (32 - n)) >> (32 - n);
  }
  static u32 apply(u32 a, u32 n) {
    if (!kClamp) n &= 31;
    return n >= 32 ? a : a & ((1u << n) - 1);
  }
};

u32 permuted(u32 a, u32 b, u32 selector) {
  const u64 bytes = u64(b) << 32 | a;
  u32 result = 0;
  for (u32 k = 0; k < 4; ++k) {
    const u32 nibble = selector >> (4 * k);
    u32 byte = u32(bytes >> (8 * (nibble & 7))) & 0xff;
    if (nibble & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * k);
  }
  return result;
}
struct Prmt {
  static u32 apply(u32 a, u32 b, u32 s) { return permuted(a, b, s); }
};
/// Selectors of the modes f4e, b4e, rc8, ecl, ecr, rc16, by the two low bits of the operand.
constexpr u32 kPrmtModes[6][4] = {{0x3210, 0x4321, 0x5432, 0x6543}, {0x5670, 0x6701, 0x7012, 0x0123},
                                  {0x0000, 0x1111, 0x2222, 0x3333}, {0x3210, 0x3211, 0x3222, 0x3333},
                                  {0x0000, 0x1110, 0x2210, 0x3210}, {0x1010, 0x3232, 0x1010, 0x3232}};
template <int kMode>
struct PrmtMode {
  static u32 apply(u32 a, u32 b, u32 s) { return permuted(a, b, kPrmtModes[kMode][s & 3]); }
};

void lop3(Warp& w, const Inst& i) {
  const u32 *const a = w.at<u32>(i.o[1]), *const b = w.at<u32>(i.o[2]), *const c = w.at<u32>(i.o[3]);
  u32 t[kLanes] = {};
  for (u32 k = 0; k < 8; ++k) {
    if ((i.immediate >> k & 1) == 0) continue;
    const u32 na = k & 4 ? 0 : ~0u, nb = k & 2 ? 0 : ~0u, nc = k & 1 ? 0 : ~0u;
    PTX_EACH_LANE t[l] |= (a[l] ^ na) & (b[l] ^ nb) & (c[l] ^ nc);
  }
  put(w, i.o[0], t);
}

enum Logic : u8 { kAnd, kOr, kXor };

void predicate_logic(Warp& w, const Inst& i) {
  const u32 a = w.predicate(i.o[1]), b = w.predicate(i.o[2]);
  w.set_predicate(i.o[0], i.mode == kAnd ? a & b : i.mode == kOr ? a | b : a ^ b);
}

template <class F>
Handler two(Type t) {
  return bytes_of(t) == 2   ? binary<F, u16, u16, u16>
         : bytes_of(t) == 4 ? binary<F, u32, u32, u32>
                            : binary<F, u64, u64, u64>;
}
template <class F>
Handler one(Type t) {
  return bytes_of(t) == 2 ? unary<F, u16, u16> : bytes_of(t) == 4 ? unary<F, u32, u32> : unary<F, u64, u64>;
}

void decode_logic(Decoder& d) {
  const Type t = d.type();
  const Logic logic = d.name() == "and" ? kAnd : d.name() == "or" ? kOr : kXor;
  if (t == Type::kPred) {
    d.expect_size(3);
    d.define(0, d.operand(0), t);
    d.use_predicate(1, d.operand(1));
    d.use_predicate(2, d.operand(2));
    d.inst.mode = logic;
    d.inst.run = predicate_logic;
  } else {
    d.all(3, t);
    d.inst.run = logic == kAnd ? two<And>(t) : logic == kOr ? two<Or>(t) : two<Xor>(t);
  }
  d.emit();
}

void decode_not(Decoder& d) {
  const Type t = d.type();
  d.all(2, t);
  d.inst.run = t == Type::kPred ? predicate_not : d.name() == "cnot" ? one<Cnot>(t) : one<Not>(t);
  d.emit();
}

void decode_shift(Decoder& d) {
  const Type t = d.type();
  d.expect_size(3);
  d.define(0, d.operand(0), t);
  d.use(1, d.operand(1), t);
  d.use(2, d.operand(2), Type::kU32);
  const u32 bytes = bytes_of(t);
  if (d.name() == "shl")
    d.inst.run = bytes == 2   ? binary<Shl, u16, u16, u32>
                 : bytes == 4 ? binary<Shl, u32, u32, u32>
                              : binary<Shl, u64, u64, u32>;
  else if (is_signed(t))
    d.inst.run = bytes == 2   ? binary<Shr, s16, s16, u32>
                 : bytes == 4 ? binary<Shr, s32, s32, u32>
                              : binary<Shr, s64, s64, u32>;
  else
    d.inst.run = bytes == 2   ? binary<Shr, u16, u16, u32>
                 : bytes == 4 ? binary<Shr, u32, u32, u32>
                              : binary<Shr, u64, u64, u32>;
  d.emit();
}

void decode_funnel(Decoder& d) {
  const bool left = d.take("l");
  if (!left && !d.take("r")) d.unsupported();
  const bool wrap = d.take("wrap");
  if (!wrap && !d.take("clamp")) d.unsupported();
  d.all(4, d.type());
  if (wrap)
    d.inst.run =
        left ? Handler(ternary<FunnelLeftWrap, u32, u32, u32, u32>) : ternary<FunnelRightWrap, u32, u32, u32, u32>;
  else
    d.inst.run =
        left ? Handler(ternary<FunnelLeftClamp, u32, u32, u32, u32>) : ternary<FunnelRightClamp, u32, u32, u32, u32>;
  d.emit();
}

void decode_count(Decoder& d) {
  const bool shift = d.take("shiftamt");
  const Type t = d.type();
  const bool is_long = bytes_of(t) == 8;
  d.expect_size(2);
  d.define(0, d.operand(0), Type::kU32);
  d.use(1, d.operand(1), t);
  if (d.name() == "popc")
    d.inst.run = is_long ? unary<Popc, u32, u64> : unary<Popc, u32, u32>;
  else if (d.name() == "clz")
    d.inst.run = is_long ? unary<Clz, u32, u64> : unary<Clz, u32, u32>;
  else if (is_signed(t) && is_long)
    d.inst.run = shift ? Handler(unary<Bfind<true>, u32, s64>) : unary<Bfind<false>, u32, s64>;
  else if (is_signed(t))
    d.inst.run = shift ? Handler(unary<Bfind<true>, u32, s32>) : unary<Bfind<false>, u32, s32>;
  else if (is_long)
    d.inst.run = shift ? Handler(unary<Bfind<true>, u32, u64>) : unary<Bfind<false>, u32, u64>;
  else
    d.inst.run = shift ? Handler(unary<Bfind<true>, u32, u32>) : unary<Bfind<false>, u32, u32>;
  d.emit();
}

void decode_brev(Decoder& d) {
  const Type t = d.type();
  d.all(2, t);
  d.inst.run = bytes_of(t) == 8 ? unary<Brev, u64, u64> : unary<Brev, u32, u32>;
  d.emit();
}

void decode_field(Decoder& d) {
  const Type t = d.type();
  const bool inserts = d.name() == "bfi", is_long = bytes_of(t) == 8;
  d.expect_size(inserts ? 5 : 4);
  d.define(0, d.operand(0), t);
  d.use(1, d.operand(1), t);
  if (inserts) d.use(2, d.operand(2), t);
  for (u32 k = inserts ? 3 : 2; k < d.size(); ++k) d.use(k, d.operand(k), Type::kU32);
  if (inserts)
    d.inst.run = is_long ? quaternary<Bfi, u64, u64, u64, u32> : quaternary<Bfi, u32, u32, u32, u32>;
  else if (is_signed(t))
    d.inst.run = is_long ? ternary<Bfe, s64, s64, u32, u32> : ternary<Bfe, s32, s32, u32, u32>;
  else
    d.inst.run = is_long ? ternary<Bfe, u64, u64, u32, u32> : ternary<Bfe, u32, u32, u32, u32>;
  d.emit();
}

void decode_mask(Decoder& d) {
  const bool clamp = d.take("clamp");
  if (!clamp && !d.take("wrap")) d.unsupported();
  const Type t = d.type();
  d.all(3, t);
  if (d.name() == "bmsk")
    d.inst.run = clamp ? Handler(binary<BmskMode<true>, u32, u32, u32>) : binary<BmskMode<false>, u32, u32, u32>;
  else if (is_signed(t))
    d.inst.run = clamp ? Handler(binary<Szext<true>, s32, s32, u32>) : binary<Szext<false>, s32, s32, u32>;
  else
    d.inst.run = clamp ? Handler(binary<Szext<true>, u32, u32, u32>) : binary<Szext<false>, u32, u32, u32>;
  d.emit();
}

void decode_prmt(Decoder& d) {
  static constexpr std::string_view modes[] = {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
  static constexpr Handler handlers[] = {
      ternary<PrmtMode<0>, u32, u32, u32, u32>, ternary<PrmtMode<1>, u32, u32, u32, u32>,
      ternary<PrmtMode<2>, u32, u32, u32, u32>, ternary<PrmtMode<3>, u32, u32, u32, u32>,
      ternary<PrmtMode<4>, u32, u32, u32, u32>, ternary<PrmtMode<5>, u32, u32, u32, u32>};
  d.all(4, d.type());
  const int mode = d.take_any(modes);
  d.inst.run = mode < 0 ? ternary<Prmt, u32, u32, u32, u32> : handlers[mode];
  d.emit();
}

void decode_lop3(Decoder& d) {
  const Type t = d.type();
  d.expect_size(5);
  d.define(0, d.operand(0), t);
  for (u32 k = 1; k < 4; ++k) d.use(k, d.operand(k), t);
  d.inst.immediate = d.integer(d.operand(4));
  d.inst.run = lop3;
  d.emit();
}

}  // namespace

std::span<const DecodeEntry> bit_decoders() {
  static constexpr DecodeEntry entries[] = {{"and", decode_logic},  {"or", decode_logic},    {"xor", decode_logic},
                                            {"not", decode_not},    {"cnot", decode_not},    {"shl", decode_shift},
                                            {"shr", decode_shift},  {"shf", decode_funnel},  {"popc", decode_count},
                                            {"clz", decode_count},  {"bfind", decode_count}, {"brev", decode_brev},
                                            {"bfe", decode_field},  {"bfi", decode_field},   {"bmsk", decode_mask},
                                            {"szext", decode_mask}, {"prmt", decode_prmt},   {"lop3", decode_lop3}};
  return entries;
}

}  // namespace ptx
