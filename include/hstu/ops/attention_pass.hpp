// SPDX-License-Identifier: MIT
// The work of hstu_attention: panels of scores [keys][16 queries], queries in the SIMD lanes, so that heads of any
// width cost what they hold.  docs/math.md (A1) to (A8)
#pragma once
#include <limits>

#include <hstu/core/random_fill.hpp>
#include <hstu/core/tile.hpp>
#include <hstu/ops/attention_operands.hpp>
#include <hstu/ops/panel_lines.hpp>
#include <hstu/ops/query_blocks.hpp>

namespace hstu {

namespace detail {

template <class Scalar>
class AttentionPass {
 public:
  explicit AttentionPass(const AttentionOperands& operands)
      : o_(operands), options_(operands.options), H_(options_.num_heads), dqk_(o_.q.width / H_), dv_(o_.v.width / H_),
        qk_rows_(whole_packs(dqk_)), v_rows_(whole_packs(dv_)), longest_(o_.distances()),
        bias_(o_.bias, H_, longest_), bias_heads_(bias_heads(o_.bias, H_)), has_bias_(has_bias(o_.bias)) {}

  /// y [T, H·Dv]; lse [T, H] receives log Σ exp of the scores (softmax only).
  void forward(Tensor& y, Tensor& lse) {
    const bool is_softmax = options_.kind == AttentionKind::softmax;
    allocate(2 * kPanelKeys * kLine + kBlocksTogether * H_ * (qk_rows_ + v_rows_ + 2) * kLine);
    Scalar* const bias = take(kPanelKeys * kLine);
    Scalar* const scores = take(kPanelKeys * kLine);
    const PerBlock q = take_per_block(qk_rows_), out = take_per_block(v_rows_);
    const PerBlock largest = take_per_block(1), sum = take_per_block(1);
    const auto begin = [&](const Block& block) {
      load_columns(o_.q, H_, block.first_query(), block.range.count, options_.alpha, q.of(block));
      std::fill_n(out.of(block), out.size, Scalar(0));
      std::fill_n(largest.of(block), largest.size, std::numeric_limits<Scalar>::lowest());
      std::fill_n(sum.of(block), sum.size, Scalar(0));
    };
    const auto on_panel = [&](const Block& block) {
      for (std::int64_t h = 0; h < H_; ++h) {
        compute_scores(h, block, q.of(block, h), bias, scores);
        Scalar* const y_h = out.of(block, h);
        if (is_softmax) softmax_weights(block, scores, largest.of(block, h), sum.of(block, h), y_h);
        else silu_weights(block, scores);
        if (options_.dropout > 0) drop(h, block, scores);
        add_tiles(dv_, 2, down_columns(o_.v, h, dv_, block.first_key()), block.keys(), scores, kLine, y_h, kLine);
      }
    };
    const auto end = [&](const Block& block) {
      if (is_softmax) {
        for (std::int64_t h = 0; h < H_; ++h) {
          finish_softmax(h, block, largest.of(block, h), sum.of(block, h), out.of(block, h), lse);
        }
      }
      store_columns<false>(out.of(block), H_, block.first_query(), block.range.count, mutable_view<Scalar>(y));
    };
    walk(begin, on_panel, end);
  }

