// SPDX-License-Identifier: MIT
// Activation recompute: a part of the model keeps its input only, and runs again in backward.
#pragma once
#include <hstu/autograd/backward.hpp>
#include <hstu/nn/module.hpp>

namespace hstu {

/// y = forward(x, context), of which only x stays in memory: backward runs forward again, recorded this time and with
/// the same random numbers, and walks that graph.  Gradients have the bits of the recorded pass.
///   parameters: all leaves but x that forward uses
///   forward: callable more than once, with one result; it must own what it uses, since it lives until backward
/// Cost: one more forward pass.  Source: Chen et al. 2016, Training deep nets with sublinear memory cost.
template <class Forward>
Tensor recompute(const Tensor& x, PoolVector<Tensor> parameters, ForwardContext& context, Forward forward) {
  const ForwardContext before = context;
  Tensor y;
  {
    const NoGrad no_grad;
    y = forward(x, context);
  }
  PoolVector<Tensor> inputs = parameters;
  inputs.push_back(x);
  return record("recompute", y.detach(), inputs,
                [x, before, parameters = std::move(parameters), forward = std::move(forward)](const Tensor& dy,
                                                                                             Accumulator& into) {
    ForwardContext again = before;
    const Tensor leaf = parameter(x.detach());
    Gradients gradients;
    detail::run_backward(forward(leaf, again), dy, &gradients);
    into.add(x, gradients.of(leaf));
    for (const Tensor& p : parameters) into.add(p, gradients.of(p));
  });
}

}  // namespace hstu
