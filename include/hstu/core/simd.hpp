// SPDX-License-Identifier: MIT
// Eight numbers at a time: the only file that knows about SIMD.  Built on the vector types of GCC and Clang, which
// every target has; the compiler splits a pack where registers are narrower.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define HSTU_INLINE inline __attribute__((always_inline))
#define HSTU_LAMBDA_INLINE __attribute__((always_inline))
#if defined(__clang__)
#define HSTU_UNROLL _Pragma("unroll")
#else
#define HSTU_UNROLL _Pragma("GCC unroll 16")
// How packs cross calls without AVX is of no concern: every function here is inlined.  The warning stays off behind this
// header, because GCC gives it where such a function is called.
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

// Lanes of two packs by number, those of the second counting from 8.
#if defined(__clang__)
#define HSTU_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define HSTU_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Shuffle{__VA_ARGS__})
#endif

namespace hstu::simd {

/// Numbers in a pack.  The same everywhere, so that sums have one order on all machines.
inline constexpr std::int64_t kLanes = 8;

/// `count` rounded up to whole packs.
constexpr std::int64_t whole_packs(std::int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

template <class Scalar>
struct PackOf;
template <>
struct PackOf<float> {
  typedef float type __attribute__((vector_size(32)));
  typedef std::int32_t mask __attribute__((vector_size(32)));
};
template <>
struct PackOf<double> {
  typedef double type __attribute__((vector_size(64)));
  typedef std::int64_t mask __attribute__((vector_size(64)));
};

/// Eight numbers.  +, −, *, / work lane by lane; `pack[i]` is a lane; comparisons give masks for select().
template <class Scalar>
using Pack = typename PackOf<Scalar>::type;
template <class Scalar>
using Mask = typename PackOf<Scalar>::mask;

template <class Scalar>
HSTU_INLINE Pack<Scalar> load(const Scalar* from) {
  Pack<Scalar> x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
template <class Scalar>
HSTU_INLINE void store(Scalar* to, Pack<Scalar> x) { std::memcpy(to, &x, sizeof x); }

/// All lanes equal to x.
template <class Scalar>
HSTU_INLINE Pack<Scalar> splat(Scalar x) { return x - Pack<Scalar>{}; }  // exact, and folded to a broadcast
/// 0, 1, … 7.
template <class Scalar>
HSTU_INLINE Pack<Scalar> lane_numbers() { return Pack<Scalar>{0, 1, 2, 3, 4, 5, 6, 7}; }

/// a·b + c, in one instruction where there is one.
HSTU_INLINE Pack<float> mul_add(Pack<float> a, Pack<float> b, Pack<float> c) { return a * b + c; }
HSTU_INLINE Pack<double> mul_add(Pack<double> a, Pack<double> b, Pack<double> c) { return a * b + c; }

/// Lane by lane: mask ? a : b.
HSTU_INLINE Pack<float> select(Mask<float> mask, Pack<float> a, Pack<float> b) { return mask ? a : b; }
HSTU_INLINE Pack<double> select(Mask<double> mask, Pack<double> a, Pack<double> b) { return mask ? a : b; }

/// The larger of each lane; b's lane if either is NaN.
HSTU_INLINE Pack<float> max(Pack<float> a, Pack<float> b) { return a > b ? a : b; }
HSTU_INLINE Pack<double> max(Pack<double> a, Pack<double> b) { return a > b ? a : b; }

/// body(i, keep) for every pack of `count` numbers in a row, i being its first; keep(x) is x with zeros in the lanes
/// behind the last number.  In tensors these lanes may be read, and written if what follows is written later or if
/// zeros are added to it.
template <class Scalar, class Body>
HSTU_INLINE void for_each_pack(std::int64_t count, const Body& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, [](Pack<Scalar> x) HSTU_LAMBDA_INLINE { return x; });
  if (i == count) return;
  const Mask<Scalar> mask = lane_numbers<Scalar>() < splat(static_cast<Scalar>(count - i));
  body(i, [mask](Pack<Scalar> x) HSTU_LAMBDA_INLINE { return select(mask, x, Pack<Scalar>{}); });
}

template <class Scalar>
HSTU_INLINE Scalar sum_of(Pack<Scalar> x) {
  Scalar lanes[kLanes];
  store(lanes, x);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// Sum of the lanes, in one order everywhere.
HSTU_INLINE float sum(Pack<float> x) {
#if defined(__AVX2__)
  const __m256 v = reinterpret_cast<__m256>(x);
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));  // 0+4, 1+5, 2+6, 3+7
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
#else
  return sum_of<float>(x);
#endif
}
HSTU_INLINE double sum(Pack<double> x) { return sum_of<double>(x); }

/// Each lane within its bounds; NaN stays NaN.
HSTU_INLINE Pack<float> clamp(Pack<float> x, Pack<float> low, Pack<float> high) {
#if defined(__AVX2__)  // these instructions return their second operand if one is NaN
  return reinterpret_cast<Pack<float>>(
      _mm256_min_ps(reinterpret_cast<__m256>(high),
                    _mm256_max_ps(reinterpret_cast<__m256>(low), reinterpret_cast<__m256>(x))));
#else
  x = x < low ? low : x;
  return x > high ? high : x;
#endif
}

/// eˣ, relative error below 2.5·10⁻⁷ for −87 ≤ x < 88.37; ∞ above, e⁻⁸⁷ below.  NaN stays NaN.
/// x = n·ln 2 + r with |r| ≤ ½·ln 2, ln 2 in two parts of which the first has few bits, so that n times it is exact; the
/// bits of n + 127 become the exponent of 2ⁿ, eʳ is a polynomial of degree 6.
HSTU_INLINE Pack<float> exp(Pack<float> x) {
  x = clamp(x, splat(-87.0f), splat(89.0f));
  const Pack<float> kMagic = splat(0x1.8p23f + 127.0f);  // adding it rounds to an integer in the low bits
  const Pack<float> shifted = mul_add(x, splat(1.44269504088896341f), kMagic);
  const Pack<float> n = shifted - kMagic;
  const Pack<float> r = mul_add(n, splat(2.12194440e-4f), mul_add(n, splat(-0.693359375f), x));
  Pack<float> p = splat(1.0f / 720);
  p = mul_add(p, r, splat(1.0f / 120));
  p = mul_add(p, r, splat(1.0f / 24));
  p = mul_add(p, r, splat(1.0f / 6));
  p = mul_add(p, r, splat(0.5f));
  p = mul_add(p, r, splat(1.0f));
  p = mul_add(p, r, splat(1.0f));
  Mask<float> bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits <<= 23;
  Pack<float> power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}
HSTU_INLINE Pack<double> exp(Pack<double> x) {
  for (std::int64_t i = 0; i < kLanes; ++i) x[i] = std::exp(x[i]);
  return x;
}

/// σ(x) = 1 / (1 + e^−x).
HSTU_INLINE Pack<float> sigmoid(Pack<float> x) { return 1.0f / (1.0f + exp(-x)); }
HSTU_INLINE Pack<double> sigmoid(Pack<double> x) { return 1.0 / (1.0 + exp(-x)); }

/// table[index[0]], … table[index[7]].  The table is readable for 7 entries behind its last.
/// If the indices ascend they mostly lie within eight entries: one load and one permutation.
template <bool IsAscending>
HSTU_INLINE Pack<float> lookup(const float* table, const std::uint16_t* index) {
#if defined(__AVX2__)
  __m128i narrow;
  std::memcpy(&narrow, index, sizeof narrow);
  const __m256i wide = _mm256_cvtepu16_epi32(narrow);
  const int base = index[0];
  if (IsAscending && index[7] - base < 8) [[likely]] {
    const __m256i offset = _mm256_sub_epi32(wide, _mm256_set1_epi32(base));
    return reinterpret_cast<Pack<float>>(_mm256_permutevar8x32_ps(_mm256_loadu_ps(table + base), offset));
  }
#endif
  Pack<float> x;
  HSTU_UNROLL
  for (int i = 0; i < 8; ++i) x[i] = table[index[i]];
  return x;
}
template <bool IsAscending>
HSTU_INLINE Pack<double> lookup(const double* table, const std::uint16_t* index) {
  Pack<double> x;
  for (int i = 0; i < 8; ++i) x[i] = table[index[i]];
  return x;
}

/// Eight rows of eight: row i of `to` becomes lane i of the rows of `from`.
template <class Scalar>
HSTU_INLINE void transpose_packs(const Pack<Scalar>* from, Pack<Scalar>* to) {
  using Shuffle [[maybe_unused]] = Mask<Scalar>;
  Pack<Scalar> t[8], u[8];
  HSTU_UNROLL
  for (int i = 0; i < 8; i += 2) {
    t[i] = HSTU_SHUFFLE(from[i], from[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = HSTU_SHUFFLE(from[i], from[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  HSTU_UNROLL
  for (int i = 0; i < 8; i += 4) {
    u[i] = HSTU_SHUFFLE(t[i], t[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    u[i + 1] = HSTU_SHUFFLE(t[i], t[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    u[i + 2] = HSTU_SHUFFLE(t[i + 1], t[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    u[i + 3] = HSTU_SHUFFLE(t[i + 1], t[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  HSTU_UNROLL
  for (int i = 0; i < 4; ++i) {
    to[i] = HSTU_SHUFFLE(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    to[i + 4] = HSTU_SHUFFLE(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/// to[j·to_stride + i] = factor·from[i][j] for i, j < 8: eight rows become eight columns.
template <class Scalar>
HSTU_INLINE void transpose_8x8(const Scalar* const* from, std::int64_t first, Pack<Scalar> factor, Scalar* to,
                               std::int64_t to_stride) {
  Pack<Scalar> in[8], out[8];
  HSTU_UNROLL
  for (int i = 0; i < 8; ++i) in[i] = factor * load(from[i] + first);
  transpose_packs<Scalar>(in, out);
  HSTU_UNROLL
  for (int j = 0; j < 8; ++j) store(to + j * to_stride, out[j]);
}

/// Lane i of the result is the sum of the lanes of x[i], in the order of sum().
HSTU_INLINE Pack<float> sums_of_packs(const Pack<float> (&x)[8]) {
#if defined(__AVX2__)
  const auto halves = [&](int i, int j) HSTU_LAMBDA_INLINE {  // lanes 0-3: halves of x[i] added, lanes 4-7: of x[j]
    const __m256 a = reinterpret_cast<__m256>(x[i]), b = reinterpret_cast<__m256>(x[j]);
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
  };
  const auto pairs = [](__m256 a, __m256 b) HSTU_LAMBDA_INLINE {  // 0+2, 1+3 of a, then of b, in each half
    return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xEE));
  };
  const __m256 low = pairs(halves(0, 4), halves(1, 5)), high = pairs(halves(2, 6), halves(3, 7));
  return reinterpret_cast<Pack<float>>(
      _mm256_add_ps(_mm256_shuffle_ps(low, high, 0x88), _mm256_shuffle_ps(low, high, 0xDD)));
#else
  return Pack<float>{sum(x[0]), sum(x[1]), sum(x[2]), sum(x[3]), sum(x[4]), sum(x[5]), sum(x[6]), sum(x[7])};
#endif
}
HSTU_INLINE Pack<double> sums_of_packs(const Pack<double> (&x)[8]) {
  return Pack<double>{sum(x[0]), sum(x[1]), sum(x[2]), sum(x[3]), sum(x[4]), sum(x[5]), sum(x[6]), sum(x[7])};
}

/// Asks for the cache lines of [first, first + bytes).  For lines to be written too: PREFETCHW takes longer (measured).
HSTU_INLINE void prefetch(const void* first, std::int64_t bytes) {
  for (std::int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(static_cast<const std::byte*>(first) + at);
}

/// The signs of a mask as bits, lane 0 lowest.
HSTU_INLINE std::uint8_t bits_of(Mask<float> mask) {
#if defined(__AVX2__)
  return static_cast<std::uint8_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
#else
  unsigned bits = 0;
  for (int i = 0; i < 8; ++i) bits |= (mask[i] < 0 ? 1u : 0u) << i;
  return static_cast<std::uint8_t>(bits);
#endif
}
/// The mask of bits_of().
template <class Scalar>
HSTU_INLINE Mask<Scalar> mask_of(std::uint8_t bits) {
  const Mask<Scalar> lanes{1, 2, 4, 8, 16, 32, 64, 128};
  return (lanes & bits) != 0;
}
/// words[i] >= threshold.
HSTU_INLINE Mask<float> at_least(const std::uint32_t* words, std::uint32_t threshold) {
  typedef std::uint32_t Words __attribute__((vector_size(32)));
  Words x;
  std::memcpy(&x, words, sizeof x);
  return x >= threshold;
}

}  // namespace hstu::simd

namespace hstu {
using simd::kLanes;
namespace detail {
using namespace simd;  // no names of SIMD in hstu itself: load, store, sum and max are too general for that
}
}  // namespace hstu

#undef HSTU_SHUFFLE