  /// Adds the gradients of q, k, v and of the bias.  y: the result (softmax only).
  void backward(const Tensor& y, const Tensor& lse, const Tensor& dy, Accumulator& into) {
    const bool is_softmax = options_.kind == AttentionKind::softmax;
    BiasGradients<Scalar> dbias(o_.bias, H_, longest_, into);
    const bool sums_heads = dbias.are_wanted() && bias_heads_ == 1 && H_ > 1;
    allocate(4 * kPanelKeys * kLine + kBlocksTogether * H_ * (3 * qk_rows_ + 2 * v_rows_ + 2) * kLine);
    Scalar* const bias = take(kPanelKeys * kLine);
    Scalar* const weights = take(kPanelKeys * kLine);
    Scalar* const dscores = take(kPanelKeys * kLine);
    Scalar* const dscores_sum = take(kPanelKeys * kLine);
    const PerBlock q = take_per_block(qk_rows_), q_rows = take_per_block(qk_rows_), dq = take_per_block(qk_rows_);
    const PerBlock dout = take_per_block(v_rows_), dout_rows = take_per_block(v_rows_);
    const PerBlock lse_block = take_per_block(1), mean = take_per_block(1);
    const Columns dy_columns(dy);
    const MatrixView<Scalar> dq_all = gradient(o_.q, into), dk_all = gradient(o_.k, into);
    const MatrixView<Scalar> dv_all = gradient(o_.v, into);
    const auto begin = [&](const Block& block) {
      const std::int64_t first = block.first_query(), count = block.range.count;
      load_columns(o_.q, H_, first, count, options_.alpha, q.of(block));
      load_rows(o_.q, H_, first, count, options_.alpha, q_rows.of(block));
      load_columns(dy_columns, H_, first, count, 1.0, dout.of(block));
      load_rows(dy_columns, H_, first, count, 1.0, dout_rows.of(block));
      clear_lanes(dout.of(block), H_ * v_rows_, count);
      if (is_softmax) load_statistics(y, dy, lse, first, count, lse_block.of(block), mean.of(block));
      std::fill_n(dq.of(block), dq.size, Scalar(0));
    };
    const auto on_panel = [&](const Block& block) {
      const std::int64_t keys = block.keys();
      for (std::int64_t h = 0; h < H_; ++h) {
        compute_scores(h, block, q.of(block, h), bias, weights);
        set_tiles(keys, 2, along_columns(o_.v, h, dv_, block.first_key()), dv_, dout.of(block, h), kLine, dscores,
                  kLine);  // gradient of the weights
        if (options_.dropout > 0) drop(h, block, dscores);
        if (is_softmax) softmax_gradient(block, lse_block.of(block, h), mean.of(block, h), weights, dscores);
        else silu_gradient(block, weights, dscores);
        if (options_.dropout > 0) drop(h, block, weights);
        if (dbias.are_wanted()) {
          if (!sums_heads) dbias.add(bias_heads_ == 1 ? 0 : h, block.range, dscores);
          else if (h == 0) std::copy_n(dscores, keys * kLine, dscores_sum);
          else add_lines(dscores, keys, dscores_sum);
        }
        if (dq_all.data != nullptr) {
          add_tiles(dqk_, 2, down_columns(o_.k, h, dqk_, block.first_key()), keys, dscores, kLine, dq.of(block, h),
                    kLine);
        }
        add_to_keys(dv_all, h, dv_, block, weights, dout_rows.of(block, h), v_rows_);
        add_to_keys(dk_all, h, dqk_, block, dscores, q_rows.of(block, h), qk_rows_);
      }
      if (sums_heads) dbias.add(0, block.range, dscores_sum);
    };
    const auto end = [&](const Block& block) {
      if (dq_all.data == nullptr) return;
      const Pack<Scalar> alpha = splat(static_cast<Scalar>(options_.alpha));
      const Pack<Scalar> factor[2] = {alpha, alpha};
      scale_lines<Scalar>(dq.of(block), H_ * qk_rows_, factor);
      store_columns<true>(dq.of(block), H_, block.first_query(), block.range.count, dq_all);
    };
    walk(begin, on_panel, end);
    dbias.scatter(into);
  }

 private:
  static constexpr std::int64_t kLine = kPanelQueries;
  static_assert(kLine == 2 * kLanes);
  static constexpr Pack<Scalar> kZero{};

  using Block = QueryBlock<Scalar>;

  // ---- scratch memory: one allocation a call
  void allocate(std::int64_t count) {
    scratch_ = Tensor({count}, dtype_of<Scalar>());
    taken_ = 0;
  }
  Scalar* take(std::int64_t count) {
    Scalar* const part = scratch_.template mutable_data<Scalar>() + taken_;
    taken_ += count;
    HSTU_ASSERT(taken_ <= scratch_.numel());
    return part;
  }
  /// Lines of every head for each of the blocks side by side.
  struct PerBlock {
    Scalar* first;
    std::int64_t size_of_head, size;  // of a block

    Scalar* of(const Block& block, std::int64_t h = 0) const { return first + block.slot * size + h * size_of_head; }
  };
  PerBlock take_per_block(std::int64_t lines) {
    const std::int64_t size = H_ * lines * kLine;
    return {take(kBlocksTogether * size), lines * kLine, size};
  }

  template <class Begin, class OnPanel, class End>
  void walk(const Begin& begin, const OnPanel& on_panel, const End& end) const {
    for_each_block<Scalar>(o_.offsets.template values<std::int64_t>(),
                           [&](std::size_t user) { return o_.mask_of(user); }, begin, on_panel, end);
  }

