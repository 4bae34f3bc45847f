// SPDX-License-Identifier: MIT
// A step of training on the CPU and on the device from the same parameters, for comparison.
#pragma once
#include <hstu/cuda/engine.hpp>

#include "../train/small_training.hpp"

namespace hstu::test {

using cuda::Precision;

inline void need_device() {
  if (cuda::device_count() == 0) SKIP("no CUDA driver with a device");
}

/// A preset whose step takes a second on the PTX machine.  Adam's eps is large, so that an update is a smooth function
/// of the gradient: with 1e-8 the first step has the size of the learning rate wherever a gradient is rounding noise.
inline Config device_config(std::string_view preset) {
  Config c = small_config(preset);
  c.model.num_layers = 2;
  if (preset == "meta-ml-1m-large") {
    c.model.num_layers = 3;
    c.model.dqk = 5;
    c.model.dv = 3;
  }
  c.train.batch_size = 20;
  c.train.eps = 1e-4;
  c.train.weight_decay = 0.1;
  return c;
}

/// An engine with a model of its own, and a trainer's way of feeding it.
struct Training {
  template <class Make>
  Training(const Config& of, const std::shared_ptr<const Sequences>& data, const Make& make)
      : config(of),
        units(data, config),
        negatives(make_negative_sampler(config.train, units.target_counts())),
        model(config.model, config.train.seed) {
    for (std::uint32_t site = 100; const NamedParameter& p : model.parameters()) {  // biases and tables begin at zero
      Tensor values = p.value;
      add_in_place(values, random_input(values.shape(), site++, 0.1).to(DType::float32));
    }
    order.resize(static_cast<std::size_t>(units.size()));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    engine = make(model, config);
  }

  /// The step on the samples from `step`·batch_size on.
  StepLoss step(std::int64_t step) {
    const StepLoss loss =
        engine->step({units, samples_of(step), samples_of(step + 1), negatives, step, config.train.learning_rate});
    engine->write_model();
    return loss;
  }
  std::span<const std::int64_t> samples_of(std::int64_t step) const {
    return std::span(order).subspan(static_cast<std::size_t>(step * config.train.batch_size),
                                    static_cast<std::size_t>(config.train.batch_size));
  }

  Config config;
  TrainingUnits units;
  NegativeSampler negatives;
  std::vector<std::int64_t> order;
  HstuModel model;
  std::unique_ptr<TrainingEngine> engine;
};

inline Config with_items_of(Config config, const Sequences& data) {
  config.model.num_items = data.vocabulary.size();
  return config;
}

/// ‖got − expected‖ and ‖expected‖, each over √size, and the largest numbers of both.
struct Distance {
  double error = 0.0, size = 0.0;
  double largest_error = 0.0, largest = 0.0;

  Distance(const Tensor& got, const Tensor& expected) {
    REQUIRE(got.shape() == expected.shape());
    for (std::int64_t i = 0; i < got.numel(); ++i) {
      const auto a = static_cast<double>(got.data<float>()[i]), b = static_cast<double>(expected.data<float>()[i]);
      error += (a - b) * (a - b);
      size += b * b;
      largest_error = std::max(largest_error, std::abs(a - b));
      largest = std::max(largest, std::abs(b));
    }
    error = std::sqrt(error / static_cast<double>(got.numel()));
    size = std::sqrt(size / static_cast<double>(got.numel()));
  }
};

/// What is allowed of the loss, of each gradient, and of the change of each parameter, relative to their sizes; and of
/// every number of a gradient or parameter, relative to the largest.
struct Tolerances {
  double loss, gradient, change;
  double each = std::numeric_limits<double>::infinity();
};

inline std::vector<Tensor> changes(const ParameterList& parameters, const std::vector<Tensor>& initial) {
  std::vector<Tensor> all;
  for (std::size_t i = 0; i < initial.size(); ++i) {
    all.push_back((parameters[i].value.detach() - initial[i]).detach());
  }
  return all;
}

/// Parameters after a step, how far they are from where they began, and the gradients on the device if there are any.
inline void compare_parameters(const ParameterList& of_cpu, const ParameterList& of_gpu,
                               const std::vector<Tensor>& initial, const std::vector<Tensor>& gradients,
                               const Tolerances& tolerances) {
  const std::vector<Tensor> by_cpu = changes(of_cpu, initial), by_gpu = changes(of_gpu, initial);
  for (std::size_t i = 0; i < of_cpu.size(); ++i) {
    CAPTURE(of_cpu[i].name);
    if (!gradients.empty()) {
      const Distance of_gradient(gradients[i], grad(of_cpu[i].value));
      CAPTURE(of_gradient.error, of_gradient.size, of_gradient.largest_error, of_gradient.largest);
      REQUIRE(of_gradient.error <= tolerances.gradient * of_gradient.size);
      REQUIRE(of_gradient.largest_error <= tolerances.each * of_gradient.largest);
    }
    const Distance of_change(by_gpu[i], by_cpu[i]), of_parameter(of_gpu[i].value, of_cpu[i].value);
    CAPTURE(of_change.error, of_change.size, of_parameter.error, of_parameter.size);
    CAPTURE(of_parameter.largest_error, of_parameter.largest);
    REQUIRE(of_change.error <= tolerances.change * of_change.size + 0x1p-22 * of_parameter.size);  // of float32
    REQUIRE(of_parameter.largest_error <= tolerances.each * of_parameter.largest);
  }
}

/// Two steps on either machine: losses, then all gradients, and how far all parameters are from where they began.
inline void compare_steps(const Config& config, Precision precision, const Tolerances& tolerances) {
  const auto data = small_data();
  const Config whole = with_items_of(config, *data);
  Training cpu(whole, data, make_cpu_engine), gpu(whole, data, cuda::make_engine(precision));
  const auto& engine = dynamic_cast<const cuda::Engine&>(*gpu.engine);
  const ParameterList of_cpu = cpu.model.parameters(), of_gpu = gpu.model.parameters();
  std::vector<Tensor> initial;
  for (const NamedParameter& p : of_cpu) initial.push_back(p.value.clone());
  for (std::int64_t step = 0; step < 2; ++step) {
    CAPTURE(step);
    const StepLoss expected = cpu.step(step), got = gpu.step(step);
    REQUIRE(got.count == expected.count);
    INFO("loss " << got.sum << ", expected " << expected.sum);
    REQUIRE(std::abs(got.sum - expected.sum) <= tolerances.loss * std::abs(expected.sum));
    const std::vector<Tensor> no_gradients;  // clipping: the CPU scales the gradients themselves
    compare_parameters(of_cpu, of_gpu, initial, config.train.max_grad_norm == 0 ? engine.gradients() : no_gradients,
                       tolerances);
  }
}

}  // namespace hstu::test
