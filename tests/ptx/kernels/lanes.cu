// SPDX-License-Identifier: MIT
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cstdio>

namespace cg = cooperative_groups;
constexpr unsigned kAll = 0xffffffffu;

extern "C" __global__ void shuffles(int* out, const int* in) {
  const int i = int(threadIdx.x), lane = i % 32, x = in[i];
  int* const o = out + 8 * i;
  o[0] = __shfl_xor_sync(kAll, x, 5);
  o[1] = __shfl_up_sync(kAll, x, 3, 16);
  o[2] = __shfl_down_sync(kAll, x, 2, 8);
  o[3] = __shfl_sync(kAll, x, lane * 7);
  o[4] = __shfl_sync(kAll, x, lane + 3, 8);
  o[5] = int(__shfl_sync(kAll, static_cast<long long>(x), 0));
  // without the predicate, and with it
  asm volatile("shfl.sync.bfly.b32 %0, %1, 1, 31, -1;" : "=r"(o[6]) : "r"(x));
  int ignored;
  asm volatile("{.reg .pred p; shfl.sync.down.b32 %1|p, %2, 2, 0x1807, -1; selp.b32 %0, 1, 0, p;}"
               : "=r"(o[7]), "=r"(ignored)
               : "r"(x));
  o[7] += 0 * ignored;
}

extern "C" __global__ void collectives(unsigned* out, const int* in) {
  const int lane = int(threadIdx.x), x = in[lane];
  unsigned* const o = out + 12 * lane;
  o[0] = __ballot_sync(kAll, x > 0);
  o[1] = unsigned(__any_sync(kAll, x > 0));
  o[2] = unsigned(__all_sync(kAll, x > 0));
  o[3] = __match_any_sync(kAll, x & 3);
  o[4] = __reduce_add_sync(kAll, unsigned(x));
  o[5] = unsigned(__reduce_max_sync(kAll, x));
  o[6] = __reduce_xor_sync(kAll, unsigned(x));
  int same = 0;
  o[7] = __match_all_sync(kAll, 5, &same);
  const auto tile = cg::tiled_partition<8>(cg::this_thread_block());
  o[8] = unsigned(cg::reduce(tile, x, cg::plus<int>()));
  o[9] = o[10] = 0;
  if (lane & 1) {
    o[9] = __activemask();
    o[10] = cg::coalesced_threads().size();
  }
  __syncwarp();
  o[11] = unsigned(__popc(__ballot_sync(kAll, x > 0)));
}

extern "C" __global__ void divergence(int* out, const int* in) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x), v = in[i];
  if (v % 5 == 4) return;
  int s = 0;
  for (int k = 0; k < (v & 15); ++k) {
    if (k == 9) break;
    if ((k + v) % 3 == 0) continue;
    s += k * v;
  }
  switch (v & 7) {
    case 0: s += 1; break;
    case 1: s *= 2; break;
    case 2: s -= 3; break;
    case 3: s ^= 4; break;
    case 4: s = s * 5 + 1; break;
    case 5: s += v;
    default: s -= 7;
  }
  out[i] = s;
}

extern "C" __global__ void atomics(int* out, double* sums) {
  __shared__ int shared_sum;
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (threadIdx.x == 0) shared_sum = 0;
  __syncthreads();
  atomicAdd(out, i);
  atomicSub(out + 1, i);
  atomicMin(out + 2, i);
  atomicMax(out + 3, i);
  atomicAnd(out + 4, i | 0xf00);
  atomicOr(out + 5, i);
  atomicXor(out + 6, i);
  atomicExch(out + 7, i);
  atomicInc(reinterpret_cast<unsigned*>(out + 8), 7);
  for (int old = out[9], assumed = ~old; old != assumed;) {
    assumed = old;
    old = atomicCAS(out + 9, assumed, assumed + 1);
  }
  atomicAdd(&shared_sum, int(threadIdx.x));
  atomicAdd(sums, 0.5 * i);
  atomicAdd(reinterpret_cast<float*>(sums + 2), 1.f);
  atomicAdd(reinterpret_cast<float*>(sums + 2) + 1, 0.5f);
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(out + 10, shared_sum);
}

