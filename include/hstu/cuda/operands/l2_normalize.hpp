// SPDX-License-Identifier: MIT
// Operands of kernels/l2_normalize.cu.
#pragma once
#include <cstdint>

namespace hstu::cuda {

/// y = x / max(‖x‖, eps) per row of x [rows, cols]; norm [rows] is kept.
struct L2NormalizeForward {
  const float* x;
  float* y;
  float* norm;
  std::int64_t rows;
  std::int32_t cols;
  float eps;
};
/// dx = (dy − y·Σ dy·y) / ‖x‖ where ‖x‖ ≥ eps, else dy / eps.
struct L2NormalizeBackward {
  const float* y;
  const float* norm;
  const float* dy;
  float* dx;
  std::int64_t rows;
  std::int32_t cols;
  float eps;
};

}  // namespace hstu::cuda
