// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/optim/clip.hpp>

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;

namespace {

NamedParameter with_gradient(const std::string& name, const std::vector<double>& gradient,
                             DType dtype = DType::float64) {
  const Tensor w = parameter(Tensor::zeros({std::ssize(gradient)}, dtype));
  backward_from(w, Tensor::from(gradient).to(dtype));
  return {name, w};
}

}  // namespace

TEST_CASE("clip_grad_norm: gradients are scaled to the norm over all parameters", "[optim][clip][parity]") {
  const ParameterList parameters{with_gradient("a", {3, 0}),
                                 with_gradient("b", {0, 4, 12}, DType::float32),
                                 {"never used", parameter(randn({5}, {}))}};
  REQUIRE_THAT(clip_grad_norm(parameters, 1.3), WithinRel(13.0, 1e-15));
  const double scale = 1.3 / (13.0 + 1e-6);
  REQUIRE_THAT(grad(parameters[0].value).values<double>()[0], WithinRel(3.0 * scale, 1e-15));
  REQUIRE_THAT(grad(parameters[1].value).values<float>()[2], WithinRel(static_cast<float>(12.0 * scale), 1e-6f));
  REQUIRE_FALSE(grad(parameters[2].value).defined());
}

TEST_CASE("clip_grad_norm: small gradients are left as they are", "[optim][clip][property]") {
  const ParameterList parameters{with_gradient("a", {0.3, -0.4})};
  REQUIRE_THAT(clip_grad_norm(parameters, 1.0), WithinRel(0.5, 1e-15));
  REQUIRE(grad(parameters[0].value).to_vector<double>() == std::vector<double>{0.3, -0.4});
  REQUIRE(clip_grad_norm({with_gradient("zero", {0, 0})}, 1.0) == 0.0);
  REQUIRE(clip_grad_norm({}, 1.0) == 0.0);
}

TEST_CASE("clip_grad_norm: a gradient that is not finite is named", "[optim][clip][errors]") {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    const ParameterList parameters{with_gradient("fine", {30.0}), with_gradient("layers.1.weight", {1.0, bad})};
    CHECK_THROWS_MATCHES(clip_grad_norm(parameters, 1.0), NumericError,
                         MessageMatches(ContainsSubstring("layers.1.weight")));
    CHECK(grad(parameters[0].value).item() == 30.0);
  }
  CHECK_THROWS_MATCHES(clip_grad_norm({}, 0.0), ConfigError, MessageMatches(ContainsSubstring("positive")));
}
