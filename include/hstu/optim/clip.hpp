// SPDX-License-Identifier: MIT
// Gradient clipping by the norm over all parameters.
#pragma once
#include <cmath>

#include <hstu/autograd/backward.hpp>
#include <hstu/nn/module.hpp>

namespace hstu {

/// Scales all gradients by max_norm / (norm + 1e-6) if that is below 1; returns the norm before.
/// norm = √Σ g² over all parameters, in float64, in their order.  Undefined gradients are left out.
/// Throws NumericError naming the first parameter whose gradient holds NaN or Inf; no gradient is changed then.
/// docs/math.md (O4).  Source: torch.nn.utils.clip_grad_norm_.
inline double clip_grad_norm(const ParameterList& parameters, double max_norm) {
  check<ConfigError>(max_norm > 0, "clip_grad_norm: the largest norm must be positive, got ", max_norm);
  double squares = 0.0;
  for (const NamedParameter& p : parameters) {
    const Tensor& gradient = grad(p.value);
    if (!gradient.defined()) continue;
    const double of_this = dispatch_floating("clip_grad_norm", gradient.dtype(), [&]<class Scalar>(Scalar) {
      return array<Scalar>(gradient).template cast<double>().square().sum();
    });
    check<NumericError>(std::isfinite(of_this), "clip_grad_norm: the gradient of ", p.name, " is not finite");
    squares += of_this;
  }
  const double norm = std::sqrt(squares), scale = max_norm / (norm + 1e-6);
  if (scale >= 1.0) return norm;
  for (const NamedParameter& p : parameters) {
    Tensor gradient = grad(p.value);
    if (!gradient.defined()) continue;
    dispatch_floating("clip_grad_norm", gradient.dtype(),
                      [&]<class Scalar>(Scalar) { mutable_array<Scalar>(gradient) *= Scalar(scale); });
  }
  return norm;
}

}  // namespace hstu
