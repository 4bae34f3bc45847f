// SPDX-License-Identifier: MIT
// Floating point against the host's arithmetic, with all four roundings, flushing, saturation and NaN.
#include <cfenv>

#include "../ptx/machine/numbers.hpp"
#include "instruction.hpp"

using namespace ptx_test;
using ptx::BF16, ptx::F16, ptx::s32, ptx::s64, ptx::u16, ptx::u32, ptx::u64;

namespace {

/// f() with the given rounding.  Volatile operands keep the compiler from computing beforehand.
template <class F>
auto rounded(int mode, F f) {
  const int before = std::fegetround();
  std::fesetround(mode);
  volatile auto result = f();
  std::fesetround(before);
  return result;
}

constexpr std::pair<const char*, int> kModes[] = {
    {"rn", FE_TONEAREST}, {"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}};

template <class T>
void check_arithmetic(const std::string& type) {
  for (const auto& mode : kModes) {
    const std::string suffix = std::string(".") + mode.first + "." + type;
    const int m = mode.second;
    using V = volatile T;
    check_instruction<T, T>("add" + suffix + " %d, %a, %b;", [m](T x, T y, T) {
      V a = x, b = y;
      return rounded(m, [&] { return T(a + b); });
    });
    check_instruction<T, T>("mul" + suffix + " %d, %a, %b;", [m](T x, T y, T) {
      V a = x, b = y;
      return rounded(m, [&] { return T(a * b); });
    });
    check_instruction<T, T>("div" + suffix + " %d, %a, %b;", [m](T x, T y, T) {
      V a = x, b = y;
      return rounded(m, [&] { return T(a / b); });
    });
    check_instruction<T, T>("sqrt" + suffix + " %d, %a;", [m](T x, T, T) {
      V a = x;
      return rounded(m, [&] { return T(std::sqrt(T(a))); });
    });
    check_instruction<T, T>("fma" + suffix + " %d, %a, %b, %c;", [m](T x, T y, T z) {
      V a = x, b = y, c = z;
      return rounded(m, [&] { return T(std::fma(T(a), T(b), T(c))); });
    });
  }
}

}  // namespace

TEST_CASE("PTX floats: add, mul, div, sqrt and fma round as asked", "[ptx][float][parity]") {
  check_arithmetic<float>("f32");
  check_arithmetic<double>("f64");
}

TEST_CASE("PTX floats: extremes, signs, flushing and saturation", "[ptx][float][parity]") {
  check_instruction<float, float>("min.f32 %d, %a, %b;", [](float a, float b, float) {
    if (a == 0 && b == 0) return std::signbit(a) || std::signbit(b) ? -0.f : 0.f;
    return std::fmin(a, b);
  });
  check_instruction<double, double>("max.f64 %d, %a, %b;", [](double a, double b, double) {
    if (a == 0 && b == 0) return std::signbit(a) && std::signbit(b) ? -0. : 0.;
    return std::fmax(a, b);
  });
  check_instruction<float, float>("max.NaN.f32 %d, %a, %b;", [](float a, float b, float) {
    if (a == 0 && b == 0) return std::signbit(a) && std::signbit(b) ? -0.f : 0.f;
    return a != a || b != b ? NAN : std::fmax(a, b);
  });
  check_instruction<float, float>("neg.f32 %d, %a;", [](float a, float, float) { return -a; });
  check_instruction<float, float>("abs.f32 %d, %a;", [](float a, float, float) { return std::fabs(a); });
  check_instruction<float, float>("copysign.f32 %d, %a, %b;",
                                  [](float a, float b, float) { return std::copysign(b, a); });
  const auto flush = [](float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.f, x) : x; };
  check_instruction<float, float>("mul.ftz.f32 %d, %a, %b;",
                                  [&](float a, float b, float) { return flush(flush(a) * flush(b)); });
  check_instruction<float, float>("add.sat.f32 %d, %a, %b;", [](float a, float b, float) {
    const float s = a + b;
    return s > 0 ? std::fmin(s, 1.f) : 0.f;
  });
  check_instruction<u32, float>("setp.ltu.f32 %q, %a, %b;\nselp.b32 %d, 1, 0, %q;",
                                [](float a, float b, float) { return u32(!(a >= b)); });
  check_instruction<u32, float>("setp.neu.f32 %q, %a, %b;\nselp.b32 %d, 1, 0, %q;",
                                [](float a, float b, float) { return u32(!(a == b)); });
  check_instruction<u32, double>("setp.ne.f64 %q, %a, %b;\nselp.b32 %d, 1, 0, %q;",
                                 [](double a, double b, double) { return u32(a < b || a > b); });
  check_instruction<u32, float>("setp.nan.f32 %q, %a, %b;\nselp.b32 %d, 1, 0, %q;",
                                [](float a, float b, float) { return u32(a != a || b != b); });
  check_instruction<u32, float>("testp.subnormal.f32 %q, %a;\nselp.b32 %d, 1, 0, %q;",
                                [](float a, float, float) { return u32(std::fpclassify(a) == FP_SUBNORMAL); });
}

TEST_CASE("PTX floats: approximations stay within their documented error", "[ptx][float][parity]") {
  Device device;
  std::vector<float> x;
  for (int k = 0; k < 256; ++k) x.push_back(-20.f + 0.157f * float(k));
  const auto run = [&](const std::string& code) {
    const CUdeviceptr out = device.allocate(256 * 4), in = device.upload(x);
    REQUIRE_CUDA(device.launch(device.kernel(kernel_around<float, float>(code), "k"), {1}, {256}, 0, out, in, in, in));
    return device.download<float>(out, 256);
  };
  const auto worst = [&](const std::vector<float>& got, auto f) {
    double most = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      const double expected = f(double(x[k]));
      most = std::fmax(most, std::fabs(got[k] - expected) / std::fabs(expected));
    }
    return most;
  };
  const double ulp = 1.2e-7;
  CHECK(worst(run("ex2.approx.ftz.f32 %d, %a;"), [](double v) { return std::exp2(v); }) <= 2 * ulp);
  CHECK(worst(run("abs.f32 %a, %a;\nlg2.approx.f32 %d, %a;"), [](double v) { return std::log2(std::fabs(v)); }) <=
        4 * ulp);
  CHECK(worst(run("rcp.approx.f32 %d, %a;"), [](double v) { return 1 / v; }) <= ulp);
  CHECK(worst(run("abs.f32 %a, %a;\nrsqrt.approx.f32 %d, %a;"), [](double v) { return 1 / std::sqrt(std::fabs(v)); }) <=
        2 * ulp);
  const double tanh_error = worst(run("tanh.approx.f32 %d, %a;"), [](double v) { return std::tanh(v); });
  CHECK(tanh_error <= 0x1p-11);
  CHECK(tanh_error >= 0x1p-13);  // as rough as the hardware's
}

