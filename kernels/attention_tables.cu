// SPDX-License-Identifier: MIT
// Around attention: bias tables in the order in which it reads them, their gradients in the order of the tables, and
// operands as bfloat16.
#include "attention.cuh"

namespace hstu::cuda {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarpSize;

/// A warp for each row.
HSTU_KERNEL(kThreads) pack_heads(const __grid_constant__ PackHeads o) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kWarps + warp_id();
  if (row >= o.rows) return;
  const std::int64_t source = o.ids != nullptr ? o.ids[row] : row;
  for (int head = 0; head < o.heads; ++head) {
    const float* const from = o.from + source * o.from_stride + head * o.dims;
    std::uint16_t* const to = o.to + (row * o.heads + head) * o.padded;
    for (int c = lane_id(); c < o.padded; c += kWarpSize) to[c] = bfloat16_bits(c < o.dims ? from[c] : 0.0f);
  }
}

/// A thread for each entry and head, in the order of the table.
HSTU_KERNEL(kThreads) gather_table(const __grid_constant__ GatherTable o) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= o.entries * o.heads) return;
  const int entry = i / o.heads, head = i % o.heads;
  const std::int64_t row = o.rows != nullptr ? o.rows[entry] : entry;
  o.by_entry[static_cast<std::int64_t>(head) * o.entries + entry] = o.table[row * o.heads + head];
}

/// A thread for each row and head.
HSTU_KERNEL(kThreads) table_gradient(const __grid_constant__ TableGradient o) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x), count = o.rows * o.heads;
  const int row = i / o.heads, head = i % o.heads;
  const int start = i < count ? o.starts[row] : 0;
  int end = __shfl_down_sync(kAllLanes, start, min(o.heads, kWarpSize - 1));  // of the same head, one row further
  if (i >= count) return;
  if (lane_id() + o.heads >= kWarpSize || row + 1 == o.rows) end = o.starts[row + 1];
  float sum = 0.0f;
  for (int e = start; e < end; ++e) {
    const int entry = o.entries[e];
    if (entry >= o.num_entries) break;  // a distance beyond the longest history of the batch, like those behind it
    sum += o.sums[static_cast<std::int64_t>(head) * o.num_entries + entry];
  }
  o.dtable[i] = sum;
}

/// A thread for each distance of a head.
HSTU_KERNEL(kThreads) target_distances(const __grid_constant__ TargetDistances o) {
  const int distance = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x),
            head = static_cast<int>(blockIdx.y);
  if (distance >= o.longest) return;
  float sum = 0.0f;
  for (int u = 0; u < o.num_users; ++u) {
    const TargetUser user = o.users[u];
    const int key = user.targets_begin - distance;
    if (distance > 0 && key >= user.first) sum += o.target_sums[static_cast<std::int64_t>(head) * o.tokens + key];
  }
  o.by_distance[head * o.rows_apart + distance] = sum;
}

}  // namespace hstu::cuda
