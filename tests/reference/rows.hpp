// SPDX-License-Identifier: MIT
// Ops over the rows of [..., C] in plain loops: softmax, layer norm, L2 normalisation, dropout.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <hstu/core/random.hpp>

namespace hstu::reference {

inline double sigmoid(double x) { return x >= 0 ? 1.0 / (1.0 + std::exp(-x)) : std::exp(x) / (1.0 + std::exp(x)); }

inline std::vector<double> softmax(std::vector<double> x, std::size_t cols) {
  for (std::size_t begin = 0; begin < x.size(); begin += cols) {
    double largest = x[begin];
    double sum = 0.0;
    for (std::size_t c = 0; c < cols; ++c) largest = std::max(largest, x[begin + c]);
    for (std::size_t c = 0; c < cols; ++c) sum += std::exp(x[begin + c] - largest);
    for (std::size_t c = 0; c < cols; ++c) x[begin + c] = std::exp(x[begin + c] - largest) / sum;
  }
  return x;
}

/// Empty weight and bias are 1 and 0.
inline std::vector<double> layer_norm(std::vector<double> x, std::size_t cols, const std::vector<double>& weight,
                                      const std::vector<double>& bias, double eps) {
  for (std::size_t begin = 0; begin < x.size(); begin += cols) {
    double mean = 0.0;
    double variance = 0.0;
    for (std::size_t c = 0; c < cols; ++c) mean += x[begin + c] / static_cast<double>(cols);
    for (std::size_t c = 0; c < cols; ++c) {
      variance += (x[begin + c] - mean) * (x[begin + c] - mean) / static_cast<double>(cols);
    }
    for (std::size_t c = 0; c < cols; ++c) {
      const double normalized = (x[begin + c] - mean) / std::sqrt(variance + eps);
      x[begin + c] = weight.empty() ? normalized : normalized * weight[c] + bias[c];
    }
  }
  return x;
}

inline std::vector<double> l2_normalize(std::vector<double> x, std::size_t cols, double eps) {
  for (std::size_t begin = 0; begin < x.size(); begin += cols) {
    double squares = 0.0;
    for (std::size_t c = 0; c < cols; ++c) squares += x[begin + c] * x[begin + c];
    for (std::size_t c = 0; c < cols; ++c) x[begin + c] /= std::max(std::sqrt(squares), eps);
  }
  return x;
}

/// Word by word from the stream.
inline std::vector<double> dropout(std::vector<double> x, double p, const RandomStream& stream,
                                   std::uint64_t first_index) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool keep = static_cast<double>(stream.bits(first_index + i)) >= std::floor(p * 4294967296.0);
    x[i] = keep ? x[i] / (1.0 - p) : 0.0;
  }
  return x;
}

}  // namespace hstu::reference
