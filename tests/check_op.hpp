// SPDX-License-Identifier: MIT
// How every op is tested: values against a reference in both precisions, gradients against finite differences.
#pragma once
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <iostream>
#include <map>
#include <set>

#include <hstu/autograd/gradcheck.hpp>

namespace hstu::test {

/// How many shapes the gradient of each op was checked with; printed at the end, for scripts/figures.py.
class CheckedShapes {
 public:
  static CheckedShapes& get() {
    static CheckedShapes instance;
    return instance;
  }
  ~CheckedShapes() {
    for (const auto& [op, shapes] : shapes_) std::cout << "gradcheck: " << op << ' ' << shapes.size() << '\n';
  }
  /// Every op that `y` was made by.
  void add(const Tensor& y) {
    if (!y.needs_grad()) return;
    const hstu::detail::BackwardRoot root{y, y};
    for (const Node* node : hstu::detail::topological_order(std::span(&root, 1))) {
      std::string shapes = concat(node->shape);
      for (const auto& input : node->inputs) shapes += concat(' ', input->shape);
      shapes_[std::string(node->op)].insert(shapes);
    }
  }

 private:
  std::map<std::string, std::set<std::string>> shapes_;
};

/// How many injected NaN and infinities were found; printed at the end, for scripts/figures.py.
struct InjectedCount {
  std::int64_t count = 0;

  static InjectedCount& get() {
    static InjectedCount instance;
    return instance;
  }
  ~InjectedCount() {
    if (count > 0) std::cout << "figure: " << count << " injected NaN and infinities found, the op named\n";
  }
};

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

/// A NaN or an infinity in any of the inputs is found in the op where it appears, and the op is named.
inline void check_injected(const Op& f, const std::vector<Tensor>& inputs) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      std::vector<Tensor> injected = as_parameters(inputs, DType::float64);
      injected[k].copy_from(Tensor::full(inputs[k].shape(), bad, DType::float64));
      const Values y = f(injected).to(DType::float64).to_vector<double>();
      if (std::ranges::all_of(y, [](double value) { return std::isfinite(value); })) continue;  // as tanh(∞) is
      INFO("input " << k << " is " << bad);
      const FiniteCheck finite_check;
      REQUIRE_THROWS_MATCHES(f(injected), NumericError, says(": its result ["));
      ++InjectedCount::get().count;
    }
  }
}

/// f(inputs) in float64 and float32 against the reference; √n·ε of longer sums goes into `tolerance32`.
inline void check_values(const Op& f, const std::vector<Tensor>& inputs, const Values& expected,
                         double tolerance32 = 1e-5) {
  require_close(f(as_parameters(inputs, DType::float64)), expected, 1e-12);
  require_close(f(as_parameters(inputs, DType::float32)), expected, tolerance32);
  check_injected(f, inputs);
}

/// Gradients of float64 parameters against finite differences; the shapes are counted.
inline void check_finite_differences(const Op& f, const std::vector<Tensor>& inputs) {
  const GradcheckResult result = gradcheck(f, inputs);
  INFO(result.message);
  REQUIRE(result.ok);
  CheckedShapes::get().add(f(inputs));
}

/// Gradients in float64 against finite differences, and those in float32 against those in float64.
inline void check_gradients(const Op& f, const std::vector<Tensor>& inputs, double tolerance32 = 1e-4) {
  const std::vector<Tensor> doubles = as_parameters(inputs, DType::float64);
  check_finite_differences(f, doubles);
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
