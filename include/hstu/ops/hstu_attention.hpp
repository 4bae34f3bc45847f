// SPDX-License-Identifier: MIT
// Jagged causal attention of both kinds, with relative bias looked up inside; scores are recomputed in backward.
#pragma once
#include <memory>

#include <hstu/core/random_fill.hpp>
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
};

namespace detail {

/// One panel = the scores of up to kPanelRows queries of one user and head against the keys they may see.
inline constexpr std::int64_t kPanelRows = 32;

template <class Scalar>
class AttentionPass {
 public:
  using Panel = Eigen::Map<Matrix<Scalar>, Eigen::AlignedMax, Eigen::OuterStride<>>;

  AttentionPass(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets, const RelativeBias& bias,
                const AttentionOptions& options)
      : q_(q), k_(k), v_(v), offsets_(offsets.values<std::int64_t>()), bias_(bias), options_(options) {
    for (std::size_t b = 0; b + 1 < offsets_.size(); ++b) longest_ = std::max(longest_, offsets_[b + 1] - offsets_[b]);
    pitch_ = (longest_ + 15) / 16 * 16;
    buffer_ = Tensor({3, kPanelRows, std::max<std::int64_t>(pitch_, 1)}, q.dtype());
  }

  std::int64_t longest() const { return longest_; }

  /// y [T, H·Dv]; lse [T, H] receives log Σ exp of the scores (softmax only).
  void forward(Tensor& y, Tensor& lse) {
    const std::int64_t H = options_.num_heads;
    y.fill_zero();
    for (std::int64_t h = 0; h < H; ++h) {
      const HeadBias<Scalar> bias(bias_, h, longest_, kPanelRows);
      for_each_panel([&](std::int64_t start, std::int64_t i0, std::int64_t rows) {
        const std::int64_t keys = i0 + rows;
        Panel p = panel(0, rows, keys);
        scores(p, bias, h, start, i0);
        if (options_.kind == AttentionKind::silu) {
          const auto inv_n = static_cast<Scalar>(1.0 / options_.normalizer);
          p.array() = p.array() * inv_n / (Scalar(1) + (-p.array()).exp());
        } else {
          for (std::int64_t r = 0; r < rows; ++r) {
            auto row = p.row(r).head(i0 + r + 1).array();
            const Scalar max = row.maxCoeff();
            row = (row - max).exp();
            const Scalar sum = row.sum();
            row *= Scalar(1) / sum;
            lse.mutable_data<Scalar>()[(start + i0 + r) * H + h] = max + std::log(sum);
          }
        }
        mask_future(p, i0);
        if (options_.dropout > 0) drop(p, h, start, i0);
        add_product<Scalar>(head(y, h, start + i0, rows), view_of(p), head(v_, h, start, keys));
      });
    }
  }

  /// Adds the gradients of q, k, v (each [T, H·d], zero or partial before) and of the bias.
  void backward(const Tensor& y, const Tensor& lse, const Tensor& dy, Tensor& dq, Tensor& dk, Tensor& dv,
                Accumulator& into) {
    const std::int64_t H = options_.num_heads;
    const auto alpha = static_cast<Scalar>(options_.alpha);
    Tensor* const dense_gradient =
        Accumulator::wants(bias_.dense) ? &into.buffer(bias_.dense) : nullptr;
    for (std::int64_t h = 0; h < H; ++h) {
      const HeadBias<Scalar> bias(bias_, h, longest_, kPanelRows);
      HeadBiasGradient<Scalar> dbias(bias_, h, longest_);
      for_each_panel([&](std::int64_t start, std::int64_t i0, std::int64_t rows) {
        const std::int64_t keys = i0 + rows;
        Panel s = panel(0, rows, keys);
        Panel p = panel(1, rows, keys);
        Panel ds = panel(2, rows, keys);
        const MatrixView<const Scalar> dout = head(dy, h, start + i0, rows);
        scores(s, bias, h, start, i0);
        set_product<Scalar>(view_of(ds), dout, head(v_, h, start, keys).transposed());  // gradient of the weights
        if (options_.dropout > 0) drop(ds, h, start, i0);
        if (options_.kind == AttentionKind::silu) {
          const auto inv_n = static_cast<Scalar>(1.0 / options_.normalizer);
          p.array() = inv_n / (Scalar(1) + (-s.array()).exp());  // σ(s)/n
          ds.array() *= p.array() * (Scalar(1) + s.array()) - s.array() * p.array().square() * (Scalar(1) / inv_n);
          p.array() *= s.array();
        } else {
          for (std::int64_t r = 0; r < rows; ++r) {
            const std::int64_t token = start + i0 + r;
            const std::int64_t visible = i0 + r + 1;
            p.row(r).head(visible) = (s.row(r).head(visible).array() - lse.data<Scalar>()[token * H + h]).exp();
            const Scalar mean = (line(dout, r) * line(head(y, h, token, 1), 0)).sum();  // Σ_j p_j dp_j
            ds.row(r).head(visible).array() = p.row(r).head(visible).array() * (ds.row(r).head(visible).array() - mean);
          }
        }
        mask_future(p, i0);
        mask_future(ds, i0);
        if (options_.dropout > 0) drop(p, h, start, i0);
        for (std::int64_t r = 0; r < rows; ++r) dbias.add(ds.row(r).data(), i0 + r, start + i0 + r, dense_gradient);
        add_product<Scalar>(head(dv, h, start, keys), view_of(p).transposed(), dout);
        add_product<Scalar>(head(dq, h, start + i0, rows), view_of(ds), head(k_, h, start, keys), alpha);
        add_product<Scalar>(head(dk, h, start, keys), view_of(ds).transposed(), head(q_, h, start + i0, rows), alpha);
      });
      dbias.scatter(into);
    }
  }

