// SPDX-License-Identifier: MIT
// What nvcc makes of the functions of <cmath>, half and bfloat16 headers and wide integers: hundreds of instructions
// each, compared with the host's.
#include <algorithm>
#include <cmath>

#include "device.hpp"
#include "machine/numbers.hpp"

using namespace ptx_test;

namespace {

template <class T, class F>
void check_function(Device& device, CUfunction kernel, int number, const char* name, double limit, F reference) {
  std::vector<T> x;
  for (int k = 0; k < 256; ++k) x.push_back(T(0.013) + T(0.0371) * T(k));
  const CUdeviceptr in = device.upload(x), out = device.allocate(256 * sizeof(T));
  REQUIRE(device.launch(kernel, {2}, {128}, 0, out, in, number) == CUDA_SUCCESS);
  const std::vector<T> got = device.download<T>(out, 256);
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double expected = double(reference((long double)(x[k])));
    INFO(name << "(" << x[k] << ") = " << got[k] << ", expected " << expected);
    REQUIRE(std::fabs(double(got[k]) - expected) <=
            limit * std::numeric_limits<T>::epsilon() * (std::fabs(expected) + 0.01));
  }
}

}  // namespace

TEST_CASE("PTX math: single precision functions agree with the host's", "[ptx][math][parity]") {
  Device device;
  const CUfunction f = device.compiled("math", "functions_f32");
  int k = 0;
#define CHECK_F32(function, ulps) \
  check_function<float>(device, f, k++, #function, ulps, [](long double x) { return std::function(x); })
  CHECK_F32(sin, 3);
  CHECK_F32(cos, 3);
  CHECK_F32(tan, 40);
  CHECK_F32(exp, 3);
  CHECK_F32(log, 4);
  CHECK_F32(tanh, 3);
  CHECK_F32(erf, 3);
  CHECK_F32(sqrt, 1);
  CHECK_F32(cbrt, 3);
  CHECK_F32(log1p, 3);
  CHECK_F32(expm1, 3);
  CHECK_F32(atan, 3);
  CHECK_F32(floor, 1);
  CHECK_F32(round, 1);
  CHECK_F32(log2, 4);
  CHECK_F32(exp2, 3);
  CHECK_F32(lgamma, 12);
  check_function<float>(device, f, k++, "powf", 9, [](long double x) { return std::pow(x, 1.7L); });
  check_function<float>(device, f, k++, "divide", 1, [](long double x) { return 3 / x; });
  check_function<float>(device, f, k++, "fmodf", 400, [](long double x) { return std::fmod(x, (long double)(0.7f)); });
  check_function<float>(device, f, k++, "silu", 6, [](long double x) { return x / (1 + std::exp(-x)); });
}

TEST_CASE("PTX math: double precision functions agree with the host's", "[ptx][math][parity]") {
  Device device;
  const CUfunction f = device.compiled("math", "functions_f64");
  int k = 0;
#define CHECK_F64(function, ulps) \
  check_function<double>(device, f, k++, #function, ulps, [](long double x) { return std::function(x); })
  CHECK_F64(sin, 3);
  CHECK_F64(exp, 3);
  CHECK_F64(log, 3);
  CHECK_F64(tanh, 3);
  CHECK_F64(sqrt, 1);
  CHECK_F64(floor, 1);
  CHECK_F64(erf, 3);
  check_function<double>(device, f, k++, "pow", 4, [](long double x) { return std::pow(x, (long double)(1.7)); });
  check_function<double>(device, f, k++, "divide", 1, [](long double x) { return 3 / x; });
}

TEST_CASE("PTX math: half and bfloat16 operators agree with single precision", "[ptx][math][parity]") {
  Device device;
  std::vector<float> x(64), y(64);
  for (std::size_t k = 0; k < 64; ++k) x[k] = 0.25f * float(int(k) - 20), y[k] = 0.5f + 0.125f * float(k % 9);
  const CUdeviceptr a = device.upload(x), b = device.upload(y), out = device.allocate(64 * 8 * 4);
  for (const char* const name : {"halves", "brains"}) {
    INFO(name);
    const double unit = name[0] == 'h' ? 0x1p-10 : 0x1p-7;
    REQUIRE(device.launch(device.compiled("math", name), {1}, {64}, 0, out, a, b) == CUDA_SUCCESS);
    const std::vector<float> got = device.download<float>(out, 512);
    for (std::size_t k = 0; k < 64; ++k) {
      const double u = x[k], v = y[k];  // both formats hold them exactly
      const double expected[8] = {u + v,           u * v,       u / v,        u * v + u,
                                  std::fmax(u, v), std::exp(v), std::sqrt(v), u < v ? 1. : 0.};
      for (std::size_t r = 0; r < 8; ++r) {
        INFO("x = " << u << ", y = " << v << ", result " << r);
        REQUIRE(std::fabs(got[8 * k + r] - expected[r]) <= 1.01 * unit * std::fabs(expected[r]));
      }
    }
  }
}

TEST_CASE("PTX math: integers of 64 and 128 bits", "[ptx][math][parity]") {
  __extension__ typedef __int128 s128;
  Device device;
  std::vector<long long> x(64), y(64);
  for (std::size_t k = 0; k < 64; ++k) {
    x[k] = (long long)(0x9e3779b97f4a7c15ull * (k + 1));
    y[k] = (long long)(0xc2b2ae3d27d4eb4full * (k + 3)) >> (k % 50) | 1;
  }
  const CUdeviceptr a = device.upload(x), b = device.upload(y), out = device.allocate(64 * 6 * 8);
  REQUIRE(device.launch(device.compiled("math", "wide_integers"), {1}, {64}, 0, out, a, b) == CUDA_SUCCESS);
  const std::vector<long long> got = device.download<long long>(out, 64 * 6);
  for (std::size_t k = 0; k < 64; ++k) {
    const long long expected[6] = {x[k] / y[k],
                                   x[k] % y[k],
                                   (long long)((s128(x[k]) * y[k]) >> 41),
                                   (long long)((s128(x[k]) << 20) / y[k]),
                                   (long long)((unsigned long long)(x[k]) / (unsigned long long)(y[k])),
                                   x[k] / 1000003};
    for (std::size_t r = 0; r < 6; ++r) {
      INFO("row " << k << ", result " << r);
      REQUIRE(got[6 * k + r] == expected[r]);
    }
  }
}
