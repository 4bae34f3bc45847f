// SPDX-License-Identifier: MIT
// Operands of kernels/attention_*.cu: jagged causal attention with bias from tables, ops/hstu_attention.hpp.
#pragma once
#include <hstu/cuda/operands/dropout.hpp>

namespace hstu::cuda {

/// Bias of a pair of query and key: a table's row by their distance in places, another's by their distance in time.
/// Tables are [rows, table_heads], table_heads being 1 where all heads share them.  Null tables: no such bias.
struct AttentionBias {
  const float* position_table;
  const std::int32_t* position_rows;  ///< by distance, [longest]
  const float* time_table;
  const std::int32_t* time_borders;  ///< [buckets]: the smallest |difference| of each, ascending from 0
  const std::int32_t* query_times;   ///< [T], seconds after some event of the same user
  const std::int32_t* key_times;     ///< [T]
  std::int32_t position_heads;
  std::int32_t time_heads;
  std::int32_t buckets;
};

/// A run of queries (or keys) of one user that one block treats.
struct AttentionTile {
  std::int32_t user;
  std::int32_t first;  ///< place in the user's history
};

/// What all passes of attention read.  Head h of a matrix is its columns h·d to h·d + d − 1.
template <class Element>
struct AttentionOperands {
  const Element* q;  ///< [T, heads·dqk], rows q_stride apart
  const Element* k;
  const Element* v;  ///< [T, heads·dv]
  std::int64_t q_stride;
  std::int64_t k_stride;
  std::int64_t v_stride;
  const std::int32_t* bounds;  ///< [users + 1]: first token of each
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
  const AttentionTile* tiles;  ///< of queries
  Element* y;                  ///< [T, heads·dv], rows y_stride apart
  float* lse;                  ///< [T, heads]: log Σ exp of the scores, softmax only
  std::int64_t y_stride;
};

/// delta[t, h] = Σ dy·y over the columns of a head; softmax only.
template <class Element>
struct AttentionDelta {
  const Element* y;
  const Element* dy;
  float* delta;
  std::int64_t y_stride;
  std::int64_t dy_stride;
  std::int64_t rows;  ///< T·heads
  std::int32_t heads;
  std::int32_t dv;
};

template <class Element>
struct AttentionBackward {
  AttentionOperands<Element> of;
  const AttentionTile* tiles;  ///< of queries or of keys
  std::int32_t num_tiles;
  std::int32_t longest;
  const Element* dy;
  const float* lse;
  const float* delta;
  Element* dq;
  Element* dk;
  Element* dv;
  std::int64_t dy_stride;
  std::int64_t dq_stride;
  std::int64_t dk_stride;
  std::int64_t dv_stride;
  float* position_parts;  ///< [heads, parts, longest]: gradients by distance
  float* time_parts;      ///< [heads, parts, buckets]
};

/// dtable[row, h] = Σ sums[h, entry] over the entries of the row, in their order.
struct TableGradient {
  const float* sums;            ///< [heads, num_entries]
  const std::int32_t* entries;  ///< sorted by row
  const std::int32_t* starts;   ///< [rows + 1] into entries
  float* dtable;                ///< [rows, heads]
  std::int32_t rows;
  std::int32_t heads;
  std::int32_t num_entries;
};

}  // namespace hstu::cuda
