// SPDX-License-Identifier: MIT
// Operands of kernels/adam.cu: one launch for all parameters, cut into pieces.
#pragma once
#include <cstdint>

namespace hstu::cuda {

/// A piece of a parameter with its gradient and its state.
struct AdamPiece {
  float* weights;
  const float* gradient;
  float* m;
  float* v;
  std::int64_t count;
};

/// The arithmetic of optim/adam.hpp; the corrections by 1 − βᵗ are made on the host.
struct AdamStep {
  const AdamPiece* pieces;
  const float* gradient_factor;  ///< on the device; null: 1.  NaN: nothing changes
  float blend1;                  ///< 1 − β₁
  float beta2;
  float blend2;         ///< 1 − β₂
  float l2_decay;       ///< Adam: added to the gradient, times the weight
  float weight_factor;  ///< AdamW: 1 − lr·weight_decay
  float step_size;      ///< lr / (1 − β₁ᵗ)
  float correction;     ///< 1 / √(1 − β₂ᵗ)
  float eps;
};

/// squares[piece] = Σ gradient².
struct SumSquares {
  const AdamPiece* pieces;
  float* squares;
};

/// result[0] = √Σ squares, result[1] = min(1, max_norm / (norm + 1e-6)), NaN if the norm is not finite.
struct ClipFactor {
  const float* squares;
  float* result;
  std::int32_t count;
  float max_norm;
};

}  // namespace hstu::cuda
