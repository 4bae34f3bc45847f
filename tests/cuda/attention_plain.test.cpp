// SPDX-License-Identifier: MIT
// The plain rung of attention against the CPU in float64.
#include "attention.hpp"

namespace hstu {
namespace {
using namespace test;

Tensor to_float(const Tensor& x) {
  return x.to(DType::float32).to(DType::float64);
}

void check_plain(const AttentionCase& c) {
  CAPTURE(c.heads, c.dqk, c.dv, static_cast<int>(c.kind), c.has_position, c.has_time, c.has_shared_tables, c.dropout);
  CAPTURE(c.lengths, c.targets, c.mask.contextual_seq_len, c.mask.max_attn_len, c.mask.min_full_attn_seq_len);
  const AttentionProblem problem(c, to_float);
  const auto got = same_twice([&] { return run_attention<float>(problem); });
  require_attention(got, problem.expected(), 3e-6, 3e-6);
}

TEST_CASE("plain attention on the device: every length, head count and head size", "[cuda][attention][parity]") {
  for (const auto kind : {AttentionKind::silu, AttentionKind::softmax}) {
    check_plain({.lengths = kAllLengths, .heads = 1, .dqk = 16, .dv = 16, .kind = kind});
    check_plain({.lengths = kAllLengths, .heads = 2, .dqk = 25, .dv = 25, .kind = kind});
    check_plain({.lengths = kAllLengths, .heads = 3, .dqk = 16, .dv = 50, .kind = kind, .has_shared_tables = true});
    check_plain({.lengths = {65, 33}, .heads = 2, .dqk = 50, .dv = 25, .kind = kind, .function = TimeFunction::sqrt});
    check_plain({.lengths = {1, 64}, .heads = 2, .dqk = 64, .dv = 64, .kind = kind});
    check_plain({.lengths = {33}, .heads = 1, .dqk = 128, .dv = 128, .kind = kind});
    check_plain({.lengths = {40}, .heads = 1, .dqk = 256, .dv = 256, .kind = kind});
  }
}

TEST_CASE("plain attention on the device: without a bias, and with dropout", "[cuda][attention][parity]") {
  for (const auto kind : {AttentionKind::silu, AttentionKind::softmax}) {
    const std::vector<std::int64_t> lengths{3, 0, 40, 65};
    check_plain({.lengths = lengths, .heads = 2, .dqk = 9, .dv = 7, .kind = kind, .has_position = false});
    check_plain({.lengths = lengths, .heads = 2, .dqk = 9, .dv = 7, .kind = kind, .has_time = false});
    check_plain({.lengths = lengths, .heads = 2, .dqk = 16, .dv = 8, .kind = kind, .dropout = 0.3});
  }
}

TEST_CASE("plain attention on the device: under Meta's production mask", "[cuda][attention][mask][parity]") {
  for (const AttentionCase& c : masked_cases()) check_plain(c);
  for (const AttentionCase& c : random_masked_cases(12)) check_plain(c);
}

TEST_CASE("attention on the device: masks that do not fit are refused", "[cuda][attention][mask][errors]") {
  const std::vector<std::int64_t> offsets{0, 4};
  const auto batch = [&](const AttentionMask& mask, std::int64_t targets) {
    return cuda::AttentionBatch(device(), offsets, {}, {}, mask, Tensor::from<std::int64_t>({targets}));
  };
  REQUIRE_THROWS_MATCHES(batch({}, 5), ShapeError, says("user 0 has 5 targets"));
  REQUIRE_THROWS_MATCHES(batch({.contextual_seq_len = 3}, 2), ShapeError, says("at least contextual_seq_len = 3"));
  REQUIRE_THROWS_MATCHES(batch({.max_attn_len = -1}, 0), ConfigError, says("must not be negative"));
  const auto made = batch({.max_attn_len = 2}, 1);
  const auto operands = [&](const AttentionOptions& options) { return made.operands<float>({}, options, 8, 8); };
  AttentionOptions options{.mask = {.max_attn_len = 2}, .num_targets = Tensor::from<std::int64_t>({1})};
  REQUIRE(operands(options).tokens == 4);
  options.mask.max_attn_len = 3;
  REQUIRE_THROWS_MATCHES(operands(options), ConfigError, says("made for another mask"));
  options.mask.max_attn_len = 2;
  options.num_targets = Tensor::from<std::int64_t>({2});
  REQUIRE_THROWS_MATCHES(operands(options), ConfigError, says("made for another mask"));
  options.num_targets = Tensor::from<std::int64_t>({1});
  options.attn_scale = Tensor::from<float>({2.0f});
  REQUIRE_THROWS_MATCHES(operands(options), ConfigError, says("attn_scale is an argument of self_attention"));
}

TEST_CASE("attention on the device: heads that are too wide are refused", "[cuda][attention][errors]") {
  const cuda::AttentionBatch batch(device(), std::vector<std::int64_t>{0, 4}, {}, {});
  cuda::AttentionForward<float> o{};
  o.of.dqk = 257;
  o.of.dv = 8;
  REQUIRE_THROWS_MATCHES(cuda::attention_forward(device(), batch, o), ShapeError, says("1 to 256 columns, got 257"));
}

TEST_CASE("attention on the device: times too far apart are refused", "[cuda][attention][errors]") {
  const std::vector<std::int64_t> offsets{0, 1, 3}, times{5, 0, std::int64_t{1} << 31};
  REQUIRE_THROWS_MATCHES(cuda::AttentionBatch(device(), offsets, times, times), DataError,
                         says("times of user 1 of the batch span 2147483648 seconds"));
}

}  // namespace
}  // namespace hstu
