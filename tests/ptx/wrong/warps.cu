// SPDX-License-Identifier: MIT
// Barriers and warp instructions that not all threads reach; kernels that do not end.
#include <cassert>

#include "pair.cuh"

template <bool kRight>
__device__ void half_a_warp(float* out, const float* in, int n) {
  const int i = int(threadIdx.x);
  out[i] = in[i];
  if (kRight || (i & 31) < 16) __syncthreads();
  out[i] += float(n);
}
PTX_PAIR(half_a_warp, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void two_barriers(float* out, const float* in, int n) {
  const int i = int(threadIdx.x);
  out[i] = in[i];
  if (kRight || i < 32) asm volatile("bar.sync 1;" ::: "memory");
  else asm volatile("bar.sync 2;" ::: "memory");
  out[i] += float(n);
}
PTX_PAIR(two_barriers, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void whole_warp_skips(float* out, const float* in, int n) {
  const int i = int(threadIdx.x);
  out[i] = in[i];
  if (kRight || i < 32) __syncthreads();
  out[i] += float(n);
}
PTX_PAIR(whole_warp_skips, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void shuffle_in_branch(float* out, const float* in, int n) {
  const int i = int(threadIdx.x);
  float x = in[i];
  const unsigned members = kRight ? 0xffffu : 0xffffffffu;
  if (i < 16) x += __shfl_xor_sync(members, x, 1);
  out[i] = x + float(n);
}
PTX_PAIR(shuffle_in_branch, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void idle_lane(float* out, const float* in, int n) {
  const int i = int(threadIdx.x);
  float x = in[i];
  if (i < 16) x = __shfl_sync(0xffffu, x, kRight ? 15 : 20);
  out[i] = x + float(n);
}
PTX_PAIR(idle_lane, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void vote_without_itself(float* out, const float* in, int n) {
  const int i = int(threadIdx.x);
  out[i] = float(__ballot_sync(kRight ? 0xffffffffu : 0x7fffffffu, in[i] > float(n)));
}
PTX_PAIR(vote_without_itself, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void no_end(float* out, const float* in, int n) {
  volatile float* const flag = out;
  if (!kRight)
    while (flag[0] < float(n)) {
    }
  out[threadIdx.x] = in[threadIdx.x];
}
PTX_PAIR(no_end, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void traps(float* out, const float* in, int n) {
  if (!kRight && n > 0) __trap();
  out[threadIdx.x] = in[threadIdx.x];
}
PTX_PAIR(traps, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void asserts(float* out, const float* in, int n) {
  assert(kRight || n < 0);
  out[threadIdx.x] = in[threadIdx.x];
}
PTX_PAIR(asserts, (float* out, const float* in, int n), (out, in, n))

/// The second warp waits for a flag that the first one sets: it makes progress.
template <bool kRight>
__device__ void spin(float* out, const float* in, int n) {
  __shared__ volatile int ready;
  if (threadIdx.x == 0) ready = 0;
  __syncthreads();
  if (threadIdx.x < 32) {
    while (ready == 0) {
    }
  } else if (threadIdx.x == 32 && kRight) {
    ready = n;
  }
  out[threadIdx.x] = in[threadIdx.x];
}
PTX_PAIR(spin, (float* out, const float* in, int n), (out, in, n))
