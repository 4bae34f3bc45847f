// SPDX-License-Identifier: MIT
// Sigmoid, SiLU and ReLU against their formulas, at the far ends and on awkward sizes.
#include <limits>

#include <hstu/ops/activation.hpp>

#include "../check_op.hpp"
#include "../reference/rows.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

struct Activation {
  const char* name;
  Tensor (*op)(const Tensor&);
  double (*reference)(double);
};
const Activation kActivations[] = {{"sigmoid", &sigmoid, &reference::sigmoid},
                                   {"silu", &silu, [](double x) { return x * reference::sigmoid(x); }},
                                   {"relu", &relu, [](double x) { return x > 0 ? x : 0.0; }}};

const Shape kActivationShapes[] = {{}, {0}, {1}, {7, 0}, {31}, {33}, {3, 5, 7}, {2, 16}, {1, 1}};

}  // namespace

TEST_CASE("activation: values are those of the formula", "[ops][activation][parity]") {
  for (const Activation& activation : kActivations) {
    for (const Shape& shape : kActivationShapes) {
      INFO(activation.name << shape);
      const Tensor x = random_input(shape, 1, 4.0);
      std::vector<double> expected;
      for (const double v : x.values<double>()) expected.push_back(activation.reference(v));
      check_values([&](const std::vector<Tensor>& in) { return activation.op(in[0]); }, {x}, expected, 1e-6);
      REQUIRE(activation.op(x).shape() == shape);
    }
  }
}

TEST_CASE("activation: gradients match finite differences", "[ops][activation][gradcheck]") {
  for (const Activation& activation : kActivations) {
    for (const Shape& shape : kActivationShapes) {
      INFO(activation.name << shape);
      Tensor x = random_input(shape, 2, 3.0);
      for (double& v : x.mutable_values<double>()) v += v < 0 ? -1e-3 : 1e-3;  // off the kink of relu
      check_gradients([&](const std::vector<Tensor>& in) { return activation.op(in[0]); }, {x});
    }
  }
}

TEST_CASE("activation: finite value and gradient at ±1e4, in both precisions", "[ops][activation][property]") {
  for (const Activation& activation : kActivations) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      INFO(activation.name << " " << dtype);
      // 16 of each, so that the vectorised path is taken
      std::vector<double> values(16, 1e4);
      values.insert(values.end(), 16, -1e4);
      const Tensor x = parameter(Tensor::from(values).to(dtype));
      const Tensor y = activation.op(x);
      std::vector<double> expected;
      for (const double v : values) expected.push_back(activation.reference(v));
      require_close(y, expected, 1e-6);
      backward_from(y, Tensor::full(y.shape(), 1.0, dtype));
      const bool is_sigmoid = std::string_view(activation.name) == "sigmoid";
      for (std::size_t i = 0; i < values.size(); ++i) expected[i] = values[i] > 0 && !is_sigmoid ? 1.0 : 0.0;
      require_close(grad(x), expected, 1e-6);
    }
  }
}

TEST_CASE("activation: NaN stays NaN", "[ops][activation][property]") {
  for (const Activation& activation : kActivations) {
    INFO(activation.name);
    const Tensor x = Tensor::full({19}, std::numeric_limits<double>::quiet_NaN());
    const Tensor y = activation.op(x);
    for (const float v : y.values<float>()) REQUIRE(std::isnan(v));
  }
}

TEST_CASE("activation: integers and undefined tensors are refused by name", "[ops][activation][errors]") {
  for (const Activation& activation : kActivations) {
    REQUIRE_THROWS_MATCHES(activation.op(Tensor::zeros({2}, DType::int64)), ShapeError,
                           says(concat(activation.name, ": expected float32 or float64, got int64")));
    REQUIRE_THROWS_MATCHES(activation.op(Tensor()), ShapeError, says(concat(activation.name, ": x is undefined")));
  }
}
