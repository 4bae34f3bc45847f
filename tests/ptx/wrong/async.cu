// SPDX-License-Identifier: MIT
// Copies that nobody waited for, and instructions of the matrix units used wrongly.
#include "pair.cuh"

__device__ void copy16(void* to, const void* from) {
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(from) : "memory");
}
__device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kLeft>
__device__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory"); }

template <bool kRight>
__device__ void no_wait(float* out, const float* in, int n) {
  __shared__ __align__(16) float4 tile[64];
  const int i = int(threadIdx.x);
  copy16(tile + i, in + 4 * i);
  commit();
  if (kRight) wait<0>();
  out[i] = tile[i].x + float(n);
  if (!kRight) wait<0>();
}
PTX_PAIR(no_wait, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void wrong_group(float* out, const float* in, int n) {
  __shared__ __align__(16) float4 tile[2][64];
  const int i = int(threadIdx.x);
  for (int k = 0; k < 2; ++k) {
    copy16(tile[k] + i, in + 4 * i);
    commit();
  }
  wait<kRight ? 0 : 1>();
  out[i] = tile[0][i].x + tile[1][i].y + float(n);
  wait<0>();
}
PTX_PAIR(wrong_group, (float* out, const float* in, int n), (out, in, n))

/// Waiting ends one's own copies; for those of other threads it takes a barrier as well.
template <bool kRight>
__device__ void no_barrier(float* out, const float* in, int n) {
  __shared__ __align__(16) float4 tile[64];
  const int i = int(threadIdx.x);
  copy16(tile + i, in + 4 * i);
  commit();
  wait<0>();
  if (kRight) __syncthreads();
  out[i] = tile[63 - i].x + float(n);
}
PTX_PAIR(no_barrier, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void left_behind(float* out, const float* in, int n) {
  __shared__ __align__(16) float4 tile[64];
  const int i = int(threadIdx.x);
  copy16(tile + i, in + 4 * i);
  commit();
  if (kRight) wait<0>();
  out[i] = float(n);
}
PTX_PAIR(left_behind, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void overwritten(float* out, const float* in, int n) {
  __shared__ __align__(16) float4 tile[64];
  const int i = int(threadIdx.x);
  copy16(tile + i, in + 4 * i);
  commit();
  if (kRight) wait<0>();
  tile[i].x = float(n);
  wait<0>();
  out[i] = tile[i].x;
}
PTX_PAIR(overwritten, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void matrix_rows(float* out, const float* in, int n) {
  __shared__ __align__(16) unsigned short tile[8 * 8 + 8];
  const int i = int(threadIdx.x);
  for (int k = i; k < 72; k += 32) tile[k] = static_cast<unsigned short>(in[k & 31]);
  __syncthreads();
  const auto row = static_cast<unsigned>(__cvta_generic_to_shared(tile + (i & 7) * 8 + (kRight ? 0 : 4)));
  unsigned r;
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r) : "r"(row) : "memory");
  out[i] = float(r & 0xffff) + float(n);
}
PTX_PAIR(matrix_rows, (float* out, const float* in, int n), (out, in, n))

template <bool kRight>
__device__ void half_product(float* out, const float* in, int n) {
  const int i = int(threadIdx.x);
  float d0 = 0, d1 = 0, d2 = 0, d3 = 0;
  const unsigned a = __float_as_uint(in[i]);
  if (kRight || i < n)
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, {%0,%1,%2,%3};"
        : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
        : "r"(a));
  out[i] = d0 + d1 + d2 + d3;
}
PTX_PAIR(half_product, (float* out, const float* in, int n), (out, in, n))
