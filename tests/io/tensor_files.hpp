// SPDX-License-Identifier: MIT
// What the tests of safetensors share: files made by hand and the comparison of two files bit by bit.
#pragma once
#include <cstring>
#include <string>
#include <string_view>

#include <hstu/io/safetensors.hpp>

inline std::string length_prefix(std::uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

/// A file as far as its data: the true length of `header`, then `header`.
inline std::string with_length(std::string_view header) { return length_prefix(header.size()).append(header); }

inline bool is_same(const hstu::Tensor& a, const hstu::Tensor& b) {
  if (a.dtype() != b.dtype() || !(a.shape() == b.shape())) return false;
  const auto x = hstu::detail::bytes_of(a), y = hstu::detail::bytes_of(b);
  return std::ranges::equal(x, y);
}

inline bool is_same(const hstu::TensorFile& a, const hstu::TensorFile& b) {
  return a.metadata == b.metadata && std::ranges::equal(a.tensors, b.tensors, [](const auto& x, const auto& y) {
           return x.first == y.first && is_same(x.second, y.second);
         });
}
