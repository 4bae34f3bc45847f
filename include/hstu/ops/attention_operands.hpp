// SPDX-License-Identifier: MIT
// What hstu_attention is given: kind, scales, dropout, mask, and the operands of one call.
#pragma once
#include <hstu/core/random.hpp>
#include <hstu/ops/attention_mask.hpp>
#include <hstu/ops/columns.hpp>
#include <hstu/ops/relative_bias.hpp>

namespace hstu {

enum class AttentionKind { silu, softmax };

struct AttentionOptions {
  AttentionKind kind = AttentionKind::silu;
  std::int64_t num_heads = 1;
  double alpha = 1.0;       ///< scale of q·k: 1 in Meta's research code, 1/√Dqk in torch-rechub
  double normalizer = 1.0;  ///< silu only: weights are divided by it (max_seq_len of the config, not the user's length)
  double dropout = 0.0;     ///< probability of dropping an attention weight
  RandomStream stream{};    ///< of the dropout
  std::int64_t first_row = 0;  ///< index of the first token in the whole batch, so that chunks draw the same masks
  AttentionMask mask{};
  Tensor num_targets{};  ///< int64 [B], targets at the end of each user's sequence; undefined: none
  Tensor attn_scale{};   ///< silu only, in the place of 1 / normalizer: one number, or [T], one per query

  /// True if nothing but causality hides a key, and the normalizer scales.
  bool is_causal() const {
    return mask.contextual_seq_len == 0 && mask.max_attn_len == 0 && !num_targets.defined() && !attn_scale.defined();
  }
};

namespace detail {

/// q, k, v [T, H·d] of one call, and where its users begin.
struct AttentionOperands {
  Columns q, k, v;
  Tensor offsets;
  RelativeBias bias;
  AttentionOptions options;

  std::int64_t longest() const {
    const auto bounds = offsets.values<std::int64_t>();
    std::int64_t result = 0;
    for (std::size_t b = 0; b + 1 < bounds.size(); ++b) result = std::max(result, bounds[b + 1] - bounds[b]);
    return result;
  }
  /// Distances that occur between places; targets stand at one place.
  std::int64_t distances() const {
    std::int64_t result = 0;
    for (std::size_t b = 0; b + 1 < static_cast<std::size_t>(offsets.numel()); ++b) {
      const SequenceMask mask = mask_of(b);
      result = std::max(result, mask.place(mask.length - 1) + 1);
    }
    return result;
  }
  SequenceMask mask_of(std::size_t user) const {
    const auto bounds = offsets.values<std::int64_t>();
    return {options.mask, bounds[user + 1] - bounds[user],
            options.num_targets.defined() ? options.num_targets.values<std::int64_t>()[user] : 0};
  }
};

/// Throws unless the mask fits every sequence.
inline void check_mask(const AttentionMask& mask, const Tensor& num_targets, std::span<const std::int64_t> bounds) {
  check<ConfigError>(
      mask.contextual_seq_len >= 0 && mask.max_attn_len >= 0 && mask.min_full_attn_seq_len >= 0,
      "hstu_attention: contextual_seq_len, max_attn_len and min_full_attn_seq_len must not be negative, got ",
      mask.contextual_seq_len, ", ", mask.max_attn_len, " and ", mask.min_full_attn_seq_len);
  const std::int64_t users = std::ssize(bounds) - 1;
  check<ShapeError>(!num_targets.defined() ||
                        (num_targets.dtype() == DType::int64 && num_targets.shape() == Shape{users}),
                    "hstu_attention: num_targets must be int64 [", users, "], got ", num_targets.dtype(),
                    num_targets.shape());
  for (std::size_t b = 0; b + 1 < bounds.size(); ++b) {
    const std::int64_t length = bounds[b + 1] - bounds[b];
    const std::int64_t targets = num_targets.defined() ? num_targets.values<std::int64_t>()[b] : 0;
    check<ShapeError>(targets >= 0 && targets <= length, "hstu_attention: user ", b, " has ", targets,
                      " targets, expected 0 to the length of the sequence, ", length);
    check<ShapeError>(length == 0 || mask.contextual_seq_len <= length - targets, "hstu_attention: user ", b, " has ",
                      length - targets, " tokens before the targets, expected at least contextual_seq_len = ",
                      mask.contextual_seq_len);
  }
}

}  // namespace detail
}  // namespace hstu
