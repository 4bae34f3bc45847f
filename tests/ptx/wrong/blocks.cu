// SPDX-License-Identifier: MIT
// Blocks that rely on each other without a reason to.
#include "pair.cuh"

template <bool kRight>
__device__ void neighbour(float* out, float* in, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  float* const to = kRight ? out : in;
  if (i + 1 < n) to[i] = 0.5f * (in[i] + in[i + 1]);
}
PTX_PAIR(neighbour, (float* out, float* in, int n), (out, in, n))

template <bool kRight>
__device__ void same_place(float* out, float* in, int n) {
  const int i = int(threadIdx.x), all = int(blockIdx.x * blockDim.x) + i;
  if (all < n) out[kRight ? all : i] = in[all];
}
PTX_PAIR(same_place, (float* out, float* in, int n), (out, in, n))

template <bool kRight>
__device__ void count(float* out, float* in, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n || threadIdx.x != 0) return;
  if (kRight) atomicAdd(out, in[i]);
  else out[0] += in[i];
}
PTX_PAIR(count, (float* out, float* in, int n), (out, in, n))

/// The last block to finish adds what the others left; without the fence it may see old values.
template <bool kRight>
__device__ void last_block(float* out, float* in, int n) {
  __shared__ bool last;
  auto* const ticket = reinterpret_cast<unsigned*>(out);
  float* const parts = out + 1;
  if (threadIdx.x == 0) {
    float sum = 0;
    for (int k = int(blockIdx.x); k < n; k += int(gridDim.x)) sum += in[k];
    parts[1 + blockIdx.x] = sum;
    if (kRight) __threadfence();
    last = atomicAdd(ticket, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last || threadIdx.x != 0) return;
  float total = 0;
  for (unsigned k = 0; k < gridDim.x; ++k) total += parts[1 + k];
  parts[0] = total;
}
PTX_PAIR(last_block, (float* out, float* in, int n), (out, in, n))

/// A sum by atomics is complete when the kernel ends, not before.
template <bool kRight>
__device__ void early_sum(float* out, float* in, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) atomicAdd(out, in[i]);
  __syncthreads();
  if (!kRight && i < n) in[i] = in[i] / out[0];
}
PTX_PAIR(early_sum, (float* out, float* in, int n), (out, in, n))

/// 16-bit neighbours of different blocks in one word are no race.
template <bool kRight>
__device__ void half_words(float* out, float* in, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  auto* const to = reinterpret_cast<unsigned short*>(out);
  if (i < n) to[kRight ? i : i / 2] = static_cast<unsigned short>(in[i]);
}
PTX_PAIR(half_words, (float* out, float* in, int n), (out, in, n))
