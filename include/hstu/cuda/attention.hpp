// SPDX-License-Identifier: MIT
// Jagged attention on the device, causal or under the mask of its batch: ops/hstu_attention.hpp in float32 (the plain
// rung) and, on tensor cores, with bfloat16 operands (mma).  Sums, tables and results are float32 in both.
#pragma once
#include <hstu/cuda/attention_lookup.hpp>
#include <hstu/cuda/elementwise.hpp>

namespace hstu::cuda {

using Bfloat16 = std::uint16_t;  ///< its bits

namespace detail {

/// How the kernels of one rung are launched: sizes as in kernels/attention_plain.cu.
template <class Element>
struct AttentionRung {
  static constexpr auto kQueryTiles = AttentionBatch::Tiles::of_users, kKeyTiles = kQueryTiles;
  static constexpr std::int64_t kTimeParts = 4;  // of a block
  static constexpr bool kKeysSumTargets = false;
  static constexpr const char* kFile[] = {"attention_plain", "attention_plain", "attention_plain"};

  static std::string name(const AttentionOperands<float>&, const char* pass) {
    return concat("attention_", pass, "_plain");
  }
  static void check_sizes(const AttentionOperands<float>&) {}
  static std::int64_t shared_bytes(const AttentionOperands<float>& o, bool has_both_rows) {
    constexpr std::int64_t kRows = 16, kColumns = 32;
    const std::int64_t rows = kRows * (o.dqk + (has_both_rows ? o.dv : 0)),
                       tiles = kColumns * ((o.dqk | 1) + (o.dv | 1));
    return (rows + tiles + kRows * kColumns) * std::int64_t{sizeof(float)};
  }
  static std::int64_t forward_bytes(const AttentionOperands<float>& o) { return shared_bytes(o, false); }
  static std::int64_t queries_bytes(const AttentionOperands<float>& o) { return shared_bytes(o, true); }
  static std::int64_t keys_bytes(const AttentionOperands<float>& o) { return shared_bytes(o, true); }
  static std::int64_t slices(const AttentionOperands<float>&) { return 1; }
};

/// Sizes as in kernels/attention_mma*.
template <>
struct AttentionRung<Bfloat16> {
  using Operands = AttentionOperands<Bfloat16>;
  static constexpr auto kQueryTiles = AttentionBatch::Tiles::of_queries, kKeyTiles = AttentionBatch::Tiles::of_keys;
  static constexpr std::int64_t kTimeParts = 1;
  static constexpr bool kKeysSumTargets = true;  // the gradients of scores with targets, by the distance of the key
  static constexpr const char* kFile[] = {"attention_mma_forward", "attention_mma_queries", "attention_mma_keys"};

