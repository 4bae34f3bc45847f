// SPDX-License-Identifier: MIT
#include <numeric>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/loss/cross_entropy.hpp>
#include <hstu/loss/negatives.hpp>
#include <hstu/loss/sampled_softmax.hpp>
#include <hstu/ops/columns.hpp>
#include <hstu/ops/l2_normalize.hpp>

#include "check_op.hpp"
#include "reference/sampled_softmax.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

struct Draw {
  std::int64_t tokens, items, width, negatives;
  bool normalize;
  double temperature;
};
const Draw kDraws[] = {{0, 5, 3, 4, true, 0.05}, {1, 2, 1, 1, true, 0.1},   {33, 20, 8, 7, true, 0.05},
                       {5, 9, 7, 0, true, 0.2},  {31, 40, 50, 5, false, 1}, {17, 300, 33, 130, true, 0.05}};

struct DrawInputs {
  Tensor hidden, table, targets, negatives;
  bool normalize;
  double l2_eps = 1e-6;
  SampledLossOptions options;
};

Tensor loss_of(const Tensor& hidden, const Tensor& table, const DrawInputs& in) {
  return sampled_softmax(hidden, in.normalize ? l2_normalize(table, in.l2_eps) : table, in.targets, in.negatives,
                         in.options);
}
Tensor loss_of(const DrawInputs& in) {
  return loss_of(in.hidden, in.table, in);
}

DrawInputs draw_inputs(const Draw& c, DType dtype) {
  DrawInputs in;
  in.hidden = parameter(randn({c.tokens, c.width}, {.seed = 1}, 0.3).to(dtype));
  in.table = parameter(randn({c.items, c.width}, {.seed = 2}, 0.5).to(dtype));
  std::vector<std::int32_t> targets;
  for (std::int64_t t = 0; t < c.tokens; ++t) {  // every fourth is ignored
    const auto id =
        RandomStream{.seed = 3}.below(static_cast<std::uint64_t>(t), static_cast<std::uint32_t>(c.items - 1));
    targets.push_back(t % 4 == 3 ? 0 : static_cast<std::int32_t>(id) + 1);
  }
  in.targets = Tensor::from(targets);
  in.negatives = sample_negatives(c.tokens, c.negatives, c.items, {.seed = 4});
  in.normalize = c.normalize;
  in.options = {.temperature = c.temperature};
  return in;
}

std::vector<double> reference_losses(const DrawInputs& in) {
  return reference::sampled_softmax(in.hidden.to(DType::float64).to_vector<double>(),
                                    in.table.to(DType::float64).to_vector<double>(),
                                    in.targets.to_vector<std::int32_t>(), in.negatives.to_vector<std::int32_t>(),
                                    static_cast<std::size_t>(in.hidden.size(1)), in.options.temperature,
                                    in.l2_eps, in.normalize, 0);
}

}  // namespace

TEST_CASE("sampled_softmax: value equals the plain loops", "[loss][sampled_softmax][parity]") {
  const Draw c = GENERATE(from_range(std::begin(kDraws), std::end(kDraws)));
  const DType dtype = GENERATE(DType::float32, DType::float64);
  CAPTURE(c.tokens, c.items, c.width, c.negatives, name_of(dtype));
  DrawInputs in = draw_inputs(c, dtype);
  const auto losses = reference_losses(in);
  const double sum = std::accumulate(losses.begin(), losses.end(), 0.0);
  const double tolerance = dtype == DType::float32 ? 5e-6 : 1e-14;  // √D·ε times logits of about 20
  CHECK_THAT(loss_of(in).item(),
             WithinRel(losses.empty() ? 0.0 : sum / static_cast<double>(losses.size()), tolerance) ||
                 WithinAbs(0.0, losses.empty() || c.negatives == 0 ? 0.0 : tolerance));
  in.options.reduction = Reduction::sum;
  CHECK_THAT(loss_of(in).item(), WithinRel(sum, tolerance) || WithinAbs(sum, tolerance));
}

