// SPDX-License-Identifier: MIT
// Gradients and optimizer steps, the same for every family of models.
#include <hstu/autograd/backward.hpp>
#include <hstu/optim/adam.hpp>

#include "golden_file.hpp"

namespace hstu::golden {

namespace {

/// Entries whose gradient is either a number worth the name or exactly zero on both sides.
std::vector<bool> entries_with_gradient(const Tensor& expected, const Tensor& got) {
  const Tensor want = expected.to(DType::float64), have = got.to(DType::float64);
  double largest = 0.0;
  for (const double v : want.values<double>()) largest = std::max(largest, std::abs(v));
  std::vector<bool> counts;
  for (std::size_t i = 0; i < want.values<double>().size(); ++i) {
    const double w = want.values<double>()[i];
    counts.push_back(w != 0.0 ? std::abs(w) >= kNegligibleGradient * largest : have.values<double>()[i] == 0.0);
  }
  return counts;
}

Tensor gradient_of(const Tensor& x) { return grad(x).defined() ? grad(x) : zeros_like(x); }

}  // namespace

void compare_gradients(GoldenFile& file, const ParameterList& parameters,
                       const std::function<std::string(std::string)>& peer_name) {
  for (const auto& [name, value] : parameters) {
    file.compare("grad." + peer_name(name), gradient_of(value), value_tolerance(file.dtype()));
  }
}

void compare_training(GoldenFile& file, const ParameterList& parameters,
                      const std::function<std::string(std::string)>& peer_name, const std::function<Tensor()>& loss) {
  const auto& spec = file.config().at("optimizer");
  const auto number = [&](const char* key) { return required<double, CheckpointError>(spec, key, file.origin()); };
  check<CheckpointError>(required<std::string, CheckpointError>(spec, "name", file.origin()) == "AdamW", file.origin(),
                         ": unknown optimizer");
  const auto betas = required<std::vector<double>, CheckpointError>(spec, "betas", file.origin());
  const auto steps = required<std::int64_t, CheckpointError>(spec, "steps", file.origin());
  AdamW optimizer(parameters,
                  {.beta1 = betas.at(0), .beta2 = betas.at(1), .eps = number("eps"), .weight_decay = number("weight_decay")});

  std::vector<std::vector<bool>> counts;
  std::vector<double> losses;
  for (std::int64_t step = 0; step < steps; ++step) {
    for (const auto& p : parameters) zero_grad(p.value);
    const Tensor value = loss();
    losses.push_back(value.item());
    backward(value);
    if (step == 0) {
      compare_gradients(file, parameters, peer_name);
      for (const auto& [name, p] : parameters) {
        counts.push_back(entries_with_gradient(file.raw("grad." + peer_name(name)), gradient_of(p)));
      }
    }
    for (const auto& p : parameters) {  // a parameter that takes no part still has a zero gradient in the peer
      if (!grad(p.value).defined()) p.value.node()->grad = zeros_like(p.value);
    }
    optimizer.step(number("lr"));
  }
  file.compare("out.losses", Tensor::from(losses), after_tolerance(file.dtype()));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    file.compare("after." + peer_name(parameters[i].name), parameters[i].value, after_tolerance(file.dtype()), counts[i]);
  }
}

}  // namespace hstu::golden
