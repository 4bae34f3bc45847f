// SPDX-License-Identifier: MIT
// Ranks of targets and lists of the best items on the device: metrics/ranking.hpp and recommend/top_k.hpp.
#pragma once
#include <hstu/cuda/device.hpp>
#include <hstu/cuda/operands/ranking.hpp>

namespace hstu::cuda {

namespace detail {
template <class Operands>
void launch_ranking(Device& device, const char* function, const Operands& o, std::int64_t shared_bytes = 0) {
  constexpr std::int64_t kThreads = 256;
  device.launch({"ranking", function}, {.blocks = o.rows, .threads = kThreads, .shared_bytes = shared_bytes}, o);
}
}  // namespace detail

inline void exclude_items(Device& device, const ExcludeItems& o) {
  detail::launch_ranking(device, "exclude_items", o);
}
inline void rank_targets(Device& device, const RankTargets& o) {
  detail::launch_ranking(device, "rank_targets", o);
}
/// Fills in o.is_staged.  Throws ConfigError unless k is in [1, 1024].
inline void top_k(Device& device, TopK o) {
  check<ConfigError>(o.k >= 1 && o.k <= TopK::kMaxK, "cuda: top_k: k must be in [1, ", TopK::kMaxK, "], got ", o.k);
  constexpr std::int64_t kMostStaged = 80 * 1024;  // bytes: every GPU since sm_80 has 99 KB for a block
  const std::int64_t row_bytes = o.items * std::int64_t{sizeof(float)};
  o.is_staged = row_bytes <= kMostStaged;
  detail::launch_ranking(device, "top_k", o, o.is_staged ? row_bytes : 0);
}

}  // namespace hstu::cuda
