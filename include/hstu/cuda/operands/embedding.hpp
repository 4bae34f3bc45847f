// SPDX-License-Identifier: MIT
// Operands of kernels/embedding.cu.
#pragma once
#include <hstu/cuda/operands/dropout.hpp>

namespace hstu::cuda {

/// Rows of a table by id.
struct Lookup {
  const float* table;       ///< [V, cols]
  const std::int32_t* ids;  ///< [rows]; null: this lookup is left out
  float scale;
};

/// y = dropout(Σ scale·table[ids]) over the lookups: items, positions and ages of tokens in one pass.
struct EmbeddingForward {
  static constexpr int kMaxLookups = 3;
  Lookup lookups[kMaxLookups];
  float* y;  ///< [rows, cols]
  std::int64_t rows;
  std::int32_t cols;
  DropoutMask dropout;
};

/// dtable[ids[s]] = base + scale·Σ coefficient·values[row of place / group] over the places of segment s, in their
/// order. Places with one id stand side by side (SortedIds in cuda/embedding.hpp).
struct SumSegments {
  const float* values;         ///< [rows, cols]
  const std::int32_t* rows;    ///< of values, by place / group; null: that number itself
  const float* coefficients;   ///< by place; null: 1
  const std::int32_t* places;  ///< sorted by id, stable
  const std::int32_t* starts;  ///< [segments + 1]
  const std::int32_t* ids;     ///< [segments]
  float* dtable;               ///< [V, cols]
  std::int32_t segments;
  std::int32_t cols;
  std::int32_t group;  ///< places per row of values
  float scale;
  bool accumulates;  ///< base: what is there; else 0
};

}  // namespace hstu::cuda
