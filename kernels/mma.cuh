// SPDX-License-Identifier: MIT
// Tensor-core building blocks for bfloat16: tiles of rows in shared memory, asynchronous loads, fragments, products.
// Lane l of a warp is called (g, t) = (l / 4, l % 4).  Layout of m16n8k16: PTX ISA, "Matrix fragments for
// mma.m16n8k16".
#pragma once
#include "device.cuh"

namespace hstu::cuda {

using Bfloat16 = std::uint16_t;  // its bits

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kRows = 64;  // of a block, 16 of each warp

HSTU_DEVICE std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// 16 bytes from global to shared memory; the last 16 − bytes become zero.
HSTU_DEVICE void copy_async(std::uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
HSTU_DEVICE void commit_copies() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
HSTU_DEVICE void wait_for_copies() {
  asm volatile("cp.async.wait_group 0;\n" ::: "memory");
}

/// Four 8×8 matrices whose rows the lanes 8m … 8m + 7 point at.
HSTU_DEVICE void load_matrices(std::uint32_t (&m)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(address)
               : "memory");
}
HSTU_DEVICE void load_transposed(std::uint32_t (&m)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(address)
               : "memory");
}

/// d [16, 8] += a [16, 16] · b [16, 8].  d[j]: row g + 8·(j / 2), column 2t + j % 2.
HSTU_DEVICE void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Two neighbouring 16×8 results as the left operand of the next product.
HSTU_DEVICE void as_left_operand(std::uint32_t (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = pack_bfloat16(left[0], left[1]);
  a[1] = pack_bfloat16(left[2], left[3]);
  a[2] = pack_bfloat16(right[0], right[1]);
  a[3] = pack_bfloat16(right[2], right[3]);
}

template <int kCount>
HSTU_DEVICE void clear(float (&tiles)[kCount][4]) {
#pragma unroll
  for (int n = 0; n < kCount; ++n) tiles[n][0] = tiles[n][1] = tiles[n][2] = tiles[n][3] = 0.0f;
}

/// Rows of bfloat16 in global memory, with zeros up to a multiple of 16 columns.
struct PackedRows {
  const Bfloat16* first;
  std::int64_t stride;
  int rows, cols;
};

/// Rows of kWidth bfloat16 in shared memory.  Pieces of 16 bytes are swapped within their row so that the eight rows of
/// an 8×8 matrix meet different banks.
template <int kWidth>
struct Tile {
  static constexpr int kRowBytes = 2 * kWidth;
  static constexpr int kPieces = kWidth / 8;

  static HSTU_DEVICE std::uint32_t offset(int row, int piece) {
    const int swap = kWidth == 16 ? (row >> 2) & 1 : kWidth == 32 ? (row >> 1) & 3 : row & 7;
    return static_cast<std::uint32_t>(row * kRowBytes + ((piece ^ swap) << 4));
  }
  /// The lane's part of the address of 16 rows: of right operands X in A·Xᵀ, and of left operands and right ones in
  /// A·X.
  static HSTU_DEVICE std::uint32_t lane_by_rows() {
    return offset((lane_id() & 7) + ((lane_id() >> 4) << 3), (lane_id() >> 3) & 1);
  }
  static HSTU_DEVICE std::uint32_t lane_by_columns() { return offset(lane_id() & 15, lane_id() >> 4); }
  /// Of 16 rows from `row` (a multiple of 16) and 16 columns.
  static HSTU_DEVICE std::uint32_t at(int row, std::uint32_t lane, int columns_of_16) {
    return static_cast<std::uint32_t>(row * kRowBytes) + (lane ^ static_cast<std::uint32_t>(columns_of_16 << 5));
  }

  /// Starts loading the rows [first, first + kTileRows) of a matrix; what it does not have becomes zero.
  template <int kTileRows>
  static HSTU_DEVICE void load(std::uint32_t to, const PackedRows& matrix, int first) {
    const int piece = static_cast<int>(threadIdx.x) % kPieces;
    const bool has_piece = piece / 2 * 16 < matrix.cols;
#pragma unroll
    for (int row = 0; row < kTileRows; row += kThreads / kPieces) {
      const int own = row + static_cast<int>(threadIdx.x) / kPieces;
      const bool is_there = first + own < matrix.rows && has_piece;
      const Bfloat16* const from = matrix.first + (is_there ? (first + own) * matrix.stride + piece * 8 : 0);
      copy_async(to + offset(own, piece), from, is_there ? 16 : 0);
    }
  }
};

/// Columns of a tile and tiles in flight, so that a block keeps within 99 KB, which every GPU since sm_80 has.
template <int kWidth>
struct TilePlan {
  static constexpr int kColumns = kWidth <= 64 ? 64 : 32;
  static constexpr int kTileBytes = kColumns * Tile<kWidth>::kRowBytes;
  static constexpr int kRowTileBytes = kRows * Tile<kWidth>::kRowBytes;
};

/// s += left·rightᵀ: the 16 rows of this warp in a tile of kRows, and kBlock rows from c of another.
template <int kWidth, int kBlock>
HSTU_DEVICE void multiply_rows(float (&s)[kBlock / 8][4], std::uint32_t left_tile, std::uint32_t right_tile, int c) {
  using T = Tile<kWidth>;
#pragma unroll
  for (int k = 0; k < kWidth / 16; ++k) {
    std::uint32_t left[4];
    load_matrices(left, left_tile + T::at(16 * warp_id(), T::lane_by_columns(), k));
#pragma unroll
    for (int n = 0; n < kBlock / 16; ++n) {
      std::uint32_t right[4];
      load_matrices(right, right_tile + T::at(c + 16 * n, T::lane_by_rows(), k));
      multiply_add(s[2 * n], left, right[0], right[1]);
      multiply_add(s[2 * n + 1], left, right[2], right[3]);
    }
  }
}

/// sums += weights·rows: kBlock rows from c of a tile, columns from 16·first on.
template <int kWidth, int kBlock, int kTiles>
HSTU_DEVICE void add_weighted_rows(float (&sums)[kTiles][4], const float (&weights)[kBlock / 8][4], std::uint32_t tile,
                                   int c, int first) {
  using T = Tile<kWidth>;
#pragma unroll
  for (int k = 0; k < kBlock / 16; ++k) {
    std::uint32_t left[4];
    as_left_operand(left, weights[2 * k], weights[2 * k + 1]);
#pragma unroll
    for (int n = 0; n < kTiles / 2; ++n) {
      std::uint32_t right[4];
      load_transposed(right, tile + T::at(c + 16 * k, T::lane_by_columns(), first + n));
      multiply_add(sums[2 * n], left, right[0], right[1]);
      multiply_add(sums[2 * n + 1], left, right[2], right[3]);
    }
  }
}

/// True if rows of float that are `stride` apart begin with a sector of global memory.
HSTU_DEVICE bool begin_with_sectors(const float* first, std::int64_t stride) {
  return reinterpret_cast<std::uintptr_t>(first) % 32 == 0 && stride % 8 == 0;
}

/// Writes factor[half]·sums, the 16 rows of this warp, to `cols` columns from row_at(r), null for nowhere: from the
/// registers, eight columns of eight rows at a time, if they are aligned to sectors; else through `scratch`, 64·kTiles
/// floats of shared memory that no other warp uses, row by row, so that whole sectors are written all the same.
template <int kTiles, class RowAt>
HSTU_DEVICE void store_rows(const float (&sums)[kTiles][4], const float (&factor)[2], float* scratch, int cols,
                            bool are_aligned, const RowAt& row_at) {
  constexpr int kPitch = 8 * kTiles, kRowsAtOnce = 8, kSectorFloats = 8;
  const int g = lane_id() / 4, t = lane_id() % 4;
  const auto value = [&](int n, int half) {
    return make_float2(factor[half] * sums[n][2 * half], factor[half] * sums[n][2 * half + 1]);
  };
  const auto place = [](int row, int c) {  // eight columns are swapped so that rows meet different banks
    return row * kPitch + (c ^ (kPitch == 16 ? (row >> 1 & 1) * 8 : (row & 3) * 8));
  };
  cols = min(cols, kPitch);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (are_aligned && cols % kSectorFloats == 0) {
      float* const row = row_at(g + kRowsAtOnce * half);
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        if (row != nullptr && 8 * n < cols) *reinterpret_cast<float2*>(row + 8 * n + 2 * t) = value(n, half);
      }
      continue;
    }
    __syncwarp();
#pragma unroll
    for (int n = 0; n < kTiles; ++n) *reinterpret_cast<float2*>(scratch + place(g, 8 * n + 2 * t)) = value(n, half);
    __syncwarp();
#pragma unroll 1
    for (int r = 0; r < kRowsAtOnce; ++r) {
      float* const row = row_at(kRowsAtOnce * half + r);
      if (row == nullptr) continue;
      const int lead = static_cast<int>(reinterpret_cast<std::uintptr_t>(row) / sizeof(float)) % kSectorFloats;
      const int first = lane_id() - lead;  // the lane's column of the first 32 floats from a sector's begin
      const float* const from = scratch + place(r, first);
#pragma unroll
      for (int c = 0; c < kPitch + kSectorFloats; c += kWarpSize) {
        if (first + c >= 0 && first + c < cols) row[first + c] = from[c];
      }
    }
  }
}

HSTU_DEVICE float fast_tanh(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
HSTU_DEVICE float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace hstu::cuda
