// SPDX-License-Identifier: MIT
// Jagged causal attention on the device: ops/hstu_attention.hpp, float32.
#pragma once
#include <hstu/cuda/attention_lookup.hpp>
#include <hstu/cuda/elementwise.hpp>

namespace hstu::cuda {

namespace detail {

inline constexpr std::int64_t kPlainRows = 16, kPlainColumns = 32;  // as in kernels/attention_plain.cu

/// What a block holds: rows of both operands (one of them only in forward), a tile of both, and its weights.
inline std::int64_t plain_shared_bytes(std::int64_t dqk, std::int64_t dv, bool has_both_rows) {
  const std::int64_t rows = kPlainRows * (dqk + (has_both_rows ? dv : 0));
  const std::int64_t tiles = kPlainColumns * ((dqk | 1) + (dv | 1));
  return (rows + tiles + kPlainRows * kPlainColumns) * std::int64_t{sizeof(float)};
}

template <class Element>
void check_head_sizes(const AttentionOperands<Element>& o) {
  check<ShapeError>(o.dqk >= 1 && o.dqk <= 256 && o.dv >= 1 && o.dv <= 256,
                    "cuda: attention: heads of 1 to 256 columns, got ", o.dqk, " and ", o.dv);
}

}  // namespace detail

/// y, and lse for softmax.  Fills in o.tiles.  Throws ShapeError for heads of more than 256 columns.
inline void attention_forward(Device& device, const AttentionBatch& batch, AttentionForward<float> o) {
  detail::check_head_sizes(o.of);
  const auto& tiles = batch.tiles(detail::kPlainRows);
  o.tiles = tiles.data();
  device.launch({"attention_plain", "attention_forward_plain"},
                {.blocks = tiles.size(),
                 .threads = detail::kRowThreads,
                 .blocks_y = o.of.heads,
                 .shared_bytes = detail::plain_shared_bytes(o.of.dqk, o.of.dv, false)},
                o);
}

/// dq, dk, dv and the gradients of the tables ([rows, heads], null: not wanted), all overwritten.  y is what forward
/// made, for softmax.  Fills in tiles, delta and parts of o.
inline void attention_backward(Device& device, const AttentionBatch& batch, const AttentionLookup& lookup,
                               AttentionBackward<float> o, const float* y, std::int64_t y_stride,
                               float* dposition_table, float* dtime_table) {
  constexpr std::int64_t kMaxParts = 128, kWarps = 4;
  const AttentionOperands<float>& p = o.of;
  detail::check_head_sizes(p);
  const auto& tiles = batch.tiles(detail::kPlainRows);
  const std::int64_t parts = std::min(tiles.size(), kMaxParts);
  Buffer<float> delta(device, p.is_softmax ? batch.tokens() * p.heads : 0);
  if (p.is_softmax) {
    const AttentionDelta<float> d{y, o.dy, delta.data(), y_stride, o.dy_stride, delta.size(), p.heads, p.dv};
    detail::launch_warps(device, {"attention_plain", "attention_delta_plain"}, d.rows, d);
  }
  Buffer<float> by_distance(device, p.bias.position_table ? p.heads * parts * batch.longest() : 0);
  Buffer<float> by_bucket(device, p.bias.time_table ? p.heads * parts * kWarps * p.bias.buckets : 0);
  o.tiles = tiles.data();
  o.num_tiles = static_cast<std::int32_t>(tiles.size());
  o.longest = static_cast<std::int32_t>(batch.longest());
  o.delta = delta.data();
  o.position_parts = by_distance.data();
  o.time_parts = by_bucket.data();
  LaunchShape shape{.blocks = parts,
                    .threads = detail::kRowThreads,
                    .blocks_y = p.heads,
                    .shared_bytes = detail::plain_shared_bytes(p.dqk, p.dv, true)};
  device.launch({"attention_plain", "attention_backward_queries_plain"}, shape, o);
  shape.blocks = tiles.size();
  device.launch({"attention_plain", "attention_backward_keys_plain"}, shape, o);
  if (dposition_table != nullptr) {
    lookup.add_up_positions(device, by_distance.data(), parts, batch.longest(), p.heads, p.bias.position_heads,
                            dposition_table);
  }
  if (dtime_table != nullptr) {
    lookup.add_up_times(device, by_bucket.data(), parts * kWarps, p.heads, p.bias.time_heads, dtime_table);
  }
}

}  // namespace hstu::cuda
