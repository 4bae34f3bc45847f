// SPDX-License-Identifier: MIT
// gradcheck accepts right gradients and, above all, rejects wrong ones.
#include <limits>

#include <hstu/ops/elementwise.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

/// y = x², with 2·x·factor as its gradient.
Tensor square(const Tensor& x, double factor) {
  Tensor y = empty_like(x);
  mutable_array<double>(y) = array<double>(x).square();
  return record("square", y, {x}, [x, factor](const Tensor& dy, Accumulator& into) {
    Tensor dx = empty_like(x);
    mutable_array<double>(dx) = array<double>(dy) * array<double>(x) * (2.0 * factor);
    into.add(x, dx);
  });
}

GradcheckResult check_square(double factor) {
  return gradcheck([factor](const auto& in) { return square(in[0], factor); }, {parameter(random_input({5}))});
}

}  // namespace

TEST_CASE("gradcheck: accepts a right gradient", "[autograd][gradcheck][property]") {
  const GradcheckResult result = check_square(1.0);
  REQUIRE(result.ok);
  REQUIRE(static_cast<bool>(result));
  REQUIRE(result.worst < 0.01);
}

TEST_CASE("gradcheck: rejects gradients that are off by 1 %, of the wrong sign or missing",
          "[autograd][gradcheck][errors]") {
  for (const double factor : {1.01, 0.99, -1.0, 2.0, 0.0}) {
    INFO("factor " << factor);
    const GradcheckResult result = check_square(factor);
    REQUIRE_FALSE(result.ok);
    REQUIRE(result.message.find("finite difference") != std::string::npos);
  }
  const auto detached = [](const auto& in) { return in[0] * in[0].detach(); };  // half of the gradient is lost
  REQUIRE_FALSE(gradcheck(detached, {parameter(random_input({5}))}).ok);
}

TEST_CASE("gradcheck: rejects a single wrong entry", "[autograd][gradcheck][errors]") {
  const auto f = [](const auto& in) {
    const Tensor x = in[0];
    return record("one_wrong", x.clone(), {x}, [x](const Tensor& dy, Accumulator& into) {
      Tensor dx = dy.clone();
      dx.mutable_data<double>()[3] += 0.01;
      into.add(x, dx);
    });
  };
  const GradcheckResult result = gradcheck(f, {parameter(random_input({5}))});
  REQUIRE_FALSE(result.ok);
  REQUIRE(result.message.find("input 0 entry 3") != std::string::npos);
}

TEST_CASE("gradcheck: rejects NaN and infinity in the gradient or the value", "[autograd][gradcheck][errors]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  REQUIRE_FALSE(check_square(nan).ok);
  REQUIRE_FALSE(check_square(std::numeric_limits<double>::infinity()).ok);
  const auto nan_value = [&](const auto& in) { return in[0] * Tensor::full({5}, nan, DType::float64); };
  REQUIRE_FALSE(gradcheck(nan_value, {parameter(random_input({5}))}).ok);
}

TEST_CASE("gradcheck: leaves the inputs as they were", "[autograd][gradcheck][property]") {
  const Tensor x = parameter(random_input({5}));
  const Values before = x.to_vector<double>();
  REQUIRE(gradcheck([](const auto& in) { return square(in[0], 1.0); }, {x}).ok);
  REQUIRE(x.to_vector<double>() == before);
}

TEST_CASE("gradcheck: an input without influence has gradient 0; constants are left out",
          "[autograd][gradcheck][property]") {
  const auto first_only = [](const auto& in) { return in[0] * in[1]; };
  REQUIRE(gradcheck(first_only,
                    {parameter(random_input({3}, 1)), random_input({3}, 2), parameter(random_input({3}, 3))}).ok);
}

TEST_CASE("gradcheck: float32 parameters are refused", "[autograd][gradcheck][errors]") {
  REQUIRE_THROWS_MATCHES(gradcheck([](const auto& in) { return scale(in[0], 2.0); }, {parameter(Tensor::zeros({2}))}),
                         ShapeError, says("gradcheck: inputs must be float64, got float32"));
}
