// SPDX-License-Identifier: MIT
// Softmax and binary cross-entropy with own and shared negatives, with and without correction.
#include <numeric>

#include <hstu/core/parallel.hpp>
#include <hstu/loss/cross_entropy.hpp>
#include <hstu/loss/negatives.hpp>
#include <hstu/loss/sampled_softmax.hpp>

#include "../check_op.hpp"
#include "../reference/sampled_softmax.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

struct LossCase {
  std::int64_t tokens, items, width, negatives;
  double temperature;
};
const LossCase kLossCases[] = {{0, 5, 3, 4, 0.5},
                               {1, 2, 1, 1, 0.1},
                               {33, 20, 8, 7, 0.3},
                               {31, 9, 7, 0, 0.2},
                               {17, 600, 33, 531, 0.25}};  // more negatives than the factors of one logarithm

struct Variant {
  bool is_binary, is_shared, is_corrected;
};

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (int i = 0; i < 8; ++i) all.push_back({(i & 1) != 0, (i & 2) != 0, (i & 4) != 0});
  return all;
}

struct Problem {
  std::vector<Tensor> inputs;  // hidden, table
  Tensor targets, negatives;
  SampledLossOptions options;
  Variant variant;

  Problem(const LossCase& c, const Variant& v) : variant(v) {
    inputs = {random_input({c.tokens, c.width}, 1, 0.5), random_input({c.items, c.width}, 2, 0.5)};
    std::vector<std::int32_t> ids;
    for (std::int64_t t = 0; t < c.tokens; ++t) {  // every fourth is ignored
      const auto below = static_cast<std::uint32_t>(c.items - 1);
      const auto id = static_cast<std::int32_t>(RandomStream{.seed = 3}.below(static_cast<std::uint64_t>(t), below));
      ids.push_back(t % 4 == 3 ? 0 : id + 1);
    }
    targets = Tensor::from(ids);
    negatives = sample_negatives(v.is_shared ? 1 : c.tokens, c.negatives, c.items, {.seed = 4});
    if (v.is_shared) negatives = negatives.reshaped({c.negatives});
    options = {.temperature = c.temperature, .reduction = Reduction::sum};
    if (v.is_corrected) options.log_expected = random_input({c.items}, 5);
  }

  Tensor loss(const std::vector<Tensor>& x) const {
    return variant.is_binary ? sampled_binary(x[0], x[1], targets, negatives, options)
                             : sampled_softmax(x[0], x[1], targets, negatives, options);
  }
  double expected() const {
    const auto losses = reference::sampled_losses(
        inputs[0].to_vector<double>(), inputs[1].to_vector<double>(), targets.to_vector<std::int32_t>(),
        negatives.to_vector<std::int32_t>(), variant.is_shared, variant.is_binary,
        static_cast<std::size_t>(inputs[0].size(1)), options.temperature,
        variant.is_corrected ? options.log_expected.to_vector<double>() : Values{});
    return std::accumulate(losses.begin(), losses.end(), 0.0);
  }
};

/// Calls body(problem) for all cases and variants.
template <class Body>
void for_each_problem(std::span<const LossCase> cases, const Body& body) {
  for (const LossCase& c : cases) {
    for (const Variant& v : variants()) {
      CAPTURE(c.tokens, c.items, c.width, c.negatives, v.is_binary, v.is_shared, v.is_corrected);
      body(Problem(c, v));
    }
  }
}

}  // namespace

TEST_CASE("sampled losses: values equal the plain loops", "[loss][sampled_losses][parity]") {
  for_each_problem(kLossCases, [](const Problem& p) {
    check_values([&](const std::vector<Tensor>& x) { return p.loss(x); }, p.inputs, {p.expected()}, 5e-6);
  });
}

TEST_CASE("sampled losses: gradients match finite differences", "[loss][sampled_losses][gradcheck]") {
  const LossCase cases[] = {{6, 9, 5, 4, 0.3}, {9, 4, 8, 6, 0.2},   {5, 6, 11, 3, 0.7}, {1, 2, 1, 1, 1.0},
                            {7, 3, 2, 9, 0.5}, {2, 17, 16, 2, 0.4}, {3, 5, 7, 5, 0.3},  {8, 8, 3, 1, 1.0}};
  for_each_problem(cases, [](const Problem& p) {
    check_gradients([&](const std::vector<Tensor>& x) { return p.loss(x); }, p.inputs);
  });
}

TEST_CASE("sampled losses: the mean is the sum over the counted positions", "[loss][sampled_losses][property]") {
  for_each_problem(std::span(kLossCases).subspan(2, 1), [](Problem p) {
    const std::vector<Tensor> x = as_parameters(p.inputs, DType::float64);
    const double sum = p.loss(x).item();
    p.options.reduction = Reduction::mean;
    CHECK(std::abs(p.loss(x).item() - sum / 25.0) < 1e-12 * std::abs(sum));  // 33 positions, 8 of them ignored
  });
}

