// SPDX-License-Identifier: MIT
// A new op, squared ReLU, with its gradient and the check that it is right; docs/add_an_op.md explains each part.
#include <cstdio>

#include <hstu/hstu.hpp>

using namespace hstu;

/// y = max(x, 0)²;  dx = dy·2·max(x, 0).  Any shape, float32 or float64.
inline Tensor squared_relu(const Tensor& x) {
  detail::check_defined("squared_relu", "x", x);
  Tensor y = empty_like(x);
  dispatch_floating("squared_relu", x.dtype(), [&]<class Scalar>(Scalar) {
    const auto v = array<Scalar>(x);
    mutable_array<Scalar>(y) = v * v.cwiseMax(Scalar(0));  // not squared: a NaN stays NaN
  });
  return record("squared_relu", y, {x}, [x](const Tensor& dy, Accumulator& into) {  // x is what stays in memory
    Tensor dx = empty_like(x);
    dispatch_floating("squared_relu", x.dtype(), [&]<class Scalar>(Scalar) {
      mutable_array<Scalar>(dx) = array<Scalar>(dy) * Scalar(2) * array<Scalar>(x).cwiseMax(Scalar(0));
    });
    into.add(x, dx);
  });
}

/// The same with a wrong gradient, to see that the check notices.
inline Tensor wrong_squared_relu(const Tensor& x) {
  return record("wrong_squared_relu", squared_relu(x.detach()), {x},
                [x](const Tensor& dy, Accumulator& into) { into.add(x, scale(dy, 2.0)); });
}

int main() {
  // gradcheck compares backward with central differences, in float64.
  const Tensor x = parameter(randn({3, 4}, {.seed = 3}, 1.0, DType::float64));
  const auto check_op = [&](const char* name, Tensor (*op)(const Tensor&)) {
    const GradcheckResult result = gradcheck([op](const std::vector<Tensor>& inputs) { return op(inputs[0]); }, {x});
    std::printf("%s: %s\n", name, result.ok ? "the gradient is right" : result.message.c_str());
    return result.ok;
  };
  const bool right = check_op("squared_relu", squared_relu);
  const bool wrong = check_op("wrong_squared_relu", wrong_squared_relu);

  // An op takes its place among the others: here in a small network.
  const Tensor weight = parameter(randn({8, 4}, {.seed = 4}, 0.5, DType::float64));
  backward(mean(squared_relu(linear(x, weight, Tensor()))));
  std::printf("gradient of the weight has the shape [%lld, %lld]\n", static_cast<long long>(grad(weight).size(0)),
              static_cast<long long>(grad(weight).size(1)));
  return right && !wrong ? 0 : 1;
}
