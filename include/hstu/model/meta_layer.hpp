// SPDX-License-Identifier: MIT
// The layer of Meta's research code: norms without weights, bias tables shared by the heads.
#pragma once
#include <hstu/model/bias_tables.hpp>
#include <hstu/nn/layers.hpp>
#include <hstu/ops/columns.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/gate.hpp>
#include <hstu/ops/hstu_attention.hpp>
#include <hstu/ops/linear_silu.hpp>

namespace hstu {

/// x [T,D] → norm → SiLU(·uvqk) → u,v [T,H·Dv], q,k [T,H·Dqk] → SiLU attention / max_seq_len → a = norm(·)
///         → u·a, or [u, a, u·a] → dropout → o → + x.
/// docs/math.md (H3).
/// Source: generative-recommenders, research/modeling/sequential/hstu.py, SequentialTransductionUnitJagged.
class MetaLayer {
 public:
  MetaLayer(const HstuConfig& c, Initializer& init)
      : heads_(c.num_heads), qk_width_(c.num_heads * c.dqk), v_width_(c.num_heads * c.dv),
        normalizer_(static_cast<double>(c.max_seq_len)), dropout_(c.dropout), eps_(c.layer_norm_eps),
        concat_ua_(c.concat_ua), mask_(attention_mask(c)) {
    uvqk_ = init.normal({c.d_model, 2 * v_width_ + 2 * qk_width_}, kTableStd);
    const std::int64_t o_width = v_width_ * (concat_ua_ ? 3 : 1);
    o_ = {init.xavier_uniform({c.d_model, o_width}), init.uniform_by_count({c.d_model}, o_width)};
    if (c.time_bias != TimeBias::none) tables_.time = init.normal({c.num_time_buckets + 1}, kTableStd);
    if (const std::int64_t rows = num_position_rows(c); rows > 0) tables_.position = init.normal({rows}, kTableStd);
  }

  Tensor operator()(const Tensor& x, const Tensor& offsets, const RelativeBias& lookup,
                    ForwardContext& context) const {
    return forward(x, context,
                   [&](const Columns& q, const Columns& k, const Columns& v, const AttentionOptions& options) {
                     return hstu_attention(q, k, v, offsets, tables_.in(lookup), options);
                   });
  }

  /// The same with attention done by attend(q, k, v, options), e.g. over cached keys and values.
  template <class Attend>
  Tensor forward(const Tensor& x, ForwardContext& context, const Attend& attend) const {
    const Tensor uvqk = matmul_silu(layer_norm(x, eps_), uvqk_);
    const std::int64_t first_q = 2 * v_width_, first_k = first_q + qk_width_;
    const Columns v(uvqk, v_width_, v_width_), q(uvqk, first_q, qk_width_), k(uvqk, first_k, qk_width_);
    const Tensor attended = attend(
        q, k, v, {.num_heads = heads_, .alpha = 1.0, .normalizer = normalizer_, .mask = mask_});
    Tensor gated;
    if (concat_ua_) {
      const Tensor a = layer_norm(attended, eps_);
      const Tensor u = split_columns(uvqk, {v_width_, uvqk.size(1) - v_width_})[0];
      gated = concat_columns({u, a, u * a});
    } else {
      gated = norm_gate(attended, Columns(uvqk, 0, v_width_), eps_);
    }
    return o_(dropout(gated, dropout_, context), x);
  }

  const BiasTables& tables() const { return tables_; }
  void list(const std::string& prefix, ParameterList& into) const {
    into.push_back({prefix + "._uvqk", uvqk_});
    tables_.list(prefix + "._rel_attn_bias._pos_w", prefix + "._rel_attn_bias._ts_w", into);
    o_.list(prefix + "._o", into);
  }

 private:
  static constexpr double kTableStd = 0.02;

  std::int64_t heads_, qk_width_, v_width_;
  double normalizer_, dropout_, eps_;
  bool concat_ua_;
  AttentionMask mask_;
  Tensor uvqk_;
  Linear o_;
  BiasTables tables_;
};

}  // namespace hstu
