// SPDX-License-Identifier: MIT
// Cross-entropy over all items without the logits, on tensor cores: bfloat16 operands, float32 sums.  A block owns 64
// positions (items for the gradient of the table) and walks over tiles of the other side, loading the next while it
// works on one.  Logits are made in powers of 2, and again where they are needed.
#include <hstu/cuda/operands/cross_entropy.hpp>

#include "mma.cuh"

namespace hstu::cuda {

using Operands = CrossEntropyOperands<Bfloat16>;
constexpr float kLog2E = 1.4426950408889634f;
constexpr int kNoTarget = -1;  // of rows behind the last

/// What the passes share: a tile of rows of one matrix in shared memory, two of columns of the other.
template <int kWidth>
struct RowsByColumns {
  using T = Tile<kWidth>;
  using Plan = TilePlan<kWidth>;
  static constexpr int kColumns = Plan::kColumns;
  static constexpr int kBlock = kWidth <= 64 ? 32 : 16;  // columns at a time

  const Operands& p;
  const int first, row;  // first row of the block, first of the warp
  float* const scratch;  // the warp's rows of row_tile, at the end
  std::uint32_t row_tile, column_tiles;

  HSTU_DEVICE RowsByColumns(const Operands& operands, unsigned char* shared)
      : p(operands),
        first(static_cast<int>(blockIdx.x) * kRows),
        row(first + 16 * warp_id()),
        scratch(reinterpret_cast<float*>(shared + warp_id() * (Plan::kRowTileBytes / kWarps))),
        row_tile(shared_address(shared)),
        column_tiles(row_tile + Plan::kRowTileBytes) {}

  HSTU_DEVICE PackedRows hidden() const { return {p.hidden, p.hidden_stride, p.positions, p.width}; }
  HSTU_DEVICE PackedRows table() const { return {p.table, p.table_stride, p.items, p.width}; }
  HSTU_DEVICE int own_row(int half) const { return row + lane_id() / 4 + 8 * half; }
  /// The column of element (n, j) of a block that begins at column c.
  static HSTU_DEVICE int column(int c, int n, int j) { return c + 8 * n + 2 * (lane_id() % 4) + j % 2; }
  HSTU_DEVICE std::uint32_t column_tile(int buffer) const { return column_tiles + buffer * Plan::kTileBytes; }

  using Products = float[kBlock / 8][4];

  /// The logit in powers of 2; −∞ for no candidate.
  HSTU_DEVICE float logit(float dot, int item) const {
    if (item >= p.items || item == p.excluded_item) return -INFINITY;
    return (dot + (p.bias != nullptr ? p.bias[item] : 0.0f)) * (p.inverse_temperature * kLog2E);
  }

  /// Calls body(first, c, buffer, s) for all columns, kBlock at a time: s are the products of this warp's rows and the
  /// columns from c on of the tile that begins at column `first`; before, while that tile is on its way,
  /// side(first, buffer).
  template <class Side, class Body>
  HSTU_DEVICE void walk(const PackedRows& rows, const PackedRows& columns, const Side& side, const Body& body) const {
    const auto start = [&](int c, int buffer) {
      T::template load<kColumns>(column_tile(buffer), columns, c);
      commit_copies();
    };
    T::template load<kRows>(row_tile, rows, first);
    start(0, 0);
    side(0, 0);
#pragma unroll 1
    for (int c = 0, buffer = 0; c < columns.rows; c += kColumns, buffer ^= 1) {
      wait_for_copies();
      __syncthreads();
      const bool has_next = c + kColumns < columns.rows;
      if (has_next) start(c + kColumns, buffer ^ 1);
      if (row < rows.rows) visit(c, buffer, body);
      if (has_next) side(c + kColumns, buffer ^ 1);
    }
  }

