// SPDX-License-Identifier: MIT
// Jagged attention of both kinds under Meta's production mask, with relative bias looked up inside; scores are
// recomputed in backward.
#pragma once
#include <hstu/ops/attention_pass.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/reshape.hpp>

namespace hstu {

namespace detail {

inline void check_scale(const Tensor& scale, AttentionKind kind, std::int64_t tokens, DType dtype) {
  check<ConfigError>(kind == AttentionKind::silu, "hstu_attention: attn_scale belongs to silu attention");
  check<ShapeError>(scale.dtype() == dtype && (scale.numel() == 1 || scale.shape() == Shape{tokens}),
                    "hstu_attention: attn_scale must be ", dtype, ", one number or [", tokens, "], got ",
                    scale.dtype(), scale.shape());
}

inline void check_attention(const AttentionOperands& o) {
  const AttentionOptions& options = o.options;
  const Columns &q = o.q, &k = o.k, &v = o.v;
  const Tensor& offsets = o.offsets;
  const std::int64_t H = options.num_heads;
  check_defined("hstu_attention", "q", q.of);
  check_defined("hstu_attention", "k", k.of);
  check_defined("hstu_attention", "v", v.of);
  check<ConfigError>(H >= 1 && options.normalizer > 0 && options.dropout >= 0 && options.dropout < 1,
                     "hstu_attention: needs heads >= 1, normalizer > 0, dropout in [0, 1), got ", H, ", ",
                     options.normalizer, ", ", options.dropout);
  const auto shape = [](const Columns& x) { return Shape{x.rows(), x.width}; };
  const bool are_matrices = q.of.rank() == 2 && k.of.rank() == 2 && v.of.rank() == 2;
  check<ShapeError>(are_matrices && shape(q) == shape(k) && q.width % H == 0, "hstu_attention: q and k must be [T, ", H,
                    "·Dqk], got ", shape(q), " and ", shape(k));
  check<ShapeError>(v.rows() == q.rows() && v.width % H == 0, "hstu_attention: v must be [", q.rows(), ", ", H,
                    "·Dv], got ", shape(v));
  check<ShapeError>(q.dtype() == k.dtype() && q.dtype() == v.dtype(), "hstu_attention: q, k, v must share a dtype, got ",
                    q.dtype(), ", ", k.dtype(), ", ", v.dtype());
  check<ShapeError>(offsets.dtype() == DType::int64 && offsets.rank() == 1 && offsets.numel() >= 1,
                    "hstu_attention: offsets must be int64 [B+1], got ", offsets.dtype(), offsets.shape());
  const auto bounds = offsets.values<std::int64_t>();
  check<ShapeError>(bounds.front() == 0 && bounds.back() == q.rows() && std::ranges::is_sorted(bounds),
                    "hstu_attention: offsets must ascend from 0 to T = ", q.rows(), ", got ", bounds.front(), " to ",
                    bounds.back());
  check_mask(options.mask, options.num_targets, bounds);
  check_bias(o.bias, q.dtype(), H, offsets, o.longest(), o.distances(), options.mask.contextual_seq_len);
  if (options.attn_scale.defined()) check_scale(options.attn_scale, options.kind, q.rows(), q.dtype());
}

}  // namespace detail

/// Jagged HSTU attention, per user and head, query i sees keys j <= i, or what options.mask says; docs/math.md (A1) to
/// (A12):
///   silu:    Y = (SiLU(α·Q·Kᵀ + rab) / n) · V           softmax:  Y = softmax(α·Q·Kᵀ + rab) · V
///   q, k [T, H·Dqk]   v, y [T, H·Dv], tensors or columns of one   offsets [B+1] int64, ascending from 0 to T
///   rab: see RelativeBias
/// Cost: 2·H·Σ lᵢ²/2·(Dqk + Dv) flops forward, 2.5 times that backward; panels that the mask hides from all of 16
/// neighbouring queries cost nothing.  Keeps q, k, v (softmax: y and [T, H] too).
/// Throws ShapeError if operands do not fit each other, or a mask does not fit a sequence; ConfigError for options out
/// of range.
/// Source: Zhai et al. 2024, eq. 2-3 (silu); torch-rechub 0.1.0, HSTULayer (softmax).
inline Tensor hstu_attention(const Columns& q, const Columns& k, const Columns& v, const Tensor& offsets,
                             const RelativeBias& bias, const AttentionOptions& options) {
  const detail::AttentionOperands operands{q, k, v, offsets, bias, options};
  detail::check_attention(operands);
  if (options.attn_scale.defined()) {
    AttentionOptions unscaled = options;
    unscaled.normalizer = 1.0;
    unscaled.attn_scale = {};
    const Tensor& scale = options.attn_scale;
    return hstu_attention(q, k, v, offsets, bias, unscaled) * reshape(scale, {scale.numel(), 1});
  }
  Tensor y({v.rows(), v.width}, v.dtype());
  Tensor lse;
  if (options.kind == AttentionKind::softmax) lse = Tensor({q.rows(), options.num_heads}, q.dtype());
  dispatch_floating("hstu_attention", q.dtype(), [&]<class Scalar>(Scalar) {
    detail::AttentionPass<Scalar>(operands).forward(y, lse);
  });
  const Tensor kept = options.kind == AttentionKind::softmax ? y : Tensor();
  return record("hstu_attention", y, {q.of, k.of, v.of, bias.position_table, bias.time_table, bias.dense},
                [operands, kept, lse](const Tensor& dy, Accumulator& into) {
                  dispatch_floating("hstu_attention", dy.dtype(), [&]<class Scalar>(Scalar) {
                    detail::AttentionPass<Scalar>(operands).backward(kept, lse, dy, into);
                  });
                });
}

}  // namespace hstu