extern "C" __global__ void barriers(int* out, const int* in) {
  __shared__ int tile[128];
  const int i = int(threadIdx.x), x = in[i];
  out[i] = __syncthreads_count(x > 0);
  out[128 + i] = __syncthreads_or(x > 0);
  out[256 + i] = __syncthreads_and(x > 0);
  tile[i] = x;
  if (i < 64) asm volatile("bar.sync 3, 64;" ::: "memory");
  else asm volatile("barrier.sync 4, 64;" ::: "memory");
  out[384 + i] = tile[(i < 64 ? 0 : 64) + (i + 40) % 64];
}

/// Threads beyond n leave at once, the others still meet and exchange values.
extern "C" __global__ void early_return(int* out, const int* in, int n) {
  __shared__ int tile[96];
  const int i = int(threadIdx.x), lane = i % 32;
  if (i >= n) return;
  const unsigned here = __activemask();
  int sum = in[i];
  for (int step = 16; step > 0; step /= 2) {
    const int other = __shfl_down_sync(here, sum, step);
    if (lane + step < __popc(here)) sum += other;
  }
  tile[i] = lane == 0 ? sum : in[i];
  __syncthreads();
  out[i] = tile[n - 1 - i];
}

struct Shape {
  int a[3];
  double scale;
};
__constant__ short table[4] = {10, -20, 30, -40};

__device__ __noinline__ double factorial(int n) { return n < 2 ? 1 : n * factorial(n - 1); }
__device__ __noinline__ double scaled(Shape s, int k, int i) {
  int copy[3];
  for (int j = 0; j < 3; ++j) copy[j] = s.a[j];
  return s.scale * (copy[k % 3] + table[i & 3]);
}
__device__ __noinline__ int2 both(int i) { return make_int2(2 * i, 3 * i); }

extern "C" __global__ void calls(double* out, const int* in, Shape shape) {
  const int i = int(threadIdx.x), v = in[i];
  double result = factorial(v & 7) + scaled(shape, v & 15, i);
  const int2 pair = both(i);
  result += v % 2 == 0 ? pair.x : pair.y;
  out[i] = result;
}

/// Block b adds its part to the sum that block b + 1 has published.
extern "C" __global__ void chain(int* out, int* state, const int* in) {
  int sum = in[blockIdx.x * 32 + threadIdx.x];
  for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(kAll, sum, step);
  if (threadIdx.x != 0) return;
  int* const sums = state + 64;
  if (blockIdx.x + 1 < gridDim.x) {
    while (atomicAdd(state + blockIdx.x + 1, 0) == 0) {
    }
    __threadfence();
    sum += sums[blockIdx.x + 1];
  }
  sums[blockIdx.x] = sum;
  __threadfence();
  atomicExch(state + blockIdx.x, 1);
  out[blockIdx.x] = sum;
}

__device__ __noinline__ float through(const float* p) { return *p; }

extern "C" __global__ void vectors(float* out, const float* in) {
  extern __shared__ __align__(16) float4 rows[];
  __shared__ float single[128];
  const unsigned i = threadIdx.x;
  rows[i] = reinterpret_cast<const float4*>(in)[i];
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(single + i));
  const int bytes = i < 100 ? 4 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(in + i), "r"(bytes) : "memory");
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
  const float4 other = rows[127 - i];
  const double2 pair = *reinterpret_cast<const double2*>(&rows[0]);
  const float2 own = reinterpret_cast<const float2*>(in)[i];
  float4 result;
  result.x = other.x;
  result.y = other.w + own.x + (pair.x != pair.x ? 1.f : 0.f);
  result.z = single[i];
  float local[2] = {in[i % 64], in[64 + i % 64]};
  const float* const p = i % 2 == 0 ? &single[i % 64] : in + i % 64;  // the lanes of a warp point into two spaces
  result.w = through(p) + through(local + 1);
  reinterpret_cast<float4*>(out)[i] = result;
}

extern "C" __global__ void prints(int n) {
  printf("thread %d of %u: %.2f, %s, %lld, 100%%\n", int(threadIdx.x), n, threadIdx.x + 0.5, "text", -(1ll << 40));
}

/// Every block writes, all blocks wait for each other, every block reads what another one wrote.
extern "C" __global__ void whole_grid(int* out, int* parts, const int* in) {
  const auto grid = cg::this_grid();
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
  parts[i] = 3 * in[i];
  grid.sync();
  out[i] = parts[n - 1 - i];
}
