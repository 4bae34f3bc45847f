// SPDX-License-Identifier: MIT
// Products by cuBLAS against plain loops: row-major matrices, transposed or not, with gaps.
#include <hstu/cuda/cublas.hpp>

#include "on_device.hpp"
#include "reference/matmul.hpp"

namespace hstu {
namespace {
using namespace test;

TEST_CASE("cublas: a·b + beta·c of row-major matrices", "[cuda][cublas][parity]") {
  cuda::Blas blas(device());
  constexpr std::int64_t kRows = 33, kInner = 20, kCols = 25, kGap = 3;
  const Tensor a = random_input({kRows, kInner}, 1).to(DType::float32),
               b = random_input({kInner, kCols}, 2).to(DType::float32);
  const Tensor before = random_input({kRows, kCols + kGap}, 3).to(DType::float32);
  const auto doubles = [](const Tensor& x) { return x.to(DType::float64).to_vector<double>(); };
  const Values product = reference::matmul(doubles(a), doubles(b), kRows, kInner, kCols);
  const auto transposed = [](const Tensor& x) {
    Tensor y({x.size(1), x.size(0)}, DType::float32);
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      y.mutable_data<float>()[i % x.size(1) * x.size(0) + i / x.size(1)] = x.data<float>()[i];
    }
    return y;
  };
  for (const bool a_is_transposed : {false, true}) {
    for (const bool b_is_transposed : {false, true}) {
      for (const float beta : {0.0f, 0.5f}) {
        CAPTURE(a_is_transposed, b_is_transposed, beta);
        const Tensor left = a_is_transposed ? transposed(a) : a, right = b_is_transposed ? transposed(b) : b;
        const Buffer<float> left_data(upload(left)), right_data(upload(right)), c(upload(before));
        blas.multiply<float>({left_data.data(), left.size(0), left.size(1), left.size(1), a_is_transposed},
                             {right_data.data(), right.size(0), right.size(1), right.size(1), b_is_transposed},
                             {c.data(), kRows, kCols, kCols + kGap}, beta);
        Values expected = doubles(before);
        for (std::size_t r = 0; r < kRows; ++r) {
          for (std::size_t col = 0; col < kCols; ++col) {
            double& value = expected[r * (kCols + kGap) + col];
            value = static_cast<double>(beta) * value + product[r * kCols + col];
          }
        }
        require_close(download(c, before.shape()), expected, 1e-5);
      }
    }
  }
}

TEST_CASE("cublas: matrices that do not fit are refused", "[cuda][cublas][errors]") {
  cuda::Blas blas(device());
  REQUIRE_THROWS_MATCHES(blas.multiply<float>({nullptr, 2, 3, 3}, {nullptr, 4, 5, 5}, {nullptr, 2, 5, 5}), ShapeError,
                         says("[2, 3] · [4, 5] does not give [2, 5]"));
}

}  // namespace
}  // namespace hstu
