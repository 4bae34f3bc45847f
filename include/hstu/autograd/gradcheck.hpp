// SPDX-License-Identifier: MIT
// Gradients against finite differences, in float64.
#pragma once
#include <cmath>
#include <functional>
#include <optional>

#include <hstu/autograd/backward.hpp>

namespace hstu {

/// Tolerances as PyTorch's gradcheck has them.
struct GradcheckOptions {
  double eps = 1e-6;   ///< step of the central difference
  double atol = 1e-5;
  double rtol = 1e-3;
  std::uint64_t seed = 7;  ///< of the random direction in which outputs are summed
};

/// What gradcheck found; `ok` false comes with the worst entry in `message`.
struct GradcheckResult {
  bool ok = true;
  double worst = 0.0;  ///< largest share of the tolerance used
  std::string message;
  explicit operator bool() const { return ok; }
};

/// Compares d(sum(f(inputs) ⊙ g))/d(input) by backward with central differences, for every entry of every input that
/// is a float64 parameter; g is a fixed random tensor.  `f` must be deterministic.
inline GradcheckResult gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                                 const std::vector<Tensor>& inputs, const GradcheckOptions& options = {}) {
  for (const Tensor& x : inputs) {
    check<ShapeError>(!x.needs_grad() || x.dtype() == DType::float64, "gradcheck: inputs must be float64, got ",
                      x.dtype());
  }
  const Tensor y = f(inputs);
  const Tensor g = randn(y.shape(), {.seed = options.seed}, 1.0, DType::float64);
  const auto objective = [&] {
    const NoGrad no_grad;
    const Tensor value = f(inputs);
    return (array<double>(value) * array<double>(g)).sum();
  };
  for (const Tensor& x : inputs) {
    if (x.needs_grad()) zero_grad(x);
  }
  if (y.needs_grad()) backward_from(y, g);

  GradcheckResult result;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    Tensor x = inputs[k];
    if (!x.needs_grad()) continue;
    const Tensor analytic = grad(x).defined() ? grad(x) : zeros_like(x);
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      double& entry = x.mutable_data<double>()[i];
      const double before = entry;
      entry = before + options.eps;
      const double above = objective();
      entry = before - options.eps;
      const double below = objective();
      entry = before;
      const double numeric = (above - below) / (2.0 * options.eps);
      const double got = analytic.data<double>()[i];
      const double share = std::abs(got - numeric) / (options.atol + options.rtol * std::abs(numeric));
      if (!(share <= result.worst)) {  // also taken when share is NaN
        result.worst = share;
        result.message = concat("input ", k, " entry ", i, ": backward ", got, ", finite difference ", numeric, ", ",
                                share, " of the tolerance");
      }
      if (!(share <= 1.0)) result.ok = false;
      if (std::isnan(share)) return result;
    }
  }
  return result;
}

}  // namespace hstu
