// SPDX-License-Identifier: MIT
// The optimizer of an engine on the device, whose state travels to and from that of the host.
#pragma once
#include <limits>

#include <hstu/cuda/parameters.hpp>
#include <hstu/train/make_optimizer.hpp>

namespace hstu::cuda {

/// Adam or AdamW over all parameters, as the configuration says.
class DeviceOptimizer {
 public:
  DeviceOptimizer(Device& device, const Parameters& parameters, const TrainConfig& config)
      : parameters_(parameters),
        config_(config),
        adam_(device, parameters.for_optimizer(),
              {.beta1 = config.beta1, .beta2 = config.beta2, .eps = config.eps, .weight_decay = config.weight_decay},
              config.optimizer == OptimizerKind::adamw) {}

  /// Starts the norm of the gradients, and their clipping if the configuration asks for it.
  void clip() {
    adam_.clip(config_.max_grad_norm > 0 ? config_.max_grad_norm : std::numeric_limits<double>::infinity());
  }
  /// Throws NumericError, with the parameters unchanged, if the norm at the last clip() is not finite.
  void step(double learning_rate) {
    if (!std::isfinite(adam_.norm())) throw_not_finite();
    adam_.step(learning_rate);
  }

  /// As Optimizer::state().
  std::map<std::string, Tensor> state() const {
    auto state = of_host()->state();
    const AdamState::State on_device = adam_.state();
    state.at("step").mutable_data<std::int64_t>()[0] = on_device.num_steps;
    std::int64_t first = 0;
    for (const NamedParameter& p : parameters_.of_host()) {
      const auto take = [&](const char* slot, const std::vector<float>& from) {
        std::copy_n(from.begin() + first, p.value.numel(), state.at(slot + p.name).mutable_data<float>());
      };
      take(kFirstMoments, on_device.m);
      take(kSecondMoments, on_device.v);
      first += p.value.numel();
    }
    return state;
  }
  /// As Optimizer::load_state().
  void load_state(const std::map<std::string, Tensor>& state) {
    of_host()->load_state(state);  // refuses what does not fit
    AdamState::State for_device{.num_steps = state.at("step").data<std::int64_t>()[0], .m = {}, .v = {}};
    for (const NamedParameter& p : parameters_.of_host()) {
      const auto append = [&](const char* slot, std::vector<float>& to) {
        const auto values = state.at(slot + p.name).values<float>();
        to.insert(to.end(), values.begin(), values.end());
      };
      append(kFirstMoments, for_device.m);
      append(kSecondMoments, for_device.v);
    }
    adam_.load(for_device);
  }

 private:
  static constexpr const char *kFirstMoments = "exp_avg.", *kSecondMoments = "exp_avg_sq.";

  /// Knows names and shapes of the state.
  std::unique_ptr<Optimizer> of_host() const { return make_optimizer(config_, parameters_.of_host()); }
  [[noreturn]] void throw_not_finite() const {
    const std::vector<Tensor> all = parameters_.download_gradients();
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto values = all[i].values<float>();
      check<NumericError>(std::ranges::all_of(values, [](float x) { return std::isfinite(x); }), "the gradient of ",
                          parameters_.of_host()[i].name, " is not finite");
    }
    throw NumericError("the norm of the gradients exceeds float32");
  }

  const Parameters& parameters_;
  TrainConfig config_;
  AdamState adam_;
};

}  // namespace hstu::cuda
