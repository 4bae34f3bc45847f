// SPDX-License-Identifier: MIT
// Adam, AdamW and clipping on the device against the optimizer of the CPU in float64.
#include <hstu/cuda/adam.hpp>
#include <hstu/optim/clip.hpp>

#include "on_device.hpp"

namespace hstu {
namespace {
using namespace test;

/// Weights after four steps, clipped or not, on the device.
std::vector<Tensor> train_on_device(const std::vector<Tensor>& weights,
                                    const std::vector<std::vector<Tensor>>& gradients, const AdamOptions& options,
                                    bool is_decoupled, double max_norm) {
  std::vector<Buffer<float>> w, g;
  std::vector<cuda::DeviceParameter> parameters;
  for (const Tensor& x : weights) {
    w.push_back(upload(x));
    g.emplace_back(device(), x.numel());
    parameters.push_back({w.back().data(), g.back().data(), x.numel()});
  }
  cuda::AdamState adam(device(), parameters, options, is_decoupled);
  for (const auto& of_step : gradients) {
    for (std::size_t i = 0; i < g.size(); ++i) g[i].copy_from(of_step[i].values<float>());
    if (max_norm > 0) adam.clip(max_norm);
    adam.step(0.01);
  }
  std::vector<Tensor> result;
  for (std::size_t i = 0; i < w.size(); ++i) result.push_back(download(w[i], weights[i].shape()));
  return result;
}

TEST_CASE("adam on the device: four steps as on the CPU", "[cuda][adam][parity]") {
  const std::vector<Shape> shapes{{1}, {25, 7}, {4096}, {130, 64}};
  for (const bool is_decoupled : {false, true}) {
    for (const double max_norm : {0.0, 1.0, 1e6}) {
      CAPTURE(is_decoupled, max_norm);
      const AdamOptions options{.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = 0.1};
      std::vector<Tensor> weights;
      std::vector<std::vector<Tensor>> gradients(4);
      ParameterList list;
      std::uint32_t site = 0;
      for (const Shape& shape : shapes) {
        weights.push_back(random_input(shape, ++site).to(DType::float32));
        list.push_back({concat("p", site), rounded_parameter(weights.back())});
        for (auto& of_step : gradients) of_step.push_back(random_input(shape, 100 + ++site).to(DType::float32));
      }
      const auto got = same_twice([&] { return train_on_device(weights, gradients, options, is_decoupled, max_norm); });
      const auto train = [&](auto optimizer) {
        for (const auto& of_step : gradients) {
          for (std::size_t i = 0; i < list.size(); ++i) {
            zero_grad(list[i].value);
            backward_from(list[i].value, of_step[i].to(DType::float64));
          }
          if (max_norm > 0) clip_grad_norm(list, max_norm);
          optimizer.step(0.01);
        }
      };
      if (is_decoupled)
        train(AdamW(list, options));
      else
        train(Adam(list, options));
      for (std::size_t i = 0; i < list.size(); ++i) require_near(got[i], list[i].value, 1e-6);
    }
  }
}

TEST_CASE("adam on the device: a gradient that is not finite changes nothing and shows in the norm",
          "[cuda][adam][errors]") {
  const Tensor before = random_input({300}, 1).to(DType::float32);
  Tensor gradient = random_input({300}, 2).to(DType::float32);
  gradient.mutable_data<float>()[299] = std::nanf("");
  const Buffer<float> w(upload(before)), g(upload(gradient));
  cuda::AdamState adam(device(), {{w.data(), g.data(), 300}}, {}, true);
  adam.clip(1.0);
  adam.step(0.1);
  REQUIRE(std::isnan(adam.norm()));
  REQUIRE(same_bits(download(w, before.shape()), before));
}

TEST_CASE("gradient norm on the device", "[cuda][adam][parity]") {
  const Tensor gradient = random_input({10000}, 3).to(DType::float32);
  const Buffer<float> w(upload(gradient)), g(upload(gradient));
  cuda::AdamState adam(device(), {{w.data(), g.data(), 10000}}, {}, true);
  adam.clip(1.0);
  double squares = 0.0;
  for (const float x : gradient.values<float>()) squares += static_cast<double>(x) * static_cast<double>(x);
  REQUIRE(std::abs(adam.norm() - std::sqrt(squares)) < 1e-6 * std::sqrt(squares));
}

}  // namespace
}  // namespace hstu