TEST_CASE("PTX conversions: between integers and floats", "[ptx][convert][parity]") {
  const auto to_s32 = [](double w) {
    return w != w ? 0 : w <= -2147483648. ? INT32_MIN : w >= 2147483647. ? INT32_MAX : s32(w);
  };
  check_instruction<s32, float>("cvt.rni.s32.f32 %d, %a;",
                                [&](float a, float, float) { return to_s32(std::nearbyint(double(a))); });
  check_instruction<s32, float>("cvt.rzi.s32.f32 %d, %a;",
                                [&](float a, float, float) { return to_s32(std::trunc(double(a))); });
  check_instruction<s32, float>("cvt.rmi.s32.f32 %d, %a;",
                                [&](float a, float, float) { return to_s32(std::floor(double(a))); });
  check_instruction<s32, double>("cvt.rpi.s32.f64 %d, %a;",
                                 [&](double a, double, double) { return to_s32(std::ceil(a)); });
  check_instruction<u32, float>("cvt.rzi.u32.f32 %d, %a;", [](float a, float, float) {
    return a != a || a <= 0 ? 0u : a >= 4294967296.f ? ~0u : u32(a);
  });
  check_instruction<s64, float>("cvt.rzi.s64.f32 %d, %a;", [](float a, float, float) {
    return a != a ? s64(0) : a >= 0x1p63f ? INT64_MAX : a <= -0x1p63f ? INT64_MIN : s64(a);
  });
  for (const auto& mode : kModes) {
    const std::string name = mode.first;
    const int m = mode.second;
    check_instruction<float, s32>("cvt." + name + ".f32.s32 %d, %a;", [m](s32 x, s32, s32) {
      volatile s32 a = x;
      return rounded(m, [&] { return float(a); });
    });
    check_instruction<float, u32>("cvt." + name + ".f32.u32 %d, %a;", [m](u32 x, u32, u32) {
      volatile u32 a = x;
      return rounded(m, [&] { return float(a); });
    });
    check_instruction<float, double>("cvt." + name + ".f32.f64 %d, %a;", [m](double x, double, double) {
      volatile double a = x;
      return rounded(m, [&] { return float(a); });
    });
    check_instruction<double, s64>("cvt." + name + ".f64.s64 %d, %a;", [m](s64 x, s64, s64) {
      volatile s64 a = x;
      return rounded(m, [&] { return double(a); });
    });
  }
  check_instruction<float, u64>("cvt.rn.f32.u64 %d, %a;", [](u64 a, u64, u64) { return float(a); });
  check_instruction<float, float>("cvt.rmi.f32.f32 %d, %a;", [](float a, float, float) { return std::floor(a); });
  check_instruction<float, float>("cvt.sat.f32.f32 %d, %a;",
                                  [](float a, float, float) { return a > 0 ? std::fmin(a, 1.f) : 0.f; });
  check_instruction<s64, s32>("cvt.s64.s32 %d, %a;", [](s32 a, s32, s32) { return s64(a); });
  check_instruction<u64, u16>("cvt.u64.u16 %d, %a;", [](u16 a, u16, u16) { return u64(a); });
  check_instruction<s32, s32>("cvt.s32.s8 %d, %a;", [](s32 a, s32, s32) { return s32(std::int8_t(a)); });
  check_instruction<u32, s32>("cvt.sat.u8.s32 %d, %a;", [](s32 a, s32, s32) { return u32(std::clamp(a, 0, 255)); });
}

