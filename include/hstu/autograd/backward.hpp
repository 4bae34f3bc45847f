// SPDX-License-Identifier: MIT
// Reverse mode: one iterative topological walk from the loss to the parameters.
#pragma once
#include <span>
#include <unordered_map>

#include <hstu/autograd/node.hpp>
#include <hstu/core/eigen_map.hpp>

namespace hstu {

/// y += x, same shape and dtype.
inline void add_in_place(Tensor& y, const Tensor& x) {
  check<ShapeError>(y.shape() == x.shape() && y.dtype() == x.dtype(), "gradient: expected ", y.dtype(), y.shape(),
                    ", got ", x.dtype(), x.shape());
  dispatch_floating("gradient", y.dtype(),
                    [&]<class Scalar>(Scalar) { mutable_array<Scalar>(y) += array<Scalar>(x); });
}

/// Gradients of parameters apart from the parameters: one set per worker, so that workers never meet.
/// Buffers are kept when cleared, so a steady training step allocates none.
class Gradients {
 public:
  /// The buffer of a parameter, zero when first asked for.
  Tensor& of(const Tensor& x) {
    check<Error>(x.needs_grad() && x.node()->is_leaf, "gradients: the tensor is not a parameter");
    return of(*x.node());
  }
  Tensor& of(const Node& leaf) {
    const auto found = buffers_.find(&leaf);
    if (found != buffers_.end()) return found->second;
    return buffers_.emplace(&leaf, Tensor::zeros(leaf.shape, leaf.dtype)).first->second;
  }
  /// Null if nobody has asked for it.
  const Tensor* find(const Tensor& x) const {
    const auto found = buffers_.find(x.node().get());
    return found == buffers_.end() ? nullptr : &found->second;
  }
  void clear() {
    for (auto& [leaf, buffer] : buffers_) buffer.fill_zero();
  }

 private:
  std::unordered_map<const Node*, Tensor> buffers_;  // never iterated where order matters
};

/// Receives gradients during backward.
class Accumulator {
 public:
  explicit Accumulator(Gradients* leaves) : leaves_(leaves) {}

  /// True if somebody needs the gradient of `x`; ops skip work for the others.
  static bool wants(const Tensor& x) { return x.needs_grad(); }

  /// Adds dx into the gradient of x.  Does nothing if nobody wants it.
  void add(const Tensor& x, const Tensor& dx) {
    if (!wants(x)) return;
    Node& node = *x.node();
    check<ShapeError>(dx.shape() == node.shape && dx.dtype() == node.dtype, node.op, ": gradient must be ", node.dtype,
                      node.shape, ", got ", dx.dtype(), dx.shape());
    if (node.is_leaf) {
      add_in_place(leaf_buffer(node), dx);
    } else if (!node.grad.defined()) {
      node.grad = dx.detach();
    } else {
      add_in_place(owned(node.grad), dx);
    }
  }

  /// The gradient of x as a buffer to add into, for ops that scatter.  x must be wanted.
  Tensor& buffer(const Tensor& x) {
    Node& node = *x.node();
    if (node.is_leaf) return leaf_buffer(node);
    if (!node.grad.defined()) node.grad = Tensor::zeros(node.shape, node.dtype);
    return owned(node.grad);
  }

 private:
  Tensor& leaf_buffer(Node& node) {
    if (leaves_ != nullptr) return leaves_->of(node);
    if (!node.grad.defined()) node.grad = Tensor::zeros(node.shape, node.dtype);
    return node.grad;
  }
  static Tensor& owned(Tensor& pending) {  // the first gradient may be another tensor's data: copy before writing
    if (!pending.owns_data_alone()) pending = pending.clone();
    return pending;
  }
  Gradients* leaves_;
};

namespace detail {

/// An output y and the gradient dy that flows into it.
struct BackwardRoot {
  const Tensor& y;
  const Tensor& dy;
};

/// Nodes from the inputs to the roots, leaves left out.
inline PoolVector<Node*> topological_order(std::span<const BackwardRoot> roots) {
  PoolVector<Node*> order;
  PoolVector<std::pair<Node*, std::size_t>> stack;
  const auto enter = [&](Node* node) {
    if (node->is_leaf || node->visited) return;
    node->visited = true;
    stack.emplace_back(node, 0);
  };
  for (const BackwardRoot& root : roots) {
    enter(root.y.node().get());
    while (!stack.empty()) {
      auto& [node, next_input] = stack.back();
      if (next_input < node->inputs.size()) {
        enter(node->inputs[next_input++].get());  // may move the stack: node is not used after it
      } else {
        order.push_back(node);
        stack.pop_back();
      }
    }
  }
  for (Node* node : order) node->visited = false;
  return order;
}

inline void run_backward(std::span<const BackwardRoot> roots, Gradients* leaves) {
  for (const auto& [y, dy] : roots) {
    check<Error>(y.needs_grad(), "backward: the tensor does not depend on any parameter");
    check<ShapeError>(dy.shape() == y.shape() && dy.dtype() == y.dtype(), "backward: gradient must be ", y.dtype(),
                      y.shape(), ", got ", dy.dtype(), dy.shape());
  }
  const PoolVector<Node*> order = topological_order(roots);
  // Before the first gradient moves, so that a refused walk changes nothing.  (std::views::reverse: not with Clang 14.)
  for (auto node = order.rbegin(); node != order.rend(); ++node) {
    check<Error>(static_cast<bool>((*node)->backward), (*node)->op,
                 ": backward ran through this graph before and freed it");
  }
  Accumulator into(leaves);
  for (const auto& [y, dy] : roots) into.add(y, dy);
  for (auto node = order.rbegin(); node != order.rend(); ++node) {
    const Tensor grad = std::exchange((*node)->grad, Tensor());
    const BackwardFunction backward = std::exchange((*node)->backward, {});
    if (grad.defined()) backward(grad, into);
  }
}

inline void run_backward(const Tensor& y, const Tensor& dy, Gradients* leaves) {
  const BackwardRoot root{y, dy};
  run_backward(std::span(&root, 1), leaves);
}

}  // namespace detail

/// Adds the gradient of the scalar `loss` by every parameter it depends on to grad(parameter).
/// The graph is freed as the walk passes it, so it can be walked once.
inline void backward(const Tensor& loss) {
  check<ShapeError>(loss.numel() == 1, "backward: the loss must be a scalar, got ", loss.shape());
  detail::run_backward(loss, Tensor::full(loss.shape(), 1.0, loss.dtype()), nullptr);
}
/// The same, with gradients added to `into` and parameters left untouched: for workers that run at the same time.
inline void backward(const Tensor& loss, Gradients& into, double scale = 1.0) {
  check<ShapeError>(loss.numel() == 1, "backward: the loss must be a scalar, got ", loss.shape());
  detail::run_backward(loss, Tensor::full(loss.shape(), scale, loss.dtype()), &into);
}
/// From any output y with its gradient dy.
inline void backward_from(const Tensor& y, const Tensor& dy) { detail::run_backward(y, dy, nullptr); }

}  // namespace hstu
