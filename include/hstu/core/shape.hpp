// SPDX-License-Identifier: MIT
// Sizes of a tensor: up to six dimensions, product checked against overflow.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>

#include <hstu/core/check.hpp>

namespace hstu {

/// Sizes of each dimension, outermost first.  A rank of 0 is a scalar.
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
  explicit Shape(std::span<const std::int64_t> sizes) {
    check<ShapeError>(sizes.size() <= kMaxRank, "shape: at most ", kMaxRank, " dimensions, got ", sizes.size());
    for (const std::int64_t size : sizes) {
      check<ShapeError>(size >= 0, "shape: sizes must not be negative, got ", size);
      sizes_[static_cast<std::size_t>(rank_++)] = size;
      numel_ = checked_mul(numel_, size);
    }
  }

  int rank() const { return rank_; }
  std::int64_t numel() const { return numel_; }
  std::span<const std::int64_t> sizes() const { return {sizes_.data(), static_cast<std::size_t>(rank_)}; }

  /// Size of dimension `dim`; -1 is the last.
  std::int64_t operator[](int dim) const { return sizes_[index_of(dim)]; }

  /// This shape with another size of dimension `dim`; -1 is the last.
  Shape with_size(int dim, std::int64_t size) const {
    std::array<std::int64_t, kMaxRank> sizes = sizes_;
    sizes[index_of(dim)] = size;
    return Shape(std::span(sizes.data(), static_cast<std::size_t>(rank_)));
  }

  friend bool operator==(const Shape& a, const Shape& b) { return std::ranges::equal(a.sizes(), b.sizes()); }
  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    out << '[';
    for (int i = 0; i < shape.rank_; ++i) out << (i > 0 ? ", " : "") << shape[i];
    return out << ']';
  }

 private:
  std::size_t index_of(int dim) const {
    const int index = dim < 0 ? dim + rank_ : dim;
    check<ShapeError>(index >= 0 && index < rank_, "shape: dimension ", dim, " of a shape with ", rank_);
    return static_cast<std::size_t>(index);
  }

  std::array<std::int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
  std::int64_t numel_ = 1;
};

}  // namespace hstu
