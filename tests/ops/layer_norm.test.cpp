// SPDX-License-Identifier: MIT
// Layer norm with and without weights.
#include <hstu/ops/activation.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/layer_norm.hpp>

#include "../check_op.hpp"
#include "../reference/rows.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

const Shape kNormShapes[] = {{3}, {0, 4}, {4, 0}, {5, 2}, {3, 31}, {2, 2, 33}, {3, 50}, {1, 7}, {3, 16}};
constexpr double kEps = 1e-5;

Tensor plain(const std::vector<Tensor>& in) { return layer_norm(in[0], kEps); }
Tensor weighted(const std::vector<Tensor>& in) { return layer_norm(in[0], in[1], in[2], kEps); }

std::vector<Tensor> norm_inputs(const Shape& shape) {
  return {random_input(shape, 1, 2.0), random_input({shape[-1]}, 2), random_input({shape[-1]}, 3)};
}

}  // namespace

TEST_CASE("layer_norm: values are those of plain loops", "[ops][layer_norm][parity]") {
  for (const Shape& shape : kNormShapes) {
    INFO(shape);
    const auto in = norm_inputs(shape);
    const auto cols = static_cast<std::size_t>(shape[-1]);
    check_values(plain, {in[0]}, reference::layer_norm(in[0].to_vector<double>(), cols, {}, {}, kEps));
    check_values(weighted, in, reference::layer_norm(in[0].to_vector<double>(), cols, in[1].to_vector<double>(),
                                                     in[2].to_vector<double>(), kEps));
  }
}

TEST_CASE("layer_norm: gradients match finite differences", "[ops][layer_norm][gradcheck]") {
  for (const Shape& shape : kNormShapes) {
    INFO(shape);
    check_gradients(plain, {norm_inputs(shape)[0]}, 1e-3);
    check_gradients(weighted, norm_inputs(shape), 1e-3);
  }
}

TEST_CASE("layer_norm: each operand may be a result, a parameter or a constant", "[ops][layer_norm][gradcheck]") {
  const auto in = norm_inputs({4, 5});
  check_gradients([](const std::vector<Tensor>& v) { return layer_norm(silu(v[0]), silu(v[1]), silu(v[2]), kEps); }, in);
  const auto constant = [](const Tensor& x, const Tensor& like) { return x.to(like.dtype()); };
  check_gradients([&](const std::vector<Tensor>& v) {
    return layer_norm(constant(in[0], v[0]), v[0], constant(in[2], v[0]), kEps);
  }, {in[1]});
  check_gradients([&](const std::vector<Tensor>& v) {
    return layer_norm(v[0], constant(in[1], v[0]), constant(in[2], v[0]), kEps);
  }, {in[0]});
}

TEST_CASE("layer_norm: rows have mean 0 and variance 1", "[ops][layer_norm][property]") {
  const Tensor y = layer_norm(random_input({7, 50}, 4, 3.0), 0.0);
  const auto rows = matrix<double>(y);
  REQUIRE(rows.rowwise().mean().cwiseAbs().maxCoeff() < 1e-14);
  REQUIRE((rows.array().square().rowwise().mean() - 1.0).abs().maxCoeff() < 1e-13);
}

TEST_CASE("layer_norm: a far offset does not cost the digits of the variance", "[ops][layer_norm][property]") {
  std::vector<float> values;
  for (int i = 0; i < 50; ++i) values.push_back(4096.0f + static_cast<float>(i % 5) * 0.5f);  // exact in float
  const Tensor x = Tensor::from(values, {1, 50});
  const std::vector<double> exact(values.begin(), values.end());
  require_close(layer_norm(x, kEps), reference::layer_norm(exact, 50, {}, {}, kEps), 1e-4);
}

TEST_CASE("layer_norm: a constant row gives the bias and a finite gradient", "[ops][layer_norm][property]") {
  const Tensor x = parameter(Tensor::full({2, 4}, 3.0));
  const Tensor y = layer_norm(x, Tensor::full({4}, 2.0), Tensor::full({4}, 0.25), kEps);
  REQUIRE(y.to_vector<float>() == std::vector<float>(8, 0.25f));
  backward_from(y, Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}, {2, 4}));
  for (const float v : grad(x).values<float>()) REQUIRE(std::isfinite(v));
}

TEST_CASE("layer_norm: operands that do not fit are named", "[ops][layer_norm][errors]") {
  const Tensor x = Tensor::zeros({2, 64});
  const Tensor w = Tensor::zeros({64});
  REQUIRE_THROWS_MATCHES(layer_norm(x, Tensor::zeros({32}), w, kEps), ShapeError,
                         says("layer_norm: weight must be [64], got [32]"));
  REQUIRE_THROWS_MATCHES(layer_norm(x, w, Tensor::zeros({64}, DType::float64), kEps), ShapeError,
                         says("layer_norm: bias must be float32, got float64"));
  REQUIRE_THROWS_MATCHES(layer_norm(Tensor::zeros({}), kEps), ShapeError, says("layer_norm: x must have"));
  REQUIRE_THROWS_MATCHES(layer_norm(x, -1e-5), ConfigError, says("layer_norm: eps must be finite and not negative"));
  REQUIRE_THROWS_AS(layer_norm(x, std::nan("")), ConfigError);
}

TEST_CASE("layer_norm: weight and bias may be one tensor", "[ops][layer_norm][regression]") {
  check_gradients(
      [](const std::vector<Tensor>& in) {
        const Tensor both = in[1] + in[1];  // not a parameter itself
        return layer_norm(in[0], both, both, 1e-5);
      },
      {random_input({3, 5}, 1), random_input({5}, 2)});
}
