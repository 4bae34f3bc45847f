// SPDX-License-Identifier: MIT
// Rank of the held-out item among all candidates, and the metrics made from ranks.
#pragma once
#include <cmath>
#include <map>
#include <vector>

#include <hstu/metrics/candidates.hpp>

namespace hstu {

/// 1 + number of other candidates whose score is at least that of `target`: ties count against it, so that a scorer
/// that gives every item the same score gains nothing.  scores [V]; candidates are the items 1 … V−1 without
/// `excluded` (any order, repeats and 0 allowed); the target is a candidate even if excluded; docs/math.md (M1).
/// Throws NumericError if the score of a candidate is NaN or Inf, DataError for an id outside of the table.
template <class Scalar>
std::int64_t rank_of_target(std::span<const Scalar> scores, std::int32_t target,
                            std::span<const std::int32_t> excluded = {}) {
  check<DataError>(target >= 1 && target < std::ssize(scores), "rank_of_target: the target is ", target,
                   ", expected an item from 1 to ", std::ssize(scores) - 1);
  const Scalar own = scores[static_cast<std::size_t>(target)];
  check<NumericError>(std::isfinite(own), "rank_of_target: the score of item ", target, " is ", own);
  std::int64_t rank = 1;
  detail::for_each_candidate_range(scores, excluded, [&](std::int64_t first, std::int64_t last) {
    rank += std::count_if(scores.begin() + first, scores.begin() + last, [own](Scalar score) { return score >= own; });
    if (target >= first && target < last) --rank;  // counted itself
  });
  return rank;
}

/// HR@k, NDCG@k and MRR over the ranks of users; docs/math.md (M2).  Keeps counts per rank, so that the result does not
/// depend on the order of users or on how they were cut into parts.
class RankingMetrics {
 public:
  /// rank: from 1.
  void add(std::int64_t rank) {
    check<DataError>(rank >= 1, "ranking: ranks begin at 1, got ", rank);
    ++count_of_rank_[rank];
    ++count_;
  }
  void merge(const RankingMetrics& other) {
    for (const auto& [rank, count] : other.count_of_rank_) count_of_rank_[rank] += count;
    count_ += other.count_;
  }

  std::int64_t count() const { return count_; }

  /// Share of ranks up to k; 0 if there are none.
  double hit_rate(std::int64_t k) const {
    return mean([k](std::int64_t rank) { return rank <= k ? 1.0 : 0.0; });
  }
  /// Mean of 1 / log₂(rank + 1) for ranks up to k, else 0: one relevant item, so that the ideal gain is 1.
  double ndcg(std::int64_t k) const {
    return mean([k](std::int64_t rank) { return rank <= k ? 1.0 / std::log2(static_cast<double>(rank) + 1.0) : 0.0; });
  }
  /// Mean of 1 / rank.
  double mrr() const {
    return mean([](std::int64_t rank) { return 1.0 / static_cast<double>(rank); });
  }

  /// All by name, for each k: "hr@10", "ndcg@10", …, and "mrr".
  std::map<std::string, double> named(std::span<const std::int64_t> ks) const {
    std::map<std::string, double> values{{"mrr", mrr()}};
    for (const std::int64_t k : ks) {
      check<ConfigError>(k >= 1, "ranking: k must be positive, got ", k);
      values[concat("hr@", k)] = hit_rate(k);
      values[concat("ndcg@", k)] = ndcg(k);
    }
    return values;
  }

 private:
  template <class Gain>
  double mean(const Gain& gain) const {
    double sum = 0.0;
    for (const auto& [rank, count] : count_of_rank_) sum += gain(rank) * static_cast<double>(count);
    return count_ == 0 ? 0.0 : sum / static_cast<double>(count_);
  }

  std::map<std::int64_t, std::int64_t> count_of_rank_;
  std::int64_t count_ = 0;
};

}  // namespace hstu
