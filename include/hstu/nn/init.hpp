// SPDX-License-Identifier: MIT
// Initial values of parameters.
#pragma once
#include <algorithm>
#include <cmath>

#include <hstu/nn/module.hpp>

namespace hstu {

/// Makes parameters, each from its own random stream in the order of the calls.
class Initializer {
 public:
  Initializer(std::uint64_t seed, DType dtype) : seed_(seed), dtype_(dtype) {}

  Tensor zeros(const Shape& shape) { return constant(shape, 0.0); }
  Tensor ones(const Shape& shape) { return constant(shape, 1.0); }
  /// Uniform in ±bound.
  Tensor uniform(const Shape& shape, double bound) {
    return fill(shape, [bound](const RandomStream& s, std::uint64_t i) { return bound * (2.0 * s.uniform(i) - 1.0); });
  }
  Tensor normal(const Shape& shape, double std) {
    return fill(shape, [std](const RandomStream& s, std::uint64_t i) { return std * s.normal(i); });
  }
  /// Normal cut at two standard deviations by drawing again.
  Tensor truncated_normal(const Shape& shape, double std) {
    constexpr std::uint64_t kTries = 16;  // P(all outside) = 0.0455^16
    return fill(shape, [std](const RandomStream& s, std::uint64_t i) {
      for (std::uint64_t t = 0; t < kTries; ++t) {
        const double value = s.normal(i * kTries + t);
        if (std::abs(value) < 2.0) return std * value;
      }
      return 0.0;
    });
  }
  /// Uniform in ±√(6 / (fan_in + fan_out)) for a matrix [fan_out, fan_in].  Source: Glorot and Bengio 2010.
  Tensor xavier_uniform(const Shape& shape) {
    return uniform(shape, std::sqrt(6.0 / static_cast<double>(shape[0] + shape[1])));
  }
  /// Normal with standard deviation √(2 / (fan_in + fan_out)).
  Tensor xavier_normal(const Shape& shape) {
    return normal(shape, std::sqrt(2.0 / static_cast<double>(shape[0] + shape[1])));
  }
  /// Uniform in ±√(1/n): bias tables of torch-rechub 0.9.0 (n = rows), biases of torch.nn.Linear (n = fan_in).
  Tensor uniform_by_count(const Shape& shape, std::int64_t n) {
    return uniform(shape, std::sqrt(1.0 / static_cast<double>(n)));
  }

 private:
  Tensor constant(const Shape& shape, double value) {
    ++count_;
    return parameter(Tensor::full(shape, value, dtype_));
  }
  template <class Draw>
  Tensor fill(const Shape& shape, const Draw& draw) {
    const RandomStream stream{.seed = seed_, .step = count_++, .site = kSiteInit};
    Tensor values(shape, dtype_);
    dispatch_floating("init", dtype_, [&]<class Scalar>(Scalar) {
      std::uint64_t index = 0;
      for (Scalar& v : values.mutable_values<Scalar>()) v = static_cast<Scalar>(draw(stream, index++));
    });
    return parameter(values);
  }

  std::uint64_t seed_;
  DType dtype_;
  std::uint32_t count_ = 0;
};

}  // namespace hstu
