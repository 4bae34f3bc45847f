// SPDX-License-Identifier: MIT
// Broadcasting arithmetic in plain loops: index arithmetic per element, no strides.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace hstu::reference {

using Sizes = std::vector<std::int64_t>;

/// Sizes of the result: aligned at the last dimension, 1 stretches.
inline Sizes broadcast_sizes(Sizes a, Sizes b) {
  while (a.size() < b.size()) a.insert(a.begin(), 1);
  while (b.size() < a.size()) b.insert(b.begin(), 1);
  for (std::size_t d = 0; d < a.size(); ++d) a[d] = a[d] == 1 ? b[d] : a[d];
  return a;
}

/// Position in an operand of sizes `from` of the element at `flat` of the result.
inline std::size_t source_of(std::int64_t flat, const Sizes& result, const Sizes& from) {
  std::int64_t at = 0;
  std::int64_t stride = 1;
  for (std::size_t back = 1; back <= result.size(); ++back) {
    const std::int64_t size = result[result.size() - back];
    const std::int64_t index = flat % size;
    flat /= size;
    if (back > from.size()) continue;
    const std::int64_t own = from[from.size() - back];
    at += (own == 1 ? 0 : index) * stride;
    stride *= own;
  }
  return static_cast<std::size_t>(at);
}

inline std::vector<double> broadcast(const std::vector<double>& a, const Sizes& a_sizes, const std::vector<double>& b,
                                     const Sizes& b_sizes, const std::function<double(double, double)>& f) {
  const Sizes sizes = broadcast_sizes(a_sizes, b_sizes);
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  std::vector<double> y;
  for (std::int64_t i = 0; i < count; ++i) {
    y.push_back(f(a[source_of(i, sizes, a_sizes)], b[source_of(i, sizes, b_sizes)]));
  }
  return y;
}

}  // namespace hstu::reference
