// SPDX-License-Identifier: MIT
// Meta's production mask: its two forms, attention under it against plain loops and finite differences, its errors.
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "attention_problem.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

/// The mask as a matrix over shifted and clamped ids, in the words of docs/math.md (A9).
std::vector<bool> by_ids(const SequenceMask& mask) {
  const std::int64_t c = mask.rule.contextual_seq_len, w = mask.rule.max_attn_len, f = mask.rule.min_full_attn_seq_len;
  const std::int64_t last = mask.length - mask.num_targets - (c > 0 ? c - 1 : 0);
  std::vector<std::int64_t> ids;
  for (std::int64_t p = 0; p < mask.length; ++p) {
    ids.push_back(std::min(c > 0 ? std::max<std::int64_t>(p - c + 1, 0) : p, last));
  }
  std::vector<bool> seen;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (std::size_t j = 0; j < ids.size(); ++j) {
      const std::int64_t distance = ids[i] - ids[j];
      const bool is_near = w == 0 || distance <= w || (f > 0 && ids[i] >= last - f);
      seen.push_back(((i == j || distance > 0) && is_near) || (c > 0 && ids[i] == 0 && ids[j] < last));
    }
  }
  return seen;
}

std::vector<Case> mask_cases() {
  using enum AttentionKind;
  return {{{5, 1, 9}, 2, 2, 3, silu, Bias::none, 0, {}, {2, 1, 9}},
          {{8, 5}, 1, 2, 2, silu, Bias::shared, 0, {.max_attn_len = 3}},
          {{9, 7}, 2, 2, 1, silu, Bias::per_head, 0, {.max_attn_len = 2, .min_full_attn_seq_len = 3}, {2, 1}},
          {{8, 0, 5}, 1, 2, 2, silu, Bias::shared, 0, {.contextual_seq_len = 3}, {2, 0, 2}},
          {{7}, 2, 2, 2, silu, Bias::dense, 0, {.contextual_seq_len = 2, .max_attn_len = 2}, {2}},
          {{4, 3}, 2, 2, 2, silu, Bias::none, 0, {}, {}, 7},
          {{4, 3}, 1, 2, 2, silu, Bias::shared, 0.3, {.max_attn_len = 2}, {1, 2}, 1},
          {{7, 4}, 2, 2, 2, softmax, Bias::per_head, 0.2, {.contextual_seq_len = 2, .max_attn_len = 3}, {2, 1}},
          {{6}, 1, 2, 2, softmax, Bias::shared, 0, {.contextual_seq_len = 6}}};
}
/// Across blocks of 16 queries and panels of 160 keys.
std::vector<Case> long_mask_cases() {
  using enum AttentionKind;
  return {{{200, 31}, 2, 3, 5, silu, Bias::shared, 0, {.max_attn_len = 20}, {35, 1}},
          {{330}, 1, 4, 4, silu, Bias::per_head, 0, {.contextual_seq_len = 18, .max_attn_len = 40}, {17}},
          {{64, 100, 33}, 2, 2, 2, silu, Bias::none, 0, {.max_attn_len = 7, .min_full_attn_seq_len = 30}, {3, 0, 33}},
          {{180}, 1, 3, 3, softmax, Bias::dense, 0.1, {.max_attn_len = 16}, {20}},
          {{40, 50}, 1, 3, 9, softmax, Bias::shared, 0, {.contextual_seq_len = 33}, {7, 2}},
          {{190, 34}, 1, 3, 3, silu, Bias::shared, 0, {.max_attn_len = 170, .min_full_attn_seq_len = 1}, {}, 224}};
}

}  // namespace

TEST_CASE("first_changed_query: the first query that sees other keys in a longer history",
          "[ops][attention_mask][parity]") {
  std::int64_t changes = 0;
  for (const std::int64_t window : {0, 1, 2, 5}) {
    for (const std::int64_t full : {0, 1, 3, 6}) {
      const AttentionMask rule{.max_attn_len = window, .min_full_attn_seq_len = full};
      for (std::int64_t before = 0; before <= 12; ++before) {
        for (std::int64_t after = before; after <= 12; ++after) {
          const SequenceMask shorter{rule, before, 0}, longer{rule, after, 0};
          std::int64_t expected = 0;
          while (expected < before && shorter.keys_of(expected).first == longer.keys_of(expected).first) ++expected;
          CHECK(first_changed_query(rule, before, after) == expected);
          changes += expected < before;
        }
      }
    }
  }
  CHECK(changes > 100);
}

