// SPDX-License-Identifier: MIT
// Ranks and lists from rows of scores.  All sums are of integers, so their order does not matter.
#include <hstu/cuda/operands/ranking.hpp>

#include "device.cuh"

namespace hstu::cuda {

constexpr int kThreads = 256;

/// Where the threads of a block begin to take turns with a row, such that the first one's score begins a sector; can be
/// below 0.
HSTU_DEVICE int first_item(const float* scores) {
  constexpr int kSectorFloats = 8;
  const auto float_number = reinterpret_cast<std::uintptr_t>(scores) / sizeof(float);
  return static_cast<int>(threadIdx.x) - static_cast<int>(float_number % kSectorFloats);
}

HSTU_KERNEL(kThreads) exclude_items(const __grid_constant__ ExcludeItems o) {
  const std::int64_t row = blockIdx.x;
  const std::int32_t target = o.targets != nullptr ? o.targets[row] : 0;
  for (std::int64_t i = o.offsets[row] + threadIdx.x; i < o.offsets[row + 1]; i += kThreads) {
    const std::int32_t item = o.excluded[i];
    if (item != target) o.scores[row * o.items + item] = kExcludedScore;
  }
}

HSTU_KERNEL(kThreads) rank_targets(const __grid_constant__ RankTargets o) {
  __shared__ int better, broken;
  if (threadIdx.x == 0) better = broken = 0;
  __syncthreads();
  const float* const scores = o.scores + static_cast<std::int64_t>(blockIdx.x) * o.items;
  const std::int32_t target = o.targets[blockIdx.x];
  const float own = scores[target];
  int own_better = 0, own_broken = 0;
  for (int item = first_item(scores); item < o.items; item += kThreads) {
    if (item < 1) continue;
    const float score = scores[item];
    own_better += item != target && score >= own ? 1 : 0;
    own_broken += isfinite(score) ? 0 : 1;
  }
  atomicAdd(&better, own_better);
  atomicAdd(&broken, own_broken);
  __syncthreads();
  if (threadIdx.x == 0) o.ranks[blockIdx.x] = broken > 0 ? 0 : 1 + better;
}

/// Unsigned numbers in the order of the floats; −0 and +0 are one.
HSTU_DEVICE std::uint32_t order_of(float score) {
  const std::uint32_t bits = __float_as_uint(score + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
HSTU_DEVICE float score_of(std::uint32_t order) {
  return __uint_as_float(order >> 31 ? order & 0x7fffffffu : ~order);
}

/// The place of the k-th best: items of a higher order are in, of those with this order as many as `ties`, lowest
/// first.
struct Threshold {
  std::uint32_t order;
  int ties;
};

/// Eight bits at a time: counts how many candidates share the bits so far, and keeps the bin that holds the k-th.
HSTU_DEVICE Threshold find_threshold(const float* scores, int items, int k, int* bins, int* choice) {
  std::uint32_t prefix = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    bins[threadIdx.x] = 0;
    __syncthreads();
    for (int item = first_item(scores); item < items; item += kThreads) {
      if (item < 1) continue;
      const std::uint32_t order = order_of(scores[item]);
      if (shift == 24 || order >> (shift + 8) == prefix) atomicAdd(&bins[order >> shift & 255], 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int bin = 255;
      while (bin > 0 && bins[bin] < k) k -= bins[bin--];
      choice[0] = bin;
      choice[1] = k;
    }
    __syncthreads();
    prefix = prefix << 8 | static_cast<std::uint32_t>(choice[0]);
    k = choice[1];
    __syncthreads();
  }
  return {prefix, k};
}

/// Sorts `size` (a power of two) keys, largest first.
HSTU_DEVICE void sort_descending(unsigned long long* keys, int size) {
  for (int run = 2; run <= size; run *= 2) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) {
        const int other = i ^ distance;
        if (other < i) continue;
        const unsigned long long a = keys[i], b = keys[other];
        if ((a < b) == ((i & run) == 0)) {
          keys[i] = b;
          keys[other] = a;
        }
      }
    }
  }
  __syncthreads();
}

HSTU_KERNEL(kThreads) top_k(const __grid_constant__ TopK o) {
  __shared__ unsigned long long keys[TopK::kMaxK];  // order of the score, then lower ids first
  __shared__ int bins[kThreads], choice[2], found, broken, ties_before[kThreads / kWarpSize + 1];
  extern __shared__ float staged[];
  const float* scores = o.scores + static_cast<std::int64_t>(blockIdx.x) * o.items;
  if (o.is_staged) {
    for (int item = first_item(scores); item < o.items; item += kThreads) {
      if (item >= 0) staged[item] = scores[item];
    }
    scores = staged;
    __syncthreads();
  }
  int size = 1;
  while (size < o.k) size *= 2;
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kThreads) keys[i] = 0;
  if (threadIdx.x == 0) found = broken = 0;
  const Threshold threshold = find_threshold(scores, o.items, min(o.k, o.items - 1), bins, choice);

  int ties = 0;  // among the items before this round's
  for (int item = first_item(scores); item - static_cast<int>(threadIdx.x) < o.items; item += kThreads) {
    const bool is_there = item >= 1 && item < o.items;
    const float score = is_there ? scores[item] : kExcludedScore;
    const std::uint32_t order = order_of(score);
    if (!isfinite(score)) atomicAdd(&broken, 1);
    const bool is_tie = is_there && order == threshold.order;
    const unsigned mask = __ballot_sync(kAllLanes, is_tie);
    if (lane_id() == 0) ties_before[warp_id() + 1] = __popc(mask);
    __syncthreads();
    int before = ties + __popc(mask & ((1u << lane_id()) - 1u));
    for (int w = 0; w < kThreads / kWarpSize; ++w) {
      const int of_warp = ties_before[w + 1];
      before += w < warp_id() ? of_warp : 0;
      ties += of_warp;
    }
    const bool is_in = is_there && (order > threshold.order || (is_tie && before < threshold.ties));
    if (is_in && score != kExcludedScore) {
      keys[atomicAdd(&found, 1)] =
          static_cast<unsigned long long>(order) << 32 | (0xffffffffu - static_cast<unsigned>(item));
    }
    __syncthreads();
  }
  sort_descending(keys, size);
  for (int i = static_cast<int>(threadIdx.x); i < o.k; i += kThreads) {
    const std::int64_t to = static_cast<std::int64_t>(blockIdx.x) * o.k + i;
    const bool is_there = i < found;
    o.best_items[to] = is_there ? static_cast<std::int32_t>(0xffffffffu - static_cast<unsigned>(keys[i])) : 0;
    o.best_scores[to] = is_there ? score_of(static_cast<std::uint32_t>(keys[i] >> 32)) : 0.0f;
  }
  if (threadIdx.x == 0) o.counts[blockIdx.x] = broken > 0 ? -1 : found;
}

}  // namespace hstu::cuda
