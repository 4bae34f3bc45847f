// SPDX-License-Identifier: MIT
// Tensors and gradients: a line is fitted to points by gradient descent, first by hand, then with an optimizer.
#include <cstdio>

#include <hstu/hstu.hpp>

using namespace hstu;

int main() {
  // Values, a shape, and arithmetic that broadcasts as in NumPy.
  const Tensor x = Tensor::from(std::vector<float>{-2, -1, 0, 1, 2}, {5, 1});
  const Tensor noise = randn({5, 1}, {.seed = 1}, 0.1);
  const Tensor y = scale(x, 3.0) + Tensor::full({1, 1}, -1.0) + noise;  // slope 3, intercept -1

  // Parameters are tensors whose gradient is wanted.  Every op on them is recorded.
  const Tensor slope = parameter(Tensor::zeros({1, 1}));
  const Tensor intercept = parameter(Tensor::zeros({1}));
  const auto loss_of_line = [&] {
    const Tensor error = linear(x, slope, intercept) - y;
    return mean(error * error);
  };

  // backward() walks the record from the loss and adds to grad(parameter).
  const Tensor loss = loss_of_line();
  backward(loss);
  std::printf("loss %.4f, gradient by the slope %.4f, by the intercept %.4f\n", loss.item(), grad(slope).item(),
              grad(intercept).item());

  // Nothing is recorded while a NoGrad lives.
  {
    const NoGrad no_grad;
    if (loss_of_line().needs_grad()) return 1;
  }

  // A step by hand: w <- w - 0.1 dw.  A copy of a tensor shares its data, so this changes the parameter.
  for (Tensor weight : {slope, intercept}) {
    weight.mutable_values<float>()[0] -= 0.1F * grad(weight).values<float>()[0];
    zero_grad(weight);
  }

  // The same with an optimizer.  Gradients add up until they are zeroed.
  AdamW optimizer({{"slope", slope}, {"intercept", intercept}});
  for (int step = 0; step < 200; ++step) {
    zero_grad(slope);
    zero_grad(intercept);
    backward(loss_of_line());
    optimizer.step(0.1);
  }
  std::printf("fitted: y = %.3f x %+.3f, loss %.4f\n", slope.item(), intercept.item(), loss_of_line().item());
  return std::abs(slope.item() - 3.0) < 0.2 && std::abs(intercept.item() + 1.0) < 0.2 ? 0 : 1;
}
