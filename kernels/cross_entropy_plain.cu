// SPDX-License-Identifier: MIT
// Cross-entropy over all items without the logits: the plain rung, float32, rows of up to 256 columns.  The rows of a
// block are positions (items for the gradient of the table), see plain.cuh; logits are made again where they are
// needed.
#include <hstu/cuda/operands/cross_entropy.hpp>

#include "plain.cuh"

namespace hstu::cuda {

using Operands = CrossEntropyOperands<float>;

/// Row `first + r` of a matrix; null from `rows` on.
struct TableRows {
  const float* matrix;
  std::int64_t stride;
  int first, rows;

  HSTU_DEVICE const float* operator()(int r) const {
    return first + r < rows ? matrix + (first + r) * stride : nullptr;
  }
};
HSTU_DEVICE TableRows items_from(const Operands& p, int first) {
  return {p.table, p.table_stride, first, p.items};
}

/// The hidden state of position `first + r`.
struct HiddenRows {
  const Operands& p;
  int first;

  HSTU_DEVICE const float* operator()(int r) const {
    return first + r < p.positions ? p.hidden + p.tokens[first + r] * p.hidden_stride : nullptr;
  }
};

HSTU_DEVICE bool is_candidate(const Operands& p, int item) {
  return item < p.items && item != p.excluded_item;
}
HSTU_DEVICE float logit_of(const Operands& p, int item, float dot) {
  return (dot + (p.bias != nullptr ? p.bias[item] : 0.0f)) * p.inverse_temperature;
}
/// The gradient of the loss of a position by the logit of an item.
HSTU_DEVICE float dlogit_of(const Operands& p, int position, int item, float dot, float lse) {
  if (position >= p.positions || !is_candidate(p, item)) return 0.0f;
  return __expf(logit_of(p, item, dot) - lse) - (item == p.targets[p.tokens[position]] ? 1.0f : 0.0f);
}

HSTU_KERNEL(kThreads) cross_entropy_forward_plain(const __grid_constant__ CrossEntropyForward<float> o) {
  extern __shared__ float shared[];
  __shared__ float losses[kRows];
  const Operands& p = o.of;
  float* const hidden = shared;
  float* const table = hidden + kRows * p.width;
  const int block_first = static_cast<int>(blockIdx.x) * kRows, own_first = block_first + warp_id() * kWarpRows;
  load_rows<kRows>(hidden, p.width, HiddenRows{p, block_first}, p.width);
  float largest[kWarpRows], total[kWarpRows], of_target[kWarpRows];
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
    largest[r] = -INFINITY;
    total[r] = of_target[r] = 0.0f;
  }
  for (int first = 0; first < p.items; first += kColumns) {
    __syncthreads();
    load_rows<kColumns>(table, pitch_of(p.width), items_from(p, first), p.width);
    __syncthreads();
    float dots[kWarpRows];
    multiply(dots, hidden, table, p.width);
    const int item = first + lane_id();
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      if (own_first + r >= p.positions) break;
      const float logit = is_candidate(p, item) ? logit_of(p, item, dots[r]) : -INFINITY;
      if (item == p.targets[p.tokens[own_first + r]]) of_target[r] = logit;
      const float top = fmaxf(largest[r], warp_max(logit)), base = top == -INFINITY ? 0.0f : top;
      total[r] = fmaf(total[r], __expf(largest[r] - base), warp_sum(__expf(logit - base)));
      largest[r] = top;
    }
  }
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
    const int position = own_first + r;
    const float lse = largest[r] + logf(total[r]), loss = lse - warp_sum(of_target[r]);
    if (lane_id() != 0) continue;
    if (position < p.positions) o.lse[position] = lse;
    losses[warp_id() * kWarpRows + r] = position < p.positions ? loss : 0.0f;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  float sum = 0.0f;
  for (int r = 0; r < kRows; ++r) sum += losses[r];
  o.loss_parts[blockIdx.x] = sum;
}

HSTU_KERNEL(kThreads) cross_entropy_dhidden_plain(const __grid_constant__ CrossEntropyBackward<float> o) {
  extern __shared__ float shared[];
  const Operands& p = o.of;
  float* const hidden = shared;
  float* const table = hidden + kRows * p.width;
  float* const dlogits = table + kColumns * pitch_of(p.width);
  const int block_first = static_cast<int>(blockIdx.x) * kRows, own_first = block_first + warp_id() * kWarpRows;
  load_rows<kRows>(hidden, p.width, HiddenRows{p, block_first}, p.width);
  float sums[kWarpRows][kChunks];
  clear(sums);
  for (int first = 0; first < p.items; first += kColumns) {
    __syncthreads();
    load_rows<kColumns>(table, pitch_of(p.width), items_from(p, first), p.width);
    __syncthreads();
    float dots[kWarpRows];
    multiply(dots, hidden, table, p.width);
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      const int position = own_first + r;
      const float lse = position < p.positions ? o.lse[position] : 0.0f;
      dlogits[(warp_id() * kWarpRows + r) * kColumns + lane_id()] =
          dlogit_of(p, position, first + lane_id(), dots[r], lse);
    }
    __syncwarp();
    accumulate(sums, dlogits, table, p.width);
  }
  store_rows(sums, o.scale * p.inverse_temperature, p.width, [&](int r) -> float* {
    return block_first + r < p.positions ? o.dhidden + static_cast<std::int64_t>(p.tokens[block_first + r]) * p.width
                                         : nullptr;
  });
}

HSTU_KERNEL(kThreads) cross_entropy_dtable_plain(const __grid_constant__ CrossEntropyBackward<float> o) {
  extern __shared__ float shared[];
  const Operands& p = o.of;
  float* const table = shared;
  float* const hidden = table + kRows * p.width;
  float* const dlogits = hidden + kColumns * pitch_of(p.width);
  const int block_first = static_cast<int>(blockIdx.x) * kRows, own_first = block_first + warp_id() * kWarpRows;
  load_rows<kRows>(table, p.width, items_from(p, block_first), p.width);
  float sums[kWarpRows][kChunks], dbias[kWarpRows];
  clear(sums);
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) dbias[r] = 0.0f;
  for (int first = 0; first < p.positions; first += kColumns) {
    __syncthreads();
    load_rows<kColumns>(hidden, pitch_of(p.width), HiddenRows{p, first}, p.width);
    __syncthreads();
    float dots[kWarpRows];
    multiply(dots, table, hidden, p.width);
    const int position = first + lane_id();
    const float lse = position < p.positions ? o.lse[position] : 0.0f;
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      const float dlogit = dlogit_of(p, position, own_first + r, dots[r], lse);
      dbias[r] += dlogit;
      dlogits[(warp_id() * kWarpRows + r) * kColumns + lane_id()] = dlogit;
    }
    __syncwarp();
    accumulate(sums, dlogits, hidden, p.width);
  }
  const float factor = o.scale * p.inverse_temperature;
  store_rows(sums, factor, p.width, [&](int r) -> float* {
    return block_first + r < p.items ? o.dtable + static_cast<std::int64_t>(block_first + r) * p.width : nullptr;
  });
  if (o.dbias == nullptr) return;
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
    const float sum = warp_sum(dbias[r]);
    if (lane_id() == 0 && own_first + r < p.items) o.dbias[own_first + r] = factor * sum;
  }
}

}  // namespace hstu::cuda
