// SPDX-License-Identifier: MIT
// Sums of products of short integers and of distances: mul24, mad24, dp4a, dp2a, sad.
#include <type_traits>

#include "decoder.hpp"
#include "lanes.hpp"

namespace ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;
struct Sad {
  template <class T>
  static T apply(T a, T b, T c) {
    const auto distance = a < b ? Unsigned<T>(b) - Unsigned<T>(a) : Unsigned<T>(a) - Unsigned<T>(b);
    return T(Unsigned<T>(c) + distance);
  }
};
template <class T>
inline T low24(T a) {
  return std::is_signed_v<T> ? T(T(u32(a) << 8) >> 8) : T(a & T(0xffffff));
}
struct Mul24Low {
  template <class T>
  static T apply(T a, T b) {
    return T(s64(low24(a)) * s64(low24(b)));
  }
};
struct Mul24High {
  template <class T>
  static T apply(T a, T b) {
    return T(s64(low24(a)) * s64(low24(b)) >> 16);
  }
};
template <class M>
struct Mad24 {
  template <class T>
  static T apply(T a, T b, T c) {
    return T(u32(M::apply(a, b)) + u32(c));
  }
};

void finish(Decoder& d, Handler run, std::size_t operands, Type t) {
  d.all(operands, t);
  d.inst.run = run;
  d.emit();
}

void decode_24(Decoder& d) {
  const bool adds = d.name() == "mad24", high = d.take("hi");
  if (!high && !d.take("lo")) d.unsupported();
  const Type t = d.type();
  if (t != Type::kS32 && t != Type::kU32) d.unsupported();
  if (adds && is_signed(t))
    finish(d, high ? ternary<Mad24<Mul24High>, s32, s32, s32, s32> : ternary<Mad24<Mul24Low>, s32, s32, s32, s32>, 4,
           t);
  else if (adds)
    finish(d, high ? ternary<Mad24<Mul24High>, u32, u32, u32, u32> : ternary<Mad24<Mul24Low>, u32, u32, u32, u32>, 4,
           t);
  else if (is_signed(t))
    finish(d, high ? binary<Mul24High, s32, s32, s32> : binary<Mul24Low, s32, s32, s32>, 3, t);
  else
    finish(d, high ? binary<Mul24High, u32, u32, u32> : binary<Mul24Low, u32, u32, u32>, 3, t);
}

void decode_sad(Decoder& d) {
  const Type t = d.type();
  switch (bytes_of(t)) {
    case 2:
      return finish(d, is_signed(t) ? ternary<Sad, s16, s16, s16, s16> : ternary<Sad, u16, u16, u16, u16>, 4, t);
    case 4:
      return finish(d, is_signed(t) ? ternary<Sad, s32, s32, s32, s32> : ternary<Sad, u32, u32, u32, u32>, 4, t);
    default:
      return finish(d, is_signed(t) ? ternary<Sad, s64, s64, s64, s64> : ternary<Sad, u64, u64, u64, u64>, 4, t);
  }
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

std::span<const DecodeEntry> product_decoders() {
  static constexpr DecodeEntry entries[] = {
      {"sad", decode_sad}, {"mul24", decode_24}, {"mad24", decode_24}, {"dp4a", decode_dot}, {"dp2a", decode_dot}};
  return entries;
}

}  // namespace ptx
