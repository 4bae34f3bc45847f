// SPDX-License-Identifier: MIT
// The work of hstu_attention: panels of scores [keys][16 queries], queries in the SIMD lanes, so that heads of any
// width cost what they hold.  docs/math.md (A1) to (A8)
#pragma once
#include <limits>

#include <hstu/core/random_fill.hpp>
#include <hstu/core/tile.hpp>
#include <hstu/ops/bias_panels.hpp>
#include <hstu/ops/block_mask.hpp>
#include <hstu/ops/panel_lines.hpp>

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
};

namespace detail {

/// Keys of a panel: with 16 queries 10 KB of float32, so that the three panels of backward share the L1 cache.
inline constexpr std::int64_t kPanelKeys = 160;

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
  SequenceMask mask_of(std::size_t user) const {
    const auto bounds = offsets.values<std::int64_t>();
    return {options.mask, bounds[user + 1] - bounds[user],
            options.num_targets.defined() ? options.num_targets.values<std::int64_t>()[user] : 0};
  }
};

template <class Scalar>
class AttentionPass {
 public:
  explicit AttentionPass(const AttentionOperands& operands)
      : o_(operands), options_(operands.options), H_(options_.num_heads), dqk_(o_.q.width / H_), dv_(o_.v.width / H_),
        qk_rows_(whole_packs(dqk_)), v_rows_(whole_packs(dv_)), longest_(o_.longest()),
        bias_(o_.bias, H_, longest_), bias_heads_(bias_heads(o_.bias, H_)), has_bias_(has_bias(o_.bias)) {}

  /// y [T, H·Dv]; lse [T, H] receives log Σ exp of the scores (softmax only).
  void forward(Tensor& y, Tensor& lse) {
    const bool is_softmax = options_.kind == AttentionKind::softmax;
    allocate(2 * kPanelKeys * kLine + H_ * (qk_rows_ + v_rows_ + 2) * kLine);
    Scalar* const bias = take(kPanelKeys * kLine);
    Scalar* const scores = take(kPanelKeys * kLine);
    Scalar* const q = take(H_ * qk_rows_ * kLine);
    Scalar* const out = take(H_ * v_rows_ * kLine);
    Scalar* const largest = take(H_ * kLine);
    Scalar* const sum = take(H_ * kLine);
    for_each_block([&](std::int64_t start, PanelRange range) {
      load_columns(o_.q, H_, start + range.i0, range.count, options_.alpha, q);
      std::fill_n(out, H_ * v_rows_ * kLine, Scalar(0));
      std::fill_n(largest, H_ * kLine, std::numeric_limits<Scalar>::lowest());
      std::fill_n(sum, H_ * kLine, Scalar(0));
      for_each_panel(range, [&] {
        for (std::int64_t h = 0; h < H_; ++h) {
          compute_scores(h, start, range, q + h * qk_rows_ * kLine, bias, scores);
          Scalar* const y_h = out + h * v_rows_ * kLine;
          if (is_softmax) softmax_weights(range, scores, largest + h * kLine, sum + h * kLine, y_h);
          else silu_weights(range, scores);
          if (options_.dropout > 0) drop(h, start, range, scores);
          add_tiles(dv_, 2, down_columns(o_.v, h, dv_, start + range.first), range.last - range.first, scores, kLine, y_h,
                    kLine);
        }
      });
      for (std::int64_t h = 0; h < H_; ++h) {
        Pack<Scalar> factor[2] = {splat(Scalar(1)), splat(Scalar(1))};
        if (is_softmax) {
          for (std::int64_t n = 0; n < 2; ++n) factor[n] = Scalar(1) / load(sum + h * kLine + n * kLanes);
          for (std::int64_t lane = 0; lane < range.count; ++lane) {
            lse.mutable_data<Scalar>()[(start + range.i0 + lane) * H_ + h] =
                largest[h * kLine + lane] + std::log(sum[h * kLine + lane]);
          }
        }
        scale_lines<Scalar>(out + h * v_rows_ * kLine, dv_, factor);
      }
      const MatrixView<Scalar> to = mutable_view<Scalar>(y);
      store_columns<false>(out, H_, start + range.i0, range.count, to);
    });
  }

