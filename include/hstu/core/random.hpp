// SPDX-License-Identifier: MIT
// Counter-based random numbers: a value is a function of (seed, step, site, index), so nothing has to be stored.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace hstu {

/// Philox4x32-10: four random words of a 128-bit counter under a 64-bit key.
/// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
inline std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::uint64_t key) {
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

/// One stream of random values, addressed by index.  Streams of different (seed, step, site) are independent.
struct RandomStream {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;  ///< training step or epoch
  std::uint32_t site = 0;  ///< place of use: one number per dropout layer, table, shuffle

  /// 32 random bits.
  std::uint32_t bits(std::uint64_t index) const {
    const std::uint64_t block = index / 4;
    return philox4x32({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), step, site},
                      seed)[index % 4];
  }
  /// Uniform in [0, 1) with 53 bits; uses the words of indices 2i and 2i + 1.
  double uniform(std::uint64_t index) const {
    const std::uint64_t word = (std::uint64_t{bits(2 * index)} << 32) | bits(2 * index + 1);
    return static_cast<double>(word >> 11) * 0x1p-53;
  }
  /// Integer in [0, n), n < 2^32, by multiply-shift (bias below n / 2^32).
  std::uint32_t below(std::uint64_t index, std::uint32_t n) const {
    return static_cast<std::uint32_t>((std::uint64_t{bits(index)} * n) >> 32);
  }
  /// Standard normal (Box-Muller over the uniforms 2i and 2i + 1).
  double normal(std::uint64_t index) const {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform(2 * index)));
    return radius * std::cos(2.0 * std::numbers::pi * uniform(2 * index + 1));
  }
};

/// Shuffles `values` (Fisher-Yates) by `stream`.
template <class Container>
void shuffle(Container& values, const RandomStream& stream) {
  for (std::size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[stream.below(i, static_cast<std::uint32_t>(i))]);
  }
}

}  // namespace hstu