  // ---- operands of the tiles
  /// a(m, k) = x[first + m, column k of the head].
  TileOperand<Scalar> along_columns(const Columns& x, std::int64_t h, std::int64_t d, std::int64_t first) const {
    const auto view = x.view<Scalar>();
    return {view.data + first * view.stride + h * d, view.stride, 1};
  }
  /// a(m, k) = x[first + k, column m of the head].
  TileOperand<Scalar> down_columns(const Columns& x, std::int64_t h, std::int64_t d, std::int64_t first) const {
    const auto view = x.view<Scalar>();
    return {view.data + first * view.stride + h * d, 1, view.stride};
  }
  static MatrixView<Scalar> gradient(const Columns& x, Accumulator& into) {
    if (!Accumulator::wants(x.of)) return {nullptr, 0, 0, 0};
    return x.gradient<Scalar>(into);
  }
  /// to[key, head] += Σ_queries panel[key][query]·rows[query]; columns beyond the head's get zeros added.
  static void add_to_keys(const MatrixView<Scalar>& to, std::int64_t h, std::int64_t d, const Block& block,
                          const Scalar* panel, const Scalar* rows, std::int64_t padded) {
    if (to.data == nullptr) return;
    Scalar* const first = to.data + block.first_key() * to.stride + h * d;
    for (std::int64_t k = 0; k < padded; k += 2 * kLanes) {
      const std::int64_t packs = std::min<std::int64_t>(2, (padded - k) / kLanes);
      add_tiles(block.keys(), packs, {panel, kLine, 1}, kLine, rows + k, padded, first + k, to.stride);
    }
  }

  // ---- scores and weights
  /// scores = α·k·q + rab; `bias` holds the panel that all heads share, filled at the first of them.
  void compute_scores(std::int64_t h, const Block& block, const Scalar* q, Scalar* bias, Scalar* scores) const {
    const TileOperand<Scalar> k = along_columns(o_.k, h, dqk_, block.first_key());
    const std::int64_t keys = block.keys();
    if (!has_bias_) {
      set_tiles(keys, 2, k, dqk_, q, kLine, scores, kLine);
      return;
    }
    if (h == 0 || bias_heads_ > 1) bias_.fill(h, block.range, bias);
    set_tiles_from(bias, kLine, keys, 2, k, dqk_, q, kLine, scores, kLine);
  }

  void silu_weights(const Block& block, Scalar* scores) const {
    const Pack<Scalar> inv_n = splat(static_cast<Scalar>(1.0 / options_.normalizer));
    block.for_each_pack([&](std::int64_t entry, auto visible) HSTU_LAMBDA_INLINE {
      const Pack<Scalar> s = load(scores + entry);
      store(scores + entry, visible(s * sigmoid(s) * inv_n, kZero));
    });
  }
  /// scores → weights, dscores: gradient of the weights → of the scores.  (A5)
  void silu_gradient(const Block& block, Scalar* scores, Scalar* dscores) const {
    const Pack<Scalar> inv_n = splat(static_cast<Scalar>(1.0 / options_.normalizer));
    block.for_each_pack([&](std::int64_t entry, auto visible) HSTU_LAMBDA_INLINE {
      const Pack<Scalar> s = load(scores + entry), open = sigmoid(s), open_n = open * inv_n;
      const Pack<Scalar> weight = s * open_n;
      const Pack<Scalar> slope = mul_add(weight, splat(Scalar(1)) - open, open_n);
      store(scores + entry, visible(weight, kZero));
      store(dscores + entry, visible(load(dscores + entry) * slope, kZero));
    });
  }

