// SPDX-License-Identifier: MIT
// Gradients of the groups of a step, summed in a fixed order.
#pragma once
#include <cmath>
#include <vector>

#include <hstu/autograd/backward.hpp>
#include <hstu/core/chunks.hpp>
#include <hstu/core/parallel.hpp>
#include <hstu/nn/module.hpp>

namespace hstu {

/// One gradient buffer per group of chunks, kept from step to step.
class GradientSum {
 public:
  explicit GradientSum(ParameterList parameters) : parameters_(std::move(parameters)) {}

  /// Buffers for `count` groups, all zero.
  void prepare(std::size_t count) {
    if (groups_.size() < count) groups_.resize(count);
    count_ = count;
  }
  void clear() {
    for (Gradients& group : groups_) group.clear();
  }
  Gradients& group(std::size_t index) { return groups_[index]; }

  /// grad(parameter) = Σ over groups, in order of the groups, and clears them.
  /// Throws NumericError naming the first parameter with a gradient that is not finite.
  void reduce() {
    PoolVector<PoolVector<Tensor>> parts(parameters_.size());
    PoolVector<Tensor> sums;
    PoolVector<std::int64_t> sizes;
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      const Tensor& value = parameters_[p].value;
      if (!grad(value).defined()) value.node()->grad = zeros_like(value);
      sums.push_back(grad(value));
      for (std::size_t c = 0; c < count_; ++c) parts[p].push_back(groups_[c].of(value));
      sizes.push_back(value.numel());
    }
    const PoolVector<Piece> pieces = make_pieces(sizes);
    PoolVector<char> is_finite(pieces.size(), 1);
    parallel_for(std::ssize(pieces), [&](std::int64_t i) {
      const Piece& piece = pieces[static_cast<std::size_t>(i)];
      dispatch_floating("gradient", sums[piece.array].dtype(), [&]<class Scalar>(Scalar) {
        ArrayMap<Scalar> sum(sums[piece.array].mutable_data<Scalar>() + piece.first, piece.count);
        sum.setZero();
        for (Tensor& part : parts[piece.array]) {
          ArrayMap<Scalar> of_group(part.mutable_data<Scalar>() + piece.first, piece.count);
          sum += of_group;
          of_group.setZero();
        }
        is_finite[static_cast<std::size_t>(i)] = std::isfinite((sum * Scalar(0)).sum());  // NaN and ±Inf give NaN
      });
    });
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      check<NumericError>(is_finite[i] != 0, "the gradient of ", parameters_[pieces[i].array].name,
                          " is not finite");
    }
  }

 private:
  ParameterList parameters_;
  std::vector<Gradients> groups_;
  std::size_t count_ = 0;
};

}  // namespace hstu
