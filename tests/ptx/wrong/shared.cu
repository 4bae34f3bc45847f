// SPDX-License-Identifier: MIT
// Threads of a block that do not wait for each other.
#include "pair.cuh"

template <bool kRight>
__device__ void reduce(float* out, const float* in, int n) {
  __shared__ float sums[256];
  const int i = int(threadIdx.x);
  sums[i] = i < n ? in[i] : 0;
  __syncthreads();
  for (int step = 128; step > 0; step /= 2) {
    if (i < step) sums[i] += sums[i + step];
    if (kRight || step < 64) __syncthreads();
  }
  if (i == 0) out[0] = sums[0];
}
PTX_PAIR(reduce, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void between_lanes(float* out, const float* in, int n) {
  __shared__ float tile[32];
  const int i = int(threadIdx.x);
  tile[i] = in[i];
  if (kRight) __syncwarp();
  out[i] = tile[(i + n) & 31];
}
PTX_PAIR(between_lanes, (float* out, const float* in, int n), (out, in, n))

/// The tile is filled again while another warp may still read it.
template <bool kRight>
__device__ void refill(float* out, const float* in, int n) {
  __shared__ float tile[128];
  const int i = int(threadIdx.x);
  float sum = 0;
  for (int k = 0; k < n; ++k) {
    tile[i] = in[i + k];
    __syncthreads();
    sum += tile[127 - i];
    if (kRight) __syncthreads();
  }
  out[i] = sum;
}
PTX_PAIR(refill, (float* out, const float* in, int n), (out, in, n))

/// A lane of the same warp overwrites what another one reads.
template <bool kRight>
__device__ void shift(float* out, const float* in, int n) {
  __shared__ float tile[33];
  const int i = int(threadIdx.x);
  tile[i] = in[i];
  if (i == 0) tile[32] = 0;
  __syncthreads();
  const float next = tile[i + 1];
  if (kRight) __syncwarp();
  tile[i] = next + float(n);
  __syncthreads();
  out[i] = tile[i];
}
PTX_PAIR(shift, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void never_written(float* out, const float* in, int n) {
  __shared__ float tile[65];
  const int i = int(threadIdx.x);
  tile[i] = in[i];
  __syncthreads();
  out[i] = tile[kRight && i == 63 ? 0 : i + 1] + float(n);
}
PTX_PAIR(never_written, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void same_word(float* out, const float* in, int n) {
  __shared__ float largest[64];
  const int i = int(threadIdx.x);
  largest[kRight ? i : i & ~32] = in[i];
  __syncthreads();
  out[i] = largest[kRight ? i : i & 31] + float(n);
}
PTX_PAIR(same_word, (float* out, const float* in, int n), (out, in, n))

/// Two neighbours share a word, which is no race; the wrong one writes its neighbour's half as well.
template <bool kRight>
__device__ void halves(float* out, const float* in, int n) {
  __shared__ unsigned short tile[256];
  const int i = int(threadIdx.x);
  tile[i] = static_cast<unsigned short>(in[i]);
  if (!kRight && i % 64 == 31) tile[i + 1] = static_cast<unsigned short>(n);
  out[i] = tile[i];
}
PTX_PAIR(halves, (float* out, const float* in, int n), (out, in, n))

/// Producers and consumers meet at barrier 1; the wrong consumers wait at barrier 2, with others.
template <bool kRight>
__device__ void named(float* out, const float* in, int n) {
  __shared__ float tile[64];
  const int i = int(threadIdx.x);
  if (i < 64) {
    tile[i] = in[i];
    asm volatile("bar.arrive 1, 128;" ::: "memory");
    if (!kRight) asm volatile("bar.sync 2, 128;" ::: "memory");
  } else {
    if (kRight) asm volatile("bar.sync 1, 128;" ::: "memory");
    const float mine = kRight ? tile[i - 64] : 0;
    if (!kRight) {
      out[i - 64] = tile[i - 64];
      asm volatile("bar.sync 2, 128;" ::: "memory");
      asm volatile("bar.sync 1, 128;" ::: "memory");
    } else {
      out[i - 64] = mine + float(n);
    }
  }
}
PTX_PAIR(named, (float* out, const float* in, int n), (out, in, n))
