// SPDX-License-Identifier: MIT
// L2 normalisation: both sides of eps.
#include <hstu/ops/l2_normalize.hpp>

#include "../check_op.hpp"
#include "../reference/rows.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {
const Shape kRowShapes[] = {{1}, {3}, {0, 4}, {4, 0}, {5, 31}, {2, 3, 33}, {3, 50}, {2, 1}, {3, 16}};
}

TEST_CASE("l2_normalize: values are those of plain loops, above and below eps", "[ops][l2_normalize][parity]") {
  for (const Shape& shape : kRowShapes) {
    for (const double eps : {1e-6, 1e3}) {
      INFO(shape << " eps " << eps);
      const Tensor x = random_input(shape, 1);
      check_values([&](const auto& in) { return l2_normalize(in[0], eps); }, {x},
                   reference::l2_normalize(x.to_vector<double>(), static_cast<std::size_t>(shape[-1]), eps), 1e-6);
    }
  }
}

TEST_CASE("l2_normalize: gradients match finite differences, above and below eps", "[ops][l2_normalize][gradcheck]") {
  for (const Shape& shape : kRowShapes) {
    for (const double eps : {1e-6, 1e3}) {
      INFO(shape << " eps " << eps);
      check_gradients([&](const auto& in) { return l2_normalize(in[0], eps); }, {random_input(shape, 2)});
    }
  }
}

TEST_CASE("l2_normalize: a row of zeros stays zero with the gradient dy / eps", "[ops][l2_normalize][property]") {
  const Tensor x = parameter(Tensor::zeros({1, 3}));
  const Tensor y = l2_normalize(x, 0.5);
  REQUIRE(y.to_vector<float>() == std::vector<float>{0, 0, 0});
  backward_from(y, Tensor::from(std::vector<float>{1, 2, 3}, {1, 3}));
  REQUIRE(grad(x).to_vector<float>() == std::vector<float>{2, 4, 6});
}

TEST_CASE("l2_normalize: eps must be positive", "[ops][l2_normalize][errors]") {
  const Tensor x = Tensor::zeros({2, 3});
  for (const double eps : {0.0, -1.0, std::nan("")}) {
    REQUIRE_THROWS_MATCHES(l2_normalize(x, eps), ConfigError, says("l2_normalize: eps must be positive and finite"));
  }
  REQUIRE_THROWS_MATCHES(l2_normalize(Tensor::zeros({}), 1e-6), ShapeError, says("l2_normalize: x must have"));
}
