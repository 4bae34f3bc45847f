// SPDX-License-Identifier: MIT
// Matrix products by cuBLAS, loaded at run time.
#pragma once
#include <type_traits>

#include <hstu/cuda/device.hpp>

namespace hstu::cuda {

struct BlasHandle;

class BlasErrors {
 public:
  explicit BlasErrors(const SharedLibrary& library) : find_(library.find<Find>("cublasGetStatusName")) {}
  const char* operator()(int code) const { return find_(code); }

 private:
  using Find = const char*(int);
  Find* find_;
};

/// How float32 products are computed; of bfloat16 operands always exactly, with float32 sums.
enum class ProductPrecision : int { float32 = 68, tf32 = 77 };  // cublasComputeType_t

/// A matrix, row by row, on the device.  Element: float, or bfloat16 bits (std::uint16_t).
template <class Element>
struct DeviceMatrix {
  Element* data;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t stride;         ///< from row to row
  bool is_transposed = false;  ///< the matrix meant is [cols, rows]
};

/// cuBLAS on the stream of a device.
class Blas {
 public:
  /// Throws DeviceError without cuBLAS 12 or 13.
  explicit Blas(const Device& device) {
    create_(&handle_);
    set_stream_(handle_, device.stream());
  }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  ~Blas() { destroy_.without_check(handle_); }

  /// c = a·b + beta·c.  Throws ShapeError if the matrices do not fit.
  template <class Element>
  void multiply(const DeviceMatrix<const Element>& a, const DeviceMatrix<const Element>& b,
                const DeviceMatrix<float>& c, float beta = 0.0f,
                ProductPrecision precision = ProductPrecision::float32) {
    const std::int64_t inner = a.is_transposed ? a.rows : a.cols;
    check<ShapeError>((a.is_transposed ? a.cols : a.rows) == c.rows && (b.is_transposed ? b.rows : b.cols) == c.cols &&
                          (b.is_transposed ? b.cols : b.rows) == inner && !c.is_transposed,
                      "cuda: product: [", a.rows, ", ", a.cols, "]", a.is_transposed ? "ᵀ" : "", " · [", b.rows, ", ",
                      b.cols, "]", b.is_transposed ? "ᵀ" : "", " does not give [", c.rows, ", ", c.cols, "]");
    if (c.rows == 0 || c.cols == 0) return;
    constexpr int kFloat32 = 0, kBfloat16 = 14, kDefaultAlgorithm = -1;
    constexpr bool kIsFloat = std::is_same_v<Element, float>;
    constexpr int kType = kIsFloat ? kFloat32 : kBfloat16;
    const auto compute = static_cast<int>(kIsFloat ? precision : ProductPrecision::float32);
    const float alpha = 1.0f;
    const auto size = [](std::int64_t n) { return static_cast<int>(n); };
    // cuBLAS counts down columns: it is asked for cᵀ = bᵀ·aᵀ.
    gemm_(handle_, b.is_transposed, a.is_transposed, size(c.cols), size(c.rows), size(inner), &alpha, b.data, kType,
          size(b.stride), a.data, kType, size(a.stride), &beta, c.data, kFloat32, size(c.stride), compute,
          kDefaultAlgorithm);
  }

 private:
  template <class... Args>
  using Function = CheckedFunction<BlasErrors, Args...>;

  SharedLibrary library_{"libcublas.so.13", "libcublas.so.12"};
  Function<BlasHandle**> create_{library_, "cublasCreate_v2"};
  Function<BlasHandle*> destroy_{library_, "cublasDestroy_v2"};
  Function<BlasHandle*, StreamHandle*> set_stream_{library_, "cublasSetStream_v2"};
  Function<BlasHandle*, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int, const void*,
           void*, int, int, int, int>
      gemm_{library_, "cublasGemmEx"};
  BlasHandle* handle_ = nullptr;
};

}  // namespace hstu::cuda
