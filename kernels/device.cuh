// SPDX-License-Identifier: MIT
// What the kernels share: sums over a warp, fast elementary functions, random words.
#pragma once
#include <cstdint>

#include <hstu/cuda/operands/dropout.hpp>

#define HSTU_DEVICE __device__ __forceinline__
#define HSTU_KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads, 1)

namespace hstu::cuda {

constexpr int kWarpSize = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

HSTU_DEVICE int lane_id() {
  return static_cast<int>(threadIdx.x) % kWarpSize;
}
HSTU_DEVICE int warp_id() {
  return static_cast<int>(threadIdx.x) / kWarpSize;
}

/// The sum over the lanes of a warp, in the same order in every lane and run.
HSTU_DEVICE float warp_sum(float x) {
#pragma unroll
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}
HSTU_DEVICE float warp_max(float x) {
#pragma unroll
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, distance));
  }
  return x;
}

// Within 2 units in the last place, without the slow paths of the exact ones.
HSTU_DEVICE float fast_divide(float a, float b) {
  return __fdividef(a, b);
}
HSTU_DEVICE float fast_sqrt(float x) {
  float y;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
HSTU_DEVICE float sigmoid(float x) {
  return fast_divide(1.0f, 1.0f + __expf(-x));
}
HSTU_DEVICE float silu(float x) {
  return x * sigmoid(x);
}
/// d SiLU(x) / dx, given s = σ(x).
HSTU_DEVICE float silu_slope(float x, float s) {
  return s * (1.0f + x * (1.0f - s));
}

/// Two floats as bfloat16, rounded to the nearest; `low` in the lower half.
HSTU_DEVICE std::uint32_t pack_bfloat16(float low, float high) {
  std::uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}
HSTU_DEVICE std::uint16_t bfloat16_bits(float x) {
  return static_cast<std::uint16_t>(pack_bfloat16(x, 0.0f));
}

/// RandomStream::bits of core/random.hpp: Philox4x32-10.
HSTU_DEVICE std::uint32_t random_word(const RandomKey& key, std::uint64_t index) {
  const std::uint64_t block = index / 4;
  std::uint32_t c0 = static_cast<std::uint32_t>(block), c1 = static_cast<std::uint32_t>(block >> 32);
  std::uint32_t c2 = key.step, c3 = key.site;
  std::uint32_t k0 = static_cast<std::uint32_t>(key.seed), k1 = static_cast<std::uint32_t>(key.seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint32_t high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const std::uint32_t high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  const std::uint32_t word = static_cast<std::uint32_t>(index % 4);
  return word < 2 ? (word == 0 ? c0 : c1) : (word == 2 ? c2 : c3);
}

/// x·mask.scale, or 0 if element `index` is dropped.
HSTU_DEVICE float drop(const DropoutMask& mask, std::uint64_t index, float x) {
  if (mask.threshold == 0) return x;
  return random_word(mask.key, mask.first_index + index) >= mask.threshold ? x * mask.scale : 0.0f;
}

}  // namespace hstu::cuda
