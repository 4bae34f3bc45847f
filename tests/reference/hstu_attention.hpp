// SPDX-License-Identifier: MIT
// Jagged HSTU attention in plain double loops: the executable definition.
#pragma once
#include <cmath>
#include <functional>
#include <vector>

#include <hstu/ops/hstu_attention.hpp>

namespace hstu::reference {

/// rab(h, i, j, first token of the user).
using BiasOf = std::function<double(std::int64_t h, std::int64_t i, std::int64_t j, std::int64_t start)>;

inline std::vector<double> hstu_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                                          const BiasOf& bias, const AttentionOptions& options) {
  const auto H = options.num_heads;
  const auto Q = q.to(DType::float64), K = k.to(DType::float64), V = v.to(DType::float64);
  const auto dqk = q.size(1) / H, dv = v.size(1) / H;
  const auto at = [H](const Tensor& x, std::int64_t t, std::int64_t h, std::int64_t d, std::int64_t width) {
    return x.data<double>()[t * H * width + h * width + d];
  };
  const Tensor scales = options.attn_scale.defined() ? options.attn_scale.to(DType::float64) : Tensor();
  const auto scale_of = [&](std::int64_t token) {
    return scales.defined() ? scales.data<double>()[scales.numel() == 1 ? 0 : token] : 1 / options.normalizer;
  };
  std::vector<double> y(static_cast<std::size_t>(v.numel()), 0.0);
  const auto bounds = offsets.values<std::int64_t>();
  for (std::size_t b = 0; b + 1 < bounds.size(); ++b) {
    const auto start = bounds[b];
    const auto targets = options.num_targets.defined() ? options.num_targets.values<std::int64_t>()[b] : 0;
    const SequenceMask mask{options.mask, bounds[b + 1] - start, targets};
    for (std::int64_t h = 0; h < H; ++h) {
      for (std::int64_t i = 0; i < mask.length; ++i) {
        std::vector<double> weight(static_cast<std::size_t>(mask.length), 0.0);
        double sum = 0;
        for (std::int64_t j = 0; j < mask.length; ++j) {
          if (!mask.sees(i, j)) continue;
          double s = 0;
          for (std::int64_t d = 0; d < dqk; ++d) s += at(Q, start + i, h, d, dqk) * at(K, start + j, h, d, dqk);
          s = options.alpha * s + bias(h, i, j, start);
          auto& w = weight[static_cast<std::size_t>(j)];
          w = options.kind == AttentionKind::silu ? s / (1 + std::exp(-s)) * scale_of(start + i) : std::exp(s);
          sum += w;
        }
        for (std::int64_t j = 0; j < mask.length; ++j) {
          auto w = weight[static_cast<std::size_t>(j)];
          if (options.kind == AttentionKind::softmax) w /= sum;
          if (options.dropout > 0) {
            const auto row = static_cast<std::uint64_t>((options.first_row + start + i) * H + h);
            const auto bits = options.stream.bits((row << 24) + static_cast<std::uint64_t>(j));
            w = bits >= static_cast<std::uint32_t>(options.dropout * 0x1p32) ? w / (1 - options.dropout) : 0.0;
          }
          for (std::int64_t d = 0; d < dv; ++d) {
            y[static_cast<std::size_t>(((start + i) * H + h) * dv + d)] += w * at(V, start + j, h, d, dv);
          }
        }
      }
    }
  }
  return y;
}

}  // namespace hstu::reference
