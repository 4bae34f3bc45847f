// SPDX-License-Identifier: MIT
#include <cuda_bf16.h>
#include <cuda_fp16.h>

extern "C" __global__ void architecture(int* out) {
#ifdef __CUDA_ARCH__
  *out = __CUDA_ARCH__;
#endif
}

extern "C" __global__ void functions_f32(float* out, const float* in, int which) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  const float x = in[i];
  float y = 0;
  switch (which) {
    case 0: y = sinf(x); break;
    case 1: y = cosf(x); break;
    case 2: y = tanf(x); break;
    case 3: y = expf(x); break;
    case 4: y = logf(x); break;
    case 5: y = tanhf(x); break;
    case 6: y = erff(x); break;
    case 7: y = sqrtf(x); break;
    case 8: y = cbrtf(x); break;
    case 9: y = log1pf(x); break;
    case 10: y = expm1f(x); break;
    case 11: y = atanf(x); break;
    case 12: y = floorf(x); break;
    case 13: y = roundf(x); break;
    case 14: y = log2f(x); break;
    case 15: y = exp2f(x); break;
    case 16: y = lgammaf(x); break;
    case 17: y = powf(x, 1.7f); break;
    case 18: y = 3 / x; break;
    case 19: y = fmodf(x, 0.7f); break;
    case 20: y = __fdividef(x, 1 + __expf(-x)); break;
  }
  out[i] = y;
}

extern "C" __global__ void functions_f64(double* out, const double* in, int which) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  const double x = in[i];
  double y = 0;
  switch (which) {
    case 0: y = sin(x); break;
    case 1: y = exp(x); break;
    case 2: y = log(x); break;
    case 3: y = tanh(x); break;
    case 4: y = sqrt(x); break;
    case 5: y = floor(x); break;
    case 6: y = erf(x); break;
    case 7: y = pow(x, 1.7); break;
    case 8: y = 3 / x; break;
  }
  out[i] = y;
}

template <class Half>
__device__ void operators(float* out, float a, float b) {
  const Half x = a, y = b;
  const Half results[] = {x + y,        x * y,   x / y,    __hfma(x, y, x),
                          __hmax(x, y), hexp(y), hsqrt(y), x < y ? Half(1.f) : Half(0.f)};
  for (int k = 0; k < 8; ++k) out[k] = float(results[k]);
}
extern "C" __global__ void halves(float* out, const float* x, const float* y) {
  operators<__half>(out + 8 * threadIdx.x, x[threadIdx.x], y[threadIdx.x]);
}
extern "C" __global__ void brains(float* out, const float* x, const float* y) {
  operators<__nv_bfloat16>(out + 8 * threadIdx.x, x[threadIdx.x], y[threadIdx.x]);
}

extern "C" __global__ void wide_integers(long long* out, const long long* in, const long long* by) {
  const long long x = in[threadIdx.x], y = by[threadIdx.x];
  long long* const o = out + 6 * threadIdx.x;
  o[0] = x / y;
  o[1] = x % y;
  o[2] = static_cast<long long>((static_cast<__int128>(x) * y) >> 41);
  o[3] = static_cast<long long>((static_cast<__int128>(x) << 20) / y);
  o[4] = static_cast<long long>(static_cast<unsigned long long>(x) / static_cast<unsigned long long>(y));
  o[5] = x / 1000003;
}

/// Reads with a stride from global memory, writes and reads with it in shared memory.
extern "C" __global__ void traffic(float* out, const float* in, int stride) {
  __shared__ float tile[1024];
  const int i = int(threadIdx.x) * stride;
  tile[i] = in[i];
  __syncthreads();
  atomicAdd(out, tile[i]);
}
