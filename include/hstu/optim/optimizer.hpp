// SPDX-License-Identifier: MIT
// What SGD, Adam and AdamW share: parameters, state by name, elementwise update in parallel.
#pragma once
#include <cmath>
#include <map>
#include <set>

#include <hstu/autograd/backward.hpp>
#include <hstu/core/chunks.hpp>
#include <hstu/core/parallel.hpp>
#include <hstu/nn/module.hpp>

namespace hstu {

/// Updates parameters from grad(parameter).  A parameter whose gradient is undefined is skipped.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// One update.  Throws ConfigError unless the learning rate is finite and not negative.
  virtual void step(double learning_rate) = 0;

  std::int64_t num_steps() const { return num_steps_; }
  const ParameterList& parameters() const { return parameters_; }

  /// Copies of everything but the parameters that the next step depends on: "step" int64 [1] and, per slot,
  /// "slot.parameter".
  std::map<std::string, Tensor> state() const {
    std::map<std::string, Tensor> all;
    all.emplace("step", Tensor::from(std::vector<std::int64_t>{num_steps_}));
    for (const Slot& slot : slots_) {
      for (std::size_t i = 0; i < parameters_.size(); ++i) all.emplace(key(slot, i), slot.values[i].clone());
    }
    return all;
  }

  /// Restores what state() gave.  Throws CheckpointError, with nothing changed, for entries that are missing, unknown,
  /// or of another shape or dtype.
  void load_state(const std::map<std::string, Tensor>& all) {
    const auto find = [&](const std::string& name, const Shape& shape, DType dtype) {
      const auto found = all.find(name);
      check<CheckpointError>(found != all.end(), "optimizer state: no entry ", name);
      const Tensor& value = found->second;
      check<CheckpointError>(value.defined() && value.shape() == shape && value.dtype() == dtype,
                             "optimizer state: ", name, " must be ", dtype, shape, ", got ", value.dtype(),
                             value.shape());
      return value;
    };
    std::set<std::string> known{"step"};
    const std::int64_t steps = find("step", {1}, DType::int64).values<std::int64_t>()[0];
    check<CheckpointError>(steps >= 0, "optimizer state: step must not be negative, got ", steps);
    for (const Slot& slot : slots_) {
      for (std::size_t i = 0; i < parameters_.size(); ++i) {
        find(key(slot, i), slot.values[i].shape(), slot.values[i].dtype());
        known.insert(key(slot, i));
      }
    }
    for (const auto& [name, value] : all) {
      check<CheckpointError>(known.contains(name), "optimizer state: unknown entry ", name);
    }
    num_steps_ = steps;
    for (Slot& slot : slots_) {
      for (std::size_t i = 0; i < parameters_.size(); ++i) slot.values[i].copy_from(all.at(key(slot, i)));
    }
  }

 protected:
  Optimizer(ParameterList parameters, const std::vector<std::string>& slots) : parameters_(std::move(parameters)) {
    std::set<std::string> names;
    for (const NamedParameter& p : parameters_) {
      check<ConfigError>(p.value.needs_grad() && p.value.node()->is_leaf, "optimizer: ", p.name, " is not a parameter");
      check<ConfigError>(names.insert(p.name).second, "optimizer: two parameters are called ", p.name);
    }
    for (const std::string& name : slots) {
      slots_.push_back({name, {}});
      for (const NamedParameter& p : parameters_) slots_.back().values.push_back(zeros_like(p.value));
    }
  }

  void begin_step(double learning_rate) {
    check<ConfigError>(std::isfinite(learning_rate) && learning_rate >= 0,
                       "optimizer: learning rate must be finite and not negative, got ", learning_rate);
    // The memory that a step needs is asked for before anything changes.
    PoolVector<std::int64_t> sizes;  // 0 for a parameter without a gradient
    for (const NamedParameter& p : parameters_) sizes.push_back(grad(p.value).defined() ? p.value.numel() : 0);
    pieces_ = make_pieces(sizes);
    ++num_steps_;
  }

  /// update(weights, gradient, slot) on pieces of every parameter; slot(s) is the same piece of the s-th state.
  /// Pieces depend on the sizes only, so the bits do not depend on the number of threads.
  template <class Update>
  void for_each_piece(const Update& update) {
    parallel_for(std::ssize(pieces_), [&](std::int64_t index) {
      const Piece& piece = pieces_[static_cast<std::size_t>(index)];
      Tensor weights = parameters_[piece.array].value;
      const Tensor& gradient = grad(weights);
      dispatch_floating("optimizer", weights.dtype(), [&]<class Scalar>(Scalar) {
        const auto of = [&](Tensor& x) {
          return ArrayMap<Scalar>(x.mutable_data<Scalar>() + piece.first, piece.count);
        };
        update(of(weights), ConstArrayMap<Scalar>(gradient.data<Scalar>() + piece.first, piece.count),
               [&](std::size_t s) { return of(slots_[s].values[piece.array]); });
      });
    });
  }

 private:
  struct Slot {
    std::string name;
    std::vector<Tensor> values;  // one per parameter
  };
  std::string key(const Slot& slot, std::size_t parameter) const {
    return slot.name + "." + parameters_[parameter].name;
  }

  ParameterList parameters_;
  std::vector<Slot> slots_;
  PoolVector<Piece> pieces_;  // of the step that is being made
  std::int64_t num_steps_ = 0;
};

}  // namespace hstu