TEST_CASE("SequenceMask: pairs and ranges are those of the ids", "[ops][attention_mask][parity]") {
  for (std::int64_t length = 1; length <= 7; ++length) {
    for (std::int64_t targets = 0; targets <= length; ++targets) {
      for (std::int64_t contextual = 0; contextual <= length - targets; ++contextual) {
        for (std::int64_t window = 0; window < 6; ++window) {
          for (std::int64_t full = 0; full < 5; ++full) {
            const SequenceMask mask{{contextual, window, full}, length, targets};
            std::vector<bool> pairs, ranges;
            for (std::int64_t i = 0; i < length; ++i) {
              const KeyRange keys = mask.keys_of(i);
              for (std::int64_t j = 0; j < length; ++j) {
                pairs.push_back(mask.sees(i, j));
                ranges.push_back(i == j || (j >= keys.first && j < keys.last));
              }
            }
            INFO(length << " tokens, " << targets << " targets, contextual " << contextual << ", window " << window
                        << ", full " << full);
            REQUIRE(pairs == by_ids(mask));
            REQUIRE(ranges == pairs);
          }
        }
      }
    }
  }
}

TEST_CASE("hstu_attention: equals plain loops under every mask", "[ops][attention_mask][parity]") {
  auto all = mask_cases();
  for (auto& c : long_mask_cases()) all.push_back(c);
  for (std::size_t n = 0; n < all.size(); ++n) {
    INFO("case " << n);
    const Problem exact(all[n], DType::float64);
    CHECK(largest_error<double>(exact.run(), exact.expected()) < 1e-12);
    const Problem rounded(all[n], DType::float32);
    CHECK(largest_error<float>(rounded.run(), rounded.expected()) < 2e-5);
  }
}

TEST_CASE("hstu_attention: gradients match finite differences under every mask", "[ops][attention_mask][gradcheck]") {
  auto all = mask_cases();
  using enum AttentionKind;
  all.push_back({{37}, 1, 1, 1, silu, Bias::shared, 0, {.contextual_seq_len = 18, .max_attn_len = 5}, {3}});
  all.push_back({{36}, 1, 1, 1, softmax, Bias::shared, 0, {.max_attn_len = 17}, {18}});
  for (std::size_t n = 0; n < all.size(); ++n) {
    const Problem p(all[n], DType::float64);
    const auto result = gradcheck([&](const auto&) { return p.run(); }, p.leaves());
    INFO("case " << n << ": " << result.message);
    CHECK(result.ok);
  }
}

TEST_CASE("hstu_attention: panels that no query sees are not read", "[ops][attention_mask][property]") {
  // A NaN in a panel that is read spoils every query of the block: a weight of zero does not help.
  Problem p({{400}, 1, 2, 2, AttentionKind::silu, Bias::none, 0, {.max_attn_len = 20}, {64}}, DType::float32);
  const auto spoil = [&](std::int64_t first, std::int64_t last) {
    for (Tensor x : {p.k, p.v}) {
      for (std::int64_t i = 2 * first; i < 2 * last; ++i) x.mutable_data<float>()[i] = NAN;
    }
  };
  const auto is_finite = [&](std::int64_t first, std::int64_t last) {
    const Tensor y = p.run().rows(first, last);
    return std::ranges::all_of(y.values<float>(), [](float value) { return std::isfinite(value); });
  };
  spoil(0, 200);
  CHECK(is_finite(224, 400));  // blocks begin at multiples of 16: that of 208 reads keys from 188 on
  CHECK_FALSE(is_finite(208, 224));
  spoil(352, 368);             // a block of targets: the other targets do not see it
  CHECK(is_finite(336, 352));
  CHECK(is_finite(368, 400));
  CHECK_FALSE(is_finite(352, 368));
}

