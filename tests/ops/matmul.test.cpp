// SPDX-License-Identifier: MIT
// Products against three loops, for sizes on both sides of the blocking.
#include <hstu/ops/activation.hpp>
#include <hstu/ops/matmul.hpp>

#include "../check_op.hpp"
#include "../reference/matmul.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

struct Sizes {
  std::int64_t rows, inner, cols;
};
const Sizes kSmall[] = {{1, 1, 1}, {2, 3, 4}, {5, 1, 3}, {0, 3, 2}, {3, 0, 2}, {3, 2, 0}, {7, 5, 1}, {1, 9, 2}};
const Sizes kLarge[] = {{31, 33, 32}, {64, 50, 200}, {129, 65, 31}, {1, 300, 17}, {257, 2, 1}};

std::size_t n(std::int64_t size) { return static_cast<std::size_t>(size); }

Tensor matmul_op(const std::vector<Tensor>& in) { return matmul(in[0], in[1]); }
Tensor linear_op(const std::vector<Tensor>& in) { return linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor()); }

void check_values_of(const Sizes& s) {
  INFO(s.rows << " x " << s.inner << " x " << s.cols);
  const Tensor a = random_input({s.rows, s.inner}, 1);
  const Tensor b = random_input({s.inner, s.cols}, 2);
  check_values(matmul_op, {a, b}, reference::matmul(a.to_vector<double>(), b.to_vector<double>(), n(s.rows), n(s.inner),
                                                    n(s.cols)), 2e-5);
  const Tensor weight = random_input({s.cols, s.inner}, 3);
  const Tensor bias = random_input({s.cols}, 4);
  const auto expected = [&](const Values& added) {
    return reference::linear(a.to_vector<double>(), weight.to_vector<double>(), added, n(s.rows), n(s.inner),
                             n(s.cols));
  };
  check_values(linear_op, {a, weight}, expected({}), 2e-5);
  check_values(linear_op, {a, weight, bias}, expected(bias.to_vector<double>()), 2e-5);
}

}  // namespace

TEST_CASE("matmul, linear: values are those of three loops", "[ops][matmul][parity]") {
  for (const Sizes& s : kSmall) check_values_of(s);
  for (const Sizes& s : kLarge) check_values_of(s);
}

TEST_CASE("linear: a residual is added, and gets the gradient of the result", "[ops][matmul][gradcheck]") {
  for (const Sizes& s : {Sizes{4, 3, 5}, Sizes{33, 7, 9}, Sizes{0, 3, 2}, Sizes{3, 0, 2}}) {
    INFO(s.rows << " x " << s.inner << " x " << s.cols);
    const std::vector<Tensor> in{random_input({s.rows, s.inner}, 1), random_input({s.cols, s.inner}, 2),
                                 random_input({s.cols}, 3), random_input({s.rows, s.cols}, 4)};
    const Tensor plain = linear(in[0], in[1], in[2]);
    Values expected = plain.to_vector<double>();
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += in[3].values<double>()[i];
    const auto op = [](const std::vector<Tensor>& x) { return linear(x[0], x[1], x[2], x[3]); };
    check_values(op, in, expected, 2e-5);
    if (s.rows * s.inner > 0) check_gradients(op, in);
  }
  REQUIRE_THROWS_MATCHES(linear(Tensor::zeros({2, 3}), Tensor::zeros({4, 3}), {}, Tensor::zeros({2, 3})), ShapeError,
                         says("linear: residual must be [2, 4], got [2, 3]"));
}

TEST_CASE("matmul, linear: gradients match finite differences", "[ops][matmul][gradcheck]") {
  for (const Sizes& s : kSmall) {
    INFO(s.rows << " x " << s.inner << " x " << s.cols);
    check_gradients(matmul_op, {random_input({s.rows, s.inner}, 1), random_input({s.inner, s.cols}, 2)});
    check_gradients(linear_op, {random_input({s.rows, s.inner}, 1), random_input({s.cols, s.inner}, 2)});
    check_gradients(linear_op, {random_input({s.rows, s.inner}, 1), random_input({s.cols, s.inner}, 2),
                                random_input({s.cols}, 3)});
  }
}

TEST_CASE("matmul, linear: operands that are results of ops get their gradient", "[ops][matmul][gradcheck]") {
  const std::vector<Tensor> in = {random_input({4, 3}, 1), random_input({3, 3}, 2), random_input({3}, 3)};
  check_gradients([](const std::vector<Tensor>& v) { return matmul(silu(v[0]), silu(v[1])); }, {in[0], in[1]});
  check_gradients([](const std::vector<Tensor>& v) { return linear(silu(v[0]), silu(v[1]), silu(v[2])); }, in);
  check_gradients([](const std::vector<Tensor>& v) { return matmul(v[0], v[0]); }, {in[1]});
}

TEST_CASE("matmul, linear: leading dimensions are kept", "[ops][matmul][property]") {
  const Tensor x = random_input({2, 5, 3}, 1);
  const Tensor weight = random_input({4, 3}, 2);
  REQUIRE(linear(x, weight, Tensor()).shape() == Shape{2, 5, 4});
  REQUIRE(matmul(x, random_input({3, 6}, 3)).shape() == Shape{2, 5, 6});
  REQUIRE(linear(random_input({3}, 4), weight, Tensor()).shape() == Shape{4});
  require_close(linear(x, weight, Tensor()).reshaped({10, 4}), linear(x.reshaped({10, 3}), weight, Tensor()), 1e-14);
  check_gradients(linear_op, {x, weight, random_input({4}, 5)});
}

TEST_CASE("linear: the gradient of a parameter is added to what is there", "[ops][matmul][property]") {
  const Tensor weight = parameter(random_input({4, 3}, 1));
  const Tensor x = random_input({5, 3}, 2);
  backward_from(linear(x, weight, Tensor()), random_input({5, 4}, 3));
  const Tensor once = grad(weight).clone();
  backward_from(linear(x, weight, Tensor()), random_input({5, 4}, 3));
  Values twice = once.to_vector<double>();
  for (double& v : twice) v *= 2.0;
  require_close(grad(weight), twice, 1e-12);
}

TEST_CASE("matmul, linear: operands that do not fit are named with what was expected", "[ops][matmul][errors]") {
  const Tensor x = Tensor::zeros({5, 3});
  REQUIRE_THROWS_MATCHES(matmul(x, Tensor::zeros({4, 2})), ShapeError, says("matmul: b must be [3, N]"));
  REQUIRE_THROWS_MATCHES(matmul(x, Tensor::zeros({3})), ShapeError, says("got [3]"));
  REQUIRE_THROWS_MATCHES(matmul(Tensor::zeros({}), x), ShapeError, says("matmul: a must have at least one dimension"));
  REQUIRE_THROWS_MATCHES(linear(x, Tensor::zeros({4, 2}), Tensor()), ShapeError,
                         says("linear: weight must be [out, 3] (last size of x), got [4, 2]"));
  REQUIRE_THROWS_MATCHES(linear(x, Tensor::zeros({4, 3}), Tensor::zeros({3})), ShapeError,
                         says("linear: bias must be [4], got [3]"));
  REQUIRE_THROWS_MATCHES(linear(x, Tensor::zeros({4, 3}, DType::float64), Tensor()), ShapeError,
                         says("linear: weight must be float32, got float64"));
}
