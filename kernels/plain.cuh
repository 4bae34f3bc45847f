// SPDX-License-Identifier: MIT
// Products in float32 for the plain rungs.  A block owns 16 rows and walks over tiles of 32 columns.  A warp has 4 of
// the rows: its lanes are the columns while it makes products, and the columns of the result while it multiplies by
// them.
#pragma once
#include "device.cuh"

namespace hstu::cuda {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kRows = 16;                  // of a block
constexpr int kWarpRows = kRows / kWarps;  // of a warp
constexpr int kColumns = kWarpSize;        // of a tile
constexpr int kChunks = 256 / kWarpSize;   // of the result's columns

/// An odd pitch, so that lanes reading one column of 32 rows meet 32 banks.
HSTU_DEVICE int pitch_of(int cols) {
  return cols | 1;
}

/// kCount rows into shared memory: row_of(r) is where row r stands, null for a row of zeros.
template <int kCount, class RowOf>
HSTU_DEVICE void load_rows(float* to, int pitch, const RowOf& row_of, int cols) {
  for (int r = warp_id(); r < kCount; r += kWarps) {
    const float* const row = row_of(r);
    for (int c = lane_id(); c < cols; c += kWarpSize) to[r * pitch + c] = row != nullptr ? row[c] : 0.0f;
  }
}

/// dots[r] = row r of this warp · the lane's column; `rows` has no padding.
HSTU_DEVICE void multiply(float (&dots)[kWarpRows], const float* rows, const float* columns, int size) {
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) dots[r] = 0.0f;
  rows += warp_id() * kWarpRows * size;
  columns += lane_id() * pitch_of(size);
  for (int c = 0; c < size; ++c) {
    const float column = columns[c];
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) dots[r] = fmaf(rows[r * size + c], column, dots[r]);
  }
}

/// sums[r][k] += Σ_j weights[r, j]·columns[j, lane + 32·k].
HSTU_DEVICE void accumulate(float (&sums)[kWarpRows][kChunks], const float* weights, const float* columns, int size) {
  weights += warp_id() * kWarpRows * kColumns;
  for (int j = 0; j < kColumns; ++j) {
    float weight[kWarpRows];
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) weight[r] = weights[r * kColumns + j];
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      const int c = lane_id() + k * kWarpSize;
      if (c >= size) break;
      const float column = columns[j * pitch_of(size) + c];
#pragma unroll
      for (int r = 0; r < kWarpRows; ++r) sums[r][k] = fmaf(weight[r], column, sums[r][k]);
    }
  }
}

HSTU_DEVICE void clear(float (&sums)[kWarpRows][kChunks]) {
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
#pragma unroll
    for (int k = 0; k < kChunks; ++k) sums[r][k] = 0.0f;
  }
}

/// Writes factor·sums: row_of(r) is where row r of the block goes, null for nowhere.
template <class RowOf>
HSTU_DEVICE void store_rows(const float (&sums)[kWarpRows][kChunks], float factor, int cols, const RowOf& row_of) {
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
    float* const row = row_of(warp_id() * kWarpRows + r);
    if (row == nullptr) continue;
#pragma unroll
    for (int k = 0; k < kChunks; ++k) {
      const int c = lane_id() + k * kWarpSize;
      if (c < cols) row[c] = factor * sums[r][k];
    }
  }
}

}  // namespace hstu::cuda
