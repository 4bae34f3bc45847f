// SPDX-License-Identifier: MIT
// Metrics of predictions against their definitions over all pairs.
#include <map>

#include <hstu/core/random.hpp>
#include <hstu/metrics/prediction.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

/// Coarse predictions, so that many are equal; some users have one label only.
std::vector<Prediction> random_predictions(std::uint64_t seed, std::uint64_t count) {
  const RandomStream stream{.seed = seed};
  std::vector<Prediction> all;
  for (std::uint64_t i = 0; i < count; ++i) {
    const double predicted = static_cast<double>(stream.below(3 * i, 9)) / 8.0;
    const auto user = static_cast<std::int64_t>(stream.below(3 * i + 1, 12));
    const double one = user == 3 ? 2.0 : predicted;
    all.push_back({user, predicted, stream.uniform(1000 + i) < 0.3 + 0.4 * one ? 1.0 : 0.0});
  }
  return all;
}

/// Share of the pairs (one, zero) in order.
double brute_force_auc(const std::vector<Prediction>& all) {
  double pairs = 0.0, in_order = 0.0;
  for (const Prediction& one : all) {
    for (const Prediction& zero : all) {
      if (one.label != 1.0 || zero.label != 0.0) continue;
      pairs += 1.0;
      in_order += one.predicted > zero.predicted ? 1.0 : one.predicted == zero.predicted ? 0.5 : 0.0;
    }
  }
  return in_order / pairs;
}

}  // namespace

TEST_CASE("binary_metrics: equal the definitions over all pairs", "[metrics][prediction][parity]") {
  for (const std::uint64_t count : {std::uint64_t{40}, std::uint64_t{301}}) {
    const auto all = random_predictions(count, count);
    std::map<std::int64_t, std::vector<Prediction>> by_user;
    double ones = 0.0, loss = 0.0, mse = 0.0, right = 0.0, predicted = 0.0;
    for (const Prediction& p : all) {
      by_user[p.user].push_back(p);
      loss -= std::log(std::max(1e-12, p.label == 1.0 ? p.predicted : 1.0 - p.predicted));
      ones += p.label;
      mse += (p.label - p.predicted) * (p.label - p.predicted);
      right += (p.predicted >= 0.5 ? 1.0 : 0.0) == p.label ? 1.0 : 0.0;
      predicted += p.predicted;
    }
    double auc_sum = 0.0, weight = 0.0;
    int without = 0;
    for (const auto& [user, of_user] : by_user) {
      const double auc = brute_force_auc(of_user);
      without += std::isnan(auc) ? 1 : 0;
      if (std::isnan(auc)) continue;
      auc_sum += auc * static_cast<double>(of_user.size());
      weight += static_cast<double>(of_user.size());
    }
    CHECK(without >= 1);
    const double n = static_cast<double>(all.size()), p = ones / n;
    const BinaryMetrics metrics = binary_metrics(all);
    CHECK(metrics.count == std::ssize(all));
    CHECK(std::abs(metrics.auc - brute_force_auc(all)) < 1e-12);
    CHECK(std::abs(metrics.user_auc - auc_sum / weight) < 1e-12);
    CHECK(std::abs(metrics.normalized_entropy - loss / n / -(p * std::log(p) + (1 - p) * std::log(1 - p))) < 1e-12);
    CHECK(std::abs(metrics.accuracy - right / n) < 1e-12);
    CHECK(std::abs(metrics.mse - mse / n) < 1e-12);
    CHECK(std::abs(metrics.calibration - predicted / ones) < 1e-12);
  }
}

TEST_CASE("binary_metrics: known values", "[metrics][prediction][property]") {
  const std::vector<Prediction> constant = {{0, 0.25, 0}, {0, 0.25, 1}, {1, 0.25, 0}, {1, 0.25, 0}};
  const BinaryMetrics metrics = binary_metrics(constant);
  CHECK(std::abs(metrics.normalized_entropy - 1.0) < 1e-15);  // the share itself gains nothing
  CHECK(metrics.auc == 0.5);
  CHECK(metrics.calibration == 1.0);
  const BinaryMetrics one_label = binary_metrics(std::vector<Prediction>{{0, 0.9, 1}});
  CHECK(std::isnan(one_label.auc));
  CHECK(std::isnan(one_label.user_auc));
  CHECK(std::isnan(one_label.normalized_entropy));
  CHECK(one_label.accuracy == 1.0);
}

TEST_CASE("regression_metrics: squared error, share of the variance, calibration", "[metrics][prediction][parity]") {
  const std::vector<Prediction> all = {{0, 3.0, 4.0}, {1, 2.0, 2.0}, {2, 5.0, 3.0}};
  const RegressionMetrics metrics = regression_metrics(all);
  CHECK(metrics.count == 3);
  CHECK(std::abs(metrics.mse - 5.0 / 3.0) < 1e-15);
  CHECK(std::abs(metrics.explained - (1.0 - 5.0 / 2.0)) < 1e-14);
  CHECK(std::abs(metrics.calibration - 10.0 / 9.0) < 1e-15);
}

TEST_CASE("prediction metrics: errors", "[metrics][prediction][errors]") {
  using Predictions = std::vector<Prediction>;
  CHECK_THROWS_MATCHES(binary_metrics(Predictions{}), DataError, says("expected predictions, got none"));
  CHECK_THROWS_MATCHES(binary_metrics(Predictions{{0, 1.5, 1}}), DataError, says("expected a probability"));
  CHECK_THROWS_MATCHES(binary_metrics(Predictions{{0, 0.5, 0.5}}), DataError, says("label of 0 or 1"));
  CHECK_THROWS_MATCHES(regression_metrics(Predictions{{7, std::nan(""), 1}}), NumericError, says("of user 7"));
}
