// SPDX-License-Identifier: MIT
// The stand-in cuBLAS against plain loops, in all types and transposes, and its refusals.
#include <cublas_v2.h>

#include <cmath>

#include "device.hpp"
#include "machine/numbers.hpp"

using namespace ptx_test;
using ptx::BF16, ptx::F16;

namespace {

struct Matrix {
  cudaDataType type;
  int rows, columns, ld;
  std::vector<double> values;  ///< as the type holds them, column-major
  CUdeviceptr at = 0;
};

double held(cudaDataType type, double x) {
  return type == CUDA_R_64F   ? x
         : type == CUDA_R_32F ? double(float(x))
         : type == CUDA_R_16F ? double(F16::wide(F16::narrow(float(x))))
                              : double(BF16::wide(BF16::narrow(float(x))));
}

Matrix make(Device& device, cudaDataType type, int rows, int columns, unsigned seed) {
  Matrix m{type, rows, columns, rows + 3, {}};
  std::vector<unsigned char> bytes;
  for (int c = 0; c < columns; ++c)
    for (int r = 0; r < m.ld; ++r) {
      seed = seed * 1664525u + 1013904223u;
      const double x = held(type, double(int(seed >> 20) - 2048) / 1024);
      m.values.push_back(x);
      const float single = float(x);
      const std::uint16_t half = type == CUDA_R_16F ? F16::narrow(single) : BF16::narrow(single);
      const void* const from = type == CUDA_R_64F   ? static_cast<const void*>(&x)
                               : type == CUDA_R_32F ? static_cast<const void*>(&single)
                                                    : &half;
      const std::size_t size = type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
      bytes.insert(bytes.end(), static_cast<const unsigned char*>(from),
                   static_cast<const unsigned char*>(from) + size);
    }
  m.at = device.upload(bytes);
  return m;
}

double entry(const Matrix& m, bool transposed, int r, int c) {
  return transposed ? m.values[std::size_t(r * m.ld + c)] : m.values[std::size_t(c * m.ld + r)];
}

}  // namespace

TEST_CASE("PTX cuBLAS: products of all types and transposes", "[ptx][cublas][parity]") {
  Device device;
  cublasHandle_t handle = nullptr;
  REQUIRE(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
  const int m = 7, n = 5, k = 11;
  const float alpha = 1.5f, beta = -0.5f;
  struct Kind {
    cudaDataType in, out;
    cublasComputeType_t compute;
    double limit;
  };
  for (const Kind& kind :
       {Kind{CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 1e-5},
        Kind{CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, 2e-3},
        Kind{CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, 1e-5}, Kind{CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 1e-5},
        Kind{CUDA_R_16BF, CUDA_R_16BF, CUBLAS_COMPUTE_32F, 8e-3}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        INFO("types " << kind.in << " to " << kind.out << ", compute " << kind.compute << ", transposes " << ta << tb);
        const Matrix a = make(device, kind.in, ta ? k : m, ta ? m : k, 1),
                     b = make(device, kind.in, tb ? n : k, tb ? k : n, 2);
        const Matrix c = make(device, kind.out, m, n, 3);
        REQUIRE(cublasGemmEx(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha,
                             reinterpret_cast<void*>(a.at), kind.in, a.ld, reinterpret_cast<void*>(b.at), kind.in, b.ld,
                             &beta, reinterpret_cast<void*>(c.at), kind.out, c.ld, kind.compute,
                             CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
        for (int i = 0; i < m; ++i)
          for (int j = 0; j < n; ++j) {
            double expected = beta * entry(c, false, i, j);
            for (int l = 0; l < k; ++l) expected += alpha * entry(a, ta, i, l) * entry(b, tb, l, j);
            const std::size_t size = kind.out == CUDA_R_32F ? 4 : 2;
            const CUdeviceptr at = c.at + std::size_t(j * c.ld + i) * size;
            const double got = size == 4 ? double(device.download<float>(at, 1)[0])
                                         : double(BF16::wide(device.download<std::uint16_t>(at, 1)[0]));
            REQUIRE(std::fabs(got - expected) <= kind.limit * (std::fabs(expected) + 4));
          }
      }
  REQUIRE(cublasDestroy(handle) == CUBLAS_STATUS_SUCCESS);
}

TEST_CASE("PTX cuBLAS: batches, beta of zero, and products of nothing", "[ptx][cublas][parity]") {
  Device device;
  cublasHandle_t handle = nullptr;
  REQUIRE(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
  const float one = 1, zero = 0;
  const CUdeviceptr a = device.upload(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}), c = device.allocate(32);
  auto* const pa = reinterpret_cast<float*>(a);
  auto* const pc = reinterpret_cast<float*>(c);
  // c was never written: with beta = 0 it need not be
  REQUIRE(cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_T, 2, 2, 2, &one, pa, 2, 4, pa, 2, 4, &zero, pc, 2,
                                    4, 2) == CUBLAS_STATUS_SUCCESS);
  CHECK(device.download<float>(c, 8) == std::vector<float>{10, 14, 14, 20, 74, 86, 86, 100});
  REQUIRE(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 0, &one, pa, 2, pa, 2, &zero, pc, 2) ==
          CUBLAS_STATUS_SUCCESS);
  CHECK(device.download<float>(c, 4) == std::vector<float>{0, 0, 0, 0});
  CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
  cublasDestroy(handle);
}

TEST_CASE("PTX cuBLAS: wrong pointers and shapes are reported", "[ptx][cublas][errors]") {
  StandardError error;
  {
    Device device;
    cublasHandle_t handle = nullptr;
    REQUIRE(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    const float one = 1, zero = 0;
    auto* const a = reinterpret_cast<float*>(device.upload(std::vector<float>(16, 1.f)));
    auto* const c = reinterpret_cast<float*>(device.allocate(64));
    CHECK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, a, 3, a, 4, &zero, c, 4) ==
          CUBLAS_STATUS_INVALID_VALUE);
    CHECK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 5, &one, a, 4, a, 5, &zero, c, 4) ==
          CUBLAS_STATUS_EXECUTION_FAILED);
    CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
    cublasDestroy(handle);
  }
  {
    Device device;
    cublasHandle_t handle = nullptr;
    REQUIRE(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    const float one = 1;
    auto* const a = reinterpret_cast<float*>(device.upload(std::vector<float>(16, 1.f)));
    auto* const c = reinterpret_cast<float*>(device.allocate(64));
    CHECK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, a, 4, a, 4, &one, c, 4) ==
          CUBLAS_STATUS_EXECUTION_FAILED);
    CHECK(cuCtxSynchronize() == CUDA_ERROR_LAUNCH_FAILED);
    cublasDestroy(handle);
  }
  const std::string text = error.text();
  CHECK(text.find("cublasSgemm_v2: invalid read of 16 bytes") != std::string::npos);
  CHECK(text.find("read of memory never written") != std::string::npos);
}
