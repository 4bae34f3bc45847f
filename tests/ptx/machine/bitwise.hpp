// SPDX-License-Identifier: MIT
// And, or, xor as types: for instructions on bits, reductions over a warp, and atomics.
#pragma once

namespace ptx {

struct And {
  template <class T>
  static T apply(T a, T b) {
    return T(a & b);
  }
};
struct Or {
  template <class T>
  static T apply(T a, T b) {
    return T(a | b);
  }
};
struct Xor {
  template <class T>
  static T apply(T a, T b) {
    return T(a ^ b);
  }
};

}  // namespace ptx
