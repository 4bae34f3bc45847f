// SPDX-License-Identifier: MIT
// The layer of torch-rechub 0.1.0: causal softmax attention, sigmoid gate, FFN.
#pragma once
#include <cmath>

#include <hstu/model/config.hpp>
#include <hstu/nn/layers.hpp>
#include <hstu/ops/activation.hpp>
#include <hstu/ops/columns.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/gate.hpp>
#include <hstu/ops/hstu_attention.hpp>

namespace hstu {

/// x [T,D] → norm1 → proj1 → q,k [T,H·Dqk], u,v [T,H·Dv] → softmax attention → ·σ(u) → proj2 → dropout → + x
///         → norm2 → ffn: D → 4D → ReLU → dropout → D → dropout → + .
/// The bias table is shared by all layers and belongs to the model.   Source: torch-rechub 0.1.0, HSTULayer.
/// docs/math.md (H1).
class Rechub01Layer {
 public:
  Rechub01Layer(const HstuConfig& c, Initializer& init)
      : heads_(c.num_heads), qk_width_(c.num_heads * c.dqk), v_width_(c.num_heads * c.dv),
        alpha_(1.0 / std::sqrt(static_cast<double>(c.dqk))), dropout_(c.dropout),
        mask_(attention_mask(c)) {
    const std::int64_t D = c.d_model;
    proj1_ = {init.xavier_uniform({2 * qk_width_ + 2 * v_width_, D}), init.zeros({2 * qk_width_ + 2 * v_width_})};
    proj2_ = {init.xavier_uniform({D, v_width_}), init.zeros({D})};
    ffn0_ = {init.xavier_uniform({4 * D, D}), init.zeros({4 * D})};
    ffn3_ = {init.xavier_uniform({D, 4 * D}), init.zeros({D})};
    norm1_ = LayerNorm::make(D, init);
    norm2_ = LayerNorm::make(D, init);
  }

  Tensor operator()(const Tensor& x, const Tensor& offsets, const RelativeBias& bias, ForwardContext& context) const {
    return forward(x, context,
                   [&](const Columns& q, const Columns& k, const Columns& v, const AttentionOptions& options) {
                     return hstu_attention(q, k, v, offsets, bias, options);
                   });
  }

  /// The same with attention done by attend(q, k, v, options).
  template <class Attend>
  Tensor forward(const Tensor& x, ForwardContext& context, const Attend& attend) const {
    const Tensor qkuv = proj1_(norm1_(x));
    const std::int64_t first_u = 2 * qk_width_, first_v = first_u + v_width_;
    const Columns q(qkuv, 0, qk_width_), k(qkuv, qk_width_, qk_width_);
    const Columns u(qkuv, first_u, v_width_), v(qkuv, first_v, v_width_);
    const AttentionOptions options{.kind = AttentionKind::softmax,
                                   .num_heads = heads_,
                                   .alpha = alpha_,
                                   .dropout = context.is_training ? dropout_ : 0.0,
                                   .stream = context.next_stream(),
                                   .first_row = context.first_token,
                                   .mask = mask_};
    const Tensor attended = attend(q, k, v, options);
    const Tensor middle = dropout(proj2_(sigmoid_gate(attended, u)), dropout_, context) + x;
    const Tensor inner = dropout(relu(ffn0_(norm2_(middle))), dropout_, context);
    return dropout(ffn3_(inner), dropout_, context) + middle;
  }

  void list(const std::string& prefix, ParameterList& into) const {
    proj1_.list(prefix + ".proj1", into);
    proj2_.list(prefix + ".proj2", into);
    ffn0_.list(prefix + ".ffn.0", into);
    ffn3_.list(prefix + ".ffn.3", into);
    norm1_.list(prefix + ".norm1", into);
    norm2_.list(prefix + ".norm2", into);
  }

 private:
  std::int64_t heads_, qk_width_, v_width_;
  double alpha_, dropout_;
  AttentionMask mask_;
  Linear proj1_, proj2_, ffn0_, ffn3_;
  LayerNorm norm1_, norm2_;
};

}  // namespace hstu