 private:
  template <class Body>
  void for_each_panel(const Body& body) const {
    for (std::size_t b = 0; b + 1 < offsets_.size(); ++b) {
      const std::int64_t length = offsets_[b + 1] - offsets_[b];
      for (std::int64_t i0 = 0; i0 < length; i0 += kPanelRows) {
        body(offsets_[b], i0, std::min(kPanelRows, length - i0));
      }
    }
  }
  Panel panel(std::int64_t which, std::int64_t rows, std::int64_t keys) {
    return {buffer_.mutable_data<Scalar>() + which * kPanelRows * pitch_, rows, keys, Eigen::OuterStride<>(pitch_)};
  }
  static MatrixView<Scalar> view_of(Panel& p) { return {p.data(), p.rows(), p.cols(), p.outerStride()}; }
  MatrixView<const Scalar> head(const Tensor& x, std::int64_t h, std::int64_t first, std::int64_t rows) const {
    const std::int64_t width = x.size(1), d = width / options_.num_heads;
    return {x.data<Scalar>() + first * width + h * d, rows, d, width};
  }
  MatrixView<Scalar> head(Tensor& x, std::int64_t h, std::int64_t first, std::int64_t rows) const {
    const std::int64_t width = x.size(1), d = width / options_.num_heads;
    return {x.mutable_data<Scalar>() + first * width + h * d, rows, d, width};
  }
  static ConstArrayMap<Scalar> line(const MatrixView<const Scalar>& m, std::int64_t row) {
    return {m.data + row * m.stride, m.cols};
  }
  /// p = α·q·kᵀ + rab; entries of keys after the query are finite rubbish.
  void scores(Panel& p, const HeadBias<Scalar>& bias, std::int64_t h, std::int64_t start, std::int64_t i0) const {
    const auto alpha = static_cast<Scalar>(options_.alpha);
    set_product<Scalar>(view_of(p), head(q_, h, start + i0, p.rows()), head(k_, h, start, p.cols()).transposed(), alpha);
    for (std::int64_t r = 0; r < p.rows(); ++r) bias.add_to(p.row(r).data(), i0 + r, start + i0 + r);
  }
  static void mask_future(Panel& p, std::int64_t i0) {
    for (std::int64_t r = 0; r < p.rows(); ++r) p.row(r).tail(p.cols() - (i0 + r + 1)).setZero();
  }
  /// Multiplies weights by keep/(1 − dropout); the counter of a weight is (token·H + h)·2²⁴ + key.  docs/math.md (A3)
  void drop(Panel& p, std::int64_t h, std::int64_t start, std::int64_t i0) {
    const auto threshold = static_cast<std::uint32_t>(options_.dropout * 0x1p32);
    const auto kept = static_cast<Scalar>(1.0 / (1.0 - options_.dropout));
    bits_.resize(static_cast<std::size_t>(p.cols()));
    for (std::int64_t r = 0; r < p.rows(); ++r) {
      const std::int64_t row = (options_.first_row + start + i0 + r) * options_.num_heads + h;
      fill_bits(options_.stream, static_cast<std::uint64_t>(row) << 24, bits_);
      for (std::int64_t j = 0; j < p.cols(); ++j) {
        p(r, j) *= bits_[static_cast<std::size_t>(j)] >= threshold ? kept : Scalar(0);
      }
    }
  }

