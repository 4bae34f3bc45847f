// SPDX-License-Identifier: MIT
// Attention on tensor cores against the CPU in float64 on the same bfloat16 operands.
#include "attention.hpp"

namespace hstu {
namespace {
using namespace test;

// Weights and gradients of scores are rounded to bfloat16 (2⁻⁹ of each) and SiLU goes through tanh.approx; of sums of
// many of these about 2⁻⁸ of the largest result is left.  Gradients of the tables are summed in float32, but those of
// softmax start from dy·y, whose y was summed from rounded weights.
constexpr double kMmaTolerance = 6e-3, kSiluTableTolerance = 1e-3, kSoftmaxTableTolerance = 6e-3;

void check_mma(const AttentionCase& c) {
  CAPTURE(c.heads, c.dqk, c.dv, static_cast<int>(c.kind), c.has_position, c.has_time, c.has_shared_tables, c.dropout);
  CAPTURE(c.lengths, c.targets, c.mask.contextual_seq_len, c.mask.max_attn_len, c.mask.min_full_attn_seq_len);
  const AttentionProblem problem(c, to_bfloat16);
  const auto got = same_twice([&] { return run_attention<cuda::Bfloat16>(problem); });
  require_attention(got, problem.expected(), kMmaTolerance,
                    c.kind == AttentionKind::silu ? kSiluTableTolerance : kSoftmaxTableTolerance);
}

TEST_CASE("attention on tensor cores: every length, head count and head size", "[cuda][attention][mma][parity]") {
  for (const auto kind : {AttentionKind::silu, AttentionKind::softmax}) {
    check_mma({.lengths = kAllLengths, .heads = 1, .dqk = 16, .dv = 16, .kind = kind});
    check_mma({.lengths = kAllLengths, .heads = 2, .dqk = 25, .dv = 25, .kind = kind});
    check_mma({.lengths = kAllLengths, .heads = 3, .dqk = 16, .dv = 50, .kind = kind, .has_shared_tables = true});
    check_mma({.lengths = kAllLengths, .heads = 2, .dqk = 50, .dv = 50, .kind = kind});
    check_mma({.lengths = kAllLengths, .heads = 1, .dqk = 64, .dv = 64, .kind = kind, .function = TimeFunction::sqrt});
    check_mma({.lengths = {200, 65}, .heads = 1, .dqk = 128, .dv = 128, .kind = kind});
    check_mma({.lengths = {64, 129}, .heads = 1, .dqk = 64, .dv = 128, .kind = kind});
    check_mma({.lengths = {33, 127}, .heads = 2, .dqk = 256, .dv = 250, .kind = kind});
  }
}

TEST_CASE("attention on tensor cores: many short histories, one long one", "[cuda][attention][mma][parity]") {
  check_mma({.lengths = {5, 1, 20, 0, 31, 7, 64, 1, 33, 2, 17, 70, 3, 3, 3}, .heads = 2, .dqk = 25, .dv = 25});
  check_mma({.lengths = {7, 500}, .heads = 1, .dqk = 32, .dv = 32});
}

TEST_CASE("attention on tensor cores: without a bias, and with dropout", "[cuda][attention][mma][parity]") {
  for (const auto kind : {AttentionKind::silu, AttentionKind::softmax}) {
    const std::vector<std::int64_t> lengths{3, 0, 40, 65};
    check_mma({.lengths = lengths, .heads = 2, .dqk = 16, .dv = 8, .kind = kind, .has_position = false});
    check_mma({.lengths = lengths, .heads = 2, .dqk = 16, .dv = 8, .kind = kind, .has_time = false});
    check_mma({.lengths = lengths, .heads = 2, .dqk = 16, .dv = 8, .kind = kind, .dropout = 0.3});
  }
}

TEST_CASE("attention on tensor cores: under Meta's production mask", "[cuda][attention][mma][mask][parity]") {
  for (const AttentionCase& c : masked_cases()) check_mma(c);
  for (const AttentionCase& c : random_masked_cases(30)) check_mma(c);
  const AttentionMask mask{.contextual_seq_len = 2, .max_attn_len = 40, .min_full_attn_seq_len = 3};
  check_mma({.lengths = {150, 70}, .heads = 1, .dqk = 64, .dv = 64, .mask = mask, .targets = {50, 1}});
  check_mma({.lengths = {90, 70}, .heads = 1, .dqk = 128, .dv = 100, .mask = mask, .targets = {20, 33}});
  check_mma({.lengths = {90}, .heads = 1, .dqk = 200, .dv = 256, .mask = mask, .targets = {20}});
}

TEST_CASE("time cells: the bucket of every difference near a border", "[cuda][attention][property]") {
  for (const auto& options : {TimeBucketOptions{.divisor = 0.301, .max_bucket = 64},
                              TimeBucketOptions{.function = TimeFunction::sqrt, .divisor = 60.0, .max_bucket = 128},
                              TimeBucketOptions{.function = TimeFunction::log, .divisor = 0.01, .max_bucket = 2000}}) {
    const TimeBorders borders(options);
    std::vector<std::int32_t> starts;
    for (const std::int64_t start : borders.starts()) {
      if (start <= std::numeric_limits<std::int32_t>::max()) starts.push_back(static_cast<std::int32_t>(start));
    }
    const cuda::TimeCells cells(starts);
    const auto bucket_of = [&](std::int64_t difference) {  // as in kernels/attention_mma.cuh
      const auto x = static_cast<std::uint32_t>(difference) + 1u;
      auto rounded = static_cast<float>(x);
      if (static_cast<double>(rounded) > static_cast<double>(x)) rounded = std::nextafter(rounded, 0.0f);
      const std::uint32_t base = 0x3f800000u >> cells.shift;
      const cuda::TimeCell cell = cells.cells[(std::bit_cast<std::uint32_t>(rounded) >> cells.shift) - base];
      std::size_t bucket = static_cast<std::size_t>(cell.first) + (x > cell.last_of_first ? 1 : 0);
      if (cells.has_crowded) {
        while (bucket + 1 < starts.size() && static_cast<std::uint32_t>(starts[bucket + 1]) < x) ++bucket;
      }
      return static_cast<std::uint16_t>(bucket);
    };
    std::int64_t wrong = 0;
    for (const std::int64_t start : starts) {
      for (const std::int64_t d : {start - 1, start, start + 1}) {
        if (d >= 0 && d <= std::numeric_limits<std::int32_t>::max()) wrong += bucket_of(d) == borders.find(d) ? 0 : 1;
      }
    }
    for (std::int64_t d = 1; d <= std::numeric_limits<std::int32_t>::max(); d += 1 + d / 300) {
      wrong += bucket_of(d) == borders.find(d) ? 0 : 1;
    }
    CAPTURE(options.divisor, options.max_bucket, cells.shift, cells.has_crowded);
    REQUIRE(wrong == 0);
  }
}

}  // namespace
}  // namespace hstu