  /// scores → e^(score − largest so far); y and the sums so far are rescaled when the largest score grows.
  void softmax_weights(const Block& block, Scalar* scores, Scalar* largest, Scalar* sum, Scalar* y) const {
    Pack<Scalar> before[2], top[2], total[2];
    for (std::int64_t n = 0; n < 2; ++n) top[n] = before[n] = load(largest + n * kLanes);
    const Pack<Scalar> lowest = splat(std::numeric_limits<Scalar>::lowest());
    block.for_each_pack([&](std::int64_t entry, auto visible) HSTU_LAMBDA_INLINE {
      Pack<Scalar>& value = top[entry / kLanes % 2];
      value = max(visible(load(scores + entry), lowest), value);
    });
    Pack<Scalar> factor[2];
    for (std::int64_t n = 0; n < 2; ++n) {
      factor[n] = exp(before[n] - top[n]);
      total[n] = load(sum + n * kLanes) * factor[n];
    }
    block.for_each_pack([&](std::int64_t entry, auto visible) HSTU_LAMBDA_INLINE {
      const std::int64_t n = entry / kLanes % 2;
      const Pack<Scalar> weight = visible(exp(load(scores + entry) - top[n]), kZero);
      store(scores + entry, weight);
      total[n] += weight;
    });
    scale_lines<Scalar>(y, dv_, factor);
    for (std::int64_t n = 0; n < 2; ++n) {
      store(largest + n * kLanes, top[n]);
      store(sum + n * kLanes, total[n]);
    }
  }
  /// y = Σ weight·v / Σ weight, and lse = log Σ e^score.
  void finish_softmax(std::int64_t h, const Block& block, const Scalar* largest, const Scalar* sum, Scalar* y,
                      Tensor& lse) const {
    const Pack<Scalar> factor[2] = {Scalar(1) / load(sum), Scalar(1) / load(sum + kLanes)};
    scale_lines<Scalar>(y, dv_, factor);
    for (std::int64_t lane = 0; lane < block.range.count; ++lane) {
      lse.mutable_data<Scalar>()[(block.first_query() + lane) * H_ + h] = largest[lane] + std::log(sum[lane]);
    }
  }
  /// The same for softmax; mean = dy·y of every query.  (A6)
  void softmax_gradient(const Block& block, const Scalar* lse, const Scalar* mean, Scalar* scores,
                        Scalar* dscores) const {
    const Pack<Scalar> log_sum[2] = {load(lse), load(lse + kLanes)}, average[2] = {load(mean), load(mean + kLanes)};
    block.for_each_pack([&](std::int64_t entry, auto visible) HSTU_LAMBDA_INLINE {
      const std::int64_t n = entry / kLanes % 2;
      const Pack<Scalar> weight = visible(exp(load(scores + entry) - log_sum[n]), kZero);
      store(scores + entry, weight);
      store(dscores + entry, visible(weight * (load(dscores + entry) - average[n]), kZero));
    });
  }
  /// lse and dy·y of the block's queries, [H][16].  Lanes without a query get an lse that makes all their weights zero.
  void load_statistics(const Tensor& y, const Tensor& dy, const Tensor& lse, std::int64_t first, std::int64_t count,
                       Scalar* lse_block, Scalar* mean) const {
    std::fill_n(lse_block, H_ * kLine, std::numeric_limits<Scalar>::max());
    std::fill_n(mean, H_ * kLine, Scalar(0));
    for (std::int64_t h = 0; h < H_; ++h) {
      for (std::int64_t lane = 0; lane < count; ++lane) {
        const std::int64_t token = first + lane, at = (token * H_ + h) * dv_;
        lse_block[h * kLine + lane] = lse.data<Scalar>()[token * H_ + h];
        const Scalar *const out = y.data<Scalar>() + at, *const grad = dy.data<Scalar>() + at;
        for (std::int64_t i = 0; i < dv_; ++i) mean[h * kLine + lane] += out[i] * grad[i];
      }
    }
  }

  /// Multiplies weights by keep/(1 − dropout); the counter of a weight is (token·H + h)·2²⁴ + key.  docs/math.md (A3)
  void drop(std::int64_t h, const Block& block, Scalar* panel) const {
    const auto threshold = static_cast<std::uint32_t>(options_.dropout * 0x1p32);
    const auto kept = static_cast<Scalar>(1.0 / (1.0 - options_.dropout));
    const std::int64_t keys = block.keys();
    std::uint32_t bits[kPanelKeys];
    for (std::int64_t lane = 0; lane < block.range.count; ++lane) {
      const std::int64_t row = (options_.first_row + block.first_query() + lane) * H_ + h;
      const auto first = (static_cast<std::uint64_t>(row) << 24) + static_cast<std::uint64_t>(block.range.first);
      fill_bits(options_.stream, first, {bits, static_cast<std::size_t>(keys)});
      for (std::int64_t key = 0; key < keys; ++key) {
        panel[key * kLine + lane] *= bits[key] >= threshold ? kept : Scalar(0);
      }
    }
  }

  const AttentionOperands& o_;
  const AttentionOptions& options_;
  std::int64_t H_, dqk_, dv_;
  std::int64_t qk_rows_, v_rows_;  // widths of a head in whole packs
  std::int64_t longest_;
  BiasPanels<Scalar> bias_;
  std::int64_t bias_heads_;
  bool has_bias_;
  Tensor scratch_;
  std::int64_t taken_ = 0;
};

}  // namespace detail
}  // namespace hstu
