// SPDX-License-Identifier: MIT
// sampled_softmax on a chunk of meta-ml-1m, and the drawing of its negatives.
//   flops = 2·T·(R + 1)·D forward, 4·T·(R + 1)·D backward; exponentials count as nothing
#include <hstu/loss/negatives.hpp>
#include <hstu/loss/sampled_softmax.hpp>
#include <hstu/ops/columns.hpp>
#include <hstu/ops/l2_normalize.hpp>

#include "../tests/reference/sampled_softmax.hpp"
#include "bench.hpp"

namespace hstu::bench {
namespace {

constexpr double kTolerance = 1e-5;  // of the loss, and of the largest gradient: ε of logits up to 20
constexpr std::int64_t kItems = 3707, kWidth = 50, kTokens = 256, kNegatives = 128;
constexpr double kFlops = 2.0 * kTokens * (kNegatives + 1) * kWidth;

/// Hidden states and item rows of length one, the table padded to whole packs, as the trainer passes it.
struct Operands {
  Tensor hidden, table, targets, negatives;
  SampledLossOptions options;

  explicit Operands(DType dtype) {
    const auto unit_rows = [](std::int64_t rows, std::uint64_t seed) {
      return l2_normalize(randn({rows, kWidth}, {.seed = seed}), 1e-6);
    };
    hidden = parameter(unit_rows(kTokens, 1).to(dtype));
    table = parameter(pad_columns(unit_rows(kItems, 2), simd::whole_packs(kWidth)).to(dtype));
    targets = sample_negatives(kTokens, 1, kItems, {.seed = 3}).reshaped({kTokens});
    negatives = sample_negatives(kTokens, kNegatives, kItems, {.seed = 4});
  }

  Tensor loss() const { return sampled_softmax(hidden, table, targets, negatives, options); }

  double loss_by_loops() const {
    const auto losses = ::reference::sampled_softmax(
        hidden.to(DType::float64).to_vector<double>(),
        detail::copy_columns("bench", table, 0, kWidth).to(DType::float64).to_vector<double>(),
        targets.to_vector<std::int32_t>(), negatives.to_vector<std::int32_t>(), kWidth, options.temperature, 0.0, false,
        0);
    return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(losses.size());
  }
};

/// Operands in float32, checked: loss and gradients against the op in float64, and that against plain loops.
struct Problem {
  Operands operands{DType::float32};
  double error = 0.0;

  Problem() {
    const Operands exact(DType::float64);
    const Tensor loss = operands.loss();
    backward(loss);
    backward(exact.loss());
    error = std::max({largest_error(loss, {exact.loss_by_loops()}),
                      slope_error({exact.hidden, exact.table}, [&] { return exact.loss_by_loops(); }),
                      largest_error(grad(operands.hidden), grad(exact.hidden)),
                      largest_error(grad(operands.table), grad(exact.table))});
  }
};

[[maybe_unused]] const bool registered = [] {
  const std::string size = concat("/V", kItems, "/D", kWidth, "/T", kTokens, "/R", kNegatives);
  const auto problem = lazily<Problem>();
  add("sampled_softmax_forward" + size, [problem](benchmark::State& state) {
    if (!is_right(state, problem().error, kTolerance)) return;
    const Samples samples = measure(state, [&] { benchmark::DoNotOptimize(problem().operands.loss()); });
    report_flops(state, samples, kFlops);
  });
  add("sampled_softmax_backward" + size, [problem](benchmark::State& state) {
    if (!is_right(state, problem().error, kTolerance)) return;
    Tensor loss;
    const auto forward = [&] { loss = problem().operands.loss(); };
    report_flops(state, measure(state, forward, [&] { backward(loss); }), 2.0 * kFlops);
  });
  add(concat("sample_negatives/T", kTokens, "/R", kNegatives), [](benchmark::State& state) {
    const RandomStream stream{.seed = 4};
    const Tensor drawn = sample_negatives(kTokens, kNegatives, kItems, stream);
    std::vector<double> expected;
    for (std::uint64_t i = 0; i < kTokens * kNegatives; ++i) {
      expected.push_back(static_cast<double>(1 + stream.below(i, kItems - 1)));
    }
    if (!is_right(state, largest_error(drawn, expected), 0.0)) return;
    const Samples samples =
        measure(state, [&] { benchmark::DoNotOptimize(sample_negatives(kTokens, kNegatives, kItems, stream)); });
    state.counters["ns_per_negative"] = samples.mean() / (kTokens * kNegatives) * 1e9;
  });
  return true;
}();

}  // namespace
}  // namespace hstu::bench