TEST_CASE("sampled_softmax: gradients match finite differences", "[loss][sampled_softmax][gradcheck]") {
  const Draw c = GENERATE(Draw{6, 9, 5, 4, true, 0.3}, Draw{9, 4, 8, 6, true, 0.2}, Draw{5, 6, 11, 3, false, 0.7},
                          Draw{1, 2, 1, 1, false, 1.0}, Draw{17, 5, 3, 9, true, 0.5}, Draw{2, 3, 16, 2, false, 0.4},
                          Draw{3, 33, 7, 5, true, 0.3}, Draw{8, 8, 2, 0, false, 1.0});
  const DrawInputs in = draw_inputs(c, DType::float64);
  test::check_finite_differences([&](const std::vector<Tensor>& x) { return loss_of(x[0], x[1], in); },
                                 {in.hidden, in.table});
}

TEST_CASE("sampled_softmax: rows shorter than l2_eps keep a finite gradient", "[loss][sampled_softmax][gradcheck]") {
  DrawInputs in = draw_inputs({5, 6, 3, 4, true, 0.5}, DType::float64);
  in.l2_eps = 0.4;  // some rows are clamped, some are not, row 1 is zero
  std::fill_n(in.table.mutable_data<double>() + 3, 3, 0.0);
  test::check_finite_differences([&](const std::vector<Tensor>& x) { return loss_of(x[0], x[1], in); },
                                 {in.hidden, in.table});
}

TEST_CASE("sampled_softmax: float32 gradients agree with float64", "[loss][sampled_softmax][parity]") {
  const Draw c{40, 60, 50, 128, true, 0.05};
  const DrawInputs low = draw_inputs(c, DType::float32), high = draw_inputs(c, DType::float64);
  backward(loss_of(low));
  backward(loss_of(high));
  for (const auto& [a, b] : {std::pair{low.hidden, high.hidden}, {low.table, high.table}}) {
    const Tensor difference = grad(a).to(DType::float64);
    const double largest = array<double>(grad(b)).abs().maxCoeff();
    REQUIRE((array<double>(difference) - array<double>(grad(b))).abs().maxCoeff() <= 2e-5 * largest);
  }
}

TEST_CASE("sampled_softmax: negatives equal to the target do not count", "[loss][sampled_softmax][property]") {
  const Tensor hidden = parameter(randn({2, 4}, {.seed = 1})), table = parameter(randn({3, 4}, {.seed = 2}));
  const Tensor targets = Tensor::from(std::vector<std::int32_t>{1, 2});
  const Tensor all_hits = Tensor::from(std::vector<std::int32_t>{1, 1, 1, 2, 2, 2}, {2, 3});
  const Tensor loss = sampled_softmax(hidden, table, targets, all_hits);
  REQUIRE(loss.item() == 0.0);
  backward(loss);
  REQUIRE((array<float>(grad(hidden)) == 0.0f).all());
  REQUIRE((array<float>(grad(table)) == 0.0f).all());
}

TEST_CASE("sampled_softmax: a batch of ignored positions has loss 0 and no gradient",
          "[loss][sampled_softmax][property]") {
  const Tensor hidden = parameter(randn({2, 4}, {.seed = 1})), table = parameter(randn({3, 4}, {.seed = 2}));
  const Tensor targets = Tensor::zeros({2}, DType::int32), negatives = Tensor::full({2, 3}, 1, DType::int32);
  const Tensor loss = sampled_softmax(hidden, table, targets, negatives);
  REQUIRE(loss.item() == 0.0);
  backward(loss);
  REQUIRE_FALSE(grad(table).defined());
}

