// SPDX-License-Identifier: MIT
// Operands of kernels/gated_output.cu.
#pragma once
#include <hstu/cuda/operands/dropout.hpp>

namespace hstu::cuda {

/// Of the gate: f(u).
enum class Gate : std::int32_t { none, sigmoid, silu };

/// y [rows, y_cols] = dropout([u, joined, f(u)·(normalized·weight + bias)]), u and `joined` only if they are joined.
/// Columns fall into groups of neighbours; a row of a group is the work of one warp.
struct GatedOutput {
  const float* normalized;  ///< [rows, cols]
  const float* joined;      ///< [rows, cols]; null: not joined
  const float* u;           ///< rows u_stride apart
  const float* weight;      ///< [groups]; null: 1
  const float* bias;        ///< [groups]; null: 0
  std::int64_t rows;
  std::int64_t u_stride;
  std::int32_t cols;
  std::int32_t groups;
  Gate gate;
  bool joins_u;
  DropoutMask dropout;
};
struct GatedOutputForward {
  GatedOutput of;
  float* y;
};
struct GatedOutputBackward {
  GatedOutput of;
  const float* dy;
  float* dnormalized;    ///< [rows, cols]
  float* djoined;        ///< [rows, cols]; null: `joined` is `normalized`, or there is none
  float* du;             ///< rows u_stride apart
  float* dweight_parts;  ///< [rows, 2, groups]: of a row's part of weight and bias; null: not wanted
};

}  // namespace hstu::cuda
