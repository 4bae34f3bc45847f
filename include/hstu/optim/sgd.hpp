// SPDX-License-Identifier: MIT
// Stochastic gradient descent with momentum.
#pragma once
#include <hstu/optim/optimizer.hpp>

namespace hstu {

struct SgdOptions {
  double momentum = 0.0;
  double weight_decay = 0.0;  ///< L2: added to the gradient
  bool nesterov = false;
};

/// g ← dθ + weight_decay·θ;  b ← momentum·b + g;  θ ← θ − lr·(nesterov ? g + momentum·b : b).
/// docs/math.md (O1).  Source: torch.optim.SGD without dampening.
class Sgd : public Optimizer {
 public:
  explicit Sgd(ParameterList parameters, const SgdOptions& options = {})
      : Optimizer(std::move(parameters), slots_for(options)), options_(options) {}

  void step(double learning_rate) override {
    begin_step(learning_rate);
    if (options_.momentum == 0.0) {
      for_each_piece([&]<class Scalar>(ArrayMap<Scalar> weights, ConstArrayMap<Scalar> gradient, auto) {
        weights -= Scalar(learning_rate) * (gradient + Scalar(options_.weight_decay) * weights);
      });
      return;
    }
    for_each_piece([&]<class Scalar>(ArrayMap<Scalar> weights, ConstArrayMap<Scalar> gradient, auto slot) {
      const auto momentum = Scalar(options_.momentum), decay = Scalar(options_.weight_decay);
      ArrayMap<Scalar> buffer = slot(0);
      buffer = momentum * buffer + (gradient + decay * weights);
      if (options_.nesterov) {
        weights -= Scalar(learning_rate) * (gradient + decay * weights + momentum * buffer);
      } else {
        weights -= Scalar(learning_rate) * buffer;
      }
    });
  }

 private:
  static std::vector<std::string> slots_for(const SgdOptions& options) {
    check<ConfigError>(options.momentum >= 0 && options.momentum < 1, "sgd: momentum must be in [0, 1), got ",
                       options.momentum);
    check<ConfigError>(options.weight_decay >= 0, "sgd: weight decay must not be negative, got ", options.weight_decay);
    check<ConfigError>(!options.nesterov || options.momentum > 0, "sgd: nesterov needs momentum");
    if (options.momentum == 0.0) return {};
    return {"momentum_buffer"};
  }
  SgdOptions options_;
};

}  // namespace hstu
