// SPDX-License-Identifier: MIT
// Nodes of the autograd graph, and the switch that stops recording.
#pragma once
#include <algorithm>
#include <cmath>
#include <concepts>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include <hstu/core/tensor.hpp>

namespace hstu {

class Accumulator;  // autograd/backward.hpp

/// Given the gradient dy of an op's output, adds the gradients of its inputs into the accumulator: any callable of
/// (const Tensor& dy, Accumulator& into).  It is moved, never copied.
class BackwardFunction {
 public:
  BackwardFunction() = default;
  template <class Function>
    requires std::invocable<Function&, const Tensor&, Accumulator&>
  BackwardFunction(Function function)
      : callable_(detail::make_shared_pooled<Callable<Function>>(std::move(function))) {}

  explicit operator bool() const { return callable_ != nullptr; }
  void operator()(const Tensor& dy, Accumulator& into) const { callable_->call(dy, into); }

 private:
  struct AnyCallable {
    virtual ~AnyCallable() = default;
    virtual void call(const Tensor& dy, Accumulator& into) = 0;
  };
  template <class Function>
  struct Callable final : AnyCallable {
    explicit Callable(Function f) : function(std::move(f)) {}
    void call(const Tensor& dy, Accumulator& into) override { function(dy, into); }
    Function function;
  };

  std::shared_ptr<AnyCallable> callable_;
};

/// One recorded op, or a leaf (a parameter), which has no `backward`.
struct Node {
  std::string_view op;
  Shape shape;
  DType dtype = DType::float32;
  bool is_leaf = false;
  PoolVector<std::shared_ptr<Node>> inputs;
  BackwardFunction backward;  ///< emptied once it has run, so that what it captured is freed
  Tensor grad;                ///< leaf: the accumulated gradient; else the pending gradient during backward
  bool visited = false;       ///< used by the topological walk (never for leaves: threads share them)

  ~Node();
};

namespace detail {
/// What a dying node held.  Destroying it in a loop instead of by recursion keeps deep graphs off the stack.
struct Remains {
  PoolVector<std::shared_ptr<Node>> inputs;
  BackwardFunction backward;
};
inline thread_local PoolVector<Remains>* graveyard = nullptr;

/// A destructor must not throw: without memory for the list the remains are destroyed at once, by recursion.
inline void bury(Remains remains) noexcept {
  try {
    graveyard->push_back(std::move(remains));
  } catch (const std::bad_alloc&) {
    return;
  }
}
}  // namespace detail

inline Node::~Node() {
  if (inputs.empty() && !backward) return;
  PoolVector<detail::Remains> remains;
  const bool is_first = detail::graveyard == nullptr;
  if (is_first) detail::graveyard = &remains;
  detail::bury({std::move(inputs), std::move(backward)});
  if (!is_first) return;
  while (!remains.empty()) {
    const detail::Remains last = std::move(remains.back());  // destroyed here; may push more
    remains.pop_back();
  }
  detail::graveyard = nullptr;
}

namespace detail {
inline thread_local bool recording = true;
}

/// While it lives, ops of this thread are not recorded.
class NoGrad {
 public:
  NoGrad() : before_(std::exchange(detail::recording, false)) {}
  ~NoGrad() { detail::recording = before_; }
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

namespace detail {
inline thread_local bool checking_finite = false;

inline void check_finite(std::string_view op, const Tensor& y) {
  if (!y.defined() || !is_floating(y.dtype())) return;
  dispatch_floating(op, y.dtype(), [&]<class Scalar>(Scalar) {
    for (const Scalar value : y.values<Scalar>()) {
      check<NumericError>(std::isfinite(value), op, ": its result ", y.shape(), " holds ", value);
    }
  });
}
}  // namespace detail

/// While it lives, an op of this thread whose result holds a NaN or an infinity throws NumericError "op: ...".  It looks
/// at every result, so it is for finding the op that made one, not for every step.
class FiniteCheck {
 public:
  FiniteCheck() : before_(std::exchange(detail::checking_finite, true)) {}
  ~FiniteCheck() { detail::checking_finite = before_; }
  FiniteCheck(const FiniteCheck&) = delete;
  FiniteCheck& operator=(const FiniteCheck&) = delete;

 private:
  bool before_;
};

/// Makes `x` a leaf whose gradient is wanted.  Handles copied from it afterwards share the gradient.
inline Tensor parameter(Tensor x) {
  check<ShapeError>(x.defined(), "parameter: the tensor is undefined");
  check<ShapeError>(is_floating(x.dtype()), "parameter: expected float32 or float64, got ", x.dtype());
  auto node = detail::make_shared_pooled<Node>();
  node->op = "parameter";
  node->shape = x.shape();
  node->dtype = x.dtype();
  node->is_leaf = true;
  x.set_node(std::move(node));
  return x;
}

/// The gradient accumulated in a parameter by backward(loss); undefined before the first.
inline const Tensor& grad(const Tensor& x) {
  check<Error>(x.needs_grad() && x.node()->is_leaf, "grad: the tensor is not a parameter");
  return x.node()->grad;
}
inline void zero_grad(const Tensor& x) {
  if (grad(x).defined()) x.node()->grad.fill_zero();
}

/// Attaches `backward` to the op's output `y` if any input needs a gradient and recording is on.  Throws NumericError
/// while a FiniteCheck lives and `y` is not finite.
/// The lambda's captures are what stays in memory; it must capture `y`, if at all, before this call.
/// `op` must outlive the graph: a string literal.
inline Tensor record(std::string_view op, Tensor y, std::span<const Tensor> inputs, BackwardFunction backward) {
  if (detail::checking_finite) detail::check_finite(op, y);
  if (!detail::recording) return y;
  if (std::ranges::none_of(inputs, &Tensor::needs_grad)) return y;
  auto node = detail::make_shared_pooled<Node>();
  for (const Tensor& x : inputs) {
    if (x.needs_grad()) node->inputs.push_back(x.node());
  }
  node->op = op;
  node->shape = y.shape();
  node->dtype = y.dtype();
  node->backward = std::move(backward);
  y.set_node(std::move(node));
  return y;
}
inline Tensor record(std::string_view op, Tensor y, std::initializer_list<Tensor> inputs, BackwardFunction backward) {
  return record(op, std::move(y), std::span(inputs.begin(), inputs.size()), std::move(backward));
}

}  // namespace hstu
