// SPDX-License-Identifier: MIT
// The layers of model/ on the device: the same operations, dropout streams and parameters.
#pragma once
#include <cmath>
#include <variant>

#include <hstu/cuda/batch.hpp>
#include <hstu/cuda/gated_output.hpp>
#include <hstu/cuda/layer_ops.hpp>
#include <hstu/cuda/self_attention.hpp>

namespace hstu::cuda {

/// What a layer needs besides its input.
struct LayerContext {
  const AttentionBatch& batch;
  const AttentionLookup& lookup;
  ForwardContext& forward;
  double dropout;

  /// The mask of the next dropout of the pass, on rows of `cols`.
  DropoutMask next_mask(std::int64_t cols) const {
    const RandomStream stream = forward.next_stream();
    return dropout_mask(forward.is_training ? dropout : 0.0, stream, forward.first_token, cols);
  }
};

namespace detail {
inline Projection projection(const Parameters& parameters, const std::string& prefix) {
  return {parameters.at(prefix + ".weight"), parameters.find(prefix + ".bias")};
}
inline NormWeights norm(const Parameters& parameters, const std::string& prefix) {
  return {parameters.at(prefix + ".weight"), parameters.at(prefix + ".bias"), LayerNorm{}.eps};
}
}  // namespace detail

/// MetaLayer.
class MetaLayerOps {
 public:
  MetaLayerOps(const HstuConfig& c, const Parameters& parameters, const std::string& prefix)
      : uvqk_{parameters.at(prefix + "._uvqk"), {}, false},
        o_(detail::projection(parameters, prefix + "._o")),
        bias_{parameters.find(prefix + "._rel_attn_bias._pos_w"), parameters.find(prefix + "._rel_attn_bias._ts_w")},
        norm_{{}, {}, c.layer_norm_eps},
        columns_{2 * c.num_heads * c.dv, c.num_heads * (2 * c.dv + c.dqk), c.num_heads * c.dv, c.dqk, c.dv},
        attention_{.num_heads = c.num_heads,
                   .alpha = 1.0,
                   .normalizer = static_cast<double>(c.max_seq_len),
                   .mask = attention_mask(c)},
        concat_ua_(c.concat_ua) {}

  Variable operator()(Tape& tape, const Variable& x, const LayerContext& context) const {
    const Variable uvqk = linear(tape, layer_norm(tape, x, norm_), uvqk_, {.activation = Activation::silu});
    const Variable attended = self_attention(tape, context.batch, context.lookup, uvqk, columns_, bias_, attention_);
    const DropoutMask mask = context.next_mask((concat_ua_ ? 3 : 1) * attended->cols);
    const Variable gated =
        concat_ua_ ? gated_output(tape, attended, uvqk, 0, norm_,
                                  {.joins_u = true, .joined = Joined::normalized, .dropout = mask})
                   : norm_gate(tape, attended, uvqk, 0, norm_, mask);
    return linear(tape, gated, o_, {.residual = x});
  }

 private:
  Projection uvqk_, o_;
  LayerBias bias_;
  NormWeights norm_;
  HeadColumns columns_;
  AttentionOptions attention_;
  bool concat_ua_;
};

/// Rechub09Layer with its residual.
class Rechub09LayerOps {
 public:
  Rechub09LayerOps(const HstuConfig& c, const Parameters& parameters, const std::string& prefix)
      : norm_in_(detail::norm(parameters, prefix + ".norm_in")),
        norm_attn_(detail::norm(parameters, prefix + ".norm_attn")),
        proj1_(detail::projection(parameters, prefix + ".proj1")),
        proj2_(detail::projection(parameters, prefix + ".proj2")),
        bias_{parameters.find(prefix + ".rab.pos_w"), parameters.find(prefix + ".rab.ts_w")},
        first_u_(2 * c.num_heads * c.dqk),
        columns_{0, c.num_heads * c.dqk, first_u_ + c.num_heads * c.dv, c.dqk, c.dv},
        attention_{.num_heads = c.num_heads,
                   .alpha = 1.0 / std::sqrt(static_cast<double>(c.dqk)),
                   .normalizer = static_cast<double>(c.max_seq_len),
                   .mask = attention_mask(c)} {}

