// SPDX-License-Identifier: MIT
// Matrix products in the precision of a run.
#pragma once
#include <hstu/cuda/attention.hpp>
#include <hstu/cuda/cublas.hpp>

namespace hstu::cuda {

/// What products read; sums, results and all state are float32.  bfloat16: operands rounded to bfloat16, those of
/// attention and cross-entropy too; tf32: operands of cuBLAS rounded to 10 bits of mantissa; float32: nothing rounded.
enum class Precision { bfloat16, tf32, float32 };

inline const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::bfloat16: return "bf16";
    case Precision::tf32: return "tf32";
    case Precision::float32: break;
  }
  return "fp32";
}

/// Rows of [rows, heads·dims] that lie from_stride apart, as bfloat16 with each head padded to a multiple of 16
/// columns.
struct PackedRows {
  Buffer<Bfloat16> bits;
  std::int64_t head_stride = 0;
  std::int64_t stride = 0;
};
inline PackedRows pack_rows(Device& device, const float* from, std::int64_t rows, std::int64_t from_stride,
                            std::int64_t heads, std::int64_t dims, const std::int32_t* ids = nullptr) {
  constexpr std::int64_t kAlignment = 16;
  const std::int64_t padded = (dims + kAlignment - 1) / kAlignment * kAlignment;
  PackedRows packed{Buffer<Bfloat16>(device, rows * heads * padded), padded, heads * padded};
  pack_heads(device, {from, ids, packed.bits.data(), rows, from_stride, static_cast<std::int32_t>(heads),
                      static_cast<std::int32_t>(dims), static_cast<std::int32_t>(padded)});
  return packed;
}

/// A matrix as products read it: itself, or rounded to bfloat16.
struct ProductOperand {
  const float* plain = nullptr;
  PackedRows packed;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
};

/// An operand as it is or transposed.
struct Factor {
  Factor(const ProductOperand& m) : matrix(m) {}  // NOLINT: an operand is a factor
  Factor(const ProductOperand& m, bool transposed) : matrix(m), is_transposed(transposed) {}
  std::int64_t rows() const { return is_transposed ? matrix.cols : matrix.rows; }
  std::int64_t cols() const { return is_transposed ? matrix.rows : matrix.cols; }

  const ProductOperand& matrix;
  bool is_transposed = false;
};
inline Factor transposed(const ProductOperand& matrix) {
  return {matrix, true};
}

/// cuBLAS in one precision.
class Products {
 public:
  Products(Device& device, Blas& blas, Precision precision) : device_(device), blas_(blas), precision_(precision) {}

  Precision precision() const { return precision_; }
  bool are_bfloat16() const { return precision_ == Precision::bfloat16; }

  /// x [rows, cols] must outlive the operand unless products are bfloat16.
  ProductOperand operand(const float* x, std::int64_t rows, std::int64_t cols) {
    if (!are_bfloat16()) return {x, {}, rows, cols};
    return {nullptr, pack_rows(device_, x, rows, cols, 1, cols), rows, cols};
  }

  /// to = a·b
  void multiply(const Factor& a, const Factor& b, float* to) {
    const DeviceMatrix<float> c{to, a.rows(), b.cols(), b.cols()};
    const ProductOperand &l = a.matrix, &r = b.matrix;
    if (are_bfloat16()) {
      blas_.multiply<Bfloat16>({l.packed.bits.data(), l.rows, l.cols, l.packed.stride, a.is_transposed},
                               {r.packed.bits.data(), r.rows, r.cols, r.packed.stride, b.is_transposed}, c);
    } else {
      const bool is_exact = precision_ == Precision::float32;
      blas_.multiply<float>({l.plain, l.rows, l.cols, l.cols, a.is_transposed},
                            {r.plain, r.rows, r.cols, r.cols, b.is_transposed}, c, 0.0f,
                            is_exact ? ProductPrecision::float32 : ProductPrecision::tf32);
    }
  }

 private:
  Device& device_;
  Blas& blas_;
  Precision precision_;
};

}  // namespace hstu::cuda
