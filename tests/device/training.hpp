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
  c.train.batch_size = 30;
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
    engine = make(model, config);
  }

  /// The step on the samples from `step`·batch_size on.
  StepLoss step(std::int64_t step) {
    std::vector<std::int64_t> samples(static_cast<std::size_t>(config.train.batch_size));
    std::iota(samples.begin(), samples.end(), step * config.train.batch_size);
    const StepLoss loss = engine->step({units, samples, negatives, step, config.train.learning_rate});
    engine->write_model();
    return loss;
  }

  Config config;
  TrainingUnits units;
  NegativeSampler negatives;
  HstuModel model;
  std::unique_ptr<TrainingEngine> engine;
};

inline Config with_items_of(Config config, const Sequences& data) {
  config.model.num_items = data.vocabulary.size();
  return config;
}

/// largest |got − expected| over largest |expected|
inline double relative_error(const Tensor& got, const Tensor& expected) {
  REQUIRE(got.shape() == expected.shape());
  double worst = 0.0, largest = 0.0;
  bool all_finite = true;
  for (std::int64_t i = 0; i < got.numel(); ++i) {
    const auto a = static_cast<double>(got.data<float>()[i]), b = static_cast<double>(expected.data<float>()[i]);
    all_finite &= std::isfinite(a);
    worst = std::max(worst, std::abs(a - b));
    largest = std::max(largest, std::abs(b));
  }
  REQUIRE(all_finite);
  return largest == 0.0 ? worst : worst / largest;
}

struct Tolerances {
  double loss, gradient, parameter;
};

/// Two steps on either machine: losses, then all gradients and updated parameters, each relative to the largest entry.
inline void compare_steps(const Config& config, Precision precision, const Tolerances& tolerances) {
  const auto data = small_data();
  const Config whole = with_items_of(config, *data);
  Training cpu(whole, data, make_cpu_engine), gpu(whole, data, cuda::make_engine(precision));
  const auto& engine = dynamic_cast<const cuda::Engine&>(*gpu.engine);
  for (std::int64_t step = 0; step < 2; ++step) {
    CAPTURE(step);
    const StepLoss expected = cpu.step(step), got = gpu.step(step);
    REQUIRE(got.count == expected.count);
    INFO("loss " << got.sum << ", expected " << expected.sum);
    REQUIRE(std::abs(got.sum - expected.sum) <= tolerances.loss * std::abs(expected.sum));
    const ParameterList of_cpu = cpu.model.parameters(), of_gpu = gpu.model.parameters();
    const std::vector<Tensor> gradients = engine.gradients();
    for (std::size_t i = 0; i < of_cpu.size(); ++i) {
      CAPTURE(of_cpu[i].name);
      if (config.train.max_grad_norm == 0) {
        REQUIRE(relative_error(gradients[i], grad(of_cpu[i].value)) <= tolerances.gradient);
      }
      REQUIRE(relative_error(of_gpu[i].value, of_cpu[i].value) <= tolerances.parameter);
    }
  }
}

}  // namespace hstu::test
