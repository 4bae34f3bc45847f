// SPDX-License-Identifier: MIT
// Handlers made of a function of one lane: the compiler makes 32-lane loops of them.
#pragma once
#include <cstring>
#include <type_traits>

#include "machine.hpp"

// Lanes are independent: a result may lie where an operand lay, but only lane by lane.
#if defined(__clang__)
#define PTX_EACH_LANE for (u32 l = 0; l < kLanes; ++l)
#else
#define PTX_EACH_LANE _Pragma("GCC ivdep") for (u32 l = 0; l < kLanes; ++l)
#endif

namespace ptx {

template <class T>
using Stored = std::conditional_t<(sizeof(T) < 4), u32, T>;

template <class T>
inline T loaded(Stored<T> value) {
  return static_cast<T>(value);
}

template <class T>
inline Stored<T> stored(T value) {
  if constexpr (sizeof(T) < 4)
    return static_cast<std::make_unsigned_t<T>>(value);
  else
    return value;
}

/// Writes the lanes of the mask.
template <class T>
inline void put(Warp& w, u32 operand, const T* values) {
  static_assert(sizeof(T) >= 4);
  if (operand == kNoOperand) return;
  T* const to = w.at<T>(operand);
  if (w.mask == kAllLanes)
    std::memcpy(to, values, kLanes * sizeof(T));
  else
    each_lane(w.mask, [&](u32 l) { to[l] = values[l]; });
}

template <class T>
inline void put_same(Warp& w, u32 operand, T value) {
  std::array<T, kLanes> values;
  values.fill(value);
  put(w, operand, values.data());
}

// F is a type with a static apply(a, ...), D the type of its result, A, B, C those of its operands.

template <class F, class D, class A>
void unary(Warp& w, const Inst& i) {
  const Stored<A>* const a = w.at<Stored<A>>(i.o[1]);
  alignas(64) Stored<D> t[kLanes];
  PTX_EACH_LANE t[l] = stored<D>(F::apply(loaded<A>(a[l])));
  put(w, i.o[0], t);
}

template <class F, class D, class A, class B>
void binary(Warp& w, const Inst& i) {
  const Stored<A>* const a = w.at<Stored<A>>(i.o[1]);
  const Stored<B>* const b = w.at<Stored<B>>(i.o[2]);
  alignas(64) Stored<D> t[kLanes];
  PTX_EACH_LANE t[l] = stored<D>(F::apply(loaded<A>(a[l]), loaded<B>(b[l])));
  put(w, i.o[0], t);
}

template <class F, class D, class A, class B, class C>
void ternary(Warp& w, const Inst& i) {
  const Stored<A>* const a = w.at<Stored<A>>(i.o[1]);
  const Stored<B>* const b = w.at<Stored<B>>(i.o[2]);
  const Stored<C>* const c = w.at<Stored<C>>(i.o[3]);
  alignas(64) Stored<D> t[kLanes];
  PTX_EACH_LANE t[l] = stored<D>(F::apply(loaded<A>(a[l]), loaded<B>(b[l]), loaded<C>(c[l])));
  put(w, i.o[0], t);
}

/// The fourth operand has 32 bits.
template <class F, class D, class A, class B, class C>
void quaternary(Warp& w, const Inst& i) {
  const Stored<A>* const a = w.at<Stored<A>>(i.o[1]);
  const Stored<B>* const b = w.at<Stored<B>>(i.o[2]);
  const Stored<C>* const c = w.at<Stored<C>>(i.o[3]);
  const u32* const d = w.at<u32>(i.o[4]);
  alignas(64) Stored<D> t[kLanes];
  PTX_EACH_LANE t[l] = stored<D>(F::apply(loaded<A>(a[l]), loaded<B>(b[l]), loaded<C>(c[l]), d[l]));
  put(w, i.o[0], t);
}

inline void predicate_not(Warp& w, const Inst& i) {
  w.set_predicate(i.o[0], ~w.predicate(i.o[1]));
}
inline void do_nothing(Warp&, const Inst&) {}

}  // namespace ptx
