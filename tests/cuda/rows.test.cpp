// SPDX-License-Identifier: MIT
// Kernels over rows against the ops of the CPU in float64, which are held to plain loops and finite differences.
#include <hstu/cuda/elementwise.hpp>
#include <hstu/cuda/l2_normalize.hpp>
#include <hstu/cuda/layer_norm.hpp>
#include <hstu/ops/dropout.hpp>
#include <hstu/ops/gate.hpp>
#include <hstu/ops/l2_normalize.hpp>
#include <hstu/ops/linear_silu.hpp>

#include "on_device.hpp"

namespace hstu {
namespace {
using namespace test;
using cuda::Buffer;

constexpr double kTolerance = 2e-6;  // float32, sums of up to 1024
const RandomStream kStream{.seed = 0x123456789abcdefull, .step = 7, .site = 3};

struct Case {
  std::int64_t rows, cols;
};
const std::vector<Case> kCases{{0, 25},  {1, 1},     {5, 16},   {31, 25}, {33, 50}, {64, 64},  {65, 65},
                               {9, 128}, {130, 100}, {17, 200}, {3, 256}, {7, 257}, {4, 1000}, {2, 1024}};

struct NormVariant {
  bool has_weight, has_gate;
  double dropout;
};

/// y, dx, dweight and dbias (empty without weight), dgate (empty without gate).
std::vector<Tensor> norm_on_device(const NormVariant& variant, const Tensor& x, const Tensor& weight,
                                   const Tensor& bias, const Tensor& gate, const Tensor& dy) {
  const std::int64_t rows = x.size(0), cols = x.size(1);
  const std::int64_t gate_stride = cols + 3, first_row = 11;
  const auto dropout = cuda::dropout_mask(variant.dropout, kStream, first_row, cols);
  const Buffer<float> dx_(upload(x)), w(upload(weight)), b(upload(bias)), grad(upload(dy));
  Tensor wide = Tensor::full({rows, gate_stride}, std::nan(""));  // columns behind the gate's must not be read
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      wide.mutable_data<float>()[r * gate_stride + c] = static_cast<float>(gate.data<double>()[r * cols + c]);
    }
  }
  const Buffer<float> u(upload(wide));
  Buffer<float> y(device(), x.numel()), mean(device(), rows), rstd(device(), rows), dx(device(), x.numel());
  Buffer<float> dweight(device(), 2 * cols), du(device(), x.numel());
  const float* const weight_data = variant.has_weight ? w.data() : nullptr;
  const float* const bias_data = variant.has_weight ? b.data() : nullptr;
  const float* const gate_data = variant.has_gate ? u.data() : nullptr;
  cuda::layer_norm_forward(device(), {dx_.data(), weight_data, bias_data, gate_data, y.data(), mean.data(), rstd.data(),
                                      rows, gate_stride, static_cast<std::int32_t>(cols), 1e-5f, dropout});
  cuda::layer_norm_backward(device(),
                            {dx_.data(), weight_data, bias_data, gate_data, mean.data(), rstd.data(), grad.data(),
                             dx.data(), variant.has_gate ? du.data() : nullptr, nullptr, rows, gate_stride, cols,
                             static_cast<std::int32_t>(cols), dropout},
                            dweight.data());
  std::vector<Tensor> results{download(y, x.shape()), download(dx, x.shape())};
  if (variant.has_weight) results.push_back(download(dweight, {2, cols}));
  if (variant.has_gate) results.push_back(download(du, x.shape()));
  return results;
}