  const Tensor& q_;
  const Tensor& k_;
  const Tensor& v_;
  std::span<const std::int64_t> offsets_;
  const RelativeBias& bias_;
  const AttentionOptions& options_;
  std::int64_t longest_ = 0;
  std::int64_t pitch_ = 0;
  Tensor buffer_;
  std::vector<std::uint32_t> bits_;
};

inline void check_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                            const AttentionOptions& options) {
  const std::int64_t H = options.num_heads;
  check<ConfigError>(H >= 1 && options.normalizer > 0 && options.dropout >= 0 && options.dropout < 1,
                     "hstu_attention: needs heads >= 1, normalizer > 0, dropout in [0, 1), got ", H, ", ",
                     options.normalizer, ", ", options.dropout);
  check<ShapeError>(q.rank() == 2 && q.shape() == k.shape() && q.size(1) % H == 0, "hstu_attention: q and k must be [T, ",
                    H, "·Dqk], got ", q.shape(), " and ", k.shape());
  check<ShapeError>(v.rank() == 2 && v.size(0) == q.size(0) && v.size(1) % H == 0, "hstu_attention: v must be [",
                    q.size(0), ", ", H, "·Dv], got ", v.shape());
  check<ShapeError>(q.dtype() == k.dtype() && q.dtype() == v.dtype(), "hstu_attention: q, k, v must share a dtype, got ",
                    q.dtype(), ", ", k.dtype(), ", ", v.dtype());
  check<ShapeError>(offsets.dtype() == DType::int64 && offsets.rank() == 1 && offsets.numel() >= 1,
                    "hstu_attention: offsets must be int64 [B+1], got ", offsets.dtype(), offsets.shape());
  const auto bounds = offsets.values<std::int64_t>();
  check<ShapeError>(bounds.front() == 0 && bounds.back() == q.size(0) && std::ranges::is_sorted(bounds),
                    "hstu_attention: offsets must ascend from 0 to T = ", q.size(0), ", got ", bounds.front(), " to ",
                    bounds.back());
}

}  // namespace detail

/// Jagged HSTU attention, per user and head, query i sees keys j <= i; docs/math.md (A1) to (A8):
///   silu:    Y = (SiLU(α·Q·Kᵀ + rab) / n) · V           softmax:  Y = softmax(α·Q·Kᵀ + rab) · V
///   q, k [T, H·Dqk]   v, y [T, H·Dv]   offsets [B+1] int64, ascending from 0 to T   rab: see RelativeBias
/// Cost: 2·H·Σ lᵢ²/2·(Dqk + Dv) flops forward, 2.5 times that backward.  Keeps q, k, v (softmax: y and [T, H] too).
/// Throws ShapeError if operands do not fit each other, ConfigError for options out of range.
/// Source: Zhai et al. 2024, eq. 2-3 (silu); torch-rechub 0.1.0, HSTULayer (softmax).
inline Tensor hstu_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                             const RelativeBias& bias, const AttentionOptions& options) {
  detail::check_attention(q, k, v, offsets, options);
  Tensor y = empty_like(v);
  Tensor lse;
  if (options.kind == AttentionKind::softmax) lse = Tensor({q.size(0), options.num_heads}, q.dtype());
  dispatch_floating("hstu_attention", q.dtype(), [&]<class Scalar>(Scalar) {
    detail::AttentionPass<Scalar> pass(q, k, v, offsets, bias, options);
    detail::check_bias(bias, q.dtype(), options.num_heads, q.size(0), pass.longest());
    pass.forward(y, lse);
  });
  const Tensor kept = options.kind == AttentionKind::softmax ? y : Tensor();
  return record("hstu_attention", y, {q, k, v, bias.position_table, bias.time_table, bias.dense},
                [q, k, v, offsets, bias, options, kept, lse](const Tensor& dy, Accumulator& into) {
                  Tensor dq = zeros_like(q), dk = zeros_like(k), dv = zeros_like(v);
                  dispatch_floating("hstu_attention", q.dtype(), [&]<class Scalar>(Scalar) {
                    detail::AttentionPass<Scalar> pass(q, k, v, offsets, bias, options);
                    pass.backward(kept, lse, dy, dq, dk, dv, into);
                  });
                  into.add(q, dq);
                  into.add(k, dk);
                  into.add(v, dv);
                });
}

}  // namespace hstu
