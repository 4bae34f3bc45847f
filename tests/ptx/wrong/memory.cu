// SPDX-License-Identifier: MIT
// Mistakes with addresses and with memory that nobody wrote.
#include "pair.cuh"

template <bool kRight>
__device__ void bounds(float* out, const float* in, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (kRight && i >= n) return;
  out[i] = 2 * in[i];
}
PTX_PAIR(bounds, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void before_begin(float* out, const float* in, int n) {
  const int i = int(threadIdx.x);
  if (i < n) out[i] = in[i] + in[kRight && i == 0 ? 0 : i - 1];
}
PTX_PAIR(before_begin, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void misaligned(float* out, const float* in, int n) {
  const int i = int(threadIdx.x);
  const float4 v = *reinterpret_cast<const float4*>(in + 4 * i + (kRight ? 0 : 1));
  if (i < n) out[i] = v.x + v.w;
}
PTX_PAIR(misaligned, (float* out, const float* in, int n), (out, in, n))

/// The caller writes only n floats of in.
template <bool kRight>
__device__ void never_written(float* out, const float* in, int n) {
  const int i = int(threadIdx.x);
  if (kRight ? i < n : i <= n) out[i] = in[i];
}
PTX_PAIR(never_written, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void shared_range(float* out, const float* in, int n) {
  extern __shared__ float row[];
  const int i = int(threadIdx.x);
  row[kRight ? i : i + 1] = in[i];
  __syncthreads();
  if (i > 0 && i < n) out[i] = row[i];
}
PTX_PAIR(shared_range, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void stack(float* out, const float* in, int n) {
  float own[8];
  for (int k = 0; k < 8; ++k) own[k] = in[k];
  const int i = int(threadIdx.x);
  out[i] = own[kRight ? i & 7 : (i & 7) + n];
}
PTX_PAIR(stack, (float* out, const float* in, int n), (out, in, n))
