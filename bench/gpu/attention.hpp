// SPDX-License-Identifier: MIT
// Attention on tensor cores with both biases, as a model trains it.
#pragma once
#include <hstu/cuda/attention.hpp>

#include "runner.hpp"

namespace hstu::bench {

struct AttentionSize {
  std::int64_t users, length, heads, dims;
  AttentionMask mask{};
  std::int64_t targets = 0;  // of each user

  std::string name() const {
    std::string name = concat(users, " × ", length, ", ", heads, " heads of ", dims);
    if (mask.max_attn_len > 0) name += concat(", masked: the last ", mask.max_attn_len);
    if (targets > 0) name += concat(", masked: ", targets, " targets");
    return name;
  }
};

/// Operands of one call and all that they point at.
class AttentionCall {
 public:
  AttentionCall(Device& device, const AttentionSize& s, AttentionKind kind)
      : device_(device),
        size_(s),
        padded_((s.dims + 15) / 16 * 16),
        borders_({.divisor = 0.301, .max_bucket = 64}),
        lookup_(device, signed_distance_rows(s.length), 2 * s.length - 1, &borders_, kTimeRows),
        batch_(device, offsets(), times(), times(), s.mask, num_targets()),
        position_(random_floats(device, (2 * s.length - 1) * s.heads, 5)),
        time_(random_floats(device, kTimeRows * s.heads, 6)),
        bias_(device, batch_, lookup_, {position_.data(), time_.data(), s.heads, s.heads}),
        q_(packed(1)),
        k_(packed(2)),
        v_(packed(3)),
        dy_(packed(4)),
        plain_dy_(random_floats(device, tokens() * width(), 4)),
        y_(device, tokens() * width()),
        lse_(device, tokens() * s.heads),
        dq_(device, y_.size()),
        dk_(device, y_.size()),
        dv_(device, y_.size()),
        dposition_(device, position_.size()),
        dtime_(device, time_.size()) {
    const AttentionOptions options{.kind = kind,
                                   .num_heads = s.heads,
                                   .alpha = 1.0 / std::sqrt(static_cast<double>(s.dims)),
                                   .normalizer = static_cast<double>(s.length),
                                   .mask = s.mask,
                                   .num_targets = num_targets()};
    o_ = batch_.operands<cuda::Bfloat16>(bias_.bias(), options, s.dims, s.dims);
    o_.q = q_.data();
    o_.k = k_.data();
    o_.v = v_.data();
    o_.q_stride = o_.k_stride = o_.v_stride = s.heads * padded_;
    o_.qk_head_stride = o_.v_head_stride = static_cast<std::int32_t>(padded_);
  }

  std::int64_t tokens() const { return size_.users * size_.length; }
  std::int64_t width() const { return size_.heads * size_.dims; }
  std::int64_t buckets() const { return lookup_.bias().buckets; }
  /// Of queries and keys that they see.
  std::int64_t pairs() const {
    const SequenceMask mask{size_.mask, size_.length, size_.targets};
    std::int64_t of_user = 0;
    for (std::int64_t i = 0; i < size_.length; ++i) {
      const KeyRange keys = mask.keys_of(i);
      of_user += keys.last - keys.first + (i >= mask.targets_begin() ? 1 : 0);
    }
    return size_.users * size_.heads * of_user;
  }
  /// Products over `count` operands of a head; the tensor cores take 16 columns at a time.
  std::int64_t flops(std::int64_t count) const { return 2 * pairs() * count * padded_; }
  /// `packed` matrices of bfloat16 and `plain` ones of float32.
  std::int64_t bytes(std::int64_t packed, std::int64_t plain) const {
    return tokens() * (packed * 2 * size_.heads * padded_ + plain * 4 * width());
  }

  void pack() { cuda::pack_heads(device_, packing(plain_dy_, dy_)); }
  void gather() { bias_ = {device_, batch_, lookup_, {position_.data(), time_.data(), size_.heads, size_.heads}}; }
  void forward() {
    cuda::attention_forward<cuda::Bfloat16>(device_, batch_, {o_, nullptr, y_.data(), lse_.data(), width()});
  }
  void backward() {
    cuda::AttentionBackward<cuda::Bfloat16> b{};
    b.of = o_;
    b.dy = dy_.data();
    b.lse = lse_.data();
    b.dq = dq_.data();
    b.dk = dk_.data();
    b.dv = dv_.data();
    b.dy_stride = o_.v_stride;
    b.dq_stride = b.dk_stride = b.dv_stride = width();
    cuda::attention_backward(device_, batch_, lookup_, b, {y_.data(), plain_dy_.data(), width(), width()},
                             dposition_.data(), dtime_.data());
  }

