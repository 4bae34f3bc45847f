// SPDX-License-Identifier: MIT
// Parameters with their op: linear, layer norm, dropout.
#pragma once
#include <hstu/nn/init.hpp>
#include <hstu/ops/dropout.hpp>
#include <hstu/ops/layer_norm.hpp>
#include <hstu/ops/matmul.hpp>

namespace hstu {

/// y = x·Wᵀ + b [+ residual].   weight [out, in], bias [out] or absent
struct Linear {
  Tensor weight;
  Tensor bias;

  Tensor operator()(const Tensor& x, const Tensor& residual = {}) const { return linear(x, weight, bias, residual); }
  void list(const std::string& prefix, ParameterList& into) const {
    into.push_back({prefix + ".weight", weight});
    if (bias.defined()) into.push_back({prefix + ".bias", bias});
  }
};

/// Layer norm with weights.
struct LayerNorm {
  Tensor weight;
  Tensor bias;
  double eps = 1e-5;

  static LayerNorm make(std::int64_t width, Initializer& init) { return {init.ones({width}), init.zeros({width})}; }
  Tensor operator()(const Tensor& x) const { return layer_norm(x, weight, bias, eps); }
  void list(const std::string& prefix, ParameterList& into) const {
    into.push_back({prefix + ".weight", weight});
    into.push_back({prefix + ".bias", bias});
  }
};

/// Dropout in training, identity otherwise.  Each call of a forward pass has its own random stream.
inline Tensor dropout(const Tensor& x, double p, ForwardContext& context) {
  const RandomStream stream = context.next_stream();
  return context.is_training && p > 0 ? dropout(x, p, stream, context.first_token) : x;
}

}  // namespace hstu
