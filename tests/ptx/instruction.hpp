// SPDX-License-Identifier: MIT
// One instruction, written by hand, on given operands in the lanes of a warp.
#pragma once
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <type_traits>

#include "device.hpp"

namespace ptx_test {

/// PTX type of the loads and stores of an operand.
template <class T>
std::string register_type() {
  return sizeof(T) == 8 ? "b64" : sizeof(T) == 4 ? "b32" : "b16";
}

/// A kernel that loads %a, %b, %c (types A, B, C), executes the code and stores %d.
template <class D, class A, class B = A, class C = A>
std::string kernel_around(const std::string& code) {
  std::ostringstream s;
  s << ".version 8.7\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 out, .param .u64 a, .param .u64 "
       "b, "
       ".param .u64 c) {\n.reg .b64 %p<5>;\n.reg .b32 %t;\n.reg .pred %q, %r;\n"
    << ".reg ." << register_type<D>() << " %d;\n.reg ." << register_type<A>() << " %a;\n.reg ." << register_type<B>()
    << " %b;\n.reg ." << register_type<C>() << " %c;\nmov.u32 %t, %tid.x;\n";
  const auto pointer = [&](const char* name, int number, std::size_t bytes) {
    s << "ld.param.u64 %p" << number << ", [" << name << "];\nmad.wide.u32 %p" << number << ", %t, " << bytes << ", %p"
      << number << ";\n";
  };
  pointer("out", 0, sizeof(D));
  pointer("a", 1, sizeof(A));
  pointer("b", 2, sizeof(B));
  pointer("c", 3, sizeof(C));
  s << "ld.global." << register_type<A>() << " %a, [%p1];\nld.global." << register_type<B>()
    << " %b, [%p2];\nld.global." << register_type<C>() << " %c, [%p3];\n"
    << code << "\nst.global." << register_type<D>() << " [%p0], %d;\nret;\n}\n";
  return s.str();
}

template <class T>
bool same(T x, T y) {
  if constexpr (std::is_floating_point_v<T>)
    return std::memcmp(&x, &y, sizeof x) == 0 || (x != x && y != y);
  else
    return x == y;
}

/// Values around every border of the type.
template <class T>
std::vector<T> interesting() {
  std::vector<T> v;
  if constexpr (std::is_floating_point_v<T>) {
    using L = std::numeric_limits<T>;
    for (const T x :
         {T(0), T(1), T(0.5), T(1.5), T(2.5), T(3), T(0.1), T(7.3), T(123456.789), T(1e-20), T(1e20), L::min(),
          L::max(), L::denorm_min(), L::infinity(), T(2147483648.0), T(4294967296.0), T(0.49999997), T(8388609)})
      v.push_back(x), v.push_back(-x);
    v.push_back(L::quiet_NaN());
  } else {
    using U = std::make_unsigned_t<T>;
    for (const U x : {U(0), U(1), U(2), U(3), U(7), U(31), U(32), U(33), U(100), U(255), U(0x1234), U(U(~U(0)) >> 1),
                      U(U(~U(0)) / 3), U(U(1) << (8 * sizeof(T) - 1))})
      v.push_back(T(x)), v.push_back(T(U(0) - x));
    v.push_back(T(~U(0) / 5));
  }
  return v;
}

/// Claims that the code gives reference(a, b, c) for combinations of interesting operands.
template <class D, class A, class B = A, class C = A>
void check_instruction(const std::string& code, const std::type_identity_t<std::function<D(A, B, C)>>& reference) {
  const std::vector<A> as = interesting<A>();
  const std::vector<B> bs = interesting<B>();
  const std::vector<C> cs = interesting<C>();
  std::vector<A> a;
  std::vector<B> b;
  std::vector<C> c;
  for (std::size_t i = 0; i < as.size(); ++i)
    for (std::size_t j = 0; j < bs.size(); ++j) {
      a.push_back(as[i]);
      b.push_back(bs[j]);
      c.push_back(cs[(5 * i + 3 * j) % cs.size()]);
    }
  // a whole number of blocks of 96 threads
  while (a.size() % 96 != 0) a.push_back(a[0]), b.push_back(b[0]), c.push_back(c[0]);
  INFO(code);
  Device device;
  const CUfunction kernel = device.kernel(kernel_around<D, A, B, C>(code), "k");
  std::size_t wrong = 0;
  for (std::size_t begin = 0; begin < a.size() && wrong == 0; begin += 96) {
    const CUdeviceptr out = device.allocate(96 * sizeof(D));
    const auto part = [&](const auto& all) {
      return std::vector(all.begin() + std::ptrdiff_t(begin), all.begin() + std::ptrdiff_t(begin) + 96);
    };
    REQUIRE_CUDA(device.launch(kernel, {1}, {96}, 0, out, device.upload(part(a)), device.upload(part(b)),
                               device.upload(part(c))));
    const std::vector<D> got = device.download<D>(out, 96);
    for (std::size_t k = 0; k < 96 && wrong == 0; ++k) {
      const D expected = reference(a[begin + k], b[begin + k], c[begin + k]);
      if (same(got[k], expected)) continue;
      ++wrong;
      const auto show = [](auto x) { return std::to_string(x); };
      UNSCOPED_INFO("a = " << show(a[begin + k]) << ", b = " << show(b[begin + k]) << ", c = " << show(c[begin + k])
                           << ": got " << show(got[k]) << ", expected " << show(expected));
    }
  }
  REQUIRE(wrong == 0);
}

}  // namespace ptx_test