TEST_CASE("layer norm on the device: values and gradients, with weights, gate and dropout",
          "[cuda][layer_norm][parity]") {
  for (const Case& c : kCases) {
    const std::int64_t rows = c.rows, cols = c.cols;
    for (const NormVariant& variant : {NormVariant{false, false, 0.0}, NormVariant{true, false, 0.3},
                                       NormVariant{false, true, 0.25}, NormVariant{true, true, 0.0}}) {
      if (cols == 1 && !variant.has_weight) continue;  // all zeros
      CAPTURE(rows, cols, variant.has_weight, variant.has_gate, variant.dropout);
      const Tensor x = rounded_parameter(random_input({rows, cols}, 1)),
                   dy = random_input({rows, cols}, 2).to(DType::float32);
      const Tensor weight = rounded_parameter(random_input({cols}, 3)),
                   bias = rounded_parameter(random_input({cols}, 4));
      const Tensor gate = rounded_parameter(random_input({rows, cols}, 5));
      const auto got = same_twice([&] { return norm_on_device(variant, x, weight, bias, gate, dy); });
      Tensor y = variant.has_weight ? layer_norm(x, weight, bias, 1e-5) : layer_norm(x, 1e-5);
      if (variant.has_gate) y = y * gate;
      y = dropout(y, variant.dropout, kStream, 11);
      backward_from(y, dy.to(DType::float64));
      require_near(got[0], y, kTolerance);
      if (cols > 1) require_near(got[1], grad(x), 2 * kTolerance);
      std::size_t next = 2;
      if (variant.has_weight) {
        require_near(got[next].rows(0, 1), grad(weight), 2 * kTolerance);
        require_near(got[next++].rows(1, 2), grad(bias), 2 * kTolerance);
      }
      if (variant.has_gate) require_near(got[next], grad(gate), kTolerance);
    }
  }
}

TEST_CASE("layer norm on the device: more than 1024 columns are refused", "[cuda][layer_norm][errors]") {
  cuda::LayerNormForward o{};
  o.rows = 1;
  o.cols = 1025;
  REQUIRE_THROWS_MATCHES(cuda::layer_norm_forward(device(), o), ShapeError, says("at most 1024 columns, got 1025"));
}

TEST_CASE("l2 normalisation on the device: values and gradients, short rows included", "[cuda][l2_normalize][parity]") {
  for (const Case& c : kCases) {
    const std::int64_t rows = c.rows, cols = c.cols;
    CAPTURE(rows, cols);
    Tensor values = random_input({rows, cols}, 6);
    if (rows > 3) values.rows(1, 2).fill_zero();
    const Tensor x = rounded_parameter(values), dy = random_input({rows, cols}, 7).to(DType::float32);
    const double eps = 0.5;
    const auto got = same_twice([&] {
      const Buffer<float> in(upload(x)), grad(upload(dy));
      Buffer<float> y(device(), x.numel()), norm(device(), rows), dx(device(), x.numel());
      const auto width = static_cast<std::int32_t>(cols);
      cuda::l2_normalize_forward(device(), {in.data(), y.data(), norm.data(), rows, width, 0.5f});
      cuda::l2_normalize_backward(device(), {y.data(), norm.data(), grad.data(), dx.data(), rows, width, 0.5f});
      return std::vector{download(y, x.shape()), download(dx, x.shape())};
    });
    const Tensor y = l2_normalize(x, eps);
    backward_from(y, dy.to(DType::float64));
    require_near(got[0], y, kTolerance);
    if (cols > 1) require_near(got[1], grad(x), kTolerance);
  }
}

TEST_CASE("sigmoid gate on the device: values and gradients", "[cuda][gate][parity]") {
  for (const Case& c : kCases) {
    const std::int64_t rows = c.rows, cols = c.cols;
    CAPTURE(rows, cols);
    const Tensor a = rounded_parameter(random_input({rows, cols}, 8)),
                 u = rounded_parameter(random_input({rows, cols}, 9, 6.0));
    const Tensor dy = random_input({rows, cols}, 10).to(DType::float32);
    const auto got = same_twice([&] {
      const Buffer<float> left(upload(a)), right(upload(u)), grad(upload(dy));
      Buffer<float> y(device(), a.numel()), da(device(), a.numel()), du(device(), a.numel());
      const auto width = static_cast<std::int32_t>(cols);
      cuda::sigmoid_gate_forward(device(), {left.data(), right.data(), y.data(), rows, cols, width});
      cuda::sigmoid_gate_backward(
          device(), {left.data(), right.data(), grad.data(), da.data(), du.data(), rows, cols, cols, width});
      return std::vector{download(y, a.shape()), download(da, a.shape()), download(du, a.shape())};
    });
    const Tensor y = sigmoid_gate(a, u);
    backward_from(y, dy.to(DType::float64));
    require_near(got[0], y, kTolerance);
    require_near(got[1], grad(a), kTolerance);
    require_near(got[2], grad(u), kTolerance);
  }
}

