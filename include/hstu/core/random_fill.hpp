// SPDX-License-Identifier: MIT
// Random words of a stream in bulk: the same numbers as RandomStream::bits, many counters side by side.
#pragma once
#include <cstddef>
#include <span>

#include <hstu/core/random.hpp>

namespace hstu {

namespace detail {

inline constexpr std::size_t kPhiloxLanes = 64;  // fastest of 8 to 64 with GCC 12 and AVX2 or AVX-512

/// The 4·kPhiloxLanes words of the blocks from first_block on.  High and low halves of the products are computed in
/// loops of their own, which is the form that GCC and Clang turn into SIMD.
inline void philox_blocks(const RandomStream& stream, std::uint64_t first_block, std::uint32_t* words) {
  std::uint32_t c0[kPhiloxLanes], c1[kPhiloxLanes], c2[kPhiloxLanes], c3[kPhiloxLanes];
  std::uint32_t high0[kPhiloxLanes], high2[kPhiloxLanes];
  for (std::size_t i = 0; i < kPhiloxLanes; ++i) {
    const std::uint64_t block = first_block + i;
    c0[i] = static_cast<std::uint32_t>(block);
    c1[i] = static_cast<std::uint32_t>(block >> 32);
    c2[i] = stream.step;
    c3[i] = stream.site;
  }
  auto k0 = static_cast<std::uint32_t>(stream.seed);
  auto k1 = static_cast<std::uint32_t>(stream.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < kPhiloxLanes; ++i) {
      high0[i] = static_cast<std::uint32_t>((std::uint64_t{0xD2511F53u} * c0[i]) >> 32);
    }
    for (std::size_t i = 0; i < kPhiloxLanes; ++i) {
      high2[i] = static_cast<std::uint32_t>((std::uint64_t{0xCD9E8D57u} * c2[i]) >> 32);
    }
    for (std::size_t i = 0; i < kPhiloxLanes; ++i) {
      const std::uint32_t low0 = 0xD2511F53u * c0[i];
      const std::uint32_t low2 = 0xCD9E8D57u * c2[i];
      c0[i] = high2[i] ^ c1[i] ^ k0;
      c1[i] = low2;
      c2[i] = high0[i] ^ c3[i] ^ k1;
      c3[i] = low0;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (std::size_t i = 0; i < kPhiloxLanes; ++i) {
    words[4 * i] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
  }
}

}  // namespace detail

/// words[i] = stream.bits(first_index + i).
inline void fill_bits(const RandomStream& stream, std::uint64_t first_index, std::span<std::uint32_t> words) {
  constexpr std::size_t kWords = 4 * detail::kPhiloxLanes;
  constexpr std::size_t kFew = kWords / 8;  // below it, single blocks cost less than a full set of lanes
  std::uint32_t partial[kWords];
  for (std::size_t done = 0; done < words.size();) {
    const std::uint64_t block = (first_index + done) / 4;
    const auto skip = static_cast<std::size_t>((first_index + done) % 4);
    const std::size_t left = words.size() - done;
    if (skip == 0 && left >= kWords) {
      detail::philox_blocks(stream, block, words.data() + done);
      done += kWords;
    } else if (left >= kFew) {
      detail::philox_blocks(stream, block, partial);
      const std::size_t count = left < kWords - skip ? left : kWords - skip;
      for (std::size_t i = 0; i < count; ++i) words[done + i] = partial[skip + i];
      done += count;
    } else {
      words[done] = stream.bits(first_index + done);
      ++done;
    }
  }
}

}  // namespace hstu
