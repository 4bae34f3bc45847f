// SPDX-License-Identifier: MIT
// The walk: sums over paths, accumulation, freeing, misuse.
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/reduce.hpp>
#include <hstu/ops/reshape.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("backward: gradients sum over all paths of a shared subexpression", "[autograd][backward][gradcheck]") {
  check_gradients([](const auto& in) {
    const Tensor shared = in[0] * in[1];
    const Tensor twice = shared + shared;
    return twice * shared + in[0] / (shared * shared + in[1] * in[1]);
  }, {random_input({5}, 1), random_input({5}, 2)});
}

TEST_CASE("backward: a gradient passed on to two inputs is not overwritten", "[autograd][backward][regression]") {
  // add hands the same dy to both inputs; the later use of `a` must not write into the gradient of `b`
  const Tensor x = parameter(Tensor::full({3}, 2.0, DType::float64));
  const Tensor a = scale(x, 1.0);
  const Tensor b = scale(x, 10.0);
  const Tensor y = a * a + (a + b);
  backward_from(y, Tensor::full({3}, 1.0, DType::float64));
  REQUIRE(grad(x).to_vector<double>() == Values{15, 15, 15});  // 2a + 1 + 10
}

TEST_CASE("backward: the incoming gradient stays as it is", "[autograd][backward][property]") {
  const Tensor x = parameter(Tensor::full({2}, 3.0, DType::float64));
  const Tensor dy = Tensor::from(Values{1, 2});
  const Tensor y = x + x;
  backward_from(reshape(y, {2}) + y, dy);
  REQUIRE(dy.to_vector<double>() == Values{1, 2});
  REQUIRE(grad(x).to_vector<double>() == Values{4, 8});
}

TEST_CASE("backward: gradients of two losses add up until cleared", "[autograd][backward][property]") {
  const Tensor x = parameter(Tensor::from(Values{1, 2, 3}));
  REQUIRE_FALSE(grad(x).defined());
  backward(sum(x * x));
  REQUIRE(grad(x).to_vector<double>() == Values{2, 4, 6});
  backward(sum(x * x));
  REQUIRE(grad(x).to_vector<double>() == Values{4, 8, 12});
  zero_grad(x);
  backward(sum(x));
  REQUIRE(grad(x).to_vector<double>() == Values{1, 1, 1});
}

TEST_CASE("backward: a parameter can be the loss itself", "[autograd][backward][property]") {
  const Tensor x = parameter(Tensor::full({}, 3.0));
  backward(x);
  REQUIRE(grad(x).item() == 1.0);
}

TEST_CASE("backward: the graph can be walked once", "[autograd][backward][errors]") {
  const Tensor x = parameter(Tensor::from(Values{1, 2}));
  const Tensor y = x * x;
  const Tensor loss = sum(y);
  backward(loss);
  REQUIRE_THROWS_MATCHES(backward(loss), Error, says("sum: backward ran through this graph before and freed it"));
  REQUIRE_THROWS_MATCHES(backward(sum(scale(y, 2.0))), Error, says("mul: backward ran through this graph before"));
}

TEST_CASE("backward: a refused walk leaves the gradients of parameters alone", "[autograd][backward][errors]") {
  const Tensor x = parameter(Tensor::from(Values{1, 2}));
  const Tensor y = x * x;
  backward(sum(y));
  REQUIRE_THROWS_AS(backward(sum(y + scale(x, 5.0))), Error);
  REQUIRE(grad(x).to_vector<double>() == Values{2, 4});
}

TEST_CASE("backward: misuse is refused with a reason", "[autograd][backward][errors]") {
  const Tensor x = parameter(Tensor::from(Values{1, 2}));
  REQUIRE_THROWS_MATCHES(backward(x * x), ShapeError, says("backward: the loss must be a scalar, got [2]"));
  REQUIRE_THROWS_MATCHES(backward(sum(x.detach())), Error, says("does not depend on any parameter"));
  REQUIRE_THROWS_MATCHES(backward_from(x * x, Tensor::zeros({3}, DType::float64)), ShapeError,
                         says("backward: gradient must be float64[2], got float64[3]"));
  REQUIRE_THROWS_MATCHES(grad(x * x), Error, says("grad: the tensor is not a parameter"));
  REQUIRE_THROWS_MATCHES(parameter(Tensor::zeros({2}, DType::int32)), ShapeError, says("parameter: expected float32"));
}

TEST_CASE("backward: gradients of another type are refused", "[autograd][backward][errors]") {
  const Tensor x = parameter(Tensor::zeros({2}));
  const Tensor wrong = Tensor::zeros({2}, DType::float64);
  REQUIRE_THROWS_MATCHES(backward_from(scale(x, 1.0), wrong), ShapeError,
                         says("backward: gradient must be float32[2], got float64[2]"));
  Accumulator into(nullptr);
  REQUIRE_THROWS_MATCHES(into.add(x, wrong), ShapeError, says("gradient must be float32[2], got float64[2]"));
  Tensor y = Tensor::zeros({2});
  REQUIRE_THROWS_MATCHES(add_in_place(y, wrong), ShapeError, says("gradient: expected float32[2], got float64[2]"));
  REQUIRE_THROWS_AS(add_in_place(y, Tensor::zeros({3})), ShapeError);
  REQUIRE_THROWS_MATCHES(Gradients().of(y), Error, says("the tensor is not a parameter"));
  REQUIRE_THROWS_AS(Gradients().of(scale(x, 1.0)), Error);
}

TEST_CASE("accumulator: a buffer may be asked for before and after a gradient came, and nobody else's is written",
          "[autograd][backward][property]") {
  const Tensor x = parameter(Tensor::from(Values{1, 2}));
  const Tensor shared = Tensor::from(Values{10, 20});
  for (const bool is_first : {true, false}) {
    const Tensor y = scale(x, 3.0);
    const Tensor z = record("scatter", Tensor::zeros({2}, DType::float64), {y},
                            [y, shared, is_first](const Tensor&, Accumulator& into) {
                              if (!is_first) into.add(y, shared);
                              into.buffer(y).mutable_data<double>()[1] += 1.0;
                              if (is_first) into.add(y, shared);
                            });
    backward_from(z, Tensor::zeros({2}, DType::float64));
    REQUIRE(shared.to_vector<double>() == Values{10, 20});
  }
  REQUIRE(grad(x).to_vector<double>() == Values{60, 126});  // twice 3·(10, 21)
}

TEST_CASE("backward: an op whose gradient has the wrong shape is named", "[autograd][backward][errors]") {
  const Tensor x = parameter(Tensor::zeros({2}));
  const Tensor y = record("broken", Tensor::zeros({3}), {scale(x, 1.0)}, [x](const Tensor& dy, Accumulator& into) {
    into.add(x, dy);
  });
  REQUIRE_THROWS_MATCHES(backward_from(y, Tensor::zeros({3})), ShapeError,
                         says("gradient must be float32[2], got float32[3]"));
}

TEST_CASE("NoGrad: ops in its scope are not recorded, those after it are", "[autograd][no_grad][property]") {
  const Tensor x = parameter(Tensor::from(Values{1, 2}));
  {
    const NoGrad outer;
    { const NoGrad inner; }
    REQUIRE_FALSE((x * x).needs_grad());
  }
  REQUIRE((x * x).needs_grad());
  const Tensor constant = [&] {
    const NoGrad no_grad;
    return x * x;
  }();
  backward(sum(constant * x));
  REQUIRE(grad(x).to_vector<double>() == Values{1, 4});
}