TEST_CASE("PTX halves: formats round to nearest even and keep subnormal numbers", "[ptx][half][parity]") {
  // every half survives the way to single precision and back, and the points between two neighbours go the right way
  for (u32 bits = 0; bits < 0x7c00; ++bits) {
    const float x = F16::wide(u16(bits)), next = F16::wide(u16(bits + 1));
    REQUIRE(F16::narrow(x) == bits);
    if (bits + 1 == 0x7c00) break;
    REQUIRE(F16::narrow((x + next) / 2) == bits + (bits & 1));
    REQUIRE(F16::narrow(std::nextafterf((x + next) / 2, next)) == bits + 1);
    REQUIRE(F16::truncated(std::nextafterf(next, x)) == bits);
  }
  CHECK(F16::narrow(65520.f) == 0x7c00);
  CHECK(F16::narrow(65519.996f) == 0x7bff);
  CHECK(F16::wide(0x0001) == 0x1p-24f);
  CHECK(BF16::narrow(std::bit_cast<float>(0x3f808000u)) == 0x3f80);
  CHECK(BF16::narrow(std::bit_cast<float>(0x3f818000u)) == 0x3f82);
  check_instruction<u16, float>("cvt.rn.bf16.f32 %d, %a;", [](float a, float, float) { return BF16::narrow(a); });
  check_instruction<u16, float>("cvt.rn.f16.f32 %d, %a;", [](float a, float, float) { return F16::narrow(a); });
  check_instruction<u16, float>("cvt.rz.f16.f32 %d, %a;", [](float a, float, float) { return F16::truncated(a); });
  check_instruction<float, u16>("cvt.f32.f16 %d, %a;", [](u16 a, u16, u16) { return F16::wide(a); });
  check_instruction<u32, float>("cvt.rn.bf16x2.f32 %d, %a, %b;",
                                [](float a, float b, float) { return u32(BF16::narrow(a)) << 16 | BF16::narrow(b); });
  check_instruction<u32, float>("cvt.rna.tf32.f32 %d, %a;", [](float a, float, float) {
    const u32 bits = std::bit_cast<u32>(a);
    return std::isfinite(a) ? (bits + 0x1000) & 0xffffe000u : bits;
  });
}

