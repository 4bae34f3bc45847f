// SPDX-License-Identifier: MIT
// hstu_attention against plain loops, finite differences, and its own promises.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "../check_op.hpp"
#include "attention_problem.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

std::vector<Case> cases() {
  using enum AttentionKind;
  return {{{3}, 1, 2, 2, silu, Bias::none},
          {{1}, 1, 1, 1, silu, Bias::per_head},
          {{0, 4, 1, 0}, 2, 3, 2, silu, Bias::per_head},
          {{5, 2}, 2, 2, 3, silu, Bias::shared},
          {{6}, 2, 2, 1, silu, Bias::dense},
          {{5, 1}, 1, 2, 3, silu, Bias::shared, 0.3},
          {{3}, 1, 2, 2, softmax, Bias::none},
          {{0, 4, 1}, 2, 3, 2, softmax, Bias::per_head},
          {{5, 2}, 3, 1, 2, softmax, Bias::shared},
          {{6, 3}, 2, 2, 1, softmax, Bias::dense},
          {{7}, 2, 2, 2, softmax, Bias::per_head, 0.4}};
}
std::vector<Case> long_cases() {
  using enum AttentionKind;
  return {{{31, 32, 33, 0, 1}, 2, 5, 3, silu, Bias::per_head},   {{64, 65, 127}, 1, 25, 25, silu, Bias::shared},
          {{130}, 2, 16, 8, softmax, Bias::per_head},            {{33, 64}, 3, 4, 7, softmax, Bias::shared, 0.2},
          {{40, 97}, 2, 4, 4, silu, Bias::dense, 0.1},           {{}, 1, 2, 2, silu, Bias::none},
          {{161, 15, 320, 17}, 2, 3, 2, silu, Bias::shared},     {{160, 176, 335}, 1, 9, 8, softmax, Bias::per_head, 0.1},
          {{200}, 3, 8, 10, silu, Bias::per_head},               {{170}, 2, 4, 3, softmax, Bias::dense}};
}

}  // namespace

TEST_CASE("hstu_attention: equals plain loops in float64 and float32", "[ops][hstu_attention][parity]") {
  auto all = cases();
  for (auto& c : long_cases()) all.push_back(c);
  for (const auto& c : all) {
    const Problem exact(c, DType::float64);
    CHECK(largest_error<double>(exact.run(), exact.expected()) < 1e-12);
    const Problem rounded(c, DType::float32);  // sums of up to 130 products of size one: √130·ε·2
    CHECK(largest_error<float>(rounded.run(), rounded.expected()) < 5e-6);
  }
}

TEST_CASE("hstu_attention: gradients match finite differences on jagged batches",
          "[ops][hstu_attention][gradcheck]") {
  for (const auto& c : cases()) {
    const Problem p(c, DType::float64);
    check_finite_differences([&](const auto&) { return p.run(); }, p.leaves());
  }
}

TEST_CASE("hstu_attention: gradients of long sequences match finite differences across panels",
          "[ops][hstu_attention][gradcheck]") {
  const Problem p({{35, 2}, 1, 1, 1, GENERATE(AttentionKind::silu, AttentionKind::softmax), Bias::shared},
                  DType::float64);
  check_finite_differences([&](const auto&) { return p.run(); },
                                 {p.q, p.k, p.v, p.bias.position_table, p.bias.time_table});
}

TEST_CASE("hstu_attention: columns of one tensor give what separate tensors give",
          "[ops][hstu_attention][property]") {
  for (const AttentionKind kind : {AttentionKind::silu, AttentionKind::softmax}) {
    const Problem p({{19, 0, 5, 40}, 2, 5, 3, kind, Bias::shared}, DType::float64);
    const std::int64_t T = 64, qk = 10, v = 6;
    const Tensor packed = parameter(Tensor::zeros({T, v + 2 * qk + v}, DType::float64));  // u, k, v, q
    const auto place = [&](const Tensor& x, std::int64_t first) {
      MatrixMap<double>(Tensor(packed).mutable_data<double>(), T, packed.size(1)).middleCols(first, x.size(1)) =
          matrix<double>(x);
    };
    place(p.k, v);
    place(p.v, v + qk);
    place(p.q, 2 * v + qk);
    const Tensor y = hstu_attention({packed, 2 * v + qk, qk}, {packed, v, qk}, {packed, v + qk, v}, p.offsets, p.bias,
                                    p.options);
    const Tensor expected = p.run();
    CHECK(y.to_vector<double>() == expected.to_vector<double>());
    const Tensor dy = randn(y.shape(), {.seed = 12}, 1.0, DType::float64);
    backward_from(y, dy);
    zero_grad(p.bias.position_table);
    backward_from(expected, dy);
    const auto part = [&](std::int64_t first, std::int64_t count) {
      return detail::copy_columns("test", grad(packed), first, count).to_vector<double>();
    };
    CHECK(part(v, qk) == grad(p.k).to_vector<double>());
    CHECK(part(v + qk, v) == grad(p.v).to_vector<double>());
    CHECK(part(2 * v + qk, qk) == grad(p.q).to_vector<double>());
    CHECK(part(0, v) == std::vector<double>(static_cast<std::size_t>(T * v), 0.0));  // u: not this op's
  }
}

