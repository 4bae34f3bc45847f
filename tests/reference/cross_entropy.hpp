// SPDX-License-Identifier: MIT
// Cross-entropy over all items in plain loops, float64, with its gradients: the definition of loss/cross_entropy.hpp.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace reference {

struct LossAndGradients {
  double loss = 0.0;
  std::int64_t counted = 0;
  std::vector<double> dhidden, dtable, dbias;
};

/// Sum over positions.  hidden [T, D], table [V, D], bias [V] or empty.
inline LossAndGradients cross_entropy(const std::vector<double>& hidden, const std::vector<double>& table,
                                      const std::vector<double>& bias, const std::vector<std::int32_t>& targets,
                                      std::size_t width, double temperature, std::int32_t ignored,
                                      std::int64_t excluded) {
  const std::size_t items = table.size() / width;
  LossAndGradients out{0.0, 0, std::vector<double>(hidden.size()), std::vector<double>(table.size()),
                       std::vector<double>(items)};
  for (std::size_t t = 0; t < targets.size(); ++t) {
    if (targets[t] == ignored) continue;
    ++out.counted;
    std::vector<double> logits(items);
    double sum = 0.0;
    for (std::size_t v = 0; v < items; ++v) {
      logits[v] = bias.empty() ? 0.0 : bias[v];
      for (std::size_t d = 0; d < width; ++d) logits[v] += hidden[t * width + d] * table[v * width + d];
      logits[v] /= temperature;
      if (static_cast<std::int64_t>(v) != excluded) sum += std::exp(logits[v]);
    }
    const auto target = static_cast<std::size_t>(targets[t]);
    out.loss += std::log(sum) - logits[target];
    for (std::size_t v = 0; v < items; ++v) {
      const double p = static_cast<std::int64_t>(v) == excluded ? 0.0 : std::exp(logits[v]) / sum;
      const double g = (p - (v == target ? 1.0 : 0.0)) / temperature;
      out.dbias[v] += g;
      for (std::size_t d = 0; d < width; ++d) {
        out.dhidden[t * width + d] += g * table[v * width + d];
        out.dtable[v * width + d] += g * hidden[t * width + d];
      }
    }
  }
  return out;
}

}  // namespace reference