TEST_CASE("hstu_attention: a target's result is that of scoring it alone", "[ops][attention_mask][property]") {
  constexpr std::int64_t kHistory = 21, kTargets = 19;
  const auto problem_of = [](std::int64_t targets) {
    return Problem({{kHistory + targets}, 2, 3, 4, AttentionKind::silu, Bias::shared, 0, {}, {targets}},
                   DType::float64);
  };
  Problem together = problem_of(kTargets);
  const auto set_times = [&](Problem& p) {  // all targets at one time
    std::vector<std::int64_t> times;
    for (std::int64_t i = 0; i < p.q.size(0); ++i) times.push_back(100 * std::min(i, kHistory));
    p.query_times = p.key_times = Tensor::from(times);
    p.bias.time_panels = std::make_shared<TimePanels>(p.offsets, p.query_times, p.key_times,
                                                      TimeBorders({.divisor = 0.301, .max_bucket = 40}));
  };
  set_times(together);
  const Tensor y = together.run();
  for (std::int64_t target = 0; target < kTargets; ++target) {
    Problem alone = problem_of(1);
    set_times(alone);
    alone.bias.position_table = together.bias.position_table;
    alone.bias.position_rows = together.bias.position_rows;
    alone.bias.time_table = together.bias.time_table;
    for (auto [to, from] : {std::pair{&alone.q, &together.q}, {&alone.k, &together.k}, {&alone.v, &together.v}}) {
      to->rows(0, kHistory).copy_from(from->rows(0, kHistory));
      to->rows(kHistory, kHistory + 1).copy_from(from->rows(kHistory + target, kHistory + target + 1));
    }
    CHECK(largest_error<double>(alone.run().rows(kHistory, kHistory + 1),
                                y.rows(kHistory + target, kHistory + target + 1).to_vector<double>()) < 1e-14);
  }
}

TEST_CASE("hstu_attention: masks that do not fit are named", "[ops][attention_mask][errors]") {
  using Catch::Matchers::ContainsSubstring;
  const auto message = [](auto&& change) {
    Problem p({{4, 2}, 2, 3, 2, AttentionKind::silu, Bias::shared, 0, {.contextual_seq_len = 1}, {1, 1}},
              DType::float32);
    change(p);
    try {
      p.run();
    } catch (const ConfigError& error) {
      return std::string("config ") + error.what();
    } catch (const ShapeError& error) {
      return std::string("shape ") + error.what();
    }
    return std::string("no error");
  };
  CHECK(message([](Problem&) {}) == "no error");
  CHECK_THAT(
      message([](Problem& p) {
        p.options.num_targets = Tensor::from<std::int64_t>({1, 3});
      }),
      ContainsSubstring("shape hstu_attention: user 1 has 3 targets, expected 0 to the length of the sequence, 2"));
  CHECK_THAT(message([](Problem& p) { p.options.num_targets = Tensor::from<std::int64_t>({-1, 1}); }),
             ContainsSubstring("user 0 has -1 targets"));
  CHECK_THAT(message([](Problem& p) { p.options.num_targets = Tensor::from<std::int64_t>({1}); }),
             ContainsSubstring("num_targets must be int64 [2], got int64[1]"));
  CHECK_THAT(message([](Problem& p) { p.options.num_targets = Tensor::from<std::int32_t>({1, 1}); }),
             ContainsSubstring("num_targets must be int64 [2], got int32"));
  CHECK_THAT(message([](Problem& p) { p.options.mask.contextual_seq_len = 2; }),
             ContainsSubstring("user 1 has 1 tokens before the targets, expected at least contextual_seq_len = 2"));
  CHECK_THAT(message([](Problem& p) { p.options.mask.max_attn_len = -1; }),
             ContainsSubstring("config hstu_attention: contextual_seq_len, max_attn_len"));
  CHECK_THAT(message([](Problem& p) { p.options.mask.contextual_seq_len = -1; }), ContainsSubstring("negative, got -1"));
  CHECK_THAT(message([](Problem& p) { p.options.mask.min_full_attn_seq_len = -1; }), ContainsSubstring("and -1"));
  CHECK_THAT(message([](Problem& p) { p.options.mask.contextual_seq_len = 0; }),
             ContainsSubstring("time panels for 1 contextual tokens, the mask has 0"));
  CHECK_THAT(message([](Problem& p) { p.options.attn_scale = Tensor::zeros({5}); }),
             ContainsSubstring("attn_scale must be float32, one number or [6], got float32[5]"));
  CHECK_THAT(message([](Problem& p) {
               p.options.attn_scale = Tensor::zeros({6});
               p.options.kind = AttentionKind::softmax;
             }),
             ContainsSubstring("config hstu_attention: attn_scale belongs to silu attention"));
}
