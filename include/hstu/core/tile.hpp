// SPDX-License-Identifier: MIT
// The register tile under every product: a few rows × a few packs of sums that never leave the registers.
#pragma once
#include <hstu/core/simd.hpp>

namespace hstu {

/// The left side of a product: a(m, k) = data[m·row_stride + k·depth_stride], one number at a time.
template <class Scalar>
struct TileOperand {
  const Scalar* data;
  std::int64_t row_stride;
  std::int64_t depth_stride;

  TileOperand down(std::int64_t rows) const { return {data + rows * row_stride, row_stride, depth_stride}; }
};

namespace detail {

enum class TileStart { zero, from_memory };

/// c(m, n) = [start(m, n)] + Σ_k a(m, k)·b(k, n) for Rows × Packs·8 entries;  b(k, n) = b[k·b_stride + n].
template <std::int64_t Rows, std::int64_t Packs, TileStart Start, class Scalar>
HSTU_INLINE void tile(TileOperand<Scalar> a, std::int64_t depth, const Scalar* b, std::int64_t b_stride,
                      const Scalar* start, std::int64_t start_stride, Scalar* c, std::int64_t c_stride) {
  Pack<Scalar> sums[Rows][Packs];
  HSTU_UNROLL
  for (std::int64_t m = 0; m < Rows; ++m) {
    HSTU_UNROLL
    for (std::int64_t n = 0; n < Packs; ++n) {
      sums[m][n] = Start == TileStart::zero ? Pack<Scalar>{} : load(start + m * start_stride + n * kLanes);
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Pack<Scalar> right[Packs];
    HSTU_UNROLL
    for (std::int64_t n = 0; n < Packs; ++n) right[n] = load(b + n * kLanes);
    HSTU_UNROLL
    for (std::int64_t m = 0; m < Rows; ++m) {
      const Pack<Scalar> left = splat(a.data[m * a.row_stride]);
      HSTU_UNROLL
      for (std::int64_t n = 0; n < Packs; ++n) sums[m][n] = mul_add(left, right[n], sums[m][n]);
    }
    a.data += a.depth_stride;
    b += b_stride;
  }
  HSTU_UNROLL
  for (std::int64_t m = 0; m < Rows; ++m) {
    HSTU_UNROLL
    for (std::int64_t n = 0; n < Packs; ++n) store(c + m * c_stride + n * kLanes, sums[m][n]);
  }
}

template <std::int64_t Rows, std::int64_t Packs, TileStart Start, class Scalar>
__attribute__((noinline)) void tiles(std::int64_t rows, TileOperand<Scalar> a, std::int64_t depth, const Scalar* b,
                                     std::int64_t b_stride, const Scalar* start, std::int64_t start_stride, Scalar* c,
                                     std::int64_t c_stride) {
  for (; rows >= Rows; rows -= Rows) {
    tile<Rows, Packs, Start>(a, depth, b, b_stride, start, start_stride, c, c_stride);
    a = a.down(Rows);
    start += Rows * start_stride;
    c += Rows * c_stride;
  }
  if constexpr (Rows > 1) {
    if (rows > 0) tiles<Rows / 2, Packs, Start>(rows, a, depth, b, b_stride, start, start_stride, c, c_stride);
  }
}

template <TileStart Start, class Scalar>
void tiles_of(std::int64_t rows, std::int64_t packs, const TileOperand<Scalar>& a, std::int64_t depth, const Scalar* b,
              std::int64_t b_stride, const Scalar* start, std::int64_t start_stride, Scalar* c, std::int64_t c_stride) {
  if (packs == 2) tiles<5, 2, Start>(rows, a, depth, b, b_stride, start, start_stride, c, c_stride);
  else tiles<10, 1, Start>(rows, a, depth, b, b_stride, start, start_stride, c, c_stride);
}

}  // namespace detail

// Products one or two packs wide.  5 rows × 2 packs is the shape of the inner tile: ten independent sums hide the
// latency of FMA, thirteen registers are in use of sixteen, and 5 divides the usual widths (25, 50, 200).

/// c = a·b:  a(m, k) with m < rows, k < depth;  b(k, n) = b[k·b_stride + n], n < packs·8, packs 1 or 2.
template <class Scalar>
void set_tiles(std::int64_t rows, std::int64_t packs, const TileOperand<Scalar>& a, std::int64_t depth, const Scalar* b,
               std::int64_t b_stride, Scalar* c, std::int64_t c_stride) {
  detail::tiles_of<detail::TileStart::zero>(rows, packs, a, depth, b, b_stride, c, c_stride, c, c_stride);
}
/// c += a·b.
template <class Scalar>
void add_tiles(std::int64_t rows, std::int64_t packs, const TileOperand<Scalar>& a, std::int64_t depth, const Scalar* b,
               std::int64_t b_stride, Scalar* c, std::int64_t c_stride) {
  detail::tiles_of<detail::TileStart::from_memory>(rows, packs, a, depth, b, b_stride, c, c_stride, c, c_stride);
}
/// c = start + a·b.
template <class Scalar>
void set_tiles_from(const Scalar* start, std::int64_t start_stride, std::int64_t rows, std::int64_t packs,
                    const TileOperand<Scalar>& a, std::int64_t depth, const Scalar* b, std::int64_t b_stride, Scalar* c,
                    std::int64_t c_stride) {
  detail::tiles_of<detail::TileStart::from_memory>(rows, packs, a, depth, b, b_stride, start, start_stride, c,
                                                   c_stride);
}

}  // namespace hstu
