// SPDX-License-Identifier: MIT
// Broadcasting arithmetic: every pair of shapes against plain loops and finite differences.
#include <catch2/generators/catch_generators.hpp>

#include <hstu/ops/elementwise.hpp>

#include "../check_op.hpp"
#include "../reference/elementwise.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

struct BinaryOp {
  const char* name;
  Tensor (*op)(const Tensor&, const Tensor&);
  double (*reference)(double, double);
};
const BinaryOp kOps[] = {{"add", &add, [](double a, double b) { return a + b; }},
                         {"sub", &sub, [](double a, double b) { return a - b; }},
                         {"mul", &mul, [](double a, double b) { return a * b; }},
                         {"div", &hstu::div, [](double a, double b) { return a / b; }}};

struct ShapePair {
  Shape a, b;
};
const ShapePair kShapePairs[] = {{{}, {}},
                                 {{5}, {}},
                                 {{}, {5}},
                                 {{4, 3}, {4, 3}},
                                 {{31, 3}, {3}},
                                 {{3}, {5, 3}},
                                 {{5, 1}, {5, 3}},
                                 {{5, 3}, {5, 1}},
                                 {{2, 1, 3}, {4, 1}},
                                 {{2, 3, 4}, {2, 1, 4}},
                                 {{1, 33}, {33, 1}},
                                 {{2, 1, 2, 1, 3, 1}, {1, 2, 1, 3, 1, 2}},
                                 {{0, 3}, {3}},
                                 {{2, 0}, {1, 1}},
                                 {{1}, {1, 1, 1}},
                                 {{3, 1, 2}, {3, 2, 2}}};

/// Values away from 0, so that quotients stay tame.
Tensor away_from_zero(const Shape& shape, std::uint32_t site) {
  Tensor x = random_input(shape, site);
  for (double& v : x.mutable_values<double>()) v += v < 0 ? -0.5 : 0.5;
  return x;
}

reference::Sizes sizes_of(const Tensor& x) { return {x.shape().sizes().begin(), x.shape().sizes().end()}; }

}  // namespace

TEST_CASE("elementwise: values and shapes are those of plain loops", "[ops][elementwise][parity]") {
  for (const BinaryOp& op : kOps) {
    for (const ShapePair& shapes : kShapePairs) {
      INFO(op.name << " " << shapes.a << " with " << shapes.b);
      const Tensor a = away_from_zero(shapes.a, 1);
      const Tensor b = away_from_zero(shapes.b, 2);
      const auto expected = reference::broadcast(a.to_vector<double>(), sizes_of(a), b.to_vector<double>(),
                                                 sizes_of(b), op.reference);
      const auto f = [&](const std::vector<Tensor>& in) { return op.op(in[0], in[1]); };
      REQUIRE(f({a, b}).shape() == Shape(reference::broadcast_sizes(sizes_of(a), sizes_of(b))));
      check_values(f, {a, b}, expected, 1e-6);
    }
  }
}

TEST_CASE("elementwise: gradients match finite differences for all shapes", "[ops][elementwise][gradcheck]") {
  const BinaryOp op = kOps[static_cast<std::size_t>(GENERATE(0, 1, 2, 3))];
  for (const ShapePair& shapes : kShapePairs) {
    INFO(op.name << " " << shapes.a << " with " << shapes.b);
    check_gradients([&](const std::vector<Tensor>& in) { return op.op(in[0], in[1]); },
                    {away_from_zero(shapes.a, 3), away_from_zero(shapes.b, 4)});
  }
}

TEST_CASE("elementwise: one tensor may be both operands", "[ops][elementwise][gradcheck]") {
  for (const BinaryOp& op : kOps) {
    INFO(op.name);
    check_gradients([&](const std::vector<Tensor>& in) { return op.op(in[0], in[0]); }, {away_from_zero({3, 4}, 5)});
  }
}

TEST_CASE("elementwise: an operand that is no parameter gets no gradient", "[ops][elementwise][property]") {
  for (const BinaryOp& op : kOps) {
    INFO(op.name);
    const Tensor constant = away_from_zero({3}, 6);
    const Tensor x = away_from_zero({2, 3}, 7);
    check_gradients([&](const std::vector<Tensor>& in) { return op.op(in[0], constant.to(in[0].dtype())); }, {x});
    check_gradients([&](const std::vector<Tensor>& in) { return op.op(constant.to(in[0].dtype()), in[0]); }, {x});
    REQUIRE_FALSE(op.op(constant, constant).needs_grad());
  }
}

TEST_CASE("elementwise: operators are the ops", "[ops][elementwise][property]") {
  const Tensor a = Tensor::from(std::vector<float>{6, 8});
  const Tensor b = Tensor::from(std::vector<float>{3, 2});
  REQUIRE((a + b).to_vector<float>() == std::vector<float>{9, 10});
  REQUIRE((a - b).to_vector<float>() == std::vector<float>{3, 6});
  REQUIRE((a * b).to_vector<float>() == std::vector<float>{18, 16});
  REQUIRE((a / b).to_vector<float>() == std::vector<float>{2, 4});
}

TEST_CASE("scale: multiplies by a constant, forward and backward", "[ops][elementwise][parity]") {
  const Tensor x = random_input({3, 5});
  std::vector<double> expected = x.to_vector<double>();
  for (double& v : expected) v *= -2.5;
  const auto f = [](const std::vector<Tensor>& in) { return scale(in[0], -2.5); };
  check_values(f, {x}, expected, 1e-6);
  check_gradients(f, {x});
  check_gradients(f, {random_input({0, 3})});
}

TEST_CASE("elementwise: a division by zero is infinite, not an error", "[ops][elementwise][property]") {
  const Tensor y = Tensor::from(std::vector<float>{1, -1}) / Tensor::zeros({2});
  REQUIRE(y.data<float>()[0] == std::numeric_limits<float>::infinity());
  REQUIRE(y.data<float>()[1] == -std::numeric_limits<float>::infinity());
}

TEST_CASE("elementwise: shapes and dtypes that do not fit are named", "[ops][elementwise][errors]") {
  const Tensor a = Tensor::zeros({2, 3});
  REQUIRE_THROWS_MATCHES(add(a, Tensor::zeros({2})), ShapeError, says("add: shapes [2, 3] and [2] do not broadcast"));
  REQUIRE_THROWS_MATCHES(mul(a, Tensor::zeros({0})), ShapeError, says("sizes 3 and 0"));
  REQUIRE_THROWS_MATCHES(sub(a, Tensor::zeros({3}, DType::float64)), ShapeError,
                         says("sub: b must be float32, got float64"));
  REQUIRE_THROWS_MATCHES(hstu::div(a, Tensor()), ShapeError, says("div: b is undefined"));
  REQUIRE_THROWS_MATCHES(add(Tensor(), a), ShapeError, says("add: a is undefined"));
  const Tensor ids = Tensor::zeros({3}, DType::int32);
  REQUIRE_THROWS_MATCHES(add(ids, ids), ShapeError, says("add: expected float32 or float64, got int32"));
  REQUIRE_THROWS_MATCHES(scale(Tensor(), 2.0), ShapeError, says("scale: x is undefined"));
}
