// SPDX-License-Identifier: MIT
// Arithmetic in single and double precision.  Approximations (.approx) are computed to full precision, except tanh.
#include <cfenv>
#include <cmath>

#include "decoder.hpp"
#include "lanes.hpp"
#include "numbers.hpp"
#include "op_arithmetic.hpp"

namespace ptx {
namespace {

struct Add {
  template <class T>
  static T apply(T a, T b) {
    return a + b;
  }
};
struct Sub {
  template <class T>
  static T apply(T a, T b) {
    return a - b;
  }
};
struct Mul {
  template <class T>
  static T apply(T a, T b) {
    return a * b;
  }
};
struct Div {
  template <class T>
  static T apply(T a, T b) {
    return a / b;
  }
};
struct Fma {
  template <class T>
  static T apply(T a, T b, T c) {
    return std::fma(a, b, c);
  }
};
struct Neg {
  template <class T>
  static T apply(T a) {
    return -a;
  }
};
struct Abs {
  template <class T>
  static T apply(T a) {
    return std::fabs(a);
  }
};
struct Rcp {
  template <class T>
  static T apply(T a) {
    return T(1) / a;
  }
};
struct Sqrt {
  template <class T>
  static T apply(T a) {
    return std::sqrt(a);
  }
};
struct Rsqrt {
  template <class T>
  static T apply(T a) {
    return T(1) / std::sqrt(a);
  }
};
struct Sin {
  static f32 apply(f32 a) { return std::sin(a); }
};
struct Cos {
  static f32 apply(f32 a) { return std::cos(a); }
};
struct Lg2 {
  static f32 apply(f32 a) { return std::log2(a); }
};
struct Ex2 {
  static f32 apply(f32 a) { return exp2_fast(a); }
};
struct Tanh {
  static f32 apply(f32 a) { return tanh_rough(a); }
};

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 4, u32, u64>;

/// The number wins over NaN, -0 is less than +0.
struct Min {
  template <class T>
  static T apply(T a, T b) {
    const T equal = std::bit_cast<T>(BitsOf<T>(std::bit_cast<BitsOf<T>>(a) | std::bit_cast<BitsOf<T>>(b)));
    return a != a ? b : b != b ? a : a < b ? a : b < a ? b : equal;
  }
};
struct Max {
  template <class T>
  static T apply(T a, T b) {
    const T equal = std::bit_cast<T>(BitsOf<T>(std::bit_cast<BitsOf<T>>(a) & std::bit_cast<BitsOf<T>>(b)));
    return a != a ? b : b != b ? a : a > b ? a : b > a ? b : equal;
  }
};
/// NaN wins.
template <class M>
struct WithNaN {
  static f32 apply(f32 a, f32 b) { return a != a || b != b ? std::bit_cast<f32>(0x7fffffffu) : M::apply(a, b); }
};
/// Of magnitudes, with the product of the signs.
template <class M>
struct XorSign {
  static f32 apply(f32 a, f32 b) {
    const u32 sign = (std::bit_cast<u32>(a) ^ std::bit_cast<u32>(b)) & 0x80000000u;
    return std::bit_cast<f32>((std::bit_cast<u32>(M::apply(std::fabs(a), std::fabs(b))) & 0x7fffffffu) | sign);
  }
};
struct Copysign {
  template <class T>
  static T apply(T sign, T value) {
    return std::copysign(value, sign);
  }
};

template <class F>
struct Ftz {
  template <class... A>
  static f32 apply(A... a) {
    return flushed(F::apply(flushed(a)...));
  }
};
template <class F>
struct Sat {
  template <class A, class... B>
  static A apply(A a, B... b) {
    return saturated(F::apply(a, b...));
  }
};
/// Both halves of a register of 64 bits.
template <class F>
struct Both {
  template <class... A>
  static u64 apply(A... a) {
    const f32 first = F::apply(std::bit_cast<f32>(u32(a))...);
    const f32 second = F::apply(std::bit_cast<f32>(u32(a >> 32))...);
    return u64(std::bit_cast<u32>(second)) << 32 | std::bit_cast<u32>(first);
  }
};

struct Form {
  Type type = Type::kF32;
  bool ftz = false, sat = false;
};

template <class F>
Handler one(const Form& f) {
  if (f.type == Type::kF64) return unary<F, f64, f64>;
  return f.ftz ? Handler(unary<Ftz<F>, f32, f32>) : unary<F, f32, f32>;
}
template <class F>
Handler two(const Form& f) {
  if (f.type == Type::kF64) return binary<F, f64, f64, f64>;
  if (f.type == Type::kF32x2) return f.ftz ? binary<Both<Ftz<F>>, u64, u64, u64> : binary<Both<F>, u64, u64, u64>;
  if (f.sat) return f.ftz ? binary<Sat<Ftz<F>>, f32, f32, f32> : binary<Sat<F>, f32, f32, f32>;
  return f.ftz ? Handler(binary<Ftz<F>, f32, f32, f32>) : binary<F, f32, f32, f32>;
}
Handler fused(const Form& f) {
  if (f.type == Type::kF64) return ternary<Fma, f64, f64, f64, f64>;
  if (f.type == Type::kF32x2)
    return f.ftz ? ternary<Both<Ftz<Fma>>, u64, u64, u64, u64> : ternary<Both<Fma>, u64, u64, u64, u64>;
  if (f.sat) return f.ftz ? ternary<Sat<Ftz<Fma>>, f32, f32, f32, f32> : ternary<Sat<Fma>, f32, f32, f32, f32>;
  return f.ftz ? Handler(ternary<Ftz<Fma>, f32, f32, f32, f32>) : ternary<Fma, f32, f32, f32, f32>;
}
template <class F>
Handler single(const Form& f) {
  return f.ftz ? Handler(unary<Ftz<F>, f32, f32>) : unary<F, f32, f32>;
}

void finish(Decoder& d, const Form& form, Handler run, std::size_t operands, int rounding) {
  d.all(operands, form.type == Type::kF32x2 ? Type::kB64 : form.type);
  d.inst.run = run;
  d.inst.kind = form.type == Type::kF64 ? Class::kDouble : Class::kFloat;
  set_rounding(d.inst, rounding);
  d.emit();
}

Handler min_max(Decoder& d, const Form& form) {
  const bool nan = d.take("NaN"), xorsign = d.take("xorsign") && d.take("abs"), is_min = d.name() == "min";
  if ((nan || xorsign) && (form.type != Type::kF32 || form.ftz)) d.unsupported();
  if (nan && xorsign) d.unsupported();
  if (nan) return is_min ? Handler(binary<WithNaN<Min>, f32, f32, f32>) : binary<WithNaN<Max>, f32, f32, f32>;
  if (xorsign) return is_min ? Handler(binary<XorSign<Min>, f32, f32, f32>) : binary<XorSign<Max>, f32, f32, f32>;
  return is_min ? two<Min>(form) : two<Max>(form);
}

Form take_form(Decoder& d) {
  Form form;
  form.ftz = d.take("ftz");
  form.sat = d.take("sat");
  form.type = d.type();
  return form;
}

/// rcp, sqrt, rsqrt and the special functions.
void decode_function(Decoder& d) {
  const std::string& name = d.name();
  if ((name == "ex2" || name == "tanh") && decode_half(d)) return;
  const bool approx = d.take("approx");
  const int rounding = approx ? FE_TONEAREST : take_rounding(d);
  const Form form = take_form(d);
  if (form.sat || (form.type == Type::kF64 && (name != "rcp" && name != "sqrt" && name != "rsqrt"))) d.unsupported();
  const Handler run = name == "rcp"     ? one<Rcp>(form)
                      : name == "sqrt"  ? one<Sqrt>(form)
                      : name == "rsqrt" ? one<Rsqrt>(form)
                      : name == "sin"   ? single<Sin>(form)
                      : name == "cos"   ? single<Cos>(form)
                      : name == "lg2"   ? single<Lg2>(form)
                      : name == "ex2"   ? single<Ex2>(form)
                                        : single<Tanh>(form);
  d.all(2, form.type);
  d.inst.run = run;
  d.inst.kind = form.type == Type::kF64 ? Class::kDouble : Class::kSpecialFunction;
  set_rounding(d.inst, rounding);
  d.emit();
}

void decode_copysign(Decoder& d) {
  const Type t = d.type();
  if (!is_float(t)) d.unsupported();
  finish(d, {t}, t == Type::kF64 ? binary<Copysign, f64, f64, f64> : binary<Copysign, f32, f32, f32>, 3, -1);
}

template <class T>
void testp(Warp& w, const Inst& i) {
  const T* const a = w.at<T>(i.o[1]);
  u32 result = 0;
  for (u32 l = 0; l < kLanes; ++l) {
    const int kind = std::fpclassify(a[l]);
    const bool holds[] = {kind != FP_INFINITE && kind != FP_NAN,
                          kind == FP_INFINITE,
                          kind != FP_NAN,
                          kind == FP_NAN,
                          kind == FP_NORMAL,
                          kind == FP_SUBNORMAL};
    result |= u32(holds[i.mode]) << l;
  }
  w.set_predicate(i.o[0], result);
}

void decode_testp(Decoder& d) {
  static constexpr std::string_view tests[] = {"finite", "infinite", "number", "notanumber", "normal", "subnormal"};
  const int test = d.take_any(tests);
  const Type t = d.type();
  if (test < 0 || !is_float(t)) d.unsupported();
  d.expect_size(2);
  d.define(0, d.operand(0), Type::kPred);
  d.use(1, d.operand(1), t);
  d.inst.mode = u8(test);
  d.inst.run = t == Type::kF64 ? testp<f64> : testp<f32>;
  d.emit();
}

void run_rounded(Warp& w, const Inst& i) {
  const int before = std::fegetround();
  std::fesetround(i.rounding);
  i.inner(w, i);
  std::fesetround(before);
}

}  // namespace

int take_rounding(Decoder& d, std::string_view suffix) {
  constexpr std::pair<std::string_view, int> modes[] = {
      {"rn", FE_TONEAREST}, {"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}};
  for (const auto& [name, mode] : modes)
    if (d.take(cat(name, suffix))) return mode;
  return -1;
}

void set_rounding(Inst& inst, int mode) {
  if (mode < 0 || mode == FE_TONEAREST) return;
  inst.inner = inst.run;
  inst.rounding = mode;
  inst.run = run_rounded;
}

bool decode_float(Decoder& d) {
  if (!d.has("f32") && !d.has("f64") && !d.has("f32x2")) return false;
  const std::string& name = d.name();
  const bool inexact = d.take("approx") || d.take("full");
  const int rounding = inexact ? -1 : take_rounding(d);
  const Form form = take_form(d);
  if (form.sat && form.type != Type::kF32) d.unsupported();
  Handler run = nullptr;
  std::size_t operands = 3;
  if (name == "add")
    run = two<Add>(form);
  else if (name == "sub")
    run = two<Sub>(form);
  else if (name == "mul")
    run = two<Mul>(form);
  else if (name == "div" && form.type != Type::kF32x2)
    run = two<Div>(form);
  else if (name == "fma" || name == "mad")
    run = fused(form), operands = 4;
  else if (name == "min" || name == "max")
    run = min_max(d, form);
  else if (name == "neg" && !form.sat)
    run = one<Neg>(form), operands = 2;
  else if (name == "abs" && !form.sat)
    run = one<Abs>(form), operands = 2;
  else
    d.unsupported();
  finish(d, form, run, operands, rounding);
  return true;
}

std::span<const DecodeEntry> float_decoders() {
  static constexpr DecodeEntry entries[] = {
      {"rcp", decode_function},      {"sqrt", decode_function}, {"rsqrt", decode_function}, {"sin", decode_function},
      {"cos", decode_function},      {"lg2", decode_function},  {"ex2", decode_function},   {"tanh", decode_function},
      {"copysign", decode_copysign}, {"testp", decode_testp}};
  return entries;
}

}  // namespace ptx
