// SPDX-License-Identifier: MIT
// What a position's logits against its target and its negatives become: the loss and its gradient, in place.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include <hstu/core/simd.hpp>
#include <hstu/core/tensor.hpp>
#include <hstu/loss/reduction.hpp>

namespace hstu {

/// softmax: the target against its negatives;  binary: target and negatives each by themselves, 1 against 0.
enum class SampledLoss { softmax, binary };

struct SampledLossOptions {
  double temperature = 0.05;
  std::int64_t ignored_target = 0;  ///< positions with this target do not count
  Reduction reduction = Reduction::mean;
  /// float64 [V] or absent: ln of how often an item is expected among a position's negatives.  It is subtracted from
  /// the logits, the target's too (log-Q correction).
  Tensor log_expected = {};
};

namespace detail {

/// One row: the dot products of the negatives, of the target, and of the target again in the lanes behind it.
template <class Scalar>
class SampledRow {
 public:
  SampledRow(SampledLoss loss, const SampledLossOptions& options, std::int64_t num_negatives)
      : loss_(loss), log_expected_(options.log_expected), num_negatives_(num_negatives),
        width_(simd::whole_packs(num_negatives + 1)),
        inverse_temperature_(static_cast<Scalar>(1.0 / options.temperature)) {}

  /// Numbers in a row: negatives and target in whole packs.
  std::int64_t width() const { return width_; }
  Scalar inverse_temperature() const { return inverse_temperature_; }

  /// Returns the loss and leaves its derivatives by the logits in `row`.  `items` has the layout of the row.  Negatives
  /// that are the target, and the lanes behind it, get 0 and take no part.
  double operator()(const std::int32_t* items, Scalar* row) const {
    Scalar factor = inverse_temperature_;
    if (log_expected_.defined()) {
      const double* const log_expected = log_expected_.data<double>();
      for (std::int64_t r = 0; r < width_; ++r) {
        row[r] = row[r] * inverse_temperature_ - static_cast<Scalar>(log_expected[items[r]]);
      }
      factor = Scalar(1);
    }
    return loss_ == SampledLoss::softmax ? softmax(items, row, factor) : binary(items, row, factor);
  }

 private:
  /// −log softmax of the target.
  double softmax(const std::int32_t* items, Scalar* row, Scalar factor) const {
    Pack<Scalar> top = splat(std::numeric_limits<Scalar>::lowest());
    for (std::int64_t r = 0; r < width_; r += kLanes) top = max(load(row + r), top);
    Scalar largest = top[0];
    for (int i = 1; i < kLanes; ++i) largest = std::max<Scalar>(largest, top[i]);
    const Scalar target_logit = row[num_negatives_];
    for (std::int64_t r = 0; r < width_; r += kLanes) {
      store(row + r, exp((load(row + r) - splat(largest)) * factor));
    }
    replace_left_out(items, row, Scalar(0));
    std::fill(row + num_negatives_ + 1, row + width_, Scalar(0));
    Pack<Scalar> sums{};
    for (std::int64_t r = 0; r < width_; r += kLanes) sums += load(row + r);
    const Scalar total = sum(sums);
    for (std::int64_t r = 0; r < width_; r += kLanes) store(row + r, load(row + r) * (Scalar(1) / total));
    row[num_negatives_] -= Scalar(1);
    return static_cast<double>((largest - target_logit) * factor) + std::log(static_cast<double>(total));
  }

  /// ln(1 + e^−s) of the target plus Σ ln(1 + e^s) of the negatives.  ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|): the
  /// second arguments are at most 2, so that 64 of them are multiplied before one logarithm is taken.
  double binary(const std::int32_t* items, Scalar* row, Scalar factor) const {
    constexpr std::int64_t kFactors = 64 * kLanes;
    constexpr Scalar kLowest = std::numeric_limits<Scalar>::lowest() / Scalar(1e6);  // times any factor still no NaN
    replace_left_out(items, row, kLowest);
    row[num_negatives_] = -row[num_negatives_];
    std::fill(row + num_negatives_ + 1, row + width_, kLowest);
    double loss = 0.0;
    for (std::int64_t first = 0; first < width_; first += kFactors) {
      Pack<Scalar> positive{}, factors = splat(Scalar(1));
      for (std::int64_t r = first; r < std::min(width_, first + kFactors); r += kLanes) {
        const Pack<Scalar> s = load(row + r) * factor;
        positive += max(Pack<Scalar>{}, s);
        factors *= Scalar(1) + exp(-max(-s, s));
        store(row + r, sigmoid(s));
      }
      for (int i = 0; i < kLanes; ++i) {
        loss += static_cast<double>(positive[i]) + std::log(static_cast<double>(factors[i]));
      }
    }
    replace_left_out(items, row, Scalar(0));
    row[num_negatives_] = -row[num_negatives_];
    std::fill(row + num_negatives_ + 1, row + width_, Scalar(0));
    return loss;
  }

  void replace_left_out(const std::int32_t* items, Scalar* row, Scalar value) const {
    const std::int32_t target = items[num_negatives_];
    for (std::int64_t r = 0; r < num_negatives_; ++r) row[r] = items[r] == target ? value : row[r];
  }

  SampledLoss loss_;
  Tensor log_expected_;
  std::int64_t num_negatives_, width_;
  Scalar inverse_temperature_;
};

}  // namespace detail
}  // namespace hstu