TEST_CASE("hstu_attention: a user's output does not depend on its batch mates", "[ops][hstu_attention][property]") {
  const Problem together({{40, 7}, 2, 3, 3, AttentionKind::silu, Bias::shared}, DType::float32);
  Problem alone({{40}, 2, 3, 3, AttentionKind::silu, Bias::shared}, DType::float32);
  alone.q = together.q.rows(0, 40);
  alone.k = together.k.rows(0, 40);
  alone.v = together.v.rows(0, 40);
  alone.bias.position_table = together.bias.position_table;
  const auto a = together.run().rows(0, 40).to_vector<float>();
  CHECK(a == alone.run().to_vector<float>());
}

TEST_CASE("hstu_attention: a bias far below all scores does not leak from lanes without a query",
          "[ops][hstu_attention][regression]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const AttentionKind kind : {AttentionKind::silu, AttentionKind::softmax}) {
      Problem p({{2}, 1, 2, 2, kind, Bias::shared}, dtype);
      p.bias.position_table = parameter(Tensor::full(p.bias.position_table.shape(), -1000.0, dtype));
      const Tensor y = p.run();
      backward_from(y, Tensor::full(y.shape(), 1.0, dtype));
      for (const Tensor& x : {y, grad(p.q), grad(p.k), grad(p.v), grad(p.bias.position_table)}) {
        for (const double value : x.to(DType::float64).to_vector<double>()) CHECK(std::isfinite(value));
      }
    }
  }
}

TEST_CASE("hstu_attention: a key masked by the lowest float has no weight", "[ops][hstu_attention][regression]") {
  Problem p({{3}, 1, 2, 2, AttentionKind::silu, Bias::dense}, DType::float32);
  p.bias.dense = Tensor::full({1, 1, 3, 3}, std::numeric_limits<float>::lowest());
  const Tensor y = p.run();
  for (const float value : y.values<float>()) CHECK(std::abs(value) < 1e-30f);
}

TEST_CASE("hstu_attention: one tensor may be query, key and value", "[ops][hstu_attention][gradcheck]") {
  const Problem p({{5, 2}, 1, 3, 3, AttentionKind::silu, Bias::none}, DType::float64);
  check_finite_differences(
      [&](const std::vector<Tensor>& x) { return hstu_attention(x[0], x[0], x[0], p.offsets, p.bias, p.options); }, {p.q});
}

TEST_CASE("hstu_attention: scores of ±1e4 stay finite", "[ops][hstu_attention][property]") {
  Problem p({{9}, 1, 1, 1, GENERATE(AttentionKind::silu, AttentionKind::softmax), Bias::none}, DType::float32);
  for (float& value : p.q.mutable_values<float>()) value *= 25000.0f;
  const Tensor y = p.run();
  backward_from(y, Tensor::full(y.shape(), 1.0));
  for (const Tensor& x : {y, grad(p.q), grad(p.k), grad(p.v)}) {
    for (const float value : x.values<float>()) CHECK(std::isfinite(value));
  }
}

TEST_CASE("hstu_attention: operands that do not fit are named", "[ops][hstu_attention][errors]") {
  using Catch::Matchers::ContainsSubstring;
  const Case c{{4, 2}, 2, 3, 2, AttentionKind::silu, Bias::per_head};
  const auto message = [&](auto&& change) {
    Problem p(c, DType::float32);
    change(p);
    try {
      p.run();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK_THAT(message([](Problem& p) { p.k = p.k.rows(0, 5); }), ContainsSubstring("q and k must be [T, 2·Dqk]"));
  CHECK_THAT(message([](Problem& p) { p.v = p.v.rows(0, 5); }), ContainsSubstring("v must be [6, 2·Dv]"));
  CHECK_THAT(message([](Problem& p) { p.options.num_heads = 4; }), ContainsSubstring("4·Dqk"));
  CHECK_THAT(message([](Problem& p) { p.options.num_heads = 0; }), ContainsSubstring("heads >= 1"));
  CHECK_THAT(message([](Problem& p) { p.options.dropout = 1.0; }), ContainsSubstring("dropout in [0, 1)"));
  CHECK_THAT(message([](Problem& p) { p.q = p.q.to(DType::float64); }), ContainsSubstring("share a dtype"));
  CHECK_THAT(message([](Problem& p) { p.offsets = Tensor::from<std::int64_t>({0, 4, 5}); }),
             ContainsSubstring("ascend from 0 to T = 6, got 0 to 5"));
  CHECK_THAT(message([](Problem& p) { p.offsets = Tensor::from<std::int64_t>({0, 7, 6}); }), ContainsSubstring("ascend"));
  CHECK_THAT(message([](Problem& p) { p.bias.position_rows = std::make_shared<DistanceRows>(3); }),
             ContainsSubstring("knows 3 distances, the longest sequence has 4"));
  CHECK_THAT(message([](Problem& p) { p.bias.position_table = p.bias.position_table.rows(0, 2); }),
             ContainsSubstring("of a position table with 2"));
  CHECK_THAT(message([](Problem& p) { p.bias.time_table = p.bias.time_table.rows(0, 1); }),
             ContainsSubstring("of a time table with 1"));
  CHECK_THAT(message([](Problem& p) { p.bias.time_panels.reset(); }), ContainsSubstring("time panels of 0 users"));
  CHECK_THAT(message([](Problem& p) { p.bias.dense = Tensor::zeros({2, 3, 3}); }), ContainsSubstring("L >= 4"));
}
