// SPDX-License-Identifier: MIT
// Ranks of targets and lists of the best items on the device: metrics/ranking.hpp and recommend/top_k.hpp.
#pragma once
#include <hstu/cuda/device.hpp>
#include <hstu/cuda/operands/ranking.hpp>

namespace hstu::cuda {

namespace detail {
template <class Operands>
void launch_ranking(Device& device, const char* function, const Operands& o) {
  constexpr std::int64_t kThreads = 256;
  device.launch({"ranking", function}, {.blocks = o.rows, .threads = kThreads}, o);
}
}  // namespace detail

inline void exclude_items(Device& device, const ExcludeItems& o) {
  detail::launch_ranking(device, "exclude_items", o);
}
inline void rank_targets(Device& device, const RankTargets& o) {
  detail::launch_ranking(device, "rank_targets", o);
}
/// Throws ConfigError unless k is in [1, 1024].
inline void top_k(Device& device, const TopK& o) {
  check<ConfigError>(o.k >= 1 && o.k <= TopK::kMaxK, "cuda: top_k: k must be in [1, ", TopK::kMaxK, "], got ", o.k);
  detail::launch_ranking(device, "top_k", o);
}

}  // namespace hstu::cuda
