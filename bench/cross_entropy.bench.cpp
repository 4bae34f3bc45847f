// SPDX-License-Identifier: MIT
// cross_entropy over all items: MovieLens-1M, and a large catalogue with a wide model.
//   flops = 2·T·V·D for the loss alone, 6·T·V·D with gradients; exponentials and logits made anew count as nothing
#include <hstu/loss/cross_entropy.hpp>
#include <hstu/ops/columns.hpp>

#include "../tests/reference/cross_entropy.hpp"
#include "bench.hpp"

namespace hstu::bench {
namespace {

constexpr double kTolerance = 2e-5;  // of the loss and the largest gradient: ε of the logits, √V·ε of sums over items

struct Case {
  std::int64_t items, width, tokens;
  std::int64_t checked_tokens;  // plain loops take nanoseconds a token, item and column

  double flops() const { return 2.0 * static_cast<double>(tokens * items * width); }
};
constexpr Case kCases[] = {{3707, 50, 256, 256}, {100'001, 256, 256, 8}};

/// Logits of about the spread they have in training, the table padded to whole packs, as the trainer passes it; item 0
/// is left out of the softmax, as in rechub-0.9.
struct Problem {
  Tensor hidden, table, targets;
  CrossEntropyOptions options{.temperature = 0.05, .excluded_item = 0, .reduction = Reduction::sum};
  double error = 0.0;

  explicit Problem(const Case& c) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(c.width));  // rows of about length one
    hidden = parameter(randn({c.tokens, c.width}, {.seed = 1}, scale));
    table = parameter(pad_columns(randn({c.items, c.width}, {.seed = 2}, scale), simd::whole_packs(c.width)));
    std::vector<std::int32_t> items;
    for (std::uint64_t t = 0; std::ssize(items) < c.tokens; ++t) {
      items.push_back(1 + static_cast<std::int32_t>(
                              RandomStream{.seed = 3}.below(t, static_cast<std::uint32_t>(c.items - 1))));
    }
    targets = Tensor::from(items);
    check(c.checked_tokens);
  }

  Tensor loss() const { return cross_entropy(hidden, table, {}, targets, options); }

  /// Loss and gradients of the first tokens against plain loops.
  void check(std::int64_t tokens) {
    const Tensor few = parameter(hidden.rows(0, tokens).clone());
    const Tensor few_targets = targets.rows(0, tokens);
    const Tensor got = cross_entropy(few, table, {}, few_targets, options);
    backward(got);
    const auto unpadded = [&](const Tensor& x) {
      return detail::copy_columns("bench", x, 0, hidden.size(1)).to(DType::float64).to_vector<double>();
    };
    const auto expected = ::reference::cross_entropy(
        few.to(DType::float64).to_vector<double>(), unpadded(table), {}, few_targets.to_vector<std::int32_t>(),
        static_cast<std::size_t>(hidden.size(1)), options.temperature, 0, options.excluded_item);
    const Tensor dtable = Tensor::from(expected.dtable, {table.size(0), hidden.size(1)});
    error = std::max({largest_error(got, {expected.loss}), largest_error(grad(few), expected.dhidden),
                      largest_error(grad(table), pad_columns(dtable, table.size(1)))});
  }
};

[[maybe_unused]] const bool registered = [] {
  for (const Case& c : kCases) {
    const std::string size = concat("/V", c.items, "/D", c.width, "/T", c.tokens);
    const auto unit = c.items > 10'000 ? benchmark::kMillisecond : benchmark::kMicrosecond;
    const auto problem = lazily<Problem>(c);
    add("cross_entropy_loss" + size, [c, problem](benchmark::State& state) {
      if (!is_right(state, problem().error, kTolerance)) return;
      const NoGrad no_grad;
      const Samples samples = measure(state, [&] { benchmark::DoNotOptimize(problem().loss()); });
      report_flops(state, samples, c.flops());
    }, unit);
    add("cross_entropy_and_gradients" + size, [c, problem](benchmark::State& state) {
      if (!is_right(state, problem().error, kTolerance)) return;
      report_flops(state, measure(state, [&] { backward(problem().loss()); }), 3.0 * c.flops());
    }, unit);
  }
  return true;
}();

}  // namespace
}  // namespace hstu::bench
