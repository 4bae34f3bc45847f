// SPDX-License-Identifier: MIT
// The layer of torch-rechub 0.9.0: equations 2 to 4 of the HSTU paper with weighted norms and per-head bias tables.
#pragma once
#include <cmath>

#include <hstu/model/bias_tables.hpp>
#include <hstu/nn/layers.hpp>
#include <hstu/ops/columns.hpp>
#include <hstu/ops/gate.hpp>
#include <hstu/ops/hstu_attention.hpp>
#include <hstu/ops/linear_silu.hpp>

namespace hstu {

/// x [T,D] → norm_in → SiLU(proj1) → q,k [T,H·Dqk], u,v [T,H·Dv] → SiLU attention / max_seq_len → norm_attn(·)·u
///         → dropout → proj2 [T,D].  The residual is the block's.   Source: torch-rechub 0.9.0, HSTULayer.
/// docs/math.md (H2).
class Rechub09Layer {
 public:
  Rechub09Layer(const HstuConfig& c, Initializer& init)
      : heads_(c.num_heads), qk_width_(c.num_heads * c.dqk), v_width_(c.num_heads * c.dv),
        alpha_(1.0 / std::sqrt(static_cast<double>(c.dqk))), normalizer_(static_cast<double>(c.max_seq_len)),
        dropout_(c.dropout), mask_(attention_mask(c)) {
    const std::int64_t D = c.d_model;
    norm_in_ = LayerNorm::make(D, init);
    proj1_ = {init.xavier_uniform({2 * qk_width_ + 2 * v_width_, D}), init.zeros({2 * qk_width_ + 2 * v_width_})};
    if (const std::int64_t rows = num_position_rows(c); rows > 0) {
      tables_.position = init.uniform_by_count({rows, heads_}, rows);
    }
    if (c.time_bias != TimeBias::none) {
      tables_.time = init.uniform_by_count({c.num_time_buckets + 1, heads_}, c.num_time_buckets + 1);
    }
    norm_attn_ = LayerNorm::make(v_width_, init);
    proj2_ = {init.xavier_uniform({D, v_width_}), init.zeros({D})};
  }

  Tensor operator()(const Tensor& x, const Tensor& offsets, const RelativeBias& lookup,
                    ForwardContext& context) const {
    return forward(x, context,
                   [&](const Columns& q, const Columns& k, const Columns& v, const AttentionOptions& options) {
                     return hstu_attention(q, k, v, offsets, tables_.in(lookup), options);
                   });
  }

  /// The same with attention done by attend(q, k, v, options).
  template <class Attend>
  Tensor forward(const Tensor& x, ForwardContext& context, const Attend& attend) const {
    const Tensor qkuv = linear_silu(norm_in_(x), proj1_.weight, proj1_.bias);
    const std::int64_t first_u = 2 * qk_width_, first_v = first_u + v_width_;
    const Columns q(qkuv, 0, qk_width_), k(qkuv, qk_width_, qk_width_);
    const Columns u(qkuv, first_u, v_width_), v(qkuv, first_v, v_width_);
    const Tensor attended = attend(
        q, k, v, {.num_heads = heads_, .alpha = alpha_, .normalizer = normalizer_, .mask = mask_});
    const Tensor gated = norm_gate(attended, u, norm_attn_.weight, norm_attn_.bias, norm_attn_.eps);
    return proj2_(dropout(gated, dropout_, context));
  }

  const BiasTables& tables() const { return tables_; }
  void list(const std::string& prefix, ParameterList& into) const {
    norm_in_.list(prefix + ".norm_in", into);
    proj1_.list(prefix + ".proj1", into);
    tables_.list(prefix + ".rab.pos_w", prefix + ".rab.ts_w", into);
    norm_attn_.list(prefix + ".norm_attn", into);
    proj2_.list(prefix + ".proj2", into);
  }

 private:
  std::int64_t heads_, qk_width_, v_width_;
  double alpha_, normalizer_, dropout_;
  AttentionMask mask_;
  LayerNorm norm_in_, norm_attn_;
  Linear proj1_, proj2_;
  BiasTables tables_;
};

}  // namespace hstu