TEST_CASE("bias and activation on the device: with dropout and a residual, or none", "[cuda][activation][parity]") {
  for (const Case& c : kCases) {
    const std::int64_t rows = c.rows, cols = c.cols;
    for (const auto activation : {cuda::Activation::none, cuda::Activation::silu, cuda::Activation::relu}) {
      for (const double p : {0.0, 0.4}) {
        CAPTURE(rows, cols, static_cast<int>(activation), p);
        const Tensor z = rounded_parameter(random_input({rows, cols}, 12, 4.0)),
                     bias = rounded_parameter(random_input({cols}, 13));
        const Tensor dy = random_input({rows, cols}, 14).to(DType::float32),
                     residual = random_input({rows, cols}, 18).to(DType::float32);
        const auto got = same_twice([&] {
          const Buffer<float> in(upload(z)), offset(upload(bias)), grad(upload(dy)), added(upload(residual));
          Buffer<float> y(device(), z.numel()), dz(device(), z.numel()), dbias(device(), cols);
          const auto width = static_cast<std::int32_t>(cols);
          const cuda::DropoutMask mask = cuda::dropout_mask(p, kStream, 5, cols);
          cuda::bias_activation_forward(device(), {in.data(), offset.data(), p > 0 ? added.data() : nullptr, y.data(),
                                                   rows, width, activation, mask});
          const bool needs_z = activation != cuda::Activation::none;
          cuda::bias_activation_backward(device(), {needs_z ? in.data() : nullptr, offset.data(), grad.data(),
                                                    dz.data(), rows, width, activation, mask});
          cuda::sum_rows(device(), dz.data(), rows, cols, dbias.data());
          return std::vector{download(y, z.shape()), download(dz, z.shape()), download(dbias, {cols})};
        });
        const Tensor x = z + bias;
        Tensor y = activation == cuda::Activation::silu   ? silu(x)
                   : activation == cuda::Activation::relu ? relu(x)
                                                          : x;
        if (p > 0) y = dropout(y, p, kStream, 5) + residual.to(DType::float64);
        backward_from(y, dy.to(DType::float64));
        require_near(got[0], y, kTolerance);
        require_near(got[1], grad(z), kTolerance);
        require_near(got[2], grad(bias), kTolerance);
      }
    }
  }
}

TEST_CASE("sums over rows on the device: several chunks", "[cuda][sum_rows][parity]") {
  const Tensor x = random_input({2500, 40}, 15).to(DType::float32);
  const auto got = same_twice([&] {
    const Buffer<float> in(upload(x));
    Buffer<float> sums(device(), 40);
    cuda::sum_rows(device(), in.data(), 2500, 40, sums.data());
    return std::vector{download(sums, {40})};
  });
  Values expected(40, 0.0);
  for (std::int64_t i = 0; i < x.numel(); ++i)
    expected[static_cast<std::size_t>(i % 40)] += static_cast<double>(x.data<float>()[i]);
  require_close(got[0], expected, 1e-5);
}

TEST_CASE("dropout on the device: the mask of the CPU, and a residual", "[cuda][dropout][parity]") {
  for (const std::int64_t rows : {0, 1, 33, 700}) {
    CAPTURE(rows);
    const Tensor x = random_input({rows, 25}, 16).to(DType::float32),
                 residual = random_input({rows, 25}, 17).to(DType::float32);
    const Buffer<float> in(upload(x)), added(upload(residual));
    Buffer<float> y(device(), x.numel());
    const cuda::DropoutMask mask = cuda::dropout_mask(0.4, kStream, 5, 25);
    cuda::dropout(device(), {in.data(), nullptr, y.data(), x.numel(), mask});
    REQUIRE(same_bits(download(y, x.shape()), dropout(x, 0.4, kStream, 5)));
    cuda::dropout(device(), {in.data(), added.data(), y.data(), x.numel(), mask});
    require_near(download(y, x.shape()), dropout(x, 0.4, kStream, 5) + residual, kTolerance);
  }
}

}  // namespace
}  // namespace hstu
