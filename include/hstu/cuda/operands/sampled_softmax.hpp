// SPDX-License-Identifier: MIT
// Operands of kernels/sampled_softmax.cu: both losses of loss/sampled_softmax.hpp.
#pragma once
#include <cstdint>

namespace hstu::cuda {

/// Position i of the loss is token tokens[i]; its candidates are its negatives and then its target.
struct SampledSoftmaxOperands {
  const float* hidden;            ///< [T, cols]
  const float* table;             ///< [items, cols], rows table_stride apart
  const std::int32_t* tokens;     ///< [positions]
  const std::int32_t* targets;    ///< [T]
  const std::int32_t* negatives;  ///< [T, num_negatives]
  const float* log_expected;      ///< [items], subtracted from the logits; null: 0
  float* weights;                 ///< [positions, num_negatives + 1]: derivatives of the loss by the logits
  std::int64_t table_stride;
  std::int64_t rows;  ///< positions
  std::int32_t num_negatives;
  std::int32_t cols;
  std::int32_t is_binary;  ///< sampled_binary, not sampled_softmax
  float inverse_temperature;
};

struct SampledSoftmaxForward {
  SampledSoftmaxOperands of;
  float* losses;  ///< [positions]
};

/// dhidden of the positions' tokens: scale·Σ weight·row / temperature.
struct SampledSoftmaxBackward {
  SampledSoftmaxOperands of;
  float* dhidden;  ///< [T, cols]
  float scale;
};

}  // namespace hstu::cuda
