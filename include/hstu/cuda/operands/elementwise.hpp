// SPDX-License-Identifier: MIT
// Operands of kernels/elementwise.cu.  Rows of [rows, cols] lie `…_stride` apart where a stride is given.
#pragma once
#include <hstu/cuda/operands/dropout.hpp>

namespace hstu::cuda {

/// y = a·σ(u);  da = dy·σ(u), du = dy·a·σ(u)·(1 − σ(u)).
struct SigmoidGateForward {
  const float* a;
  const float* u;
  float* y;
  std::int64_t rows;
  std::int64_t u_stride;
  std::int32_t cols;
};
struct SigmoidGateBackward {
  const float* a;
  const float* u;
  const float* dy;
  float* da;
  float* du;
  std::int64_t rows;
  std::int64_t u_stride;
  std::int64_t du_stride;
  std::int32_t cols;
};

/// y = x·scale, one number for each row or for all;  dx = dy·scale, dscale of a row = Σ x·dy.  y may be x, dx may be dy.
struct ScaleRowsForward {
  const float* x;
  const float* scale;
  float* y;
  std::int64_t rows;
  std::int32_t cols;
  std::int32_t scale_stride;  ///< 0: one for all rows
};
struct ScaleRowsBackward {
  const float* x;
  const float* scale;
  const float* dy;
  float* dx;
  float* dscale;  ///< [rows], to be added up where there is one for all
  std::int64_t rows;
  std::int32_t cols;
  std::int32_t scale_stride;
};

enum class Activation : std::int32_t { none, silu, relu };

/// y = dropout(f(z + bias)) + residual: what follows a matrix product.  y may be z where the gradient does not need z.
struct BiasActivationForward {
  const float* z;
  const float* bias;      ///< [cols]; null: 0
  const float* residual;  ///< [rows, cols]; null: none
  float* y;
  std::int64_t rows;
  std::int32_t cols;
  Activation activation;
  DropoutMask dropout;
};
/// dz = dropout(dy)·f′(z + bias).  dz may be dy or z.
struct BiasActivationBackward {
  const float* z;  ///< not read, and may be null, without activation
  const float* bias;
  const float* dy;
  float* dz;
  std::int64_t rows;
  std::int32_t cols;
  Activation activation;
  DropoutMask dropout;
};

/// sums[chunk, c] = Σ x[r, c] over the rows of the chunk, in a fixed order.
struct SumRows {
  const float* x;
  float* sums;
  std::int64_t x_stride;
  std::int64_t rows;
  std::int64_t rows_per_chunk;
  std::int32_t cols;
};

}  // namespace hstu::cuda
