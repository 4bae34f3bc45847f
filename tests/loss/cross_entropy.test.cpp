// SPDX-License-Identifier: MIT
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/loss/cross_entropy.hpp>

#include "check_op.hpp"
#include "reference/cross_entropy.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

struct Case {
  std::int64_t tokens, items, width;
  bool has_bias;
  double temperature;
  std::int64_t ignored, excluded;
};
const Case kCases[] = {{0, 5, 3, true, 1.0, 0, -1},      {1, 1, 1, false, 1.0, -1, -1}, {1, 7, 4, true, 0.5, 0, 0},
                       {31, 33, 5, false, 1.0, 0, -1},   {33, 20, 50, true, 0.7, 0, 0}, {64, 65, 8, true, 1.0, -1, 3},
                       {65, 30, 7, false, 0.05, 2, 0},   {130, 9, 2, true, 2.0, 0, -1}, {70, 4100, 6, true, 1.0, 0, 0},
                       {3, 9000, 3, false, 0.3, 0, 8999}, {300, 40, 5, true, 0.8, 0, 7},
                       {3, 140'000, 2, true, 0.9, 0, 139'999}};  // more than a block of items

struct Inputs {
  Tensor hidden, table, bias, targets;
  CrossEntropyOptions options;
};

Inputs make_inputs(const Case& c, DType dtype, double scale = 0.5) {
  Inputs in;
  // Values exact in float32, so that both precisions see the same numbers.
  in.hidden = parameter(randn({c.tokens, c.width}, {.seed = 1}, scale).to(dtype));
  in.table = parameter(randn({c.items, c.width}, {.seed = 2}, scale).to(dtype));
  if (c.has_bias) in.bias = parameter(randn({c.items}, {.seed = 3}).to(dtype));
  std::vector<std::int32_t> targets;
  const RandomStream stream{.seed = 4};
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    auto target =
        static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(t), static_cast<std::uint32_t>(c.items)));
    if (target == c.excluded && target != c.ignored) target = target > 0 ? target - 1 : 1;
    targets.push_back(target);
  }
  in.targets = Tensor::from(targets);
  in.options = {.temperature = c.temperature, .ignored_target = c.ignored, .excluded_item = c.excluded};
  return in;
}

std::vector<double> as_double(const Tensor& x) {
  return x.defined() ? x.to(DType::float64).to_vector<double>() : std::vector<double>();
}

/// Largest difference as a share of the largest expected value (at least 1).
double relative_error(const std::vector<double>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  double largest = 1.0, worst = 0.0;
  for (const double e : expected) largest = std::max(largest, std::abs(e));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(got[i] - expected[i]);
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, difference);
  }
  return worst / largest;
}

}  // namespace

TEST_CASE("cross_entropy: value and gradients equal the plain loops", "[loss][cross_entropy][parity]") {
  const Case c = GENERATE(from_range(std::begin(kCases), std::end(kCases)));
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Reduction reduction = GENERATE(Reduction::mean, Reduction::sum);
  CAPTURE(c.tokens, c.items, c.width, name_of(dtype));
  Inputs in = make_inputs(c, dtype);
  in.options.reduction = reduction;
  const auto expected = reference::cross_entropy(
      as_double(in.hidden), as_double(in.table), as_double(in.bias), in.targets.to_vector<std::int32_t>(),
      static_cast<std::size_t>(c.width), c.temperature, static_cast<std::int32_t>(c.ignored), c.excluded);
  const double weight =
      reduction == Reduction::sum || expected.counted == 0 ? 1.0 : 1.0 / static_cast<double>(expected.counted);

  const Tensor loss = cross_entropy(in.hidden, in.table, in.bias, in.targets, in.options);
  REQUIRE(loss.dtype() == dtype);
  backward(loss);
  // √V·ε of the sums over items, times the largest logit (about 60 at temperature 0.05).
  const double tolerance = dtype == DType::float32 ? 2e-5 : 1e-13;
  CHECK(relative_error({loss.item()}, {expected.loss * weight}) <= tolerance);
  const auto compare = [&](const Tensor& x, std::vector<double> want) {
    for (double& w : want) w *= weight;
    const Tensor got = grad(x).defined() ? grad(x) : zeros_like(x);
    CHECK(relative_error(as_double(got), want) <= tolerance);
  };
  compare(in.hidden, expected.dhidden);
  compare(in.table, expected.dtable);
  if (c.has_bias) compare(in.bias, expected.dbias);
}

TEST_CASE("cross_entropy: gradients match finite differences", "[loss][cross_entropy][gradcheck]") {
  const Case c =
      GENERATE(Case{5, 7, 3, true, 0.7, 0, 0}, Case{1, 2, 1, false, 1.0, -1, -1}, Case{67, 4, 2, true, 1.3, 1, -1},
               Case{3, 33, 5, true, 1.0, 0, 0}, Case{8, 2, 16, false, 0.5, 0, -1}, Case{17, 5, 1, true, 2.0, -1, -1},
               Case{2, 9, 31, false, 1.0, 0, 0}, Case{9, 3, 4, true, 0.8, 0, 2});
  const Inputs in = make_inputs(c, DType::float64);
  std::vector<Tensor> inputs{in.hidden, in.table};
  if (c.has_bias) inputs.push_back(in.bias);
  test::check_finite_differences(
      [&](const std::vector<Tensor>& x) {
        return cross_entropy(x[0], x[1], c.has_bias ? x[2] : Tensor(), in.targets, in.options);
      },
      inputs);
}

