// SPDX-License-Identifier: MIT
// Sum and mean: values, gradients, and the precision that sums in double give.
#include <hstu/ops/reduce.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("sum, mean: values are those of a loop, shapes are scalars", "[ops][reduce][parity]") {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{31}, Shape{33}, Shape{2, 3, 5}}) {
    INFO(shape);
    const Tensor x = random_input(shape);
    double total = 0.0;
    for (const double v : x.values<double>()) total += v;
    REQUIRE(sum(x).rank() == 0);
    REQUIRE(mean(x).rank() == 0);
    check_values([](const std::vector<Tensor>& in) { return sum(in[0]); }, {x}, {total}, 1e-6);
    check_values([](const std::vector<Tensor>& in) { return mean(in[0]); }, {x},
                 {total / static_cast<double>(x.numel())}, 1e-6);
  }
  REQUIRE(sum(Tensor::zeros({0, 3})).item() == 0.0);
}

TEST_CASE("sum, mean: gradients match finite differences", "[ops][reduce][gradcheck]") {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{2, 3, 5}, Shape{7}, Shape{31}, Shape{33}, Shape{1, 1, 1}, Shape{4, 16}}) {
    check_gradients([](const std::vector<Tensor>& in) { return sum(in[0]); }, {random_input(shape)});
    check_gradients([](const std::vector<Tensor>& in) { return mean(in[0]); }, {random_input(shape)});
  }
}

TEST_CASE("sum: a million floats of 0.1 are added without drift", "[ops][reduce][property]") {
  const Tensor x = Tensor::full({1000, 1000}, 0.1);
  const double exact = 1e6 * static_cast<double>(0.1f);
  REQUIRE(std::abs(sum(x).item() - exact) <= exact * 1e-7);  // one rounding to float
  REQUIRE(mean(x).item() == static_cast<double>(0.1f));
}

TEST_CASE("sum, mean: an empty mean and integers are refused", "[ops][reduce][errors]") {
  REQUIRE_THROWS_MATCHES(mean(Tensor::zeros({3, 0})), ShapeError,
                         says("mean: expected at least one element, got shape [3, 0]"));
  REQUIRE_THROWS_MATCHES(sum(Tensor::zeros({3}, DType::int32)), ShapeError,
                         says("sum: expected float32 or float64, got int32"));
  REQUIRE_THROWS_MATCHES(sum(Tensor()), ShapeError, says("sum: x is undefined"));
}