 private:
  template <class Body>
  HSTU_DEVICE void visit(int first_column, int buffer, const Body& body) const {
#pragma unroll 1
    for (int c = 0; c < kColumns; c += kBlock) {
      Products s;
      clear(s);
      multiply_rows<kWidth, kBlock>(s, row_tile, column_tile(buffer), c);
      body(first_column, c, buffer, s);
    }
  }
};

HSTU_DEVICE int target_of(const Operands& p, int position) {
  return position < p.positions ? p.targets[p.tokens[position]] : kNoTarget;
}

template <int kWidth>
HSTU_DEVICE void cross_entropy_forward(const CrossEntropyForward<Bfloat16>& o) {
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ float losses[kRows];
  using Pass = RowsByColumns<kWidth>;
  const Operands& p = o.of;
  const Pass pass(p, shared);
  float largest[2], total[2], of_target[2];
  int target[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    largest[half] = -INFINITY;
    total[half] = of_target[half] = 0.0f;
    target[half] = target_of(p, pass.own_row(half));
  }
  if (threadIdx.x < kRows) losses[threadIdx.x] = 0.0f;
  const auto body = [&](int first_item, int c, int, typename Pass::Products& s) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = largest[half];
#pragma unroll
      for (int n = 0; n < Pass::kBlock / 8; ++n) {
#pragma unroll
        for (int odd = 0; odd < 2; ++odd) {
          const int item = first_item + Pass::column(c, n, odd);
          float& logit = s[n][2 * half + odd];
          logit = pass.logit(logit, item);
          if (item == target[half]) of_target[half] = logit;
          top = fmaxf(top, logit);
        }
      }
      const float base = top == -INFINITY ? 0.0f : top;  // the lanes of a row keep sums of their own until the end
      total[half] *= fast_exp2(largest[half] - base);
      largest[half] = top;
#pragma unroll
      for (int n = 0; n < Pass::kBlock / 8; ++n) {
        total[half] += fast_exp2(s[n][2 * half] - base) + fast_exp2(s[n][2 * half + 1] - base);
      }
    }
  };
  pass.walk(
      pass.hidden(), pass.table(), [](int, int) {}, body);
  __syncthreads();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float top = fmaxf(largest[half], __shfl_xor_sync(kAllLanes, largest[half], 1));
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
    float sum = total[half] * fast_exp2(largest[half] - (top == -INFINITY ? 0.0f : top)), logit = of_target[half];
#pragma unroll
    for (int distance = 1; distance <= 2; distance *= 2) {
      sum += __shfl_xor_sync(kAllLanes, sum, distance);
      logit += __shfl_xor_sync(kAllLanes, logit, distance);
    }
    const int position = pass.own_row(half);
    if (lane_id() % 4 != 0 || position >= p.positions) continue;
    const float lse = (top + __log2f(sum)) / kLog2E;
    o.lse[position] = lse;
    losses[position - pass.first] = lse - logit / kLog2E;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  float sum = 0.0f;
  for (int r = 0; r < kRows; ++r) sum += losses[r];
  o.loss_parts[blockIdx.x] = sum;
}

/// d loss / d logit, from the logit in powers of 2.
HSTU_DEVICE float dlogit_of(float logit, float lse, bool is_target) {
  return fast_exp2(logit - lse) - (is_target ? 1.0f : 0.0f);
}

template <int kWidth>
HSTU_DEVICE void cross_entropy_dhidden(const CrossEntropyBackward<Bfloat16>& o) {
  extern __shared__ __align__(128) unsigned char shared[];
  using Pass = RowsByColumns<kWidth>;
  const Operands& p = o.of;
  const Pass pass(p, shared);
  float sums[kWidth / 8][4], lse[2];
  int target[2];
  clear(sums);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    target[half] = target_of(p, pass.own_row(half));
    lse[half] = pass.own_row(half) < p.positions ? o.lse[pass.own_row(half)] * kLog2E : 0.0f;
  }
  const auto body = [&](int first_item, int c, int buffer, typename Pass::Products& s) {
#pragma unroll
    for (int n = 0; n < Pass::kBlock / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int item = first_item + Pass::column(c, n, j);
        s[n][j] = dlogit_of(pass.logit(s[n][j], item), lse[j / 2], item == target[j / 2]);
      }
    }
    add_weighted_rows<kWidth, Pass::kBlock>(sums, s, pass.column_tile(buffer), c, 0);
  };
  pass.walk(
      pass.hidden(), pass.table(), [](int, int) {}, body);
  const float scale = o.scale * p.inverse_temperature, factor[2] = {scale, scale};
  store_rows(sums, factor, pass.scratch, p.width, begin_with_sectors(o.dhidden, p.width), [&](int r) {
    const int position = pass.row + r;
    return position < p.positions ? o.dhidden + static_cast<std::int64_t>(p.tokens[position]) * p.width : nullptr;
  });
}

