// SPDX-License-Identifier: MIT
// A stand-in for cuBLAS: matrix products in plain loops on the memory of the stand-in driver.
#pragma GCC visibility push(default)
#include <cublas_v2.h>
#pragma GCC visibility pop

#include <cstdio>
#include <cstring>
#include <vector>

#include "../machine/numbers.hpp"
#include "device_bytes.hpp"

using namespace ptx;

namespace {

struct Handle {
  cudaStream_t stream = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
  cublasPointerMode_t pointers = CUBLAS_POINTER_MODE_HOST;
  cublasAtomicsMode_t atomics = CUBLAS_ATOMICS_NOT_ALLOWED;
};

Handle* handle_of(cublasHandle_t handle) {
  return reinterpret_cast<Handle*>(handle);
}

u64 address_of(const void* p) {
  return u64(reinterpret_cast<std::uintptr_t>(p));
}

u32 bytes_of(cudaDataType_t type) {
  switch (type) {
    case CUDA_R_32F:
      return 4;
    case CUDA_R_64F:
      return 8;
    case CUDA_R_16F:
    case CUDA_R_16BF:
      return 2;
    default:
      return 0;
  }
}

f64 element(const u8* at, cudaDataType_t type) {
  if (type == CUDA_R_64F) {
    f64 value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  if (type == CUDA_R_32F) {
    f32 value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  u16 bits;
  std::memcpy(&bits, at, sizeof bits);
  return type == CUDA_R_16F ? F16::wide(bits) : BF16::wide(bits);
}

void set_element(u8* at, cudaDataType_t type, f64 value) {
  const f32 single = f32(value);
  const u16 half = type == CUDA_R_16F ? F16::narrow(single) : BF16::narrow(single);
  if (type == CUDA_R_64F)
    std::memcpy(at, &value, sizeof value);
  else if (type == CUDA_R_32F)
    std::memcpy(at, &single, sizeof single);
  else
    std::memcpy(at, &half, sizeof half);
}

/// What the products see of an operand.
enum class Precision : u8 { kSingle, kTf32, kBrain, kHalf, kDouble };

f64 rounded(f64 value, Precision precision) {
  switch (precision) {
    case Precision::kTf32:
      return std::bit_cast<f32>(tf32_away(f32(value)));
    case Precision::kBrain:
      return BF16::wide(BF16::narrow(f32(value)));
    case Precision::kHalf:
      return F16::wide(F16::narrow(f32(value)));
    default:
      return value;
  }
}

/// op(X)[rows][columns] of a column-major matrix; transposed = true gives the rows of its transpose.
struct Operand {
  const void* data = nullptr;
  cudaDataType_t type = CUDA_R_32F;
  s64 ld = 0;
  bool transposed = false;
};

/// result[c][r] = op(X)[r][c]: columns one after the other.  False if the memory is not there.
template <class T>
bool read_matrix(const char* who, const Operand& x, s64 rows, s64 columns, Precision precision,
                 std::vector<T>& result) {
  const s64 stored_rows = x.transposed ? columns : rows, stored_columns = x.transposed ? rows : columns;
  const u32 size = bytes_of(x.type);
  result.resize(std::size_t(rows * columns));
  for (s64 c = 0; c < stored_columns; ++c) {
    const u64 address = address_of(x.data) + u64(c * x.ld) * size;
    const auto* const column = static_cast<const u8*>(ptx_machine_bytes(address, u64(stored_rows) * size, 0, who));
    if (column == nullptr) return false;
    for (s64 r = 0; r < stored_rows; ++r)
      result[std::size_t(x.transposed ? r * rows + c : c * rows + r)] =
          T(rounded(element(column + r * size, x.type), precision));
  }
  return true;
}

struct Problem {
  const char* who = "";
  s64 m = 0, n = 0, k = 0;
  Operand a, b;
  void* c = nullptr;
  cudaDataType_t c_type = CUDA_R_32F;
  s64 ldc = 0;
  f64 alpha = 1, beta = 0;
  Precision precision = Precision::kSingle;
};

template <class T>
bool multiply(const Problem& p) {
  std::vector<T> a, b;
  if (p.alpha != 0 &&
      (!read_matrix(p.who, p.a, p.m, p.k, p.precision, a) || !read_matrix(p.who, p.b, p.k, p.n, p.precision, b)))
    return false;
  const u32 size = bytes_of(p.c_type);
  std::vector<T> sums(std::size_t(p.m));
  for (s64 j = 0; j < p.n; ++j) {
    std::fill(sums.begin(), sums.end(), T(0));
    for (s64 l = 0; l < p.k && p.alpha != 0; ++l) {
      const T factor = b[std::size_t(j * p.k + l)];
      const T* const column = &a[std::size_t(l * p.m)];
      for (s64 i = 0; i < p.m; ++i) sums[std::size_t(i)] += column[i] * factor;
    }
    const u64 address = address_of(p.c) + u64(j * p.ldc) * size;
    if (p.beta != 0 && ptx_machine_bytes(address, u64(p.m) * size, 0, p.who) == nullptr) return false;
    auto* const out = static_cast<u8*>(ptx_machine_bytes(address, u64(p.m) * size, 1, p.who));
    if (out == nullptr) return false;
    for (s64 i = 0; i < p.m; ++i) {
      const T old = p.beta != 0 ? T(p.beta) * T(element(out + i * size, p.c_type)) : T(0);
      set_element(out + i * size, p.c_type, T(p.alpha) * sums[std::size_t(i)] + old);
    }
  }
  return true;
}

/// alpha or beta, on the host or on the device.
bool scalar(const Handle& handle, const char* who, const void* at, cudaDataType_t type, f64& value) {
  if (at == nullptr) return false;
  if (handle.pointers == CUBLAS_POINTER_MODE_DEVICE) at = ptx_machine_bytes(address_of(at), bytes_of(type), 0, who);
  if (at == nullptr) return false;
  value = element(static_cast<const u8*>(at), type);
  return true;
}

struct Call {
  const char* who = "";
  cublasHandle_t handle = nullptr;
  cublasOperation_t ta = CUBLAS_OP_N, tb = CUBLAS_OP_N;
  int m = 0, n = 0, k = 0;
  const void* alpha = nullptr;
  const void* a = nullptr;
  cudaDataType_t a_type = CUDA_R_32F;
  int lda = 0;
  long long stride_a = 0;
  const void* b = nullptr;
  cudaDataType_t b_type = CUDA_R_32F;
  int ldb = 0;
  long long stride_b = 0;
  const void* beta = nullptr;
  void* c = nullptr;
  cudaDataType_t c_type = CUDA_R_32F;
  int ldc = 0;
  long long stride_c = 0;
  int batch = 1;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
};

cublasStatus_t refuse(const char* who, cublasStatus_t status, const char* reason) {
  std::fprintf(stderr, "========= PTX machine: %s: %s\n", who, reason);
  return status;
}

Precision precision_of(const Handle& handle, const Call& call) {
  if (call.a_type == CUDA_R_64F) return Precision::kDouble;
  if (call.compute == CUBLAS_COMPUTE_32F_FAST_TF32) return Precision::kTf32;
  if (call.compute == CUBLAS_COMPUTE_32F_FAST_16BF) return Precision::kBrain;
  if (call.compute == CUBLAS_COMPUTE_32F_FAST_16F) return Precision::kHalf;
  const bool tf32 = (handle.math & 0xf) == CUBLAS_TF32_TENSOR_OP_MATH;
  return tf32 && call.a_type == CUDA_R_32F && call.compute == CUBLAS_COMPUTE_32F ? Precision::kTf32
                                                                                 : Precision::kSingle;
}

cublasStatus_t check(const Call& c) {
  const int rows_a = c.ta == CUBLAS_OP_N ? c.m : c.k, rows_b = c.tb == CUBLAS_OP_N ? c.k : c.n;
  if (c.m < 0 || c.n < 0 || c.k < 0 || c.batch < 0)
    return refuse(c.who, CUBLAS_STATUS_INVALID_VALUE, "a negative size");
  if (c.lda < std::max(1, rows_a) || c.ldb < std::max(1, rows_b) || c.ldc < std::max(1, c.m))
    return refuse(c.who, CUBLAS_STATUS_INVALID_VALUE, "a leading dimension is less than the number of rows");
  const bool is_double = c.a_type == CUDA_R_64F;
  if (bytes_of(c.a_type) == 0 || bytes_of(c.c_type) == 0 || c.a_type != c.b_type ||
      is_double != (c.c_type == CUDA_R_64F))
    return refuse(c.who, CUBLAS_STATUS_NOT_SUPPORTED, "unsupported types");
  switch (c.compute) {
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      if (is_double) return CUBLAS_STATUS_SUCCESS;
      break;
    case CUBLAS_COMPUTE_16F:
    case CUBLAS_COMPUTE_16F_PEDANTIC:
      if (c.a_type == CUDA_R_16F && c.c_type == CUDA_R_16F) return CUBLAS_STATUS_SUCCESS;
      break;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
    case CUBLAS_COMPUTE_32F_FAST_TF32:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_16F:
      if (!is_double) return CUBLAS_STATUS_SUCCESS;
      break;
    default:
      break;
  }
  return refuse(c.who, CUBLAS_STATUS_NOT_SUPPORTED, "unsupported combination of compute type and types of matrices");
}

cublasStatus_t gemm(const Call& c) {
  if (c.handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (const cublasStatus_t status = check(c); status != CUBLAS_STATUS_SUCCESS) return status;
  const Handle& handle = *handle_of(c.handle);
  Problem p{.who = c.who,
            .m = c.m,
            .n = c.n,
            .k = c.k,
            .a = {},
            .b = {},
            .c = nullptr,
            .c_type = c.c_type,
            .ldc = c.ldc,
            .precision = precision_of(handle, c)};
  const bool half = c.compute == CUBLAS_COMPUTE_16F || c.compute == CUBLAS_COMPUTE_16F_PEDANTIC;
  const cudaDataType_t scale = c.a_type == CUDA_R_64F ? CUDA_R_64F : half ? CUDA_R_16F : CUDA_R_32F;
  if (!scalar(handle, c.who, c.alpha, scale, p.alpha) || !scalar(handle, c.who, c.beta, scale, p.beta))
    return refuse(c.who, CUBLAS_STATUS_INVALID_VALUE, "alpha or beta cannot be read");
  if (c.m == 0 || c.n == 0) return CUBLAS_STATUS_SUCCESS;
  for (int k = 0; k < c.batch; ++k) {
    const auto at = [&](const void* base, long long stride, cudaDataType_t type) {
      return static_cast<const u8*>(base) + k * stride * s64(bytes_of(type));
    };
    p.a = {at(c.a, c.stride_a, c.a_type), c.a_type, c.lda, c.ta != CUBLAS_OP_N};
    p.b = {at(c.b, c.stride_b, c.b_type), c.b_type, c.ldb, c.tb != CUBLAS_OP_N};
    p.c = const_cast<u8*>(at(c.c, c.stride_c, c.c_type));
    const bool done = c.a_type == CUDA_R_64F ? multiply<f64>(p) : multiply<f32>(p);
    if (!done) return CUBLAS_STATUS_EXECUTION_FAILED;
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = reinterpret_cast<cublasHandle_t>(new Handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  delete handle_of(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetVersion_v2(cublasHandle_t, int* version) {
  if (version == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

#define PTX_PROPERTY(Set, Get, Type, member)                     \
  cublasStatus_t Set(cublasHandle_t handle, Type value) {        \
    if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED; \
    handle_of(handle)->member = value;                           \
    return CUBLAS_STATUS_SUCCESS;                                \
  }                                                              \
  cublasStatus_t Get(cublasHandle_t handle, Type* value) {       \
    if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED; \
    if (value == nullptr) return CUBLAS_STATUS_INVALID_VALUE;    \
    *value = handle_of(handle)->member;                          \
    return CUBLAS_STATUS_SUCCESS;                                \
  }
PTX_PROPERTY(cublasSetStream_v2, cublasGetStream_v2, cudaStream_t, stream)
PTX_PROPERTY(cublasSetMathMode, cublasGetMathMode, cublasMath_t, math)
PTX_PROPERTY(cublasSetPointerMode_v2, cublasGetPointerMode_v2, cublasPointerMode_t, pointers)
PTX_PROPERTY(cublasSetAtomicsMode, cublasGetAtomicsMode, cublasAtomicsMode_t, atomics)

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void*, size_t) {
  return handle == nullptr ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
  }
}
const char* cublasGetStatusString(cublasStatus_t status) {
  return cublasGetStatusName(status);
}

#define PTX_GEMM(Name, Batched, Type, kType, kCompute)                                                              \
  cublasStatus_t Name(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,       \
                      const Type* alpha, const Type* a, int lda, const Type* b, int ldb, const Type* beta, Type* c, \
                      int ldc) {                                                                                    \
    return gemm({#Name, handle, ta,  tb, m,    n, k,     alpha, a, kType, lda,     0,                               \
                 b,     kType,  ldb, 0,  beta, c, kType, ldc,   0, 1,     kCompute});                               \
  }                                                                                                                 \
  cublasStatus_t Batched(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,    \
                         const Type* alpha, const Type* a, int lda, long long stride_a, const Type* b, int ldb,     \
                         long long stride_b, const Type* beta, Type* c, int ldc, long long stride_c, int batch) {   \
    return gemm({#Batched, handle, ta,  tb,       m,    n, k,     alpha, a,        kType, lda,     stride_a,        \
                 b,        kType,  ldb, stride_b, beta, c, kType, ldc,   stride_c, batch, kCompute});               \
  }
PTX_GEMM(cublasSgemm_v2, cublasSgemmStridedBatched, float, CUDA_R_32F, CUBLAS_COMPUTE_32F)
PTX_GEMM(cublasDgemm_v2, cublasDgemmStridedBatched, double, CUDA_R_64F, CUBLAS_COMPUTE_64F)
PTX_GEMM(cublasHgemm, cublasHgemmStridedBatched, __half, CUDA_R_16F, CUBLAS_COMPUTE_16F)

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                            const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
  return gemm({"cublasGemmEx", handle, ta, tb,   m, n,      k,   alpha, a, a_type, lda, 0, b,
               b_type,         ldb,    0,  beta, c, c_type, ldc, 0,     1, compute});
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m,
                                          int n, int k, const void* alpha, const void* a, cudaDataType a_type, int lda,
                                          long long stride_a, const void* b, cudaDataType b_type, int ldb,
                                          long long stride_b, const void* beta, void* c, cudaDataType c_type, int ldc,
                                          long long stride_c, int batch, cublasComputeType_t compute,
                                          cublasGemmAlgo_t) {
  return gemm({"cublasGemmStridedBatchedEx",
               handle,
               ta,
               tb,
               m,
               n,
               k,
               alpha,
               a,
               a_type,
               lda,
               stride_a,
               b,
               b_type,
               ldb,
               stride_b,
               beta,
               c,
               c_type,
               ldc,
               stride_c,
               batch,
               compute});
}

}  // extern "C"
