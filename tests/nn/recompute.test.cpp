// SPDX-License-Identifier: MIT
// Recompute: gradients of the recorded pass, and what cannot be walked.
#include <hstu/nn/recompute.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/reduce.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("recompute: gradients have the bits of the recorded pass", "[nn][recompute][parity]") {
  const Tensor x = parameter(random_input({5, 3}, 1)), w = parameter(random_input({5, 3}, 2));
  const auto forward = [w](const Tensor& input, ForwardContext&) { return input * w * input; };
  ForwardContext context;
  backward(sum(forward(x, context)));
  const Values dx = grad(x).to_vector<double>(), dw = grad(w).to_vector<double>();
  const Tensor x2 = parameter(x.detach().clone()), w2 = parameter(w.detach().clone());
  const auto again = [w2](const Tensor& input, ForwardContext&) { return input * w2 * input; };
  backward(sum(recompute(x2, {w2}, context, again)));
  CHECK(grad(x2).to_vector<double>() == dx);
  CHECK(grad(w2).to_vector<double>() == dw);
}

TEST_CASE("recompute: a part that does not depend on its input cannot be walked", "[nn][recompute][errors]") {
  const Tensor x = parameter(random_input({2}, 1));
  ForwardContext context;
  const Tensor y = recompute(x, {}, context, [](const Tensor& input, ForwardContext&) { return input.detach(); });
  CHECK_THROWS_MATCHES(backward(sum(y)), Error, says("does not depend on any parameter"));
}
