// SPDX-License-Identifier: MIT
// Softmax: values, gradients, large scores and masked entries.
#include <limits>

#include <hstu/ops/softmax.hpp>

#include "../check_op.hpp"
#include "../reference/rows.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {
const Shape kSoftmaxShapes[] = {{1}, {3}, {0, 4}, {4, 0}, {5, 31}, {2, 3, 33}, {1, 100}, {2, 1}, {3, 16}};
Tensor softmax_op(const std::vector<Tensor>& in) { return softmax(in[0]); }
}  // namespace

TEST_CASE("softmax: values are those of plain loops and rows sum to 1", "[ops][softmax][parity]") {
  for (const Shape& shape : kSoftmaxShapes) {
    INFO(shape);
    const Tensor x = random_input(shape, 1, 3.0);
    check_values(softmax_op, {x}, reference::softmax(x.to_vector<double>(), static_cast<std::size_t>(shape[-1])), 1e-6);
    const Tensor y = softmax(x);
    if (shape.numel() == 0) continue;
    const Eigen::VectorXd sums = matrix<double>(y).rowwise().sum();
    REQUIRE((sums.array() - 1.0).abs().maxCoeff() < 1e-14);
  }
}

TEST_CASE("softmax: gradients match finite differences", "[ops][softmax][gradcheck]") {
  for (const Shape& shape : kSoftmaxShapes) {
    INFO(shape);
    check_gradients(softmax_op, {random_input(shape, 2)});
  }
}

TEST_CASE("softmax: adding 1e4 to a row changes nothing", "[ops][softmax][property]") {
  const Tensor x = Tensor::from(std::vector<float>{1e4f, 1e4f + 1, 1e4f - 2, 1, 2, -1}, {2, 3});
  const Tensor y = softmax(x);
  for (int i = 0; i < 3; ++i) REQUIRE(std::abs(y.data<float>()[i] - y.data<float>()[i + 3]) < 1e-6f);
}

TEST_CASE("softmax: an entry of minus infinity gets probability and gradient 0", "[ops][softmax][property]") {
  const float masked = -std::numeric_limits<float>::infinity();
  const Tensor x = parameter(Tensor::from(std::vector<float>{1, masked, 1, masked}));
  const Tensor y = softmax(x);
  REQUIRE(y.to_vector<float>() == std::vector<float>{0.5f, 0.0f, 0.5f, 0.0f});
  backward_from(y, Tensor::from(std::vector<float>{1, 2, 3, 4}));
  REQUIRE(grad(x).to_vector<float>() == std::vector<float>{-0.5f, 0.0f, 0.5f, 0.0f});
}

TEST_CASE("softmax: a NaN or a row of minus infinity gives NaN in its row only", "[ops][softmax][property]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const Tensor y = softmax(Tensor::from(std::vector<double>{0, nan, -inf, -inf, 0, 0}, {3, 2}));
  for (int i = 0; i < 4; ++i) REQUIRE(std::isnan(y.data<double>()[i]));
  REQUIRE(y.data<double>()[4] == 0.5);
}

TEST_CASE("softmax: a scalar is refused", "[ops][softmax][errors]") {
  REQUIRE_THROWS_MATCHES(softmax(Tensor::zeros({})), ShapeError,
                         says("softmax: x must have at least one dimension, got a scalar"));
}
