// SPDX-License-Identifier: MIT
// What the tests of kernels share: the device, tensors to and from it, and the claim that two runs give the same bits.
#pragma once
#include <bit>
#include <cstring>

#include <hstu/cuda/buffer.hpp>

#include "check_op.hpp"

namespace hstu::test {

using cuda::Buffer, cuda::Device;

/// The first device; the test is skipped where there is none.
inline Device& device() {
  if (cuda::device_count() == 0) SKIP("no CUDA driver with a device");
  static Device first;
  return first;
}

/// The values as float32 on the device.
inline Buffer<float> upload(const Tensor& x) {
  const Tensor rounded = x.to(DType::float32);
  return {device(), rounded.values<float>()};
}
inline Tensor download(const Buffer<float>& x, const Shape& shape) {
  return Tensor::from(x.to_vector(), shape);
}

/// Float32 on the device, rounded values as float64 parameters: both sides see the same numbers.
inline Tensor rounded_parameter(const Tensor& x) {
  return parameter(x.to(DType::float32).to(DType::float64));
}

/// Rounded to bfloat16, ties to even.
inline Tensor to_bfloat16(const Tensor& x) {
  Tensor y = x.to(DType::float32).clone();
  for (float& value : y.mutable_values<float>()) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    value = std::bit_cast<float>((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
  }
  return y.to(DType::float64);
}

/// True if all bytes agree, NaN included.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.numel() == 0 ||
          std::memcmp(a.values<float>().data(), b.values<float>().data(), static_cast<std::size_t>(a.bytes())) == 0);
}

/// Runs `compute` twice and claims equal bits of everything it returns; gives the first result.
template <class Compute>
std::vector<Tensor> same_twice(const Compute& compute) {
  const std::vector<Tensor> first = compute(), second = compute();
  REQUIRE(first.size() == second.size());
  for (std::size_t i = 0; i < first.size(); ++i) {
    INFO("result " << i);
    REQUIRE(same_bits(first[i], second[i]));
  }
  return first;
}

/// |got − expected| ≤ tolerance·max |expected| for all entries.
inline void require_near(const Tensor& got, const Tensor& expected, double tolerance) {
  REQUIRE(got.numel() == expected.numel());
  double largest = 0.0, worst = 0.0;
  const Tensor a = got.to(DType::float64), b = expected.to(DType::float64);
  bool all_finite = true;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    all_finite &= std::isfinite(a.data<double>()[i]);
    largest = std::max(largest, std::abs(b.data<double>()[i]));
    worst = std::max(worst, std::abs(a.data<double>()[i] - b.data<double>()[i]));
  }
  REQUIRE(all_finite);
  INFO("worst error " << worst << ", largest value " << largest);
  REQUIRE(worst <= tolerance * largest);
}

}  // namespace hstu::test