template <int kWidth>
HSTU_DEVICE void cross_entropy_dtable(const CrossEntropyBackward<Bfloat16>& o) {
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ float lse[2][64];
  __shared__ int targets[2][64];
  using Pass = RowsByColumns<kWidth>;
  const Operands& p = o.of;
  const Pass pass(p, shared);
  float sums[kWidth / 8][4], dbias[2] = {0.0f, 0.0f};
  clear(sums);
  const auto side = [&](int first_position, int buffer) {
    const int own = static_cast<int>(threadIdx.x), position = first_position + own;
    if (own >= Pass::kColumns) return;
    targets[buffer][own] = target_of(p, position);
    lse[buffer][own] = position < p.positions ? o.lse[position] * kLog2E : INFINITY;  // no weight behind the last
  };
  const auto body = [&](int, int c, int buffer, typename Pass::Products& s) {
#pragma unroll
    for (int n = 0; n < Pass::kBlock / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int place = Pass::column(c, n, j), item = pass.own_row(j / 2);
        s[n][j] = dlogit_of(pass.logit(s[n][j], item), lse[buffer][place], item == targets[buffer][place]);
        dbias[j / 2] += s[n][j];
      }
    }
    add_weighted_rows<kWidth, Pass::kBlock>(sums, s, pass.column_tile(buffer), c, 0);
  };
  pass.walk(pass.table(), pass.hidden(), side, body);
  if (pass.row >= p.items) return;
  const float scale = o.scale * p.inverse_temperature, factor[2] = {scale, scale};
  store_rows(sums, factor, pass.scratch, p.width, begin_with_sectors(o.dtable, p.width), [&](int r) {
    return pass.row + r < p.items ? o.dtable + static_cast<std::int64_t>(pass.row + r) * p.width : nullptr;
  });
  if (o.dbias == nullptr) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    dbias[half] += __shfl_xor_sync(kAllLanes, dbias[half], 1);
    dbias[half] += __shfl_xor_sync(kAllLanes, dbias[half], 2);
    if (lane_id() % 4 == 0 && pass.own_row(half) < p.items) o.dbias[pass.own_row(half)] = scale * dbias[half];
  }
}

#define HSTU_CROSS_ENTROPY_KERNELS(name, Operands)                           \
  HSTU_KERNEL(kThreads) name##_mma_32(const __grid_constant__ Operands o) {  \
    name<32>(o);                                                             \
  }                                                                          \
  HSTU_KERNEL(kThreads) name##_mma_64(const __grid_constant__ Operands o) {  \
    name<64>(o);                                                             \
  }                                                                          \
  HSTU_KERNEL(kThreads) name##_mma_128(const __grid_constant__ Operands o) { \
    name<128>(o);                                                            \
  }                                                                          \
  HSTU_KERNEL(kThreads) name##_mma_256(const __grid_constant__ Operands o) { \
    name<256>(o);                                                            \
  }

HSTU_CROSS_ENTROPY_KERNELS(cross_entropy_forward, CrossEntropyForward<Bfloat16>)
HSTU_CROSS_ENTROPY_KERNELS(cross_entropy_dhidden, CrossEntropyBackward<Bfloat16>)
HSTU_CROSS_ENTROPY_KERNELS(cross_entropy_dtable, CrossEntropyBackward<Bfloat16>)

}  // namespace hstu::cuda
