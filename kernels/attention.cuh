// SPDX-License-Identifier: MIT
// What the attention kernels share: bias of a pair, dropout of a weight, which keys a query sees.
#pragma once
#include <hstu/cuda/operands/attention.hpp>

#include "device.cuh"

namespace hstu::cuda {

/// The bucket of a difference of times: the last whose border is not above it.
HSTU_DEVICE int time_bucket(const AttentionBias& bias, std::int32_t difference) {
  const std::int32_t distance = abs(difference);
  int low = 0, high = bias.buckets;  // borders[low] <= distance < borders[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (bias.time_borders[middle] <= distance)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/// The biases of one head by distance, and by bucket.
HSTU_DEVICE const float* position_biases(const AttentionBias& bias, int longest, int head) {
  return bias.by_distance + (bias.position_heads > 1 ? static_cast<std::int64_t>(head) * longest : 0);
}
HSTU_DEVICE const float* time_biases(const AttentionBias& bias, int head) {
  return bias.by_bucket + (bias.time_heads > 1 ? head * bias.buckets : 0);
}

/// 0 for a dropped weight, else what it is multiplied by.  `key` is the place in the user's history.
template <class Element>
HSTU_DEVICE float weight_factor(const AttentionOperands<Element>& o, std::int64_t token, int head, int key) {
  if (o.dropout_threshold == 0) return 1.0f;
  const std::uint64_t row = static_cast<std::uint64_t>((o.dropout_first_row + token) * o.heads + head);
  const std::uint64_t index = (row << 24) + static_cast<std::uint64_t>(key);
  return random_word(o.dropout_key, index) >= o.dropout_threshold ? o.dropout_scale : 0.0f;
}

/// True if 16 queries from `query` on, of which some see `keys`, see one of the keys first … last − 1.
HSTU_DEVICE bool sees_some(const KeySpan& keys, int query, int first, int last) {
  return (first < keys.last && last > keys.first) || (first < query + 16 && last > query);
}

/// The same for one query and one key.
HSTU_DEVICE bool sees(const KeySpan& keys, int query, int key) {
  return (key >= keys.first && key < keys.last) || key == query;
}

/// The place that a query's distances are counted from; 0 or more before it.
template <class Element>
HSTU_DEVICE int place_of(const AttentionOperands<Element>& o, int query) {
  return o.places != nullptr ? o.places[query] : query;
}

}  // namespace hstu::cuda
