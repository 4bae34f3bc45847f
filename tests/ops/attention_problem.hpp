// SPDX-License-Identifier: MIT
// A small attention problem of any kind: operands, bias, mask, and what plain loops make of them.
#pragma once
#include <algorithm>

#include <catch2/catch_test_macros.hpp>

#include <hstu/autograd/gradcheck.hpp>

#include "../reference/hstu_attention.hpp"

namespace hstu::test {

enum class Bias { none, per_head, shared, dense };

struct Case {
  std::vector<std::int64_t> lengths;
  std::int64_t heads, dqk, dv;
  AttentionKind kind;
  Bias bias;
  double dropout = 0.0;
  AttentionMask mask{};
  std::vector<std::int64_t> targets{};  // per user; empty: none
  std::int64_t scales = 0;              // entries of attn_scale: 0 = none, 1, or one per token
};

struct Problem {
  Tensor q, k, v, offsets, query_times, key_times;
  RelativeBias bias;
  AttentionOptions options;

  Problem(const Case& c, DType dtype) {
    std::vector<std::int64_t> bounds{0}, keys, queries;
    std::int64_t longest = 0, time = 0;
    const RandomStream gaps{.seed = 5};
    for (const auto n : c.lengths) {
      for (std::int64_t i = 0; i < n; ++i) {
        time += gaps.below(static_cast<std::uint64_t>(bounds.back() + i), 4) == 0 ? 0 : 1000;
        keys.push_back(time);
        queries.push_back(time + 77);
      }
      bounds.push_back(bounds.back() + n);
      longest = std::max(longest, n);
    }
    const auto T = bounds.back();
    const auto leaf = [&](const Shape& shape, std::uint32_t site, double scale) {
      return parameter(randn(shape, {.seed = 3, .site = site}, scale, DType::float64).to(dtype));
    };
    q = leaf({T, c.heads * c.dqk}, 1, 1.0);
    k = leaf({T, c.heads * c.dqk}, 2, 1.0);
    v = leaf({T, c.heads * c.dv}, 3, 1.0);
    offsets = Tensor::from(bounds);
    query_times = Tensor::from(queries);
    key_times = Tensor::from(keys);
    const TimeBorders borders({.divisor = 0.301, .max_bucket = 40});
    if (c.bias == Bias::per_head || c.bias == Bias::shared) {
      const bool shared = c.bias == Bias::shared;
      const auto rows = 2 * longest + 5;
      bias.position_table = leaf(shared ? Shape{rows} : Shape{rows, c.heads}, 4, 0.3);
      bias.position_rows = std::make_shared<DistanceRows>(signed_distance_rows(longest + 3));
      bias.time_table = leaf(shared ? Shape{41} : Shape{41, c.heads}, 5, 0.3);
      bias.time_panels =
          std::make_shared<TimePanels>(offsets, query_times, key_times, borders, c.mask.contextual_seq_len);
    } else if (c.bias == Bias::dense) {
      bias.dense = leaf({1, c.heads, longest, longest}, 6, 0.3);
    }
    options = {.kind = c.kind, .num_heads = c.heads, .alpha = 0.4, .normalizer = 50.0, .dropout = c.dropout,
               .stream = {.seed = 9, .step = 2}, .first_row = 1000, .mask = c.mask};
    if (!c.targets.empty()) options.num_targets = Tensor::from(c.targets);
    if (c.scales > 0) options.attn_scale = leaf({c.scales}, 7, 0.5);
  }

  std::vector<Tensor> leaves() const {
    std::vector<Tensor> result{q, k, v};
    for (const auto& x : {bias.position_table, bias.time_table, bias.dense, options.attn_scale}) {
      if (x.defined()) result.push_back(x);
    }
    return result;
  }

  Tensor run() const { return hstu_attention(q, k, v, offsets, bias, options); }

  /// Targets stand where the first of them stands.
  std::int64_t place(std::int64_t i, std::int64_t start) const {
    const auto bounds = offsets.values<std::int64_t>();
    const auto user = static_cast<std::size_t>(std::ranges::upper_bound(bounds, start) - bounds.begin()) - 1;
    const auto targets = options.num_targets.defined() ? options.num_targets.values<std::int64_t>()[user] : 0;
    return std::min(i, bounds[user + 1] - start - targets);
  }

  std::vector<double> expected() const {
    const TimeBucketOptions buckets{.divisor = 0.301, .max_bucket = 40};
    return reference::hstu_attention(q, k, v, offsets, [&](auto h, auto i, auto j, auto start) {
      double sum = 0;
      const auto entry = [&](const Tensor& table, std::int64_t row) {
        const auto heads = table.rank() == 1 ? 1 : table.size(1);
        return table.to(DType::float64).template data<double>()[row * heads + h % heads];
      };
      if (bias.position_table.defined()) {
        const auto distance = std::abs(place(i, start) - place(j, start));
        sum += entry(bias.position_table, (*bias.position_rows)[static_cast<std::size_t>(distance)]);
        sum += entry(bias.time_table, time_bucket(std::abs(query_times.data<std::int64_t>()[start + i] -
                                                           key_times.data<std::int64_t>()[start + j]), buckets));
      }
      if (bias.dense.defined()) {
        const auto L = bias.dense.size(-1);
        sum += bias.dense.to(DType::float64).template data<double>()[(h * L + i) * L + j];
      }
      return sum;
    }, options);
  }
};

template <class Scalar>
double largest_error(const Tensor& got, const std::vector<double>& expected) {
  REQUIRE(got.numel() == std::ssize(expected));
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto error = std::abs(static_cast<double>(got.values<Scalar>()[i]) - expected[i]);
    if (std::isnan(error)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, error);
  }
  return worst;
}

}  // namespace hstu::test