  /// Adds the gradients of q, k, v and of the bias.  y: the result (softmax only).
  void backward(const Tensor& y, const Tensor& lse, const Tensor& dy, Accumulator& into) {
    const bool is_softmax = options_.kind == AttentionKind::softmax;
    BiasGradients<Scalar> dbias(o_.bias, H_, longest_, into);
    const bool sums_heads = dbias.are_wanted() && bias_heads_ == 1 && H_ > 1;
    allocate(4 * kPanelKeys * kLine + 3 * H_ * (qk_rows_ + v_rows_ + 1) * kLine);
    Scalar* const bias = take(kPanelKeys * kLine);
    Scalar* const weights = take(kPanelKeys * kLine);
    Scalar* const dscores = take(kPanelKeys * kLine);
    Scalar* const dscores_sum = take(kPanelKeys * kLine);
    Scalar* const q = take(H_ * qk_rows_ * kLine);       // [H][Dqk][16]
    Scalar* const q_rows = take(H_ * qk_rows_ * kLine);  // [H][16][Dqk]
    Scalar* const dq = take(H_ * qk_rows_ * kLine);
    Scalar* const dout = take(H_ * v_rows_ * kLine);
    Scalar* const dout_rows = take(H_ * v_rows_ * kLine);
    Scalar* const lse_block = take(H_ * kLine);
    Scalar* const mean = take(H_ * kLine);
    const Columns dy_columns(dy);
    const MatrixView<Scalar> dq_all = gradient(o_.q, into), dk_all = gradient(o_.k, into), dv_all = gradient(o_.v, into);
    for_each_block([&](std::int64_t start, PanelRange range) {
      const std::int64_t first_query = start + range.i0;
      load_columns(o_.q, H_, first_query, range.count, options_.alpha, q);
      load_rows(o_.q, H_, first_query, range.count, options_.alpha, q_rows);
      load_columns(dy_columns, H_, first_query, range.count, 1.0, dout);
      load_rows(dy_columns, H_, first_query, range.count, 1.0, dout_rows);
      clear_lanes(dout, H_ * v_rows_, range.count);
      if (is_softmax) load_statistics(y, dy, lse, first_query, range.count, lse_block, mean);
      std::fill_n(dq, H_ * qk_rows_ * kLine, Scalar(0));
      for_each_panel(range, [&] {
        const std::int64_t keys = range.last - range.first;
        for (std::int64_t h = 0; h < H_; ++h) {
          compute_scores(h, start, range, q + h * qk_rows_ * kLine, bias, weights);
          set_tiles(keys, 2, along_columns(o_.v, h, dv_, start + range.first), dv_, dout + h * v_rows_ * kLine, kLine,
                    dscores, kLine);  // gradient of the weights
          if (options_.dropout > 0) drop(h, start, range, dscores);
          if (is_softmax) softmax_gradient(range, lse_block + h * kLine, mean + h * kLine, weights, dscores);
          else silu_gradient(range, weights, dscores);
          if (options_.dropout > 0) drop(h, start, range, weights);
          if (dbias.are_wanted()) {
            if (!sums_heads) dbias.add(bias_heads_ == 1 ? 0 : h, range, dscores);
            else if (h == 0) std::copy_n(dscores, keys * kLine, dscores_sum);
            else add_lines(dscores, keys, dscores_sum);
          }
          if (dq_all.data != nullptr) {
            add_tiles(dqk_, 2, down_columns(o_.k, h, dqk_, start + range.first), keys, dscores, kLine,
                      dq + h * qk_rows_ * kLine, kLine);
          }
          add_to_keys(dv_all, h, dv_, start, range, weights, dout_rows + h * v_rows_ * kLine, v_rows_);
          add_to_keys(dk_all, h, dqk_, start, range, dscores, q_rows + h * qk_rows_ * kLine, qk_rows_);
        }
        if (sums_heads) dbias.add(0, range, dscores_sum);
      });
      if (dq_all.data != nullptr) {
        const Pack<Scalar> alpha = splat(static_cast<Scalar>(options_.alpha));
        const Pack<Scalar> factor[2] = {alpha, alpha};
        scale_lines<Scalar>(dq, H_ * qk_rows_, factor);
        store_columns<true>(dq, H_, first_query, range.count, dq_all);
      }
    });
    dbias.scatter(into);
  }

