// SPDX-License-Identifier: MIT
// Operands of kernels/layer_norm.cu.
#pragma once
#include <hstu/cuda/operands/dropout.hpp>

namespace hstu::cuda {

/// y = dropout((x̂·weight + bias)·gate) with x̂ = (x − mean)·rstd per row of x [rows, cols].
struct LayerNormForward {
  const float* x;
  const float* weight;  ///< [cols], with bias or not at all; null: 1
  const float* bias;
  const float* gate;  ///< [rows, cols], rows gate_stride apart; null: 1
  float* y;
  float* mean;  ///< [rows]
  float* rstd;  ///< [rows]
  std::int64_t rows;
  std::int64_t gate_stride;
  std::int32_t cols;
  float eps;
  DropoutMask dropout;
};

/// From dy: dx, dgate and, per team of threads, the sums over its rows of the gradients of weight and bias.
struct LayerNormBackward {
  const float* x;
  const float* weight;
  const float* bias;
  const float* gate;
  const float* mean;
  const float* rstd;
  const float* dy;
  float* dx;
  float* dgate;          ///< rows dgate_stride apart; null: not wanted
  float* dweight_parts;  ///< [teams, 2, cols]: weight, bias; null without weight
  std::int64_t rows;
  std::int64_t gate_stride;
  std::int64_t dgate_stride;
  std::int32_t cols;
  DropoutMask dropout;
};

}  // namespace hstu::cuda
