// SPDX-License-Identifier: MIT
// Matrix product in three loops.
#pragma once
#include <cstddef>
#include <vector>

namespace hstu::reference {

/// a [rows, inner] · b [inner, cols]
inline std::vector<double> matmul(const std::vector<double>& a, const std::vector<double>& b, std::size_t rows,
                                  std::size_t inner, std::size_t cols) {
  std::vector<double> y(rows * cols, 0.0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      for (std::size_t k = 0; k < inner; ++k) y[i * cols + j] += a[i * inner + k] * b[k * cols + j];
    }
  }
  return y;
}

/// x [rows, in] · weightᵀ [in, out] + bias [out]; an empty bias is none.
inline std::vector<double> linear(const std::vector<double>& x, const std::vector<double>& weight,
                                  const std::vector<double>& bias, std::size_t rows, std::size_t in, std::size_t out) {
  std::vector<double> y(rows * out, 0.0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < out; ++j) {
      double sum = bias.empty() ? 0.0 : bias[j];
      for (std::size_t k = 0; k < in; ++k) sum += x[i * in + k] * weight[j * in + k];
      y[i * out + j] = sum;
    }
  }
  return y;
}

}  // namespace hstu::reference
