// SPDX-License-Identifier: MIT
// hstu_attention on one chunk of a training step, forward and backward.
//   pairs: a query and a key that it sees, for all heads together; l·(l + 1)/2 in a sequence without a mask
//   flops = 2·H·pairs·(Dqk + Dv) forward, 2.5 times that backward; masked scores, bias and activation count as nothing
#include <hstu/core/chunks.hpp>
#include <hstu/ops/hstu_attention.hpp>

#include "../tests/reference/hstu_attention.hpp"
#include "bench.hpp"

namespace hstu::bench {
namespace {

// Of the largest entry, float32 against float64; gradients of the tables are sums over up to 33 million pairs.
constexpr double kTolerance = 1e-4;
constexpr std::int64_t kLongestForLoops = 1024;  // plain loops take a microsecond a pair

struct Case {
  std::int64_t heads, width, length;
  AttentionKind kind = AttentionKind::silu;
  std::int64_t window = 0, targets = 0;

  /// A chunk holds whole users of 256 tokens together, or one longer user.
  std::int64_t users() const { return std::max<std::int64_t>(1, kChunkTokens / length); }
  SequenceMask mask() const { return {{.max_attn_len = window}, length, targets}; }
  double pairs() const {
    std::int64_t count = users() * targets;  // a target and itself
    for (std::int64_t i = 0; i < length; ++i) count += users() * (mask().keys_of(i).last - mask().keys_of(i).first);
    return static_cast<double>(count);
  }
  double flops() const { return 2.0 * static_cast<double>(heads) * pairs() * static_cast<double>(2 * width); }
  std::string name(const char* pass) const {
    return concat("attention_", pass, "/", heads, "x", width, "/", length,
                  kind == AttentionKind::softmax ? "/softmax" : "", window > 0 ? concat("/window:", window) : "",
                  targets > 0 ? concat("/targets:", targets) : "");
  }
};

/// u, v, q and k are columns of one tensor and all heads share the bias, as in Meta's layer: keys at their own time,
/// queries at that of the next event, half of the events simultaneous.
struct Operands {
  Tensor uvqk, offsets, query_times, key_times, dy;
  RelativeBias bias;
  AttentionOptions options;
  SequenceMask mask;
  TimeBucketOptions buckets{.divisor = 0.301, .max_bucket = 128};

  Operands(const Case& c, DType dtype) {
    const RandomStream gaps{.seed = 5};
    std::vector<std::int64_t> bounds{0}, times{0};
    const std::int64_t tokens = c.users() * c.length;
    for (std::int64_t b = 0; b < c.users(); ++b) bounds.push_back((b + 1) * c.length);
    for (std::int64_t t = 0; t < tokens; ++t) {
      const auto i = static_cast<std::uint64_t>(4 * t);
      const bool is_tied = gaps.below(i, 2) == 0, is_new_session = gaps.below(i + 1, 10) == 0;
      times.push_back(times.back() + (is_tied ? 0 : 1 + gaps.below(i + 2, is_new_session ? 3'000'000 : 120)));
    }
    const std::span<const std::int64_t> all(times);
    offsets = Tensor::from(bounds);
    key_times = Tensor::from(all.first(static_cast<std::size_t>(tokens)), {tokens});
    query_times = Tensor::from(all.last(static_cast<std::size_t>(tokens)), {tokens});

    const auto leaf = [&](const Shape& shape, std::uint32_t site, double scale) {
      return parameter(randn(shape, {.seed = 3, .site = site}, scale).to(dtype));
    };
    uvqk = leaf({tokens, 4 * c.heads * c.width}, 1, 0.5);
    bias.position_table = leaf({2 * c.length - 1}, 2, 0.1);
    bias.position_rows = std::make_shared<DistanceRows>(signed_distance_rows(c.length));
    bias.time_table = leaf({buckets.max_bucket + 1}, 3, 0.1);
    bias.time_panels = std::make_shared<TimePanels>(offsets, query_times, key_times, TimeBorders(buckets));
    mask = c.mask();
    options = {.kind = c.kind, .num_heads = c.heads, .normalizer = static_cast<double>(c.length), .mask = mask.rule};
    if (c.targets > 0) options.num_targets = Tensor::full({c.users()}, static_cast<double>(c.targets), DType::int64);
    dy = randn({tokens, c.heads * c.width}, {.seed = 4}).to(dtype);
  }