 private:
  static constexpr std::int64_t kTimeRows = 65;

  std::vector<std::int64_t> offsets() const {
    std::vector<std::int64_t> offsets;
    for (std::int64_t u = 0; u <= size_.users; ++u) offsets.push_back(u * size_.length);
    return offsets;
  }
  Tensor num_targets() const {
    return size_.targets == 0
               ? Tensor()
               : Tensor::from(std::vector<std::int64_t>(static_cast<std::size_t>(size_.users), size_.targets));
  }
  std::vector<std::int64_t> times() const {
    std::vector<std::int64_t> times;
    for (std::int64_t t = 0; t < tokens(); ++t) times.push_back(1'000'000'000 + t % size_.length * 97);
    return times;
  }
  Buffer<cuda::Bfloat16> packed(std::uint32_t site) const {
    const Buffer<float> values = random_floats(device_, tokens() * width(), site);
    Buffer<cuda::Bfloat16> result(device_, tokens() * size_.heads * padded_);
    cuda::pack_heads(device_, packing(values, result));
    return result;
  }
  cuda::PackHeads packing(const Buffer<float>& from, const Buffer<cuda::Bfloat16>& to) const {
    return {from.data(),
            nullptr,
            to.data(),
            tokens(),
            width(),
            static_cast<std::int32_t>(size_.heads),
            static_cast<std::int32_t>(size_.dims),
            static_cast<std::int32_t>(padded_)};
  }

  Device& device_;
  AttentionSize size_;
  std::int64_t padded_;
  TimeBorders borders_;
  cuda::AttentionLookup lookup_;
  cuda::AttentionBatch batch_;
  Buffer<float> position_, time_;
  cuda::GatheredBias bias_;
  Buffer<cuda::Bfloat16> q_, k_, v_, dy_;
  Buffer<float> plain_dy_, y_, lse_, dq_, dk_, dv_, dposition_, dtime_;
  cuda::AttentionOperands<cuda::Bfloat16> o_{};
};

/// TFLOP/s as the field counts them: causal products of the unpadded heads, backward 2.5 forwards.
inline void bench_attention(Runner& runner, const AttentionSize& s, AttentionKind kind) {
  const bool is_softmax = kind == AttentionKind::softmax;
  AttentionCall call(runner.device(), s, kind);
  const std::string name = is_softmax ? "attention softmax" : "attention silu";
  const std::string size = s.name();
  const double flops = 4.0 * static_cast<double>(call.pairs() * s.dims);
  runner.run({name + " forward", size, {{"attention_forward_mma", call.bytes(3, 1), call.flops(2)}}, flops},
             [&] { call.forward(); });
  const std::int64_t parts = std::min<std::int64_t>(cuda::detail::divide_up(call.tokens(), 64), 256);
  const std::int64_t distances = s.length * s.heads, buckets = call.buckets() * s.heads;
  std::vector<Work> backward{{"attention_backward_queries_mma", call.bytes(4, 1), call.flops(3)},
                             {"attention_backward_keys_mma", call.bytes(4, 2), call.flops(4)},
                             {"sum_rows", 4 * (parts + (s.targets > 1 ? 2 : 1)) * distances},
                             {"table_gradient", 4 * (distances + 3 * s.length + (2 * s.length - 1) * s.heads)},
                             {"sum_rows", 4 * (parts + 1) * buckets},
                             {"table_gradient", 4 * (2 * buckets + 2 * call.buckets())}};
  const std::int64_t head_bytes = (4 * s.dims + 31) / 32 * 32;  // of y and dy, which are read in whole sectors
  if (is_softmax) {
    backward.insert(backward.begin(), {"attention_delta_plain", call.tokens() * s.heads * (2 * head_bytes + 4)});
  }
  if (s.targets > 1) {
    const std::int64_t keys = (call.tokens() - s.users * s.targets) * s.heads;
    backward.insert(backward.end() - 4, {"target_distances", 4 * (keys + distances)});
  }
  runner.run({name + " backward", size, backward, 2.5 * flops}, [&] { call.backward(); });
}

/// What a training step does around attention.
inline void bench_attention_tables(Runner& runner, const AttentionSize& s) {
  AttentionCall call(runner.device(), s, AttentionKind::silu);
  const std::string size = s.name();
  runner.run({"operands to bfloat16", size, {{"pack_heads", call.bytes(1, 1)}}}, [&] { call.pack(); });
  runner.run(
      {"bias tables by distance and bucket",
       size,
       {{"gather_table", 4 * (2 * s.length * s.heads + s.length)}, {"gather_table", 8 * call.buckets() * s.heads}}},
      [&] { call.gather(); });
}

}  // namespace hstu::bench