TEST_CASE("sampled losses: shared negatives give what the same negatives per position give",
          "[loss][sampled_losses][property]") {
  for_each_problem(std::span(kLossCases).subspan(2), [](const Problem& p) {
    if (!p.variant.is_shared) return;
    Problem own = p;
    std::vector<std::int32_t> repeated;
    for (std::int64_t t = 0; t < p.targets.numel(); ++t) {
      const auto items = p.negatives.values<std::int32_t>();
      repeated.insert(repeated.end(), items.begin(), items.end());
    }
    own.negatives = Tensor::from(repeated, {p.targets.numel(), p.negatives.numel()});
    const std::vector<Tensor> x = as_parameters(p.inputs, DType::float64), y = as_parameters(p.inputs, DType::float64);
    const Tensor a = p.loss(x), b = own.loss(y);
    require_close(a, b, 1e-12);
    backward(a);
    backward(b);
    for (std::size_t i = 0; i < 2; ++i) require_close(grad(x[i]), grad(y[i]), 1e-11);
  });
}

TEST_CASE("sampled losses: extreme logits stay finite, NaN does not hide", "[loss][sampled_losses][property]") {
  for (const bool is_shared : {false, true}) {
    for (const double size : {1.0, std::nan("")}) {
      const Tensor hidden = parameter(Tensor::full({2, 3}, size)), table = parameter(randn({9, 3}, {.seed = 1}, 50.0));
      const Tensor targets = Tensor::from(std::vector<std::int32_t>{1, 2});
      const Tensor negatives =
          is_shared ? sample_negatives(1, 20, 9, {}).reshaped({20}) : sample_negatives(2, 20, 9, {});
      const Tensor loss = sampled_binary(hidden, table, targets, negatives, {.temperature = 0.01});
      CHECK(std::isfinite(loss.item()) == !std::isnan(size));
      if (std::isnan(size)) continue;
      backward(loss);
      CHECK(std::isfinite(array<float>(grad(table)).sum()));
    }
  }
}

TEST_CASE("sampled_softmax: uniform shared negatives of all items with their share give the full softmax",
          "[loss][sampled_losses][property]") {
  const std::vector<Tensor> x = as_parameters({random_input({6, 5}, 1), random_input({11, 5}, 2)}, DType::float64);
  const Tensor targets = Tensor::from(std::vector<std::int32_t>{1, 10, 3, 0, 7, 7});
  std::vector<std::int32_t> all(10);
  std::iota(all.begin(), all.end(), 1);
  const SampledLossOptions options{.temperature = 0.5, .log_expected = Tensor::full({11}, -2.0, DType::float64)};
  const Tensor sampled = sampled_softmax(x[0], x[1], targets, Tensor::from(all), options);
  require_close(sampled, cross_entropy(x[0], x[1], {}, targets, {.temperature = 0.5, .excluded_item = 0}), 1e-13);
}

TEST_CASE("sampled_binary: without negatives it is the logistic loss of the target",
          "[loss][sampled_losses][property]") {
  const Tensor hidden = parameter(Tensor::full({1, 1}, 2.0, DType::float64));
  const Tensor table = Tensor::full({3, 1}, 1.5, DType::float64), targets = Tensor::full({1}, 2, DType::int32);
  const Tensor loss = sampled_binary(hidden, table, targets, Tensor({1, 0}, DType::int32), {.temperature = 1.0});
  CHECK(std::abs(loss.item() - std::log1p(std::exp(-3.0))) < 1e-15);
  backward(loss);
  CHECK(std::abs(grad(hidden).item() + 1.5 / (1.0 + std::exp(3.0))) < 1e-15);
}

TEST_CASE("sampled losses: errors name the function and the argument", "[loss][sampled_losses][errors]") {
  const Tensor hidden = randn({2, 3}, {}), table = randn({4, 3}, {});
  const Tensor targets = Tensor::from(std::vector<std::int32_t>{1, 2});
  const auto items = [](std::vector<std::int32_t> ids) { return Tensor::from(ids); };
  CHECK_THROWS_MATCHES(sampled_binary(hidden, table, targets, items({1, 4})), DataError,
                       says("sampled_binary: negative is 4, expected an item below 4"));
  CHECK_THROWS_MATCHES(sampled_binary(hidden, table, targets, items({-1})), DataError, says("negative is -1"));
  CHECK_THROWS_MATCHES(sampled_binary(hidden, table, targets, Tensor::full({2, 1, 1}, 1, DType::int32)), ShapeError,
                       says("int32[2, R] or int32[R]"));
  CHECK_THROWS_MATCHES(sampled_binary(hidden, table, items({5, 1}), items({1})), DataError,
                       says("target of position 0 is 5"));
  CHECK_THROWS_MATCHES(sampled_binary(hidden, table, targets, items({1}), {.temperature = 0.0}), ConfigError,
                       says("sampled_binary: temperature"));
  const SampledLossOptions options{.log_expected = Tensor::zeros({4})};
  CHECK_THROWS_MATCHES(sampled_softmax(hidden, table, targets, items({1}), options), ShapeError,
                       says("log_expected must be float64[4], got float32[4]"));
}