TEST_CASE("cross_entropy: a batch of ignored positions has loss 0 and no gradient", "[loss][cross_entropy][property]") {
  const Tensor hidden = parameter(randn({3, 2}, {.seed = 1})), table = parameter(randn({4, 2}, {.seed = 2}));
  const Tensor loss = cross_entropy(hidden, table, {}, Tensor::from(std::vector<std::int32_t>{0, 0, 0}));
  REQUIRE(loss.item() == 0.0);
  backward(loss);
  REQUIRE_FALSE(grad(hidden).defined());
  REQUIRE_FALSE(grad(table).defined());
}

TEST_CASE("cross_entropy: large logits stay finite", "[loss][cross_entropy][property]") {
  Inputs in = make_inputs({9, 12, 4, false, 0.01, -1, -1}, DType::float32, 10.0);
  const Tensor loss = cross_entropy(in.hidden, in.table, {}, in.targets, in.options);
  backward(loss);
  REQUIRE(std::isfinite(loss.item()));
  REQUIRE(array<float>(grad(in.table)).isFinite().all());
}

TEST_CASE("cross_entropy: NaN in the hidden states shows in the loss", "[loss][cross_entropy][property]") {
  Inputs in = make_inputs({40, 12, 4, false, 1.0, -1, -1}, DType::float32);
  in.hidden.mutable_data<float>()[17] = std::numeric_limits<float>::quiet_NaN();
  REQUIRE(std::isnan(cross_entropy(in.hidden, in.table, {}, in.targets, in.options).item()));
}

TEST_CASE("cross_entropy: backward scales by the gradient it gets and adds to what is there",
          "[loss][cross_entropy][property]") {
  const Inputs in = make_inputs({6, 5, 3, true, 1.0, -1, -1}, DType::float64);
  backward(cross_entropy(in.hidden, in.table, in.bias, in.targets, in.options));
  const Tensor once = grad(in.table).clone();
  backward_from(cross_entropy(in.hidden, in.table, in.bias, in.targets, in.options),
                Tensor::full({}, 2.0, DType::float64));
  std::vector<double> thrice = once.to_vector<double>();
  for (double& v : thrice) v *= 3.0;
  REQUIRE(relative_error(as_double(grad(in.table)), thrice) < 1e-14);
}

TEST_CASE("cross_entropy: errors name the argument", "[loss][cross_entropy][errors]") {
  const Tensor hidden = randn({2, 3}, {}), table = randn({4, 3}, {});
  const Tensor targets = Tensor::from(std::vector<std::int32_t>{1, 2});
  const auto with_targets = [&](std::vector<std::int32_t> t, CrossEntropyOptions o = {}) {
    return cross_entropy(hidden, table, {}, Tensor::from(t), o);
  };
  CHECK_THROWS_MATCHES(with_targets({1, 4}), DataError, MessageMatches(ContainsSubstring("position 1 is 4")));
  CHECK_THROWS_MATCHES(with_targets({-1, 1}), DataError, MessageMatches(ContainsSubstring("position 0 is -1")));
  CHECK_THROWS_MATCHES(with_targets({1, 3}, {.excluded_item = 3}), DataError,
                       MessageMatches(ContainsSubstring("excluded")));
  CHECK_THROWS_MATCHES(with_targets({1}), ShapeError, MessageMatches(ContainsSubstring("targets must be int32[2]")));
  CHECK_THROWS_MATCHES(with_targets({1, 1}, {.temperature = 0}), ConfigError,
                       MessageMatches(ContainsSubstring("temperature")));
  CHECK_THROWS_MATCHES(with_targets({1, 1}, {.excluded_item = 4}), ConfigError,
                       MessageMatches(ContainsSubstring("excluded item")));
  CHECK_THROWS_MATCHES(cross_entropy(hidden, randn({4, 2}, {}), {}, targets), ShapeError,
                       MessageMatches(ContainsSubstring("table must be [V, 3]")));
  CHECK_THROWS_MATCHES(cross_entropy(hidden, table.to(DType::float64), {}, targets), ShapeError,
                       MessageMatches(ContainsSubstring("float32")));
  CHECK_THROWS_MATCHES(cross_entropy(hidden, table, randn({3}, {}), targets), ShapeError,
                       MessageMatches(ContainsSubstring("bias must be")));
  CHECK_THROWS_MATCHES(cross_entropy(hidden.reshaped({6}), table, {}, targets), ShapeError,
                       MessageMatches(ContainsSubstring("hidden must be")));
}