  static std::int64_t width(const Operands& o) {
    std::int64_t width = 16;
    while (width < std::max(o.dqk, o.dv)) width *= 2;
    return width;
  }
  static std::string name(const Operands& o, const char* pass) {
    return concat("attention_", pass, "_mma_", o.is_softmax ? "softmax_" : "silu_", width(o));
  }
  static void check_sizes(const Operands& o) {
    check<ShapeError>(o.bias.buckets <= 255, "cuda: attention on tensor cores takes up to 255 time buckets, got ",
                      o.bias.buckets);
    for (const auto& [stride, what] : {std::pair(o.q_stride, "rows of q"),
                                       {o.k_stride, "rows of k"},
                                       {o.v_stride, "rows of v"},
                                       {std::int64_t{o.qk_head_stride}, "heads of q and k"},
                                       {std::int64_t{o.v_head_stride}, "heads of v"}}) {
      check<ShapeError>(stride % 16 == 0, "cuda: attention: ", what, " must be a multiple of 16 apart, got ", stride);
    }
  }
  static std::int64_t row_tile(const Operands& o) { return 64 * 2 * width(o); }
  static std::int64_t column_tile(const Operands& o) { return (width(o) <= 64 ? 64 : 32) * 2 * width(o); }
  static std::int64_t table_bytes(const Operands& o) {
    return (2 * 128 + 2 * 64 + 2 * o.bias.num_time_cells + o.bias.buckets) * std::int64_t{sizeof(float)};
  }
  static std::int64_t forward_bytes(const Operands& o) { return row_tile(o) + 4 * column_tile(o) + table_bytes(o); }
  static std::int64_t queries_bytes(const Operands& o) {
    const std::int64_t stages = width(o) <= 64 ? 2 : 1, diagonals = 16 * 138, histogram = 128 * o.bias.buckets;
    return 2 * row_tile(o) + 2 * stages * column_tile(o) + table_bytes(o) +
           (diagonals + histogram) * std::int64_t{sizeof(float)};
  }
  static std::int64_t keys_bytes(const Operands& o) {
    const std::int64_t stages = width(o) <= 128 ? 2 : 1, side = 2 * 64 * 5 * std::int64_t{sizeof(float)};
    return 2 * row_tile(o) + 2 * stages * column_tile(o) + table_bytes(o) + side;
  }
  static std::int64_t slices(const Operands& o) { return width(o) <= 128 ? 1 : 2; }
};

template <class Element>
void check_attention_sizes(const AttentionOperands<Element>& o) {
  check<ShapeError>(o.dqk >= 1 && o.dqk <= 256 && o.dv >= 1 && o.dv <= 256,
                    "cuda: attention: heads of 1 to 256 columns, got ", o.dqk, " and ", o.dv);
  AttentionRung<Element>::check_sizes(o);
}

}  // namespace detail

/// bfloat16 rows of heads, each padded to `padded` columns.
inline void pack_heads(Device& device, const PackHeads& o) {
  detail::launch_warps(device, {"attention_tables", "pack_heads"}, o.rows, o);
}

/// y, and lse for softmax.  Fills in o.tiles.  Throws ShapeError for heads of more than 256 columns, DeviceError if the
/// device has too little shared memory (bfloat16 heads of more than 128 columns).
template <class Element>
void attention_forward(Device& device, const AttentionBatch& batch, AttentionForward<Element> o) {
  using Rung = detail::AttentionRung<Element>;
  detail::check_attention_sizes(o.of);
  const auto& tiles = batch.tiles(Rung::kQueryTiles);
  o.tiles = tiles.data();
  device.launch({Rung::kFile[0], Rung::name(o.of, "forward")},
                {.blocks = tiles.size(),
                 .threads = detail::kRowThreads,
                 .blocks_y = o.of.heads,
                 .shared_bytes = Rung::forward_bytes(o.of)},
                o);
}

/// What backward starts from: the result (read for softmax only) and its gradient, rows `…_stride` apart.
struct AttentionResult {
  const float* y;
  const float* dy;
  std::int64_t y_stride;
  std::int64_t dy_stride;
};

/// dq, dk, dv and the gradients of the tables ([rows, heads], null: not wanted), all overwritten.  o.dy is result.dy in
/// the type of the operands.  Fills in tiles, delta and parts of o.  Throws as attention_forward does.
template <class Element>
void attention_backward(Device& device, const AttentionBatch& batch, const AttentionLookup& lookup,
                        AttentionBackward<Element> o, const AttentionResult& result, float* dposition_table,
                        float* dtime_table) {
  using Rung = detail::AttentionRung<Element>;
  constexpr std::int64_t kMaxParts = 256;
  const AttentionOperands<Element>& p = o.of;
  detail::check_attention_sizes(p);
  const auto &query_tiles = batch.tiles(Rung::kQueryTiles), &key_tiles = batch.tiles(Rung::kKeyTiles);
  const std::int64_t parts = std::min(query_tiles.size(), kMaxParts);
  Buffer<float> delta(device, p.is_softmax ? batch.tokens() * p.heads : 0);
  if (p.is_softmax) {
    constexpr std::int64_t kRowsOfWarp = 8;  // as in kernels/attention_plain.cu
    const AttentionDelta d{result.y, result.dy, delta.data(), result.y_stride, result.dy_stride, delta.size(),
                           p.tokens, p.heads,   p.dv};
    detail::launch_warps(device, {"attention_plain", "attention_delta_plain"}, detail::divide_up(d.rows, kRowsOfWarp),
                         d);
  }
  const bool has_target_row = Rung::kKeysSumTargets && p.places != nullptr && p.bias.by_distance != nullptr;
  const std::int64_t position_rows = parts + (has_target_row ? 1 : 0);
  constexpr std::int64_t kSectorFloats = 8;  // rows of parts begin with a sector
  const std::int64_t position_stride = detail::divide_up(batch.longest(), kSectorFloats) * kSectorFloats;
  const std::int64_t time_stride = detail::divide_up(p.bias.buckets, kSectorFloats) * kSectorFloats;
  Buffer<float> by_distance(device, p.bias.by_distance ? p.heads * position_rows * position_stride : 0);
  Buffer<float> target_sums(device, p.places ? p.heads * batch.tokens() : 0);
  Buffer<float> by_bucket(device, p.bias.by_bucket ? p.heads * parts * Rung::kTimeParts * time_stride : 0);
  o.tiles = query_tiles.data();
  o.num_tiles = static_cast<std::int32_t>(query_tiles.size());
  o.delta = delta.data();
  o.position_parts = by_distance.data();
  o.time_parts = by_bucket.data();
  o.target_sums = target_sums.data();
  o.position_rows = static_cast<std::int32_t>(position_rows);
  o.position_stride = static_cast<std::int32_t>(position_stride);
  o.time_stride = static_cast<std::int32_t>(time_stride);
  device.launch({Rung::kFile[1], Rung::name(p, "backward_queries")},
                {.blocks = parts,
                 .threads = detail::kRowThreads,
                 .blocks_y = p.heads * Rung::slices(p),
                 .shared_bytes = Rung::queries_bytes(p)},
                o);
  o.tiles = key_tiles.data();
  device.launch({Rung::kFile[2], Rung::name(p, "backward_keys")},
                {.blocks = key_tiles.size(),
                 .threads = detail::kRowThreads,
                 .blocks_y = p.heads * Rung::slices(p),
                 .shared_bytes = Rung::keys_bytes(p)},
                o);
  if (has_target_row) {
    const Buffer<TargetUser>& users = batch.mask().target_users();
    const TargetDistances t{target_sums.data(),
                            users.data(),
                            by_distance.data() + parts * position_stride,
                            position_rows * position_stride,
                            static_cast<std::int32_t>(users.size()),
                            p.tokens,
                            p.longest};
    device.launch({"attention_tables", "target_distances"},
                  {.blocks = detail::divide_up(batch.longest(), detail::kRowThreads),
                   .threads = detail::kRowThreads,
                   .blocks_y = p.heads},
                  t);
  }
  if (dposition_table != nullptr) {
    lookup.add_up_positions(device, {by_distance.data(), position_rows, position_stride}, batch.longest(), p.heads,
                            p.bias.position_heads, dposition_table);
  }
  if (dtime_table != nullptr) {
    lookup.add_up_times(device, {by_bucket.data(), parts * Rung::kTimeParts, time_stride}, p.heads, p.bias.time_heads,
                        dtime_table);
  }
}

}  // namespace hstu::cuda
