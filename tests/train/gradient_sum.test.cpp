// SPDX-License-Identifier: MIT
// The sum of the gradients of chunks: values, order, cleared buffers, and what is not finite.
#include <hstu/train/gradient_sum.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

constexpr std::int64_t kLong = 40000;  // more than one piece of work

struct Sum {
  ParameterList parameters{{"short", parameter(Tensor::zeros({3}))}, {"long", parameter(Tensor::zeros({kLong}))}};
  GradientSum gradients{parameters};

  std::span<float> part(std::size_t chunk, std::size_t p) {
    return gradients.group(chunk).of(parameters[p].value).mutable_values<float>();
  }
  std::vector<float> result(std::size_t p) const { return grad(parameters[p].value).to_vector<float>(); }
};

}  // namespace

TEST_CASE("gradient_sum: adds the chunks in their order, for any number of threads", "[train][gradient_sum][parity]") {
  const RandomStream stream{.seed = 1};
  std::vector<float> expected(kLong, 0.0f);
  const int threads_before = num_threads();
  for (const int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    Sum sum;
    sum.gradients.prepare(5);
    std::ranges::fill(expected, 0.0f);
    for (std::size_t chunk = 0; chunk < 5; ++chunk) {
      const auto part = sum.part(chunk, 1);
      for (std::size_t i = 0; i < part.size(); ++i) {  // magnitudes apart, so that another order gives other bits
        part[i] = std::ldexp(static_cast<float>(stream.normal(chunk * kLong + i)), static_cast<int>(i % 40) - 20);
        expected[i] += part[i];
      }
    }
    sum.gradients.reduce();
    REQUIRE(sum.result(1) == expected);
    REQUIRE(sum.result(0) == std::vector<float>(3, 0.0f));  // no chunk touched it
  }
  set_num_threads(threads_before);
}

TEST_CASE("gradient_sum: replaces the gradient of the step before and leaves cleared buffers",
          "[train][gradient_sum][property]") {
  Sum sum;
  sum.gradients.prepare(3);
  for (std::size_t chunk = 0; chunk < 3; ++chunk) sum.part(chunk, 0)[1] = 1.0f;
  sum.gradients.reduce();
  CHECK(sum.result(0) == std::vector<float>{0, 3, 0});
  sum.gradients.prepare(2);  // fewer chunks: the third is left out
  sum.part(0, 0)[0] = 0.5f;
  sum.gradients.reduce();
  CHECK(sum.result(0) == std::vector<float>{0.5f, 0, 0});
  sum.gradients.prepare(3);
  sum.gradients.reduce();
  CHECK(sum.result(0) == std::vector<float>{0, 0, 0});
}

TEST_CASE("gradient_sum: NaN, infinities and overflow are errors that name the parameter",
          "[train][gradient_sum][errors]") {
  const float infinity = std::numeric_limits<float>::infinity(), largest = std::numeric_limits<float>::max();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
    for (const std::size_t place : {std::size_t{0}, std::size_t{16383}, std::size_t{16384}, std::size_t{kLong - 1}}) {
      Sum sum;
      sum.gradients.prepare(2);
      sum.part(1, 1)[place] = bad;
      CHECK_THROWS_MATCHES(sum.gradients.reduce(), NumericError, says("the gradient of long is not finite"));
    }
  }
  Sum sum;
  sum.gradients.prepare(2);
  sum.part(0, 1)[7] = sum.part(1, 1)[7] = sum.part(0, 0)[2] = sum.part(1, 0)[2] = largest;
  CHECK_THROWS_MATCHES(sum.gradients.reduce(), NumericError, says("the gradient of short is not finite"));
  sum.gradients.prepare(2);
  sum.part(0, 1)[7] = infinity;
  sum.part(1, 1)[7] = -infinity;
  CHECK_THROWS_AS(sum.gradients.reduce(), NumericError);
  sum.part(0, 1)[7] = largest;  // large but finite
  sum.part(1, 1)[8] = -largest;
  CHECK_NOTHROW(sum.gradients.reduce());
  sum.part(0, 1)[7] = 1.0f;
  sum.gradients.clear();
  sum.gradients.reduce();
  CHECK(sum.result(1) == std::vector<float>(kLong, 0.0f));
}
