// SPDX-License-Identifier: MIT
// Arithmetic in float16 and bfloat16, one number or a pair.  Sums, products and quotients of halves are exact enough in
// single precision for one rounding to remain (24 >= 2 * 11 + 2 bits); fma goes through double precision.
#include "decoder.hpp"
#include "lanes.hpp"
#include "numbers.hpp"
#include "op_arithmetic.hpp"

namespace ptx {
namespace {

template <class N>
struct Add {
  static u16 apply(u16 a, u16 b) { return N::narrow(N::wide(a) + N::wide(b)); }
};
template <class N>
struct Sub {
  static u16 apply(u16 a, u16 b) { return N::narrow(N::wide(a) - N::wide(b)); }
};
template <class N>
struct Mul {
  static u16 apply(u16 a, u16 b) { return N::narrow(N::wide(a) * N::wide(b)); }
};
template <class N>
struct Fma {
  static u16 apply(u16 a, u16 b, u16 c) {
    return N::narrow(rounded_to_odd(sum_to_odd(f64(N::wide(a)) * f64(N::wide(b)), f64(N::wide(c)))));
  }
};
template <class N>
struct Neg {
  static u16 apply(u16 a) { return u16(a ^ 0x8000); }
};
template <class N>
struct Abs {
  static u16 apply(u16 a) { return u16(a & 0x7fff); }
};
template <class N>
struct Ex2 {
  static u16 apply(u16 a) { return N::narrow(exp2_fast(N::wide(a))); }
};
template <class N>
struct Tanh {
  static u16 apply(u16 a) { return N::narrow(std::tanh(N::wide(a))); }
};

template <class N, bool kMax, bool kNaN>
struct Extreme {
  static u16 apply(u16 a, u16 b) {
    const f32 x = N::wide(a), y = N::wide(b);
    if (kNaN && (x != x || y != y)) return N::kNaN;
    if (x != x) return y != y ? N::kNaN : b;
    if (y != y) return a;
    if (x == y) return u16(kMax ? a & b : a | b);
    return (x < y) != kMax ? a : b;
  }
};
template <class N>
using Min = Extreme<N, false, false>;
template <class N>
using Max = Extreme<N, true, false>;
template <class N>
using MinNaN = Extreme<N, false, true>;
template <class N>
using MaxNaN = Extreme<N, true, true>;

template <class N, class F>
struct Ftz {
  template <class... A>
  static u16 apply(A... a) {
    return N::without_subnormals(F::apply(N::without_subnormals(a)...));
  }
};
template <class N, class F>
struct Sat {
  template <class... A>
  static u16 apply(A... a) {
    return N::narrow(saturated(N::wide(F::apply(a...))));
  }
};
template <class N, class F>
struct Relu {
  template <class... A>
  static u16 apply(A... a) {
    const u16 result = F::apply(a...);
    return N::is_nan(result) ? N::kNaN : (result & 0x8000) ? u16(0) : result;
  }
};
template <class F>
struct Pair {
  template <class... A>
  static u32 apply(A... a) {
    return pair_of(F::apply(low(a)...), F::apply(high(a)...));
  }
};

struct Form {
  bool brain = false, pair = false, ftz = false, sat = false, relu = false;
};

template <class F, std::size_t kOperands>
Handler plain(bool pair) {
  if constexpr (kOperands == 1)
    return pair ? Handler(unary<Pair<F>, u32, u32>) : unary<F, u16, u16>;
  else if constexpr (kOperands == 2)
    return pair ? Handler(binary<Pair<F>, u32, u32, u32>) : binary<F, u16, u16, u16>;
  else
    return pair ? Handler(ternary<Pair<F>, u32, u32, u32, u32>) : ternary<F, u16, u16, u16, u16>;
}

template <class N, class F, std::size_t kOperands>
Handler formed(const Form& f) {
  if (f.sat) return f.ftz ? plain<Sat<N, Ftz<N, F>>, kOperands>(f.pair) : plain<Sat<N, F>, kOperands>(f.pair);
  if (f.relu) return f.ftz ? plain<Relu<N, Ftz<N, F>>, kOperands>(f.pair) : plain<Relu<N, F>, kOperands>(f.pair);
  return f.ftz ? plain<Ftz<N, F>, kOperands>(f.pair) : plain<F, kOperands>(f.pair);
}

template <class N>
Handler handler(Decoder& d, const Form& f) {
  const std::string& name = d.name();
  const bool nan = d.take("NaN");
  if (nan && name != "min" && name != "max") d.unsupported();
  if (name == "add") return formed<N, Add<N>, 2>(f);
  if (name == "sub") return formed<N, Sub<N>, 2>(f);
  if (name == "mul") return formed<N, Mul<N>, 2>(f);
  if (name == "fma") return formed<N, Fma<N>, 3>(f);
  if (f.sat || f.relu) d.unsupported();
  if (name == "min") return nan ? formed<N, MinNaN<N>, 2>(f) : formed<N, Min<N>, 2>(f);
  if (name == "max") return nan ? formed<N, MaxNaN<N>, 2>(f) : formed<N, Max<N>, 2>(f);
  if (name == "neg") return formed<N, Neg<N>, 1>(f);
  if (name == "abs") return formed<N, Abs<N>, 1>(f);
  if (name == "ex2") return formed<N, Ex2<N>, 1>(f);
  if (name == "tanh") return formed<N, Tanh<N>, 1>(f);
  d.unsupported();
}

}  // namespace

bool decode_half(Decoder& d) {
  const bool brain = d.has("bf16") || d.has("bf16x2");
  if (!brain && !d.has("f16") && !d.has("f16x2")) return false;
  if (d.has("f32")) d.unsupported("mixed precision");
  Form form;
  form.brain = brain;
  form.pair = d.has("bf16x2") || d.has("f16x2");
  d.take("rn");
  d.take("approx");
  form.ftz = d.take("ftz");
  form.sat = d.take("sat");
  form.relu = d.take("relu");
  d.type();
  d.inst.run = brain ? handler<BF16>(d, form) : handler<F16>(d, form);
  d.all(d.name() == "fma"                                                                   ? 4
        : d.name() == "neg" || d.name() == "abs" || d.name() == "ex2" || d.name() == "tanh" ? 2
                                                                                            : 3,
        form.pair ? Type::kB32 : Type::kB16);
  d.inst.kind = Class::kHalf;
  d.emit();
  return true;
}

}  // namespace ptx