TEST_CASE("sampled_softmax: every item once as a negative gives the full softmax",
          "[loss][sampled_softmax][property]") {
  const std::int64_t tokens = 6, items = 11;
  const Tensor hidden = parameter(randn({tokens, 5}, {.seed = 1}, 1.0, DType::float64));
  const Tensor table = parameter(randn({items, 5}, {.seed = 2}, 1.0, DType::float64));
  const Tensor targets = Tensor::from(std::vector<std::int32_t>{1, 10, 3, 0, 7, 7});
  std::vector<std::int32_t> all;
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int32_t v = 1; v < items; ++v) all.push_back(v);
  }
  backward(sampled_softmax(hidden, table, targets, Tensor::from(all, {tokens, items - 1}),
                           {.temperature = 0.5}));
  const Tensor sampled = grad(table).clone();
  zero_grad(table);
  backward(cross_entropy(hidden, table, {}, targets, {.temperature = 0.5, .excluded_item = 0}));
  REQUIRE((array<double>(sampled) - array<double>(grad(table))).abs().maxCoeff() < 1e-14);
}

TEST_CASE("sampled_softmax: a loss that only one input wants", "[loss][sampled_softmax][property]") {
  const DrawInputs in = draw_inputs({4, 6, 3, 2, true, 0.5}, DType::float64);
  backward(loss_of(in));
  const Tensor hidden = parameter(in.hidden.clone()), table = parameter(in.table.clone());
  backward(loss_of(hidden, in.table.detach(), in));
  backward(loss_of(in.hidden.detach(), table, in));
  REQUIRE((array<double>(grad(hidden)) == array<double>(grad(in.hidden))).all());
  REQUIRE((array<double>(grad(table)) == array<double>(grad(in.table))).all());
  const NoGrad no_grad;
  REQUIRE_FALSE(loss_of(in).needs_grad());
}

TEST_CASE("sampled_softmax: a table padded with zero columns gives the same bits", "[loss][sampled_softmax][property]") {
  const DrawInputs in = draw_inputs({20, 30, 50, 9, false, 0.1}, DType::float32);
  const Tensor hidden = parameter(in.hidden.clone()), table = parameter(in.table.clone());
  const Tensor narrow = loss_of(in), wide = loss_of(hidden, pad_columns(table, 56), in);
  REQUIRE(narrow.item() == wide.item());
  backward(narrow);
  backward(wide);
  REQUIRE(grad(hidden).to_vector<float>() == grad(in.hidden).to_vector<float>());
  REQUIRE(grad(table).to_vector<float>() == grad(in.table).to_vector<float>());
}

TEST_CASE("sampled_softmax: errors name the argument", "[loss][sampled_softmax][errors]") {
  const Tensor hidden = randn({2, 3}, {}), table = randn({4, 3}, {});
  const Tensor targets = Tensor::from(std::vector<std::int32_t>{1, 2}),
               negatives = Tensor::full({2, 5}, 3, DType::int32);
  const auto ids = [](std::vector<std::int32_t> v) { return Tensor::from(v); };
  CHECK_THROWS_MATCHES(sampled_softmax(hidden, table, ids({1, 4}), negatives), DataError,
                       MessageMatches(ContainsSubstring("target of position 1 is 4")));
  CHECK_THROWS_MATCHES(sampled_softmax(hidden, table, targets, Tensor::full({2, 5}, 4, DType::int32)), DataError,
                       MessageMatches(ContainsSubstring("negative of position 0 is 4")));
  CHECK_THROWS_MATCHES(sampled_softmax(hidden, table, targets, Tensor::full({2, 5}, -1, DType::int32)), DataError,
                       MessageMatches(ContainsSubstring("is -1")));
  CHECK_THROWS_MATCHES(sampled_softmax(hidden, table, targets, Tensor::full({1, 5}, 1, DType::int32)), ShapeError,
                       MessageMatches(ContainsSubstring("negatives must be int32[2, R] or int32[R]")));
  CHECK_THROWS_MATCHES(sampled_softmax(hidden, table, ids({1}), negatives), ShapeError,
                       MessageMatches(ContainsSubstring("targets must be int32[2]")));
  CHECK_THROWS_MATCHES(sampled_softmax(hidden, randn({4, 2}, {}), targets, negatives), ShapeError,
                       MessageMatches(ContainsSubstring("table must be float32[V, 3]")));
  CHECK_THROWS_MATCHES(sampled_softmax(hidden, table, targets, negatives, {.temperature = -1}), ConfigError,
                       MessageMatches(ContainsSubstring("temperature")));
}
