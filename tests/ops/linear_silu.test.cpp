// SPDX-License-Identifier: MIT
// The fused linear maps with SiLU against their composed forms.
#include <hstu/ops/linear_silu.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

struct Layer {
  std::int64_t rows, inner, cols;
};
const Layer kSizes[] = {{1, 1, 1},   {3, 4, 2},     {0, 3, 2},      {3, 0, 2}, {2, 3, 0},
                        {33, 5, 17}, {31, 50, 200}, {250, 300, 41}, {2, 0, 0}};

Tensor linear_silu_of(const std::vector<Tensor>& in) { return linear_silu(in[0], in[1], in.size() > 2 ? in[2] : Tensor()); }
Tensor composed_of(const std::vector<Tensor>& in) {
  return linear_silu_composed(in[0], in[1], in.size() > 2 ? in[2] : Tensor());
}

}  // namespace

TEST_CASE("matmul_silu, linear_silu: equal the composed forms", "[ops][linear_silu][parity]") {
  for (const Layer& s : kSizes) {
    INFO(s.rows << " x " << s.inner << " x " << s.cols);
    const Tensor x = random_input({s.rows, s.inner}, 1), b = random_input({s.inner, s.cols}, 2);
    const Tensor weight = random_input({s.cols, s.inner}, 3), bias = random_input({s.cols}, 4);
    check_values([](const auto& in) { return matmul_silu(in[0], in[1]); }, {x, b},
                 matmul_silu_composed(x, b).to_vector<double>(), 3e-5);
    check_values(linear_silu_of, {x, weight}, composed_of({x, weight}).to_vector<double>(), 3e-5);
    check_values(linear_silu_of, {x, weight, bias}, composed_of({x, weight, bias}).to_vector<double>(), 3e-5);
  }
}

TEST_CASE("matmul_silu, linear_silu: gradients match finite differences", "[ops][linear_silu][gradcheck]") {
  for (const Layer& s : {Layer{3, 4, 2}, Layer{5, 3, 11}, Layer{1, 2, 8}, Layer{2, 1, 17}, Layer{1, 1, 1},
                         Layer{7, 5, 16}, Layer{2, 31, 3}, Layer{4, 2, 33}}) {
    INFO(s.rows << " x " << s.inner << " x " << s.cols);
    const Tensor x = random_input({s.rows, s.inner}, 1), b = random_input({s.inner, s.cols}, 2);
    check_gradients([](const auto& in) { return matmul_silu(in[0], in[1]); }, {x, b});
    const Tensor weight = random_input({s.cols, s.inner}, 3), bias = random_input({s.cols}, 4);
    check_gradients(linear_silu_of, {x, weight});
    check_gradients(linear_silu_of, {x, weight, bias});
    const Tensor constant = random_input({s.rows, s.inner}, 5);  // nobody wants its gradient
    check_gradients([&](const auto& in) { return linear_silu(constant.to(in[0].dtype()), in[0], in[1]); }, {weight, bias});
  }
}

TEST_CASE("matmul_silu, linear_silu: without recording nothing is kept", "[ops][linear_silu][property]") {
  const Tensor x = parameter(random_input({3, 4})), weight = parameter(random_input({2, 4}, 1));
  const NoGrad no_grad;
  REQUIRE_FALSE(linear_silu(x, weight, {}).needs_grad());
}

TEST_CASE("matmul_silu, linear_silu: operands that do not fit are named", "[ops][linear_silu][errors]") {
  const Tensor x = Tensor::zeros({2, 3});
  REQUIRE_THROWS_MATCHES(matmul_silu(x, Tensor::zeros({4, 2})), ShapeError,
                         says("matmul_silu: b must be [3, N] (last size of a), got [4, 2]"));
  REQUIRE_THROWS_MATCHES(linear_silu(x, Tensor::zeros({4, 2}), {}), ShapeError,
                         says("linear_silu: weight must be [out, 3]"));
  REQUIRE_THROWS_MATCHES(linear_silu(x, Tensor::zeros({4, 3}), Tensor::zeros({3})), ShapeError,
                         says("linear_silu: bias must be [4], got [3]"));
  REQUIRE_THROWS_MATCHES(linear_silu(x, Tensor::zeros({4, 3}, DType::float64), {}), ShapeError, says("weight must be float32"));
}