  Variable operator()(Tape& tape, const Variable& x, const LayerContext& context) const {
    const Variable qkuv = linear(tape, layer_norm(tape, x, norm_in_), proj1_, {.activation = Activation::silu});
    const Variable attended = self_attention(tape, context.batch, context.lookup, qkuv, columns_, bias_, attention_);
    const Variable gated = norm_gate(tape, attended, qkuv, first_u_, norm_attn_, context.next_mask(attended->cols));
    return linear(tape, gated, proj2_, {.residual = x});
  }

 private:
  NormWeights norm_in_, norm_attn_;
  Projection proj1_, proj2_;
  LayerBias bias_;
  std::int64_t first_u_;
  HeadColumns columns_;
  AttentionOptions attention_;
};

/// Rechub01Layer; its bias table belongs to the model.
class Rechub01LayerOps {
 public:
  Rechub01LayerOps(const HstuConfig& c, const Parameters& parameters, const std::string& prefix)
      : norm1_(detail::norm(parameters, prefix + ".norm1")),
        norm2_(detail::norm(parameters, prefix + ".norm2")),
        proj1_(detail::projection(parameters, prefix + ".proj1")),
        proj2_(detail::projection(parameters, prefix + ".proj2")),
        ffn0_(detail::projection(parameters, prefix + ".ffn.0")),
        ffn3_(detail::projection(parameters, prefix + ".ffn.3")),
        bias_{parameters.find("rel_pos_bias.rel_pos_bias_table"), {}},
        first_u_(2 * c.num_heads * c.dqk),
        columns_{0, c.num_heads * c.dqk, first_u_ + c.num_heads * c.dv, c.dqk, c.dv},
        attention_{.kind = AttentionKind::softmax,
                   .num_heads = c.num_heads,
                   .alpha = 1.0 / std::sqrt(static_cast<double>(c.dqk)),
                   .mask = attention_mask(c)} {}

  Variable operator()(Tape& tape, const Variable& x, const LayerContext& context) const {
    const Variable qkuv = linear(tape, layer_norm(tape, x, norm1_), proj1_);
    AttentionOptions attention = attention_;
    attention.dropout = context.forward.is_training ? context.dropout : 0.0;
    attention.stream = context.forward.next_stream();
    attention.first_row = context.forward.first_token;
    const Variable attended = self_attention(tape, context.batch, context.lookup, qkuv, columns_, bias_, attention);
    const Variable middle = linear(tape, sigmoid_gate(tape, attended, qkuv, first_u_), proj2_,
                                   {.dropout = context.next_mask(proj2_.out()), .residual = x});
    const Variable inner = linear(tape, layer_norm(tape, middle, norm2_), ffn0_,
                                  {.activation = Activation::relu, .dropout = context.next_mask(ffn0_.out())});
    return linear(tape, inner, ffn3_, {.dropout = context.next_mask(ffn3_.out()), .residual = middle});
  }

 private:
  NormWeights norm1_, norm2_;
  Projection proj1_, proj2_, ffn0_, ffn3_;
  LayerBias bias_;
  std::int64_t first_u_;
  HeadColumns columns_;
  AttentionOptions attention_;
};

using LayerOps = std::variant<Rechub01LayerOps, Rechub09LayerOps, MetaLayerOps>;

/// Throws ConfigError for a layer without kernels.
inline LayerOps make_layer(const HstuConfig& c, const Parameters& parameters, const std::string& prefix) {
  switch (c.layer) {
    case LayerKind::rechub_0_1:
      return Rechub01LayerOps(c, parameters, prefix);
    case LayerKind::rechub_0_9:
      return Rechub09LayerOps(c, parameters, prefix);
    case LayerKind::meta:
      break;
  }
  return MetaLayerOps(c, parameters, prefix);
}

}  // namespace hstu::cuda
