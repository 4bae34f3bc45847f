// SPDX-License-Identifier: MIT
// Losses on the device against those of the CPU in float64.
#include <numeric>

#include <hstu/cuda/attention.hpp>
#include <hstu/cuda/cross_entropy.hpp>
#include <hstu/cuda/sampled_softmax.hpp>
#include <hstu/loss/cross_entropy.hpp>
#include <hstu/loss/negatives.hpp>
#include <hstu/loss/sampled_softmax.hpp>
#include <hstu/ops/elementwise.hpp>

#include "on_device.hpp"

namespace hstu {
namespace {
using namespace test;

struct LossCase {
  std::int64_t tokens, width, items;
  bool has_bias = false;
  std::int64_t excluded_item = -1;
};

/// Hidden states of the tokens, an item table, targets of which some are 0 and do not count.
struct LossProblem {
  LossCase of;
  Tensor hidden, table, bias;
  std::vector<std::int32_t> targets, tokens;
  double temperature = 4.0, scale = 0.25;

  explicit LossProblem(const LossCase& c, bool is_bfloat16 = false) : of(c) {
    const auto values = [&](const Shape& shape, std::uint32_t site) {
      const Tensor x = random_input(shape, site).to(DType::float32);
      return parameter((is_bfloat16 ? to_bfloat16(x) : x).to(DType::float64));
    };
    hidden = values({c.tokens, c.width}, 1);
    table = values({c.items, c.width}, 2);
    if (c.has_bias) bias = rounded_parameter(random_input({c.items}, 3));
    const RandomStream stream{.seed = 3, .step = 0, .site = 1};
    for (std::int64_t t = 0; t < c.tokens; ++t) {
      const auto target = 1 + stream.below(static_cast<std::uint64_t>(t), static_cast<std::uint32_t>(c.items - 1));
      targets.push_back(t % 5 == 3 || target == c.excluded_item ? 0 : static_cast<std::int32_t>(target));
      if (targets.back() != 0) tokens.push_back(static_cast<std::int32_t>(t));
    }
  }
};

/// Loss, dhidden, dtable, and dbias if there is one.
template <class Element>
std::vector<Tensor> run_cross_entropy(const LossProblem& problem) {
  const LossCase& c = problem.of;
  const auto width = static_cast<std::int32_t>(c.width);
  const Buffer<float> hidden(upload(problem.hidden)), table(upload(problem.table));
  const Buffer<float> bias(upload(c.has_bias ? problem.bias : Tensor::zeros({0})));
  const Buffer<std::int32_t> tokens(device(), problem.tokens), targets(device(), problem.targets);
  const std::int64_t padded = (c.width + 15) / 16 * 16;
  cuda::CrossEntropyForward<Element> forward{};
  auto& o = forward.of;
  Buffer<cuda::Bfloat16> packed_hidden(device(), tokens.size() * padded), packed_table(device(), c.items * padded);
  if constexpr (std::is_same_v<Element, float>) {
    o.hidden = hidden.data();
    o.table = table.data();
    o.hidden_stride = o.table_stride = c.width;
  } else {
    const auto pad = static_cast<std::int32_t>(padded);
    cuda::pack_heads(device(),
                     {hidden.data(), tokens.data(), packed_hidden.data(), tokens.size(), c.width, 1, width, pad});
    cuda::pack_heads(device(), {table.data(), nullptr, packed_table.data(), c.items, c.width, 1, width, pad});
    o.hidden = packed_hidden.data();
    o.table = packed_table.data();
    o.hidden_stride = o.table_stride = padded;
  }
  o.bias = bias.data();
  o.tokens = tokens.data();
  o.targets = targets.data();
  o.positions = static_cast<std::int32_t>(tokens.size());
  o.items = static_cast<std::int32_t>(c.items);
  o.width = width;
  o.excluded_item = static_cast<std::int32_t>(c.excluded_item);
  o.inverse_temperature = static_cast<float>(1.0 / problem.temperature);
  Buffer<float> lse(device(), tokens.size()), loss(device(), 1);
  Buffer<float> dhidden(device(), hidden.size()), dtable(device(), table.size()), dbias(device(), bias.size());
  forward.lse = lse.data();
  cuda::cross_entropy_forward(device(), forward, loss.data());
  dhidden.fill_zero();
  cuda::cross_entropy_backward<Element>(
      device(), {o, lse.data(), static_cast<float>(problem.scale), dhidden.data(), dtable.data(), dbias.data()});
  std::vector<Tensor> results{download(loss, {}), download(dhidden, problem.hidden.shape()),
                              download(dtable, problem.table.shape())};
  if (c.has_bias) results.push_back(download(dbias, problem.bias.shape()));
  return results;
}

template <class Element>
void check_cross_entropy(const LossCase& c, double loss_tolerance, double tolerance) {
  CAPTURE(c.tokens, c.width, c.items, c.has_bias, c.excluded_item);
  const LossProblem problem(c, !std::is_same_v<Element, float>);
  const auto got = same_twice([&] { return run_cross_entropy<Element>(problem); });
  const Tensor loss = cross_entropy(
      problem.hidden, problem.table, problem.bias, Tensor::from(problem.targets),
      {.temperature = problem.temperature, .excluded_item = c.excluded_item, .reduction = Reduction::sum});
  backward(scale(loss, problem.scale));
  require_close(got[0], loss, loss_tolerance);
  require_near(got[1], grad(problem.hidden), tolerance);
  require_near(got[2], grad(problem.table), tolerance);
  if (c.has_bias) require_near(got[3], grad(problem.bias), tolerance);
}

TEST_CASE("plain cross-entropy on the device: loss and gradients", "[cuda][cross_entropy][parity]") {
  for (const LossCase& c : {LossCase{1, 16, 2},
                            {33, 25, 31, true},
                            {64, 50, 100, false, 0},
                            {65, 64, 257, true, 7},
                            {20, 128, 33},
                            {17, 256, 40}}) {
    check_cross_entropy<float>(c, 2e-6, 5e-6);
  }
}

TEST_CASE("cross-entropy on tensor cores: loss and gradients", "[cuda][cross_entropy][mma][parity]") {
  // Products of bfloat16 are exact in float32; p − 1 is rounded to bfloat16 before it multiplies a row.
  for (const LossCase& c : {LossCase{1, 16, 2},
                            {33, 25, 31, true},
                            {64, 50, 100, false, 0},
                            {200, 64, 300, true, 7},
                            {65, 128, 129},
                            {17, 256, 40}}) {
    check_cross_entropy<cuda::Bfloat16>(c, 1e-5, 4e-3);
  }
}

TEST_CASE("cross-entropy on the device: rows that are too wide are refused", "[cuda][cross_entropy][errors]") {
  cuda::CrossEntropyForward<float> o{};
  o.of.width = 257;
  Buffer<float> loss(device(), 1);
  REQUIRE_THROWS_MATCHES(cuda::cross_entropy_forward(device(), o, loss.data()), ShapeError,
                         says("1 to 256 columns, got 257"));
}

struct SampledCase {
  LossCase of;
  std::int32_t count;
  bool is_binary, is_corrected;
};

void check_sampled_loss(const SampledCase& s) {
  const LossCase& c = s.of;
  CAPTURE(c.tokens, c.width, c.items, s.count, s.is_binary, s.is_corrected);
  const LossProblem problem(c);
  const Tensor negatives = sample_negatives(c.tokens, s.count, c.items, {.seed = 8, .step = 0, .site = 1});
  const Tensor log_expected =
      s.is_corrected ? random_input({c.items}, 4).to(DType::float32) : Tensor::zeros({0}, DType::float32);
  std::vector<std::int32_t> candidates;
  for (const std::int32_t token : problem.tokens) {
    const auto own = negatives.values<std::int32_t>().subspan(static_cast<std::size_t>(token * s.count),
                                                              static_cast<std::size_t>(s.count));
    candidates.insert(candidates.end(), own.begin(), own.end());
    candidates.push_back(problem.targets[static_cast<std::size_t>(token)]);
  }
  const auto got = same_twice([&] {
    const Buffer<float> hidden(upload(problem.hidden)), table(upload(problem.table)), correction(upload(log_expected));
    const Buffer<std::int32_t> tokens(device(), problem.tokens), targets(device(), problem.targets);
    const Buffer<std::int32_t> items(device(), negatives.values<std::int32_t>());
    const cuda::SortedIds sorted(device(), candidates, c.items);
    Buffer<float> weights(device(), std::ssize(candidates)), losses(device(), tokens.size()), loss(device(), 1);
    Buffer<float> dhidden(device(), hidden.size()), dtable(device(), table.size());
    dhidden.fill_zero();
    dtable.fill_zero();
    const cuda::SampledSoftmaxOperands o{hidden.data(),
                                         table.data(),
                                         tokens.data(),
                                         targets.data(),
                                         items.data(),
                                         correction.data(),
                                         weights.data(),
                                         c.width,
                                         tokens.size(),
                                         s.count,
                                         static_cast<std::int32_t>(c.width),
                                         s.is_binary,
                                         static_cast<float>(1.0 / problem.temperature)};
    cuda::sampled_softmax_forward(device(), {o, losses.data()}, loss.data());
    cuda::sampled_softmax_backward(device(), {o, dhidden.data(), static_cast<float>(problem.scale)}, sorted, false,
                                   dtable.data());
    return std::vector{download(loss, {}), download(dhidden, problem.hidden.shape()),
                       download(dtable, problem.table.shape())};
  });
  SampledLossOptions options{.temperature = problem.temperature, .reduction = Reduction::sum};
  if (s.is_corrected) options.log_expected = log_expected.to(DType::float64);
  const auto compute = s.is_binary ? sampled_binary : sampled_softmax;
  const Tensor loss = compute(problem.hidden, problem.table, Tensor::from(problem.targets), negatives, options);
  backward(scale(loss, problem.scale));
  require_close(got[0], loss, 2e-6);
  require_near(got[1], grad(problem.hidden), 5e-6);
  require_near(got[2], grad(problem.table), 5e-6);
}

TEST_CASE("sampled losses on the device: loss and gradients", "[cuda][sampled_softmax][parity]") {
  for (const bool is_binary : {false, true}) {
    for (const bool is_corrected : {false, true}) {
      for (const auto& [c, count] : {std::pair{LossCase{1, 16, 3}, 1},
                                     {LossCase{33, 25, 20}, 31},
                                     {LossCase{40, 50, 100}, 128},
                                     {LossCase{10, 64, 30}, 33},
                                     {LossCase{9, 200, 30}, 5},
                                     {LossCase{6, 300, 30}, 40}}) {
        check_sampled_loss({c, count, is_binary, is_corrected});
      }
    }
  }
}

}  // namespace
}  // namespace hstu
