// SPDX-License-Identifier: MIT
// Adam and AdamW with PyTorch's arithmetic.
#pragma once
#include <hstu/optim/optimizer.hpp>

namespace hstu {

struct AdamOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
};

/// Adam; the subject of both classes below; docs/math.md (O2), (O3).  With t the number of this step:
///   L2 decay (Adam):          g ← dθ + weight_decay·θ
///   decoupled decay (AdamW):  g ← dθ,  θ ← θ·(1 − lr·weight_decay)
///   m ← m + (1 − β₁)(g − m),  v ← β₂·v + (1 − β₂)·g²
///   θ ← θ − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)
/// One t for all parameters: PyTorch counts per parameter, which differs only if a gradient is undefined in some steps.
/// Source: Kingma & Ba 2015; Loshchilov & Hutter 2019; order of operations and place of eps as in torch.optim.
class AdamBase : public Optimizer {
 public:
  void step(double learning_rate) override {
    begin_step(learning_rate);
    const double t = static_cast<double>(num_steps());
    const double step_size = learning_rate / (1.0 - std::pow(options_.beta1, t));
    const double correction = std::sqrt(1.0 - std::pow(options_.beta2, t));
    for_each_piece([&]<class Scalar>(ArrayMap<Scalar> weights, ConstArrayMap<Scalar> gradient, auto slot) {
      ArrayMap<Scalar> m = slot(0), v = slot(1);
      const auto blend1 = Scalar(1.0 - options_.beta1), beta2 = Scalar(options_.beta2);
      const auto blend2 = Scalar(1.0 - options_.beta2);
      if (is_decoupled_ || options_.weight_decay == 0.0) {
        if (options_.weight_decay != 0.0) weights *= Scalar(1.0 - learning_rate * options_.weight_decay);
        m += blend1 * (gradient - m);
        v = beta2 * v + blend2 * gradient.square();
      } else {
        const auto decay = Scalar(options_.weight_decay);
        m += blend1 * (gradient + decay * weights - m);
        v = beta2 * v + blend2 * (gradient + decay * weights).square();
      }
      weights -= Scalar(step_size) * m / (v.sqrt() / Scalar(correction) + Scalar(options_.eps));
    });
  }

 protected:
  AdamBase(ParameterList parameters, const AdamOptions& options, bool is_decoupled)
      : Optimizer(std::move(parameters), {"exp_avg", "exp_avg_sq"}), options_(options), is_decoupled_(is_decoupled) {
    const auto is_share = [](double x) { return x >= 0.0 && x < 1.0; };
    check<ConfigError>(is_share(options.beta1) && is_share(options.beta2), "adam: betas must be in [0, 1), got ",
                       options.beta1, " and ", options.beta2);
    check<ConfigError>(options.eps >= 0 && std::isfinite(options.eps), "adam: eps must not be negative, got ",
                       options.eps);
    check<ConfigError>(options.weight_decay >= 0 && std::isfinite(options.weight_decay),
                       "adam: weight decay must not be negative, got ", options.weight_decay);
  }

 private:
  AdamOptions options_;
  bool is_decoupled_;
};

/// Weight decay as L2 in the gradient.
class Adam : public AdamBase {
 public:
  explicit Adam(ParameterList parameters, const AdamOptions& options = {})
      : AdamBase(std::move(parameters), options, false) {}
};

/// Decoupled weight decay; 0.01 unless said otherwise, as in PyTorch.
class AdamW : public AdamBase {
 public:
  explicit AdamW(ParameterList parameters, const AdamOptions& options = {.weight_decay = 0.01})
      : AdamBase(std::move(parameters), options, true) {}
};

}  // namespace hstu
