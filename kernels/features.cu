// SPDX-License-Identifier: MIT
// What ranking models need besides: features that are numbers, and the losses of several tasks.
#include <hstu/cuda/operands/features.hpp>

#include "device.cuh"

namespace hstu::cuda {

constexpr int kThreads = 128;

HSTU_KERNEL(kThreads) add_numbers(const __grid_constant__ AddNumbers o) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kThreads / kWarpSize) + warp_id();
  if (row >= o.rows) return;
  const float number = o.numbers[row];
  for (int c = lane_id(); c < o.cols; c += kWarpSize) {
    const float y = fmaf(number, o.weight[c], o.bias[c]);
    o.y[row * o.cols + c] = o.x == nullptr ? y : o.x[row * o.cols + c] + y;
  }
}

HSTU_KERNEL(kThreads) multi_task_loss(const __grid_constant__ MultiTaskLoss o) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= o.rows) return;
  float loss = 0.0f;
  for (int k = 0; k < o.tasks; ++k) {
    const std::int64_t i = row * o.tasks + k;
    const float z = o.outputs[i], y = o.labels[i], weight = o.weights[k];
    float slope;
    if (o.kinds[k] == TaskLoss::logistic) {
      loss += weight * (fmaxf(z, 0.0f) + log1pf(__expf(-fabsf(z))) - y * z);
      slope = sigmoid(z) - y;
    } else {
      loss += weight * (z - y) * (z - y);
      slope = 2.0f * (z - y);
    }
    if (o.doutputs != nullptr) o.doutputs[i] = o.scale * weight * slope;
  }
  o.losses[row] = loss;
}

}  // namespace hstu::cuda
