// SPDX-License-Identifier: MIT
// Ranks and ranking metrics computed by plain loops.
#include <hstu/metrics/ranking.hpp>

#include "golden_file.hpp"

namespace hstu::golden {

void run_metrics(GoldenFile& file) {
  const auto ks = file.option<std::vector<std::int64_t>>("k");
  const Tensor scores = file.real("in.scores");
  const auto targets = file.integers<std::int32_t>("in.targets"), seen = file.integers<std::int32_t>("in.seen");
  const auto V = static_cast<std::size_t>(scores.size(1)), width = seen.size() / targets.size();
  RankingMetrics metrics;
  std::vector<std::int64_t> ranks;
  for (std::size_t u = 0; u < targets.size(); ++u) {
    std::vector<std::int32_t> excluded;  // 0 fills the row where the target itself was drawn
    for (std::size_t i = 0; i < width; ++i) {
      if (seen[u * width + i] != 0) excluded.push_back(seen[u * width + i]);
    }
    ranks.push_back(dispatch_floating("golden", file.dtype(), [&]<class Scalar>(Scalar) {
      return rank_of_target(scores.values<Scalar>().subspan(u * V, V), targets[u], std::span<const std::int32_t>(excluded));
    }));
    metrics.add(ranks.back());
  }
  file.compare_exactly("out.rank", ranks);
  for (const auto k : ks) {
    const std::string at = "@" + std::to_string(k);
    file.compare("out.hr" + at, Tensor::full({}, metrics.hit_rate(k), DType::float64), value_tolerance(file.dtype()));
    file.compare("out.ndcg" + at, Tensor::full({}, metrics.ndcg(k), DType::float64), value_tolerance(file.dtype()));
  }
  file.compare("out.mrr", Tensor::full({}, metrics.mrr(), DType::float64), value_tolerance(file.dtype()));
}

}  // namespace hstu::golden
