// SPDX-License-Identifier: MIT
// Ops on the tape that layers and ranking models are made of (gated output, scaled rows and attention, lookups) against the
// ops of the CPU in float64.
#include <hstu/cuda/gated_output.hpp>
#include <hstu/cuda/row_ops.hpp>
#include <hstu/cuda/self_attention.hpp>
#include <hstu/ops/gated_output.hpp>

#include <deque>

#include "attention.hpp"

namespace hstu {
namespace {
using namespace test;
using cuda::Gate, cuda::Joined, cuda::Weights;

constexpr double kOutputTolerance = 4e-6;

/// A tape with variables and weights whose numbers and gradients the test sees.
struct OnTape {
  explicit OnTape(cuda::Precision precision = cuda::Precision::float32) : products(device(), blas, precision) {}

  cuda::Variable variable(const Tensor& x) const {
    const cuda::Variable y = tape.variable(x.size(0), x.size(1));
    y->values = upload(x);
    return y;
  }
  /// Null for an undefined tensor.
  Weights weights(const Tensor& x) {
    if (!x.defined()) return {};
    buffers.push_back(upload(x));
    float* const values = buffers.back().data();
    buffers.push_back(upload(zeros_like(x)));
    return {values, buffers.back().data(), x.size(0), x.numel() / x.size(0)};
  }
  void backward(const cuda::Variable& y, const Tensor& dy) {
    y->gradient = upload(dy);
    tape.backward();
  }
  static Tensor values(const cuda::Variable& x) { return download(x->values, {x->rows, x->cols}); }
  static Tensor gradient(const cuda::Variable& x) { return download(x->gradient, {x->rows, x->cols}); }

