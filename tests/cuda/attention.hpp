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
  AttentionMask mask{};
  std::vector<std::int64_t> targets{};
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
               .first_row = 12345,
               .mask = c.mask,
               .num_targets = c.targets.empty() ? Tensor() : Tensor::from(c.targets)};
  }

  Tensor offsets_tensor() const { return Tensor::from(offsets); }

  /// y, dq, dk, dv, and the gradients of the tables there are.
  std::vector<Tensor> expected() const {
    RelativeBias bias;
    bias.position_table = position_table;
    bias.position_rows = std::make_shared<const DistanceRows>(rows);
    bias.time_table = time_table;
    bias.time_panels = std::make_shared<const TimePanels>(offsets_tensor(), Tensor::from(query_times),
                                                          Tensor::from(key_times), borders, of.mask.contextual_seq_len);
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

/// The matrices of a rung: float32 as they are, or packed bfloat16 with something that must not be read between the
/// heads.
template <class Element>
Buffer<Element> upload_heads(const Tensor& x, std::int64_t heads, std::int64_t& head_stride) {
  const std::int64_t rows = x.size(0), dims = x.size(1) / heads;
  Buffer<float> plain(upload(x));
  if constexpr (std::is_same_v<Element, float>) {
    head_stride = dims;
    return plain;
  } else {
    constexpr std::int64_t kGap = 16;
    constexpr Element kNaN = 0x7fc0;
    const std::int64_t padded = (dims + 15) / 16 * 16;
    head_stride = padded + kGap;
    Buffer<Element> packed(device(), rows * heads * padded);
    cuda::pack_heads(device(),
                     {plain.data(), nullptr, packed.data(), rows, heads * dims, static_cast<std::int32_t>(heads),
                      static_cast<std::int32_t>(dims), static_cast<std::int32_t>(padded)});
    std::vector<Element> spread(static_cast<std::size_t>(rows * heads * head_stride), kNaN);
    const std::vector<Element> bits = packed.to_vector();
    for (std::int64_t row = 0; row < rows * heads; ++row) {
      std::copy_n(bits.begin() + row * padded, padded, spread.begin() + row * head_stride);
    }
    return {device(), spread};
  }
}

/// y, dq, dk, dv and the gradients of the tables there are, from the kernels of one rung.
template <class Element>
std::vector<Tensor> run_attention(const AttentionProblem& problem) {
  const AttentionCase& c = problem.of;
  const cuda::AttentionLookup lookup(device(), problem.rows, c.has_position ? problem.position_table.size(0) : 1000,
                                     &problem.borders, c.has_time ? problem.time_table.size(0) : 1000);
  const cuda::AttentionBatch batch(device(), problem.offsets, problem.query_times, problem.key_times, c.mask,
                                   problem.options.num_targets);
  std::int64_t qk_head = 0, v_head = 0;
  const auto q = upload_heads<Element>(problem.q, c.heads, qk_head),
             k = upload_heads<Element>(problem.k, c.heads, qk_head);
  const auto v = upload_heads<Element>(problem.v, c.heads, v_head),
             dy = upload_heads<Element>(problem.dy, c.heads, v_head);
  const Buffer<float> plain_dy(upload(problem.dy));
  const Tensor none = Tensor::zeros({0});
  const Buffer<float> position(upload(c.has_position ? problem.position_table : none));
  const Buffer<float> time(upload(c.has_time ? problem.time_table : none));
  Buffer<float> y(device(), problem.v.numel()), lse(device(), batch.tokens() * c.heads);
  Buffer<float> dq(device(), problem.q.numel()), dk(device(), problem.q.numel()), dv(device(), problem.v.numel());
  Buffer<float> dposition(device(), position.size()), dtime(device(), time.size());

  const std::int64_t table_heads = c.has_shared_tables ? 1 : c.heads;
  const cuda::GatheredBias bias(device(), batch, lookup, {position.data(), time.data(), table_heads, table_heads});
  auto operands = batch.operands<Element>(bias.bias(), problem.options, c.dqk, c.dv);
  operands.q = q.data();
  operands.k = k.data();
  operands.v = v.data();
  operands.q_stride = operands.k_stride = c.heads * qk_head;
  operands.v_stride = c.heads * v_head;
  operands.qk_head_stride = static_cast<std::int32_t>(qk_head);
  operands.v_head_stride = static_cast<std::int32_t>(v_head);
  cuda::attention_forward<Element>(device(), batch, {operands, nullptr, y.data(), lse.data(), c.heads * c.dv});
  cuda::AttentionBackward<Element> backward{};
  backward.of = operands;
  backward.dy = dy.data();
  backward.dy_stride = c.heads * v_head;
  backward.lse = lse.data();
  backward.dq = dq.data();
  backward.dk = dk.data();
  backward.dv = dv.data();
  backward.dq_stride = backward.dk_stride = c.heads * c.dqk;
  backward.dv_stride = c.heads * c.dv;
  cuda::attention_backward(device(), batch, lookup, backward,
                           {y.data(), plain_dy.data(), c.heads * c.dv, c.heads * c.dv}, dposition.data(), dtime.data());
  std::vector<Tensor> results{download(y, problem.v.shape()), download(dq, problem.q.shape()),
                              download(dk, problem.k.shape()), download(dv, problem.v.shape())};
  if (c.has_position) results.push_back(download(dposition, problem.position_table.shape()));
  if (c.has_time) results.push_back(download(dtime, problem.time_table.shape()));
  return results;
}

/// Every part of the mask, alone and together, in tiles of one user and of several.
inline std::vector<AttentionCase> masked_cases() {
  using enum AttentionKind;
  std::vector<AttentionCase> cases{
      {.lengths = {70, 5, 130}, .heads = 2, .dqk = 16, .dv = 16, .targets = {20, 5, 67}},
      {.lengths = {200, 31}, .heads = 1, .dqk = 25, .dv = 25, .mask = {.max_attn_len = 20}},
      {.lengths = {33, 0, 100},
       .heads = 2,
       .dqk = 16,
       .dv = 9,
       .mask = {.contextual_seq_len = 3},
       .targets = {1, 0, 40}},
      {.lengths = {150}, .heads = 1, .dqk = 16, .dv = 16, .kind = softmax, .mask = {.contextual_seq_len = 70}},
      {.lengths = {180, 64},
       .heads = 1,
       .dqk = 16,
       .dv = 16,
       .kind = softmax,
       .mask = {.max_attn_len = 16, .min_full_attn_seq_len = 30},
       .targets = {20, 0}},
      {.lengths = {170, 40, 33},
       .heads = 2,
       .dqk = 16,
       .dv = 32,
       .has_shared_tables = true,
       .dropout = 0.3,
       .mask = {.contextual_seq_len = 4, .max_attn_len = 10, .min_full_attn_seq_len = 7},
       .targets = {35, 2, 29}},
      {.lengths = {100, 60},
       .heads = 1,
       .dqk = 16,
       .dv = 16,
       .kind = softmax,
       .has_time = false,
       .dropout = 0.2,
       .mask = {.contextual_seq_len = 2, .max_attn_len = 30},
       .targets = {10, 50}},
      {.lengths = {80},
       .heads = 1,
       .dqk = 16,
       .dv = 16,
       .has_position = false,
       .mask = {.max_attn_len = 5},
       .targets = {30}}};
  return cases;
}

/// Masks of any kind over a few users of any length.
inline std::vector<AttentionCase> random_masked_cases(int count) {
  const RandomStream stream{.seed = 5, .step = 0, .site = 7};
  std::uint64_t draw = 0;
  const auto below = [&](std::int64_t most) {
    return static_cast<std::int64_t>(stream.below(draw++, static_cast<std::uint32_t>(most)));
  };
  std::vector<AttentionCase> cases;
  for (int i = 0; i < count; ++i) {
    AttentionCase c{.lengths = {}, .heads = 1, .dqk = 16, .dv = 16};
    std::int64_t shortest = 1000;  // history of those that have any tokens
    for (int user = 0; user < 3; ++user) {
      c.lengths.push_back(below(4) == 0 ? below(20) : below(150));
      c.targets.push_back(below(2) == 0 ? 0 : below(c.lengths.back() + 1));
      if (c.lengths.back() > 0) shortest = std::min(shortest, c.lengths.back() - c.targets.back());
    }
    if (below(2) == 0) c.mask.contextual_seq_len = below(std::min<std::int64_t>(shortest, 40) + 1);
    if (below(2) == 0) c.mask.max_attn_len = 1 + below(60);
    if (below(2) == 0) c.mask.min_full_attn_seq_len = below(40);
    if (below(3) == 0) c.kind = AttentionKind::softmax;
    if (c.lengths[0] + c.lengths[1] + c.lengths[2] > 0) cases.push_back(c);
  }
  return cases;
}

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