TEST_CASE("PTX halves: sums, products and fma round once", "[ptx][half][parity]") {
  // in double precision every product of two halves and every sum of two is exact
  const auto to16 = [](double x) { return F16::narrow(ptx::rounded_to_odd(x)); };
  const auto toBrain = [](double x) { return BF16::narrow(ptx::rounded_to_odd(x)); };
  const auto canonical = [](u16 h, bool brain) {
    return brain ? (BF16::is_nan(h) ? BF16::kNaN : h) : (F16::is_nan(h) ? F16::kNaN : h);
  };
  check_instruction<u16, u16>("add.f16 %d, %a, %b;", [&](u16 a, u16 b, u16) {
    return canonical(to16(double(F16::wide(a)) + F16::wide(b)), false);
  });
  check_instruction<u16, u16>("mul.rn.f16 %d, %a, %b;", [&](u16 a, u16 b, u16) {
    return canonical(to16(double(F16::wide(a)) * F16::wide(b)), false);
  });
  check_instruction<u16, u16>("fma.rn.f16 %d, %a, %b, %c;", [&](u16 a, u16 b, u16 c) {
    return canonical(
        to16(double(std::fma((long double)(F16::wide(a)), (long double)(F16::wide(b)), (long double)(F16::wide(c))))),
        false);
  });
  check_instruction<u16, u16>("fma.rn.bf16 %d, %a, %b, %c;", [&](u16 a, u16 b, u16 c) {
    const double x = BF16::wide(a), y = BF16::wide(b), z = BF16::wide(c);
    return canonical(toBrain(ptx::sum_to_odd(x * y, z)), true);
  });
  const auto pair = [](u16 low, u16 high) { return u32(low) | u32(high) << 16; };
  check_instruction<u32, u32>("add.f16x2 %d, %a, %b;", [&](u32 a, u32 b, u32) {
    return pair(to16(double(F16::wide(u16(a))) + F16::wide(u16(b))),
                to16(double(F16::wide(u16(a >> 16))) + F16::wide(u16(b >> 16))));
  });
  check_instruction<u32, u32>("max.bf16x2 %d, %a, %b;", [&](u32 a, u32 b, u32) {
    const auto one = [](u16 x, u16 y) {
      const float p = BF16::wide(x), q = BF16::wide(y);
      if (p != p) return q != q ? BF16::kNaN : y;
      if (q != q) return x;
      return p == q ? u16(x & y) : p > q ? x : y;
    };
    return pair(one(u16(a), u16(b)), one(u16(a >> 16), u16(b >> 16)));
  });
  check_instruction<u32, u32>("set.lt.f16x2.f16x2 %d, %a, %b;", [&](u32 a, u32 b, u32) {
    return pair(F16::wide(u16(a)) < F16::wide(u16(b)) ? F16::kOne : u16(0),
                F16::wide(u16(a >> 16)) < F16::wide(u16(b >> 16)) ? F16::kOne : u16(0));
  });
}
