// SPDX-License-Identifier: MIT
// How every op is tested: values against a reference in both precisions, gradients against finite differences.
#pragma once
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/autograd/gradcheck.hpp>

namespace hstu::test {

using Op = std::function<Tensor(const std::vector<Tensor>&)>;
using Values = std::vector<double>;

/// A message that contains `part`, for REQUIRE_THROWS_MATCHES.
inline auto says(const std::string& part) {
  return Catch::Matchers::MessageMatches(Catch::Matchers::ContainsSubstring(part));
}

/// Normal values in float64; different for each `site`.
inline Tensor random_input(const Shape& shape, std::uint32_t site = 0, double scale = 1.0) {
  return randn(shape, {.seed = 20261124, .step = 0, .site = site}, scale, DType::float64);
}

/// Fails at the entry that is furthest off if |got − expected| > tolerance·max(1, |expected|).  NaN never passes.
inline void require_close(const Tensor& got, const Values& expected, double tolerance) {
  REQUIRE(got.numel() == std::ssize(expected));
  const Values values = got.to(DType::float64).to_vector<double>();
  double worst = 0.0;
  std::string message = "no entry";
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double share =
        std::abs(values[i] - expected[i]) / (tolerance * std::max(1.0, std::abs(expected[i])));
    if (share <= worst) continue;
    worst = share;
    message = concat("entry ", i, ": got ", values[i], ", expected ", expected[i], ", ", share, " of the tolerance");
    if (std::isnan(share)) break;
  }
  INFO(got.dtype() << " " << message);
  REQUIRE(worst <= 1.0);
}
inline void require_close(const Tensor& got, const Tensor& expected, double tolerance) {
  REQUIRE(got.shape() == expected.shape());
  require_close(got, expected.to(DType::float64).to_vector<double>(), tolerance);
}

/// The inputs as parameters of `dtype`.
inline std::vector<Tensor> as_parameters(const std::vector<Tensor>& inputs, DType dtype) {
  std::vector<Tensor> result;
  for (const Tensor& x : inputs) result.push_back(parameter(x.to(dtype).clone()));
  return result;
}

/// f(inputs) in float64 and float32 against the reference; √n·ε of longer sums goes into `tolerance32`.
inline void check_values(const Op& f, const std::vector<Tensor>& inputs, const Values& expected,
                         double tolerance32 = 1e-5) {
  require_close(f(as_parameters(inputs, DType::float64)), expected, 1e-12);
  require_close(f(as_parameters(inputs, DType::float32)), expected, tolerance32);
}

/// Gradients in float64 against finite differences, and those in float32 against those in float64.
inline void check_gradients(const Op& f, const std::vector<Tensor>& inputs, double tolerance32 = 1e-4) {
  const std::vector<Tensor> doubles = as_parameters(inputs, DType::float64);
  const GradcheckResult result = gradcheck(f, doubles);
  INFO(result.message);
  REQUIRE(result.ok);
  const std::vector<Tensor> floats = as_parameters(inputs, DType::float32);
  const Tensor y = f(floats);
  backward_from(y, randn(y.shape(), {.seed = GradcheckOptions{}.seed}, 1.0, DType::float64).to(DType::float32));
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    INFO("gradient of input " << k);
    REQUIRE(grad(floats[k]).defined());
    require_close(grad(floats[k]), grad(doubles[k]), tolerance32);
  }
}

}  // namespace hstu::test
