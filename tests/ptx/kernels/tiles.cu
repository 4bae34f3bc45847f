// SPDX-License-Identifier: MIT
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

using namespace nvcuda;

template <class Number, class Sum, class LayoutA, class LayoutB>
__device__ void product(Sum* c, const Number* a, const Number* b) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, Number, LayoutA> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, Number, LayoutB> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 16, Sum> fc;
  wmma::fill_fragment(fc, Sum(0.5f));
  for (int k = 0; k < 2; ++k) {  // a: 16 x 32, b: 32 x 16, both with 32 (a) or 16 and 32 (b) numbers from line to line
    wmma::load_matrix_sync(fa, a + 16 * k, 32);
    wmma::load_matrix_sync(fb, std::is_same<LayoutB, wmma::row_major>::value ? b + 256 * k : b + 16 * k,
                           std::is_same<LayoutB, wmma::row_major>::value ? 16 : 32);
    wmma::mma_sync(fc, fa, fb, fc);
  }
  for (int k = 0; k < fc.num_elements; ++k) fc.x[k] = fc.x[k] * Sum(2.f);
  wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
}

extern "C" __global__ void tiles_half(float* c, const __half* a, const __half* b) {
  product<__half, float, wmma::row_major, wmma::row_major>(c, a, b);
}
extern "C" __global__ void tiles_brain(float* c, const __nv_bfloat16* a, const __nv_bfloat16* b) {
  product<__nv_bfloat16, float, wmma::row_major, wmma::col_major>(c, a, b);
}