  cuda::Blas blas{device()};
  cuda::Products products;
  cuda::Tape tape{device(), products, cuda::Tape::Mode::training};
  std::deque<Buffer<float>> buffers;
};

GateActivation on_host(Gate gate) {
  return gate == Gate::none ? GateActivation::none : gate == Gate::sigmoid ? GateActivation::sigmoid : GateActivation::silu;
}

struct GatedCase {
  std::int64_t rows, cols, groups;
  Gate gate;
  bool joins_u;
  Joined joined;
  double dropout;
};

std::vector<GatedCase> gated_cases() {
  std::vector<GatedCase> all;
  for (const Gate gate : {Gate::none, Gate::sigmoid, Gate::silu}) {
    for (const std::int64_t groups : {0, 1, 2, 5}) {
      for (const bool joins_u : {false, true}) {
        for (const Joined joined : {Joined::none, Joined::x}) {
          const double dropout = joins_u != (joined == Joined::x) ? 0.25 : 0.0;
          all.push_back({33, 50, groups, gate, joins_u, joined, dropout});
        }
      }
    }
  }
  for (const std::int64_t rows : {0, 1, 64}) all.push_back({rows, 128, 4, Gate::silu, true, Joined::x, 0.25});
  all.push_back({7, 1024, 0, Gate::sigmoid, true, Joined::x, 0.0});
  all.push_back({5, 25, 25, Gate::silu, false, Joined::none, 0.0});  // groups of one column
  return all;
}

TEST_CASE("gated output on the device: every norm, gate and concatenation", "[cuda][gated_output][parity]") {
  const RandomStream stream{.seed = 0x123456789abcdefull, .step = 7, .site = 3};
  for (const GatedCase& c : gated_cases()) {
    CAPTURE(c.rows, c.cols, c.groups, static_cast<int>(c.gate), c.joins_u, static_cast<int>(c.joined), c.dropout);
    const std::int64_t weights = c.groups == 0 ? c.cols : c.groups, first_u = 3;
    const Tensor x = rounded_parameter(random_input({c.rows, c.cols}, 1)),
                 wide = rounded_parameter(random_input({c.rows, c.cols + 2 * first_u}, 2)),
                 weight = rounded_parameter(random_input({weights}, 3)), bias = rounded_parameter(random_input({weights}, 4));
    const Tensor u = split_columns(wide, {first_u, c.cols, first_u})[1];
    const Tensor y = gated_output(x, u, weight, bias,
                                  {.eps = 1e-5, .groups = c.groups, .activation = on_host(c.gate),
                                   .concat_u = c.joins_u, .concat_x = c.joined == Joined::x, .dropout = c.dropout,
                                   .stream = stream, .first_row = 11});
    const Tensor dy = random_input(y.shape(), 5).to(DType::float32);
    backward_from(y, dy.to(DType::float64));
    const auto got = same_twice([&] {
      OnTape on;
      const cuda::Variable in = on.variable(x), gated = on.variable(wide);
      const Weights w = on.weights(weight), b = on.weights(bias);
      gated->gradient = upload(zeros_like(wide));
      const cuda::Variable out =
          cuda::gated_output(on.tape, in, gated, first_u, {w, b, 1e-5},
                             {.groups = c.groups, .gate = c.gate, .joins_u = c.joins_u, .joined = c.joined,
                              .dropout = cuda::dropout_mask(c.dropout, stream, 11, y.size(1))});
      on.backward(out, dy);
      return std::vector{OnTape::values(out), OnTape::gradient(in), OnTape::gradient(gated),
                         download(on.buffers[1], {weights}), download(on.buffers[3], {weights})};
    });
    require_near(got[0], y, kOutputTolerance);
    if (c.groups != c.cols) require_near(got[1], grad(x), kOutputTolerance);  // else rows of one column: 0 but for rounding
    require_near(got[2], grad(wide), kOutputTolerance);
    if (c.groups != c.cols) require_near(got[3], grad(weight), kOutputTolerance);
    require_near(got[4], grad(bias), kOutputTolerance);
  }
}

TEST_CASE("gated output on the device: normalised attention joined, without weights", "[cuda][gated_output][parity]") {
  const Tensor x = rounded_parameter(random_input({40, 25}, 1)), u = rounded_parameter(random_input({40, 25}, 2));
  const Tensor a = layer_norm(x, 1e-6), y = concat_columns({u, a, u * a});
  const Tensor dy = random_input(y.shape(), 5).to(DType::float32);
  backward_from(y, dy.to(DType::float64));
  OnTape on;
  const cuda::Variable in = on.variable(x), gate = on.variable(u);
  const cuda::Variable out =
      cuda::gated_output(on.tape, in, gate, 0, {{}, {}, 1e-6}, {.joins_u = true, .joined = Joined::normalized});
  on.backward(out, dy);
  require_near(OnTape::values(out), y, kOutputTolerance);
  require_near(OnTape::gradient(in), grad(x), kOutputTolerance);
  require_near(OnTape::gradient(gate), grad(u), kOutputTolerance);
}

TEST_CASE("scaled rows on the device: a number for each row, or one for all", "[cuda][scale_rows][parity]") {
  for (const std::int64_t rows : {1, 5, 33, 300}) {
    for (const std::int64_t count : {std::int64_t{1}, rows}) {
      CAPTURE(rows, count);
      const Tensor x = rounded_parameter(random_input({rows, 50}, 1)),
                   scale = rounded_parameter(random_input({count, 1}, 2));
      const Tensor y = x * scale, dy = random_input({rows, 50}, 3).to(DType::float32);
      backward_from(y, dy.to(DType::float64));
      const auto got = same_twice([&] {
        OnTape on;
        const cuda::Variable in = on.variable(x);
        const cuda::Variable out = cuda::scale_rows(on.tape, in, on.weights(scale));
        on.backward(out, dy);
        return std::vector{OnTape::values(out), OnTape::gradient(in), download(on.buffers[1], {count, 1})};
      });
      require_near(got[0], y, kOutputTolerance);
      require_near(got[1], grad(x), kOutputTolerance);
      require_near(got[2], grad(scale), kOutputTolerance);
    }
  }
}

TEST_CASE("attention on the device: attn_scale, one number or one per query", "[cuda][attention][parity]") {
  const auto round = [](const Tensor& x) { return to_bfloat16(x).to(DType::float64); };
  for (const cuda::Precision precision : {cuda::Precision::float32, cuda::Precision::bfloat16}) {
    for (const bool is_per_query : {false, true}) {
      CAPTURE(cuda::name_of(precision), is_per_query);
      const AttentionProblem problem({.lengths = {0, 33, 1, 70}, .heads = 2, .dqk = 16, .dv = 25}, round);
      const std::int64_t tokens = problem.offsets.back(), heads = 2, dqk = 16, dv = 25;
      const Tensor scale = rounded_parameter(random_input({is_per_query ? tokens : 1}, 9, 0.1));
      const Tensor packed = parameter(concat_columns({problem.q, problem.k, problem.v}).detach());
      AttentionOptions options = problem.options;
      options.attn_scale = scale;
      const Tensor y = hstu_attention(Columns(packed, 0, heads * dqk), Columns(packed, heads * dqk, heads * dqk),
                                      Columns(packed, 2 * heads * dqk, heads * dv), problem.offsets_tensor(), {}, options);
      backward_from(y, problem.dy);

      OnTape on(precision);
      const cuda::AttentionLookup lookup(device(), problem.rows, 1000, nullptr, 1000);
      const cuda::AttentionBatch batch(device(), problem.offsets, {}, {});
      const cuda::Variable in = on.variable(packed);
      const cuda::Variable out = cuda::self_attention(on.tape, batch, lookup, in,
                                                      {0, heads * dqk, 2 * heads * dqk, dqk, dv}, {}, problem.options,
                                                      on.weights(scale));
      on.backward(out, problem.dy);
      const double tolerance = precision == cuda::Precision::float32 ? 4e-6 : 1.2e-2;
      require_near(OnTape::values(out), y, tolerance);
      require_near(OnTape::gradient(in), grad(packed), tolerance);
      require_near(download(on.buffers[1], scale.shape()), grad(scale), tolerance);
    }
  }
}

TEST_CASE("rows on the device: sums of lookups and numbers, stacked, read twice", "[cuda][rows][parity]") {
  const Tensor a = rounded_parameter(random_input({5, 20}, 1)), b = rounded_parameter(random_input({3, 20}, 2)),
               numbers = rounded_parameter(random_input({7, 1}, 3)), weight = rounded_parameter(random_input({20, 1}, 4)),
               bias = rounded_parameter(random_input({20}, 5));
  const std::vector<std::int32_t> in_a{4, 0, 4, 2, 1, 4, 3}, in_b{2, 2, 0, 1, 2, 0, 0}, in_all{13, 0, 6, 7, 13, 2};
  const auto ids = [](const std::vector<std::int32_t>& of) { return Tensor::from(of); };
  const Tensor looked_up = embedding(a, ids(in_a)) + scale(embedding(b, ids(in_b)), 0.5);
  const Tensor with_numbers = looked_up + linear(numbers, weight, bias);
  const Tensor y = embedding(concat_rows({with_numbers, looked_up}), ids(in_all));
  const Tensor dy = random_input(y.shape(), 6).to(DType::float32);
  backward_from(y, dy.to(DType::float64));
  const auto got = same_twice([&] {
    OnTape on;
    const cuda::LookupIds of_a(device(), in_a, 5, true, -1), of_b(device(), in_b, 3, true, -1),
        of_all(device(), in_all, 14, true, -1);
    const Weights A = on.weights(a), B = on.weights(b), W = on.weights(weight), bias_weights = on.weights(bias);
    const Buffer<float> n(upload(numbers));
    const cuda::Variable rows = cuda::sum_of_rows(on.tape, {{of_a, A, 1.0f}, {of_b, B, 0.5f}});
    const cuda::Variable more = cuda::add_numbers(on.tape, rows, n, W, bias_weights);
    const cuda::Variable all = cuda::stack_rows(on.tape, {more, rows});
    const cuda::Variable out = cuda::sum_of_rows(on.tape, {{of_all, cuda::as_table(on.tape, all), 1.0f}});
    on.backward(out, dy);
    return std::vector{OnTape::values(out), download(on.buffers[1], {5, 20}), download(on.buffers[3], {3, 20}),
                       download(on.buffers[5], {20}), download(on.buffers[7], {20})};
  });
  require_near(got[0], y, kOutputTolerance);
  require_near(got[1], grad(a), kOutputTolerance);
  require_near(got[2], grad(b), kOutputTolerance);
  require_near(got[3], grad(weight), kOutputTolerance);
  require_near(got[4], grad(bias), kOutputTolerance);
}

TEST_CASE("gated output and scales on the device: operands that do not fit are refused",
          "[cuda][gated_output][errors]") {
  OnTape on;
  const cuda::Variable x = on.variable(Tensor::zeros({2, 6}));
  CHECK_THROWS_MATCHES(cuda::gated_output(on.tape, x, x, 0, {}, {.groups = 4}), ConfigError,
                       says("groups must divide 6 columns, got 4"));
  CHECK_THROWS_MATCHES(cuda::gated_output(on.tape, x, x, 0, {}, {.groups = -1}), ConfigError, says("got -1"));
  CHECK_THROWS_MATCHES(cuda::scale_rows(on.tape, x, on.weights(Tensor::zeros({3}))), ShapeError,
                       says("expected 1 or 2 numbers, got 3"));
  const cuda::LookupIds ids(device(), std::vector<std::int32_t>{0}, 2, false, -1);
  const cuda::RowSource source{ids, on.weights(Tensor::zeros({2, 6})), 1.0f};
  CHECK_THROWS_MATCHES(cuda::sum_of_rows(on.tape, {source, source, source, source}), ShapeError,
                       says("at most 3 sources of rows, got 4"));
  const cuda::AttentionBatch batch(device(), std::vector<std::int64_t>{0, 2}, {}, {});
  const cuda::AttentionLookup lookup(device(), signed_distance_rows(2), 1000, nullptr, 1000);
  CHECK_THROWS_MATCHES(cuda::self_attention(on.tape, batch, lookup, x, {0, 2, 4, 2, 2}, {},
                                            {.kind = AttentionKind::softmax}, on.weights(Tensor::zeros({1}))),
                       ConfigError, says("attn_scale belongs to silu attention"));
}

}  // namespace
}  // namespace hstu