 private:
  static constexpr std::int64_t kLine = kPanelQueries;
  static_assert(kLine == 2 * kLanes);
  static constexpr Pack<Scalar> kZero{};

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

  // ---- walking over users, blocks of 16 queries, and the panels of keys that some query of the block sees
  template <class Body>
  void for_each_block(const Body& body) {
    const auto bounds = o_.offsets.template values<std::int64_t>();
    for (std::size_t b = 0; b + 1 < bounds.size(); ++b) {
      const SequenceMask mask = o_.mask_of(b);
      for (std::int64_t i0 = 0; i0 < mask.length; i0 += kLine) {
        const std::int64_t count = std::min(kLine, mask.length - i0);
        const bool is_plain = i0 >= mask.rule.contextual_seq_len && i0 + count <= mask.targets_begin();
        block_ = BlockMask<Scalar>(mask, i0, count);
        body(bounds[b], PanelRange{static_cast<std::int64_t>(b), i0, count, 0, 0, is_plain ? nullptr : &mask});
      }
    }
  }
  template <class Body>
  void for_each_panel(PanelRange& range, const Body& body) const {
    for (const KeyRange& keys : block_.visited()) {
      for (range.first = keys.first; range.first < keys.last; range.first = range.last) {
        range.last = std::min(range.first + kPanelKeys, keys.last);
        body();
      }
    }
  }
  /// body(entry, visible) for every pack of a panel; visible(x, z) is x, but z at queries that do not see the key.
  template <class Body>
  HSTU_INLINE void for_each_pack(const PanelRange& range, const Body& body) const {
    const KeyRange all = block_.seen_by_all(range.first, range.last);
    for (std::int64_t entry = (all.first - range.first) * kLine; entry < (all.last - range.first) * kLine;
         entry += kLanes) {
      body(entry, [](Pack<Scalar> x, Pack<Scalar>) HSTU_LAMBDA_INLINE { return x; });
    }
    for (const KeyRange& some : {KeyRange{range.first, all.first}, KeyRange{all.last, range.last}}) {
      for (std::int64_t key = some.first; key < some.last; ++key) {
        for (std::int64_t n = 0; n < kLine; n += kLanes) {
          const Mask<Scalar> mask = block_.sees(key, n);
          const std::int64_t entry = (key - range.first) * kLine + n;
          body(entry, [mask](Pack<Scalar> x, Pack<Scalar> z) HSTU_LAMBDA_INLINE { return select(mask, x, z); });
        }
      }
    }
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
  static void add_to_keys(const MatrixView<Scalar>& to, std::int64_t h, std::int64_t d, std::int64_t start,
                          const PanelRange& range, const Scalar* panel, const Scalar* rows, std::int64_t padded) {
    if (to.data == nullptr) return;
    Scalar* const first = to.data + (start + range.first) * to.stride + h * d;
    const std::int64_t keys = range.last - range.first;
    for (std::int64_t k = 0; k < padded; k += 2 * kLanes) {
      add_tiles(keys, std::min<std::int64_t>(2, (padded - k) / kLanes), {panel, kLine, 1}, kLine, rows + k, padded,
                first + k, to.stride);
    }
  }

  // ---- scores and weights
  /// scores = α·k·q + rab; `bias` holds the panel that all heads share, filled at the first of them.
  void compute_scores(std::int64_t h, std::int64_t start, const PanelRange& range, const Scalar* q, Scalar* bias,
                      Scalar* scores) const {
    const TileOperand<Scalar> k = along_columns(o_.k, h, dqk_, start + range.first);
    const std::int64_t keys = range.last - range.first;
    if (!has_bias_) {
      set_tiles(keys, 2, k, dqk_, q, kLine, scores, kLine);
      return;
    }
    if (h == 0 || bias_heads_ > 1) bias_.fill(h, range, bias);
    set_tiles_from(bias, kLine, keys, 2, k, dqk_, q, kLine, scores, kLine);
  }

  void silu_weights(const PanelRange& range, Scalar* scores) const {
    const Pack<Scalar> inv_n = splat(static_cast<Scalar>(1.0 / options_.normalizer));
    for_each_pack(range, [&](std::int64_t entry, auto visible) HSTU_LAMBDA_INLINE {
      const Pack<Scalar> s = load(scores + entry);
      store(scores + entry, visible(s * sigmoid(s) * inv_n, kZero));
    });
  }
  /// scores → weights, dscores: gradient of the weights → of the scores.  (A5)
  void silu_gradient(const PanelRange& range, Scalar* scores, Scalar* dscores) const {
    const Pack<Scalar> inv_n = splat(static_cast<Scalar>(1.0 / options_.normalizer));
    for_each_pack(range, [&](std::int64_t entry, auto visible) HSTU_LAMBDA_INLINE {
      const Pack<Scalar> s = load(scores + entry), open = sigmoid(s), open_n = open * inv_n;
      const Pack<Scalar> weight = s * open_n;
      const Pack<Scalar> slope = mul_add(weight, splat(Scalar(1)) - open, open_n);
      store(scores + entry, visible(weight, kZero));
      store(dscores + entry, visible(load(dscores + entry) * slope, kZero));
    });
  }

  /// scores → e^(score − largest so far); y and the sums so far are rescaled when the largest score grows.
  void softmax_weights(const PanelRange& range, Scalar* scores, Scalar* largest, Scalar* sum, Scalar* y) const {
    Pack<Scalar> before[2], top[2], total[2];
    for (std::int64_t n = 0; n < 2; ++n) top[n] = before[n] = load(largest + n * kLanes);
    const Pack<Scalar> lowest = splat(std::numeric_limits<Scalar>::lowest());
    for_each_pack(range, [&](std::int64_t entry, auto visible) HSTU_LAMBDA_INLINE {
      Pack<Scalar>& value = top[entry / kLanes % 2];
      value = max(visible(load(scores + entry), lowest), value);
    });
    Pack<Scalar> factor[2];
    for (std::int64_t n = 0; n < 2; ++n) {
      factor[n] = exp(before[n] - top[n]);
      total[n] = load(sum + n * kLanes) * factor[n];
    }
    for_each_pack(range, [&](std::int64_t entry, auto visible) HSTU_LAMBDA_INLINE {
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
  /// The same for softmax; mean = dy·y of every query.  (A6)
  void softmax_gradient(const PanelRange& range, const Scalar* lse, const Scalar* mean, Scalar* scores,
                        Scalar* dscores) const {
    const Pack<Scalar> log_sum[2] = {load(lse), load(lse + kLanes)}, average[2] = {load(mean), load(mean + kLanes)};
    for_each_pack(range, [&](std::int64_t entry, auto visible) HSTU_LAMBDA_INLINE {
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
  void drop(std::int64_t h, std::int64_t start, const PanelRange& range, Scalar* panel) {
    const auto threshold = static_cast<std::uint32_t>(options_.dropout * 0x1p32);
    const auto kept = static_cast<Scalar>(1.0 / (1.0 - options_.dropout));
    const std::int64_t keys = range.last - range.first;
    std::uint32_t bits[kPanelKeys];
    for (std::int64_t lane = 0; lane < range.count; ++lane) {
      const std::int64_t row = (options_.first_row + start + range.i0 + lane) * H_ + h;
      fill_bits(options_.stream, (static_cast<std::uint64_t>(row) << 24) + static_cast<std::uint64_t>(range.first),
                {bits, static_cast<std::size_t>(keys)});
      for (std::int64_t key = 0; key < keys; ++key) panel[key * kLine + lane] *= bits[key] >= threshold ? kept : Scalar(0);
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
  BlockMask<Scalar> block_{{}, 0, kLine};
  Tensor scratch_;
  std::int64_t taken_ = 0;
};

}  // namespace detail
}  // namespace hstu
