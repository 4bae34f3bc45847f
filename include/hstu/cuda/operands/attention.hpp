// SPDX-License-Identifier: MIT
// Operands of kernels/attention_*.cu: jagged causal attention with bias from tables, ops/hstu_attention.hpp.
#pragma once
#include <hstu/cuda/operands/dropout.hpp>

namespace hstu::cuda {

/// The differences x = |difference| + 1 whose floats share their leading bits: bucket `first` up to last_of_first.
struct alignas(8) TimeCell {
  std::uint32_t last_of_first;
  std::int32_t first;
};

/// Bias of a pair of query and key: of their distance in places and of their distance in time.  Gathered from the
/// tables once per layer; position_heads and time_heads are 1 where all heads share a table.  Null: no such bias.
struct AttentionBias {
  const float* by_distance;          ///< [position_heads, longest]
  const float* by_bucket;            ///< [time_heads, buckets]
  const std::int32_t* time_borders;  ///< [buckets]: the smallest |difference| of each, ascending from 0
  const std::int32_t* query_times;   ///< [T], seconds after some event of the same user
  const std::int32_t* key_times;     ///< [T]
  std::int32_t position_heads;
  std::int32_t time_heads;
  std::int32_t buckets;
  // The same borders by the leading bits of |difference| + 1 as a float, for the kernels that have no time to search.
  const TimeCell* time_cells;
  std::int32_t num_time_cells;
  std::int32_t time_cell_shift;
  std::int32_t has_crowded_cells;  ///< some cell holds more than one border
};

/// First token of a user, and one past the last.
struct alignas(8) TokenSpan {
  std::int32_t first;
  std::int32_t end;
};

/// Keys first … last − 1, as tokens of the batch.
struct alignas(8) KeySpan {
  std::int32_t first;
  std::int32_t last;
};

/// What all passes of attention read: float, or bfloat16 bits (std::uint16_t) packed by pack_heads, in which zeros fill
/// the columns of each head up to a multiple of 16.
template <class Element>
struct AttentionOperands {
  const Element* q;  ///< [T, ...], rows q_stride apart; head h: dqk columns from h·qk_head_stride
  const Element* k;
  const Element* v;  ///< likewise dv columns from h·v_head_stride
  std::int64_t q_stride;
  std::int64_t k_stride;
  std::int64_t v_stride;
  std::int32_t qk_head_stride;
  std::int32_t v_head_stride;
  const TokenSpan* spans;       ///< [T]: of the user that owns each token
  const KeySpan* seen;          ///< [T]: the keys that a query sees, besides itself
  const KeySpan* seen_by_some;  ///< of 16 queries each, as many as whole tiles of 64 have; last = 0: none
  const KeySpan* seen_by_all;
  const std::int32_t* places;  ///< [T]: where distances are counted from, targets all from the first; null: own place
  std::int32_t looks_ahead;    ///< some query sees keys behind it
  std::int32_t tokens;         ///< T
  std::int32_t longest;        ///< history
  AttentionBias bias;
  RandomKey dropout_key;
  std::int64_t dropout_first_row;
  std::uint32_t dropout_threshold;  ///< 0: no dropout
  float dropout_scale;
  std::int32_t heads;
  std::int32_t dqk;
  std::int32_t dv;
  std::int32_t is_softmax;
  float alpha;
  float inverse_normalizer;
};

template <class Element>
struct AttentionForward {
  AttentionOperands<Element> of;
  const std::int32_t* tiles;  ///< the first token of each run of queries that a block treats
  float* y;                   ///< [T, heads·dv], rows y_stride apart
  float* lse;                 ///< [heads, T]: log Σ exp of the scores, softmax only
  std::int64_t y_stride;
};

/// delta[h, t] = Σ dy·y over the columns of a head; softmax only.
struct AttentionDelta {
  const float* y;
  const float* dy;
  float* delta;
  std::int64_t y_stride;
  std::int64_t dy_stride;
  std::int64_t rows;  ///< T·heads
  std::int32_t tokens;
  std::int32_t heads;
  std::int32_t dv;
};

template <class Element>
struct AttentionBackward {
  AttentionOperands<Element> of;
  const std::int32_t* tiles;  ///< the first token of each run of queries, or of keys
  std::int32_t num_tiles;
  const Element* dy;  ///< heads as those of v
  const float* lse;
  const float* delta;
  float* dq;  ///< [T, heads·dqk]
  float* dk;
  float* dv;  ///< [T, heads·dv]
  std::int64_t dy_stride;
  std::int64_t dq_stride;
  std::int64_t dk_stride;
  std::int64_t dv_stride;
  float* position_parts;  ///< [heads, position_rows, position_stride]: gradients by distance, a row of each block
  float* time_parts;      ///< [heads, parts, time_stride]: gradients by bucket
  float* target_sums;     ///< [heads, T]: of every key, Σ gradients of its scores with targets; only with places
  std::int32_t position_rows;
  std::int32_t position_stride;
  std::int32_t time_stride;
};

/// A user with targets: its first token and its first target.
struct TargetUser {
  std::int32_t first;
  std::int32_t targets_begin;
};

/// by_distance[h · rows_apart + d] = Σ target_sums[h, targets_begin − d] over the users, in their order.
struct TargetDistances {
  const float* target_sums;  ///< [heads, T]
  const TargetUser* users;
  float* by_distance;
  std::int64_t rows_apart;
  std::int32_t num_users;
  std::int32_t tokens;
  std::int32_t longest;
};

/// bfloat16 rows of heads from float32: dims columns of each, zeros up to the next head.
struct PackHeads {
  const float* from;        ///< [..., heads·dims], rows from_stride apart
  const std::int32_t* ids;  ///< row r comes from row ids[r]; null: from row r
  std::uint16_t* to;        ///< [rows, heads, padded]
  std::int64_t rows;
  std::int64_t from_stride;
  std::int32_t heads;
  std::int32_t dims;
  std::int32_t padded;
};

/// by_entry[h, e] = table[rows[e], h].
struct GatherTable {
  const float* table;        ///< [..., heads]
  const std::int32_t* rows;  ///< [entries]; null: row e
  float* by_entry;           ///< [heads, entries]
  std::int32_t heads;
  std::int32_t entries;
};

/// dtable[row, h] = Σ sums[h, entry] over the entries of the row, in their order.
struct TableGradient {
  const float* sums;            ///< [heads, num_entries]
  const std::int32_t* entries;  ///< sorted by row, ascending in each; those from num_entries on are 0
  const std::int32_t* starts;   ///< [rows + 1] into entries
  float* dtable;                ///< [rows, heads]
  std::int32_t rows;
  std::int32_t heads;
  std::int32_t num_entries;
};

}  // namespace hstu::cuda
