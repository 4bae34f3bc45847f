// SPDX-License-Identifier: MIT
// How good predicted probabilities and numbers are: normalised entropy, AUC, accuracy, squared error, calibration.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <hstu/core/check.hpp>

namespace hstu {

/// One prediction with its label, and whose event it is about.
struct Prediction {
  std::int64_t user = 0;
  double predicted = 0.0;  ///< probability of a 1, or a number
  double label = 0.0;
};

struct BinaryMetrics {
  std::int64_t count = 0;
  double normalized_entropy = 0.0;  ///< mean cross-entropy / entropy of the share of ones; below 1 is better than it
  double auc = 0.0;                 ///< share of pairs (one, zero) in order, equal predictions half
  double user_auc = 0.0;            ///< mean AUC of the users with both labels, weighted by their predictions
  double accuracy = 0.0;            ///< a probability of at least ½ says 1
  double mse = 0.0;
  double calibration = 0.0;         ///< Σ predicted / Σ labels
};

struct RegressionMetrics {
  std::int64_t count = 0;
  double mse = 0.0;
  double explained = 0.0;    ///< 1 − mse / variance of the labels
  double calibration = 0.0;  ///< Σ predicted / Σ labels
};

namespace detail {

/// NaN where there are not both labels.  Sorts.
inline double auc_of(std::vector<Prediction>& predictions) {
  std::ranges::sort(predictions, {}, &Prediction::predicted);
  double ones = 0.0, zeros = 0.0, in_order = 0.0;
  for (std::size_t i = 0; i < predictions.size();) {
    double equal_ones = 0.0, equal_zeros = 0.0;
    const double value = predictions[i].predicted;
    for (; i < predictions.size() && predictions[i].predicted == value; ++i) {
      (predictions[i].label > 0.5 ? equal_ones : equal_zeros) += 1.0;
    }
    in_order += equal_ones * (zeros + equal_zeros / 2);
    ones += equal_ones;
    zeros += equal_zeros;
  }
  return in_order / (ones * zeros);
}

inline double user_auc_of(std::vector<Prediction> predictions) {
  std::ranges::stable_sort(predictions, {}, &Prediction::user);
  double sum = 0.0, weight = 0.0;
  for (std::size_t i = 0; i < predictions.size();) {
    std::vector<Prediction> of_user;
    for (const std::int64_t user = predictions[i].user; i < predictions.size() && predictions[i].user == user; ++i) {
      of_user.push_back(predictions[i]);
    }
    const double auc = auc_of(of_user);
    if (std::isnan(auc)) continue;
    sum += auc * static_cast<double>(of_user.size());
    weight += static_cast<double>(of_user.size());
  }
  return sum / weight;
}

inline void check_predictions(std::span<const Prediction> predictions) {
  check<DataError>(!predictions.empty(), "metrics: expected predictions, got none");
  for (const Prediction& p : predictions) {
    check<NumericError>(std::isfinite(p.predicted) && std::isfinite(p.label), "metrics: predicted ", p.predicted,
                        " for the label ", p.label, " of user ", p.user, ", expected finite numbers");
  }
}

inline double mean_squared_error(std::span<const Prediction> predictions) {
  double sum = 0.0;
  for (const Prediction& p : predictions) sum += (p.predicted - p.label) * (p.predicted - p.label);
  return sum / static_cast<double>(predictions.size());
}

/// Σ predicted / Σ labels.
inline double calibration_of(std::span<const Prediction> predictions) {
  double predicted = 0.0, labels = 0.0;
  for (const Prediction& p : predictions) {
    predicted += p.predicted;
    labels += p.label;
  }
  return predicted / labels;
}

}  // namespace detail

/// Labels 0 and 1, probabilities in [0, 1]; docs/math.md (M3) to (M6).  In the cross-entropy the probability of
/// a label is at least 1e-12.  What needs both labels, or a user who has both, is NaN where there is none.
/// Throws DataError for no prediction, another label or a number that is no probability; NumericError if one is not
/// finite.
inline BinaryMetrics binary_metrics(std::span<const Prediction> predictions) {
  detail::check_predictions(predictions);
  const auto count = static_cast<double>(predictions.size());
  double entropy = 0.0, ones = 0.0, right = 0.0;
  for (const Prediction& p : predictions) {
    check<DataError>((p.label == 0.0 || p.label == 1.0) && p.predicted >= 0.0 && p.predicted <= 1.0,
                     "metrics: expected a probability and a label of 0 or 1, got ", p.predicted, " and ", p.label);
    entropy -= std::log(std::max(1e-12, p.label == 1.0 ? p.predicted : 1.0 - p.predicted));
    ones += p.label;
    right += (p.predicted >= 0.5) == (p.label == 1.0) ? 1.0 : 0.0;
  }
  const double share = ones / count;
  const double of_share = share == 0.0 || share == 1.0
                              ? std::nan("")
                              : -count * (share * std::log(share) + (1.0 - share) * std::log1p(-share));
  std::vector<Prediction> sorted(predictions.begin(), predictions.end());
  return {.count = std::ssize(sorted),
          .normalized_entropy = entropy / of_share,
          .auc = detail::auc_of(sorted),
          .user_auc = detail::user_auc_of({predictions.begin(), predictions.end()}),
          .accuracy = right / count,
          .mse = detail::mean_squared_error(predictions),
          .calibration = detail::calibration_of(predictions)};
}

/// Throws DataError for no prediction, NumericError if a number is not finite; docs/math.md (M7).
inline RegressionMetrics regression_metrics(std::span<const Prediction> predictions) {
  detail::check_predictions(predictions);
  const auto count = static_cast<double>(predictions.size());
  double mean = 0.0, variance = 0.0;
  for (const Prediction& p : predictions) mean += p.label / count;
  for (const Prediction& p : predictions) variance += (p.label - mean) * (p.label - mean) / count;
  const double mse = detail::mean_squared_error(predictions);
  return {.count = std::ssize(predictions),
          .mse = mse,
          .explained = variance > 0 ? 1.0 - mse / variance : std::nan(""),
          .calibration = detail::calibration_of(predictions)};
}

}  // namespace hstu
