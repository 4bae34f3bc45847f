// SPDX-License-Identifier: MIT
// Additions, subtractions and products that hand a carry on: add.cc, addc, sub.cc, subc, mad.cc, madc.
// o[0] = result, o[1], o[2] = operands, o[3] = addend, o[4] = carry in, o[5] = carry out.
//
// A subtraction adds the complement: its carry is 1 where it did not borrow.  The code that nvcc makes of 128-bit
// division reads the carry of a subtraction by an addition and relies on that.
#include "decoder.hpp"
#include "lanes.hpp"
#include "op_arithmetic.hpp"

namespace ptx {
namespace {

template <class T, class Signed>
T high_product(T a, T b) {
  using Wide = std::conditional_t<std::is_signed_v<Signed>, s128, u128>;
  return T(Wide(Signed(a)) * Wide(Signed(b)) >> (8 * sizeof(T)));
}

template <class T, bool kSubtract>
void with_carry(Warp& w, const Inst& i) {
  const T *const a = w.at<T>(i.o[1]), *const b = w.at<T>(i.o[2]);
  const u32 carry = i.o[4] == kNoOperand ? 0 : w.predicate(i.o[4]);
  T t[kLanes];
  u32 out = 0;
  for (u32 l = 0; l < kLanes; ++l) {
    const T in = i.o[4] == kNoOperand ? T(kSubtract) : T(carry >> l & 1);
    const T addend = kSubtract ? T(~b[l]) : b[l];
    t[l] = T(a[l] + addend + in);
    const bool over = t[l] < a[l] || (in != 0 && t[l] == a[l]);
    out |= u32(over) << l;
  }
  put(w, i.o[0], t);
  w.set_predicate(i.o[5], out);
}

/// mode: 1 the high half of the product.
template <class T, class Signed>
void mad_with_carry(Warp& w, const Inst& i) {
  const T *const a = w.at<T>(i.o[1]), *const b = w.at<T>(i.o[2]), *const c = w.at<T>(i.o[3]);
  const u32 carry = i.o[4] == kNoOperand ? 0 : w.predicate(i.o[4]);
  T t[kLanes];
  u32 out = 0;
  for (u32 l = 0; l < kLanes; ++l) {
    const T product = i.mode == 0 ? T(a[l] * b[l]) : high_product<T, Signed>(a[l], b[l]);
    const T in = carry >> l & 1;
    t[l] = T(product + c[l] + in);
    out |= u32(t[l] < product || (in != 0 && t[l] == product)) << l;
  }
  put(w, i.o[0], t);
  w.set_predicate(i.o[5], out);
}

}  // namespace

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
  d.all(multiplies ? 4 : 3, t);
  if (multiplies && is_long)
    d.inst.run = is_signed(t) ? mad_with_carry<u64, s64> : mad_with_carry<u64, u64>;
  else if (multiplies)
    d.inst.run = is_signed(t) ? mad_with_carry<u32, s32> : mad_with_carry<u32, u32>;
  else if (subtracts)
    d.inst.run = is_long ? with_carry<u64, true> : with_carry<u32, true>;
  else
    d.inst.run = is_long ? with_carry<u64, false> : with_carry<u32, false>;
  d.emit();
  return true;
}

}  // namespace ptx