  Columns part(std::int64_t number) const { return {uvqk, number * uvqk.size(1) / 4, uvqk.size(1) / 4}; }
  Tensor forward() const { return hstu_attention(part(2), part(3), part(1), offsets, bias, options); }

  std::vector<double> by_loops() const {
    const auto copy = [&](std::int64_t number) {
      return detail::copy_columns("bench", uvqk, part(number).first, part(number).width);
    };
    const Tensor positions = bias.position_table.to(DType::float64), ages = bias.time_table.to(DType::float64);
    return reference::hstu_attention(copy(2), copy(3), copy(1), offsets, [&](auto, auto i, auto j, auto start) {
      const std::int64_t age = query_times.data<std::int64_t>()[start + i] - key_times.data<std::int64_t>()[start + j];
      const auto distance = static_cast<std::size_t>(mask.place(i) - mask.place(j));
      return positions.data<double>()[(*bias.position_rows)[distance]] +
             ages.data<double>()[time_bucket(age, buckets)];
    }, options);
  }
};

/// Operands in float32, checked: output and gradients against the op in float64, and that against plain loops.
struct Problem {
  Operands operands;
  double error;

  explicit Problem(const Case& c) : operands(c, DType::float32) {
    const Operands exact(c, DType::float64);
    const Tensor y = operands.forward(), exact_y = exact.forward();
    backward_from(y, operands.dy);
    backward_from(exact_y, exact.dy);
    const auto leaves = [](const Operands& o) {
      return std::vector<Tensor>{o.uvqk, o.bias.position_table, o.bias.time_table};
    };
    error = largest_error(y, exact_y);
    for (std::size_t i = 0; i < 3; ++i) {
      error = std::max(error, largest_error(grad(leaves(operands)[i]), grad(leaves(exact)[i])));
    }
    if (c.length > kLongestForLoops) return;
    const double slope = slope_error(leaves(exact), [&] {
      const auto by_loops = exact.by_loops();
      return std::inner_product(by_loops.begin(), by_loops.end(), exact.dy.data<double>(), 0.0);
    });
    error = std::max({error, slope, largest_error(exact_y, exact.by_loops())});
  }
};

void report(benchmark::State& state, const Samples& samples, const Case& c, double flops) {
  if (samples.seconds.empty()) return;
  report_flops(state, samples, flops);
  state.counters["ns_per_pair"] = samples.mean() / c.pairs() * 1e9;
}

[[maybe_unused]] const bool registered = [] {
  std::vector<Case> cases;
  for (const int length : {16, 64, 200, 256, 1024, 8192}) cases.push_back({1, 50, length});
  cases.push_back({1, 50, 200, AttentionKind::softmax});
  for (const int window : {64, 256}) cases.push_back({1, 50, 1024, AttentionKind::silu, window});
  for (const int targets : {64, 512}) cases.push_back({1, 50, 1024, AttentionKind::silu, 0, targets});
  for (const int length : {16, 64, 200, 1024}) cases.push_back({2, 25, length});
  for (const int length : {16, 64, 200, 1024}) cases.push_back({4, 64, length});
  for (const Case& c : cases) {
    const auto problem = lazily<Problem>(c);
    add(c.name("forward"), [c, problem](benchmark::State& state) {
      if (!is_right(state, problem().error, kTolerance)) return;
      report(state, measure(state, [&] { benchmark::DoNotOptimize(problem().operands.forward()); }), c, c.flops());
    });
    add(c.name("backward"), [c, problem](benchmark::State& state) {
      if (!is_right(state, problem().error, kTolerance)) return;
      const Operands& operands = problem().operands;
      Tensor y;
      const auto forward = [&] { y = operands.forward(); };
      report(state, measure(state, forward, [&] { backward_from(y, operands.dy); }), c, 2.5 * c.flops());
    });
  }
  return true;
}();

}  // namespace
}  // namespace hstu::bench
