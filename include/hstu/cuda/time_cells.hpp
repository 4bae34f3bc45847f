// SPDX-License-Identifier: MIT
// Time borders as a table over the leading bits of a float: a bucket for one look-up and one comparison.
#pragma once
#include <bit>
#include <limits>
#include <span>
#include <vector>

#include <hstu/cuda/operands/attention.hpp>

namespace hstu::cuda {

/// For x = |difference| + 1 in [1, 2³¹]: the cell is the exponent and the first bits of the mantissa of x as a float,
/// rounded towards zero.  Equal to searching the borders for every x.
struct TimeCells {
  std::vector<TimeCell> cells;
  std::int32_t shift = 0;    ///< bits of the float below those that count
  bool has_crowded = false;  ///< some cell holds more than one border

  /// borders: smallest difference of each bucket, ascending from 0.  The fewest mantissa bits, up to 5, for which every
  /// cell holds at most one border.
  explicit TimeCells(std::span<const std::int32_t> borders) {
    constexpr int kFewestBits = 2, kMostBits = 5;
    for (int bits = kFewestBits; bits <= kMostBits; ++bits) {
      fill(borders, bits);
      if (!has_crowded) return;
    }
  }

 private:
  void fill(std::span<const std::int32_t> borders, int bits) {
    constexpr int kMantissaBits = 23, kExponents = 32;
    shift = kMantissaBits - bits;
    has_crowded = false;
    cells.clear();
    std::size_t bucket = 0;                                       // of the cell's first x
    const auto begins_by = [&](std::size_t b, std::uint64_t x) {  // bucket b exists and holds x or less
      return b < borders.size() && static_cast<std::uint64_t>(borders[b]) + 1 <= x;
    };
    const std::uint32_t first_cell = std::bit_cast<std::uint32_t>(1.0f) >> shift;
    for (std::uint32_t i = 0; i < std::uint32_t{kExponents} << bits; ++i) {
      const std::uint64_t first = first_in(first_cell + i), last = first_in(first_cell + i + 1) - 1;
      while (begins_by(bucket + 1, first)) ++bucket;
      const bool has_border = begins_by(bucket + 1, last);
      has_crowded |= begins_by(bucket + 2, last);
      cells.push_back(
          {has_border ? static_cast<std::uint32_t>(borders[bucket + 1]) : std::numeric_limits<std::uint32_t>::max(),
           static_cast<std::int32_t>(bucket)});
    }
  }
  /// The smallest whole x in this cell or a later one.
  std::uint64_t first_in(std::uint32_t cell) const {
    const double start = static_cast<double>(std::bit_cast<float>(cell << shift));
    const auto whole = static_cast<std::uint64_t>(start);
    return static_cast<double>(whole) < start ? whole + 1 : whole;
  }
};

}  // namespace hstu::cuda
