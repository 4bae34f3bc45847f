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

/// A thread for each entry and head.
HSTU_KERNEL(kThreads) gather_table(const __grid_constant__ GatherTable o) {
  const int entry = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x),
            head = static_cast<int>(blockIdx.y);
  if (entry >= o.entries) return;
  const std::int64_t row = o.rows != nullptr ? o.rows[entry] : entry;
  o.by_entry[static_cast<std::int64_t>(head) * o.entries + entry] = o.table[row * o.heads + head];
}

/// A thread for each row and head.
HSTU_KERNEL(kThreads) table_gradient(const __grid_constant__ TableGradient o) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= o.rows * o.heads) return;
  const int row = i / o.heads, head = i % o.heads;
  float sum = 0.0f;
  for (int e = o.starts[row]; e < o.starts[row + 1]; ++e) {
    const int entry = o.entries[e];
    if (entry >= o.num_entries) break;  // a distance beyond the longest history of the batch, like those behind it
    sum += o.sums[static_cast<std::int64_t>(head) * o.num_entries + entry];
  }
  o.dtable[i] = sum;
}

}  // namespace hstu::cuda
