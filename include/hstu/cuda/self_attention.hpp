// SPDX-License-Identifier: MIT
// Attention on the tape, over columns of one projection, with operands in the precision of the run.
#pragma once
#include <hstu/cuda/layer_ops.hpp>

namespace hstu::cuda {

/// Where q, k and v begin in the columns of a projection, and the columns of a head.
struct HeadColumns {
  std::int64_t first_q, first_k, first_v;
  std::int64_t dqk, dv;
};

/// The bias tables of a layer, [rows, heads] or [rows, 1] for all heads; null: none.
struct LayerBias {
  Weights position;
  Weights time;

  DeviceBiasTables tables() const {
    const auto heads = [](const Weights& w) { return w ? w.cols : 1; };
    return {position.values, time.values, heads(position), heads(time)};
  }
};

namespace detail {

/// q, k and v as the kernels of one rung read them.
template <class Element>
struct HeadOperands;
template <>
struct HeadOperands<float> {
  HeadOperands(Device&, const VariableData& projected, const HeadColumns& c, std::int64_t)
      : values(projected.values.data()), stride(projected.cols), columns(c) {}
  void fill(AttentionOperands<float>& o) const {
    o.q = values + columns.first_q;
    o.k = values + columns.first_k;
    o.v = values + columns.first_v;
    o.q_stride = o.k_stride = o.v_stride = stride;
    o.qk_head_stride = static_cast<std::int32_t>(columns.dqk);
    o.v_head_stride = static_cast<std::int32_t>(columns.dv);
  }

  const float* values;
  std::int64_t stride;
  HeadColumns columns;
};
template <>
struct HeadOperands<Bfloat16> {
  HeadOperands(Device& device, const VariableData& projected, const HeadColumns& c, std::int64_t heads) {
    const auto pack = [&](std::int64_t first, std::int64_t dims) {
      return pack_rows(device, projected.values.data() + first, projected.rows, projected.cols, heads, dims);
    };
    q = pack(c.first_q, c.dqk);
    k = pack(c.first_k, c.dqk);
    v = pack(c.first_v, c.dv);
  }
  void fill(AttentionOperands<Bfloat16>& o) const {
    o.q = q.bits.data();
    o.k = k.bits.data();
    o.v = v.bits.data();
    o.q_stride = q.stride;
    o.k_stride = k.stride;
    o.v_stride = v.stride;
    o.qk_head_stride = static_cast<std::int32_t>(q.head_stride);
    o.v_head_stride = static_cast<std::int32_t>(v.head_stride);
  }

  PackedRows q, k, v;
};

/// dy as the kernels of one rung read it.
template <class Element>
void fill_dy(AttentionBackward<Element>& o, const Buffer<float>& dy, const PackedRows& packed, std::int64_t stride) {
  if constexpr (std::is_same_v<Element, float>) {
    o.dy = dy.data();
    o.dy_stride = stride;
  } else {
    o.dy = packed.bits.data();
    o.dy_stride = packed.stride;
  }
}

template <class Element>
Variable self_attention(Tape& tape, const AttentionBatch& batch, const AttentionLookup& lookup,
                        const Variable& projected, const HeadColumns& columns, const LayerBias& tables,
                        const AttentionOptions& options) {
  constexpr bool kIsPacked = !std::is_same_v<Element, float>;
  Device& device = tape.device();
  const std::int64_t heads = options.num_heads, width = heads * columns.dv;
  const Variable y = tape.variable(projected->rows, width);
  GatheredBias bias(device, batch, lookup, tables.tables());
  HeadOperands<Element> operands(device, *projected, columns, heads);
  AttentionOperands<Element> o = batch.operands<Element>(bias.bias(), options, columns.dqk, columns.dv);
  operands.fill(o);
  Buffer<float> lse = tape.buffer(o.is_softmax ? y->rows * heads : 0);
  attention_forward<Element>(device, batch, {o, nullptr, y->values.data(), lse.data(), width});
  tape.record([&tape, &batch, &lookup, projected, columns, tables, heads, width, y, o, bias = std::move(bias),
               operands = std::move(operands), lse = std::move(lse)] {
    const Buffer<float> dy = std::move(y->gradient);
    const PackedRows packed =
        kIsPacked ? pack_rows(tape.device(), dy.data(), y->rows, width, heads, columns.dv) : PackedRows{};
    float* const dprojected = tape.gradient_of_columns(*projected);
    AttentionBackward<Element> b{};
    b.of = o;
    b.lse = lse.data();
    fill_dy(b, dy, packed, width);
    b.dq = dprojected + columns.first_q;
    b.dk = dprojected + columns.first_k;
    b.dv = dprojected + columns.first_v;
    b.dq_stride = b.dk_stride = b.dv_stride = projected->cols;
    const Buffer<float> dposition = tape.buffer(tables.position.size()), dtime = tape.buffer(tables.time.size());
    attention_backward(tape.device(), batch, lookup, b, {y->values.data(), dy.data(), width, width}, dposition.data(),
                       dtime.data());
    // Layers may share a table.
    tape.add(tables.position.gradient, dposition.data(), dposition.size());
    tape.add(tables.time.gradient, dtime.data(), dtime.size());
  });
  return y;
}

}  // namespace detail

/// hstu_attention of ops/hstu_attention.hpp; `batch` and `lookup` must live until backward.  attn_scale, one number or
/// one per query, or null: as AttentionOptions::attn_scale, which is for tensors of the host.  Throws as attention_forward
/// does.
inline Variable self_attention(Tape& tape, const AttentionBatch& batch, const AttentionLookup& lookup,
                               const Variable& projected, const HeadColumns& columns, const LayerBias& tables,
                               AttentionOptions options, const Weights& attn_scale = {}) {
  check<ConfigError>(!attn_scale || options.kind == AttentionKind::silu,
                     "cuda: attention: attn_scale belongs to silu attention");
  if (attn_scale) options.normalizer = 1.0;
  const Variable y = tape.products().are_bfloat16()
                         ? detail::self_attention<Bfloat16>(tape, batch, lookup, projected, columns, tables, options)
                         : detail::self_attention<float>(tape, batch, lookup, projected, columns, tables, options);
  return attn_scale ? scale_rows(tape, y, attn_scale) : y;
}

}  // namespace hstu::cuda
