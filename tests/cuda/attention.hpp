// SPDX-License-Identifier: MIT
// Problems of attention for the tests of its kernels, with the results of the CPU in float64.
#pragma once
#include <hstu/cuda/attention.hpp>
#include <hstu/ops/hstu_attention.hpp>

#include "on_device.hpp"

namespace hstu::test {

struct AttentionCase {
  std::vector<std::int64_t> lengths;
  std::int64_t heads, dqk, dv;
  AttentionKind kind = AttentionKind::silu;
  bool has_position = true, has_time = true, has_shared_tables = false;
  double dropout = 0.0;
  TimeFunction function = TimeFunction::log;
};

inline const std::vector<std::int64_t> kAllLengths{0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200};

struct AttentionProblem {
  AttentionCase of;
  std::vector<std::int64_t> offsets{0}, query_times, key_times;
  DistanceRows rows;
  TimeBorders borders;
  Tensor q, k, v, position_table, time_table, dy;  // float64 parameters that float32 (or bf16) holds exactly
  AttentionOptions options;

  /// Matrices are rounded by `round` (to what the kernels read).
  template <class Round>
  AttentionProblem(const AttentionCase& c, const Round& round)
      : of(c),
        borders({.function = c.function,
                 .unit = TimeUnit::seconds,
                 .divisor = c.function == TimeFunction::log ? 0.301 : 60.0,
                 .max_bucket = 64}) {
    const RandomStream stream{.seed = 77, .step = 0, .site = 1};
    std::uint64_t draw = 0;
    std::int64_t longest = 1;
    for (const std::int64_t length : c.lengths) {
      std::int64_t now = 1'000'000'000;
      for (std::int64_t i = 0; i < length; ++i) {
        const double u = stream.uniform(draw++);
        now += u < 0.4   ? 0
               : u < 0.9 ? static_cast<std::int64_t>(200.0 * u)
                         : static_cast<std::int64_t>(std::exp(160.0 * (u - 0.9)));
        key_times.push_back(now);
      }
      for (std::int64_t i = 0; i < length; ++i) {  // the time of the next event
        query_times.push_back(key_times[static_cast<std::size_t>(offsets.back() + std::min(i + 1, length - 1))]);
      }
      offsets.push_back(offsets.back() + length);
      longest = std::max(longest, length);
    }
    const std::int64_t tokens = offsets.back();
    rows = c.has_shared_tables ? linear_distance_rows(longest, 20) : signed_distance_rows(longest);
    const std::int64_t position_rows = c.has_shared_tables ? 20 : 2 * longest - 1;
    const auto table = [&](std::int64_t size, std::uint32_t site) {
      return rounded_parameter(random_input(c.has_shared_tables ? Shape{size} : Shape{size, c.heads}, site, 0.5));
    };
    const auto matrix = [&](std::int64_t width, std::uint32_t site) {
      return parameter(round(random_input({tokens, c.heads * width}, site)));
    };
    q = matrix(c.dqk, 1);
    k = matrix(c.dqk, 2);
    v = matrix(c.dv, 3);
    dy = round(random_input({tokens, c.heads * c.dv}, 6));
    if (c.has_position) position_table = table(position_rows, 4);
    if (c.has_time) time_table = table(65 + 3, 5);
    options = {.kind = c.kind,
               .num_heads = c.heads,
               .alpha = 1.0 / std::sqrt(static_cast<double>(c.dqk)),
               .normalizer = 50.0,
               .dropout = c.dropout,
               .stream = {.seed = 99, .step = 4, .site = 2},
               .first_row = 12345};
  }

  Tensor offsets_tensor() const { return Tensor::from(offsets); }

  /// y, dq, dk, dv, and the gradients of the tables there are.
  std::vector<Tensor> expected() const {
    RelativeBias bias;
    bias.position_table = position_table;
    bias.position_rows = std::make_shared<const DistanceRows>(rows);
    bias.time_table = time_table;
    bias.time_panels = std::make_shared<const TimePanels>(offsets_tensor(), Tensor::from(query_times),
                                                          Tensor::from(key_times), borders);
    for (const Tensor& x : {q, k, v, position_table, time_table}) {
      if (x.defined()) zero_grad(x);
    }
    const Tensor y = hstu_attention(q, k, v, offsets_tensor(), bias, options);
    backward_from(y, dy);
    std::vector<Tensor> results{y.detach(), grad(q), grad(k), grad(v)};
    if (position_table.defined()) results.push_back(grad(position_table));
    if (time_table.defined()) results.push_back(grad(time_table));
    return results;
  }
};

/// Fails unless every result is near the expected one.
inline void require_attention(const std::vector<Tensor>& got, const std::vector<Tensor>& expected, double tolerance,
                              double table_tolerance) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    require_near(got[i], expected[i], i < 4 ? tolerance : table_tolerance);
  }
}

}  // namespace hstu::test
