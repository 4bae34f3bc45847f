// SPDX-License-Identifier: MIT
// Sampled losses in plain loops, float64: the definition of loss/sampled_softmax.hpp.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace reference {

/// One loss per counted position, in order.  hidden [T, D], table [V, D], negatives [T, R].
inline std::vector<double> sampled_softmax(const std::vector<double>& hidden, const std::vector<double>& table,
                                           const std::vector<std::int32_t>& targets,
                                           const std::vector<std::int32_t>& negatives, std::size_t width,
                                           double temperature, double eps, bool normalize, std::int32_t ignored) {
  std::vector<double> losses;
  if (targets.empty()) return losses;
  const std::size_t num_negatives = negatives.size() / targets.size();
  for (std::size_t t = 0; t < targets.size(); ++t) {
    if (targets[t] == ignored) continue;
    const auto score = [&](std::int32_t item) {
      const double* e = &table[static_cast<std::size_t>(item) * width];
      double dot = 0.0, squares = 0.0;
      for (std::size_t d = 0; d < width; ++d) {
        dot += hidden[t * width + d] * e[d];
        squares += e[d] * e[d];
      }
      return dot / (normalize ? std::max(std::sqrt(squares), eps) : 1.0) / temperature;
    };
    double sum = std::exp(score(targets[t]));
    for (std::size_t r = 0; r < num_negatives; ++r) {
      const std::int32_t item = negatives[t * num_negatives + r];
      if (item != targets[t]) sum += std::exp(score(item));
    }
    losses.push_back(std::log(sum) - score(targets[t]));
  }
  return losses;
}

/// Either loss of loss/sampled_softmax.hpp, one per counted position.  negatives [T, R], or [R] if is_shared;
/// log_expected [V] or empty.
inline std::vector<double> sampled_losses(const std::vector<double>& hidden, const std::vector<double>& table,
                                          const std::vector<std::int32_t>& targets,
                                          const std::vector<std::int32_t>& negatives, bool is_shared, bool is_binary,
                                          std::size_t width, double temperature,
                                          const std::vector<double>& log_expected) {
  std::vector<double> losses;
  if (targets.empty()) return losses;
  const std::size_t num_negatives = is_shared ? negatives.size() : negatives.size() / targets.size();
  for (std::size_t t = 0; t < targets.size(); ++t) {
    if (targets[t] == 0) continue;
    const auto score = [&](std::int32_t item) {
      const auto v = static_cast<std::size_t>(item);
      double dot = 0.0;
      for (std::size_t d = 0; d < width; ++d) dot += hidden[t * width + d] * table[v * width + d];
      return dot / temperature - (log_expected.empty() ? 0.0 : log_expected[v]);
    };
    double loss = is_binary ? std::log1p(std::exp(-score(targets[t]))) : -score(targets[t]);
    double sum = std::exp(score(targets[t]));
    for (std::size_t r = 0; r < num_negatives; ++r) {
      const std::int32_t item = negatives[is_shared ? r : t * num_negatives + r];
      if (item == targets[t]) continue;
      sum += std::exp(score(item));
      if (is_binary) loss += std::log1p(std::exp(score(item)));
    }
    losses.push_back(is_binary ? loss : loss + std::log(sum));
  }
  return losses;
}

}  // namespace reference
