// SPDX-License-Identifier: MIT
// The item table as the losses of a step see it, made once per step and not once per chunk.
#pragma once
#include <hstu/core/simd.hpp>
#include <hstu/model/hstu.hpp>
#include <hstu/ops/columns.hpp>

namespace hstu {

/// A scorer whose table is a parameter of its own: chunks add their gradients to it, and backward() takes the sum
/// through normalisation, and padding to whole SIMD packs, which the losses read fastest, to the model.  Of a mixture the
/// items' parts and gates are made once in the same way.
class StepScorer {
 public:
  explicit StepScorer(const HstuModel& model) : model_(model), of_model_(model.parameters()), scorer_(scored()) {
    const HstuConfig& config = model.config();
    const bool is_derived = scorer_.mixture || config.l2_scores || config.d_model != simd::whole_packs(config.d_model);
    if (!is_derived) return;
    for (const auto& [member, name] : kMembers) {
      Tensor& x = scorer_.*member;
      if (!x.defined()) continue;
      x = parameter(x.clone());
      derived_.push_back({member, name});
    }
  }

  const ItemScorer& scorer() const { return scorer_; }
  /// What the scorer has that is not the model's own.
  ParameterList parameters() const {
    ParameterList list;
    for (const auto& [member, name] : derived_) list.push_back({name, scorer_.*member});
    return list;
  }

  /// Makes the table from the model's present parameters.
  void forward() {
    if (derived_.empty()) return;
    root_ = scored();
    for (const auto& [member, name] : derived_) (scorer_.*member).copy_from(root_.*member);
  }
  /// Adds the gradients of parameters() to those of the model, once per forward().  Throws NumericError if what it adds
  /// is not finite: rows shorter than the eps of the normalisation multiply their gradient by 1/eps.
  void backward() {
    if (derived_.empty()) return;
    added_.clear();
    PoolVector<detail::BackwardRoot> roots;  // they share the normalised table
    for (const auto& [member, name] : derived_) roots.push_back({root_.*member, grad(scorer_.*member)});
    detail::run_backward(roots, &added_);
    for (const NamedParameter& p : of_model_) {
      const Tensor* const added = added_.find(p.value);
      if (added == nullptr) continue;
      dispatch_floating("step_scorer", added->dtype(), [&]<class Scalar>(Scalar) {
        check<NumericError>(std::isfinite((array<Scalar>(*added) * Scalar(0)).sum()), "the gradient of ", p.name,
                            " is not finite");
      });
    }
    for (const NamedParameter& p : of_model_) {
      const Tensor* const added = added_.find(p.value);
      if (added == nullptr) continue;
      if (!grad(p.value).defined()) p.value.node()->grad = zeros_like(p.value);
      add_in_place(p.value.node()->grad, *added);
    }
    root_ = {};
  }

 private:
  struct Member {
    Tensor ItemScorer::*tensor;
    const char* name;
  };
  static constexpr Member kMembers[] = {{&ItemScorer::table, "item table as scored"},
                                        {&ItemScorer::item_gate, "item gates"}};

  ItemScorer scored() const {
    ItemScorer scorer = model_.row_scorer();
    const std::int64_t width = simd::whole_packs(scorer.table.size(1));
    if (width > scorer.table.size(1) && !scorer.mixture) scorer.table = pad_columns(scorer.table, width);
    return scorer;
  }

  HstuModel model_;  // shares its parameters with the trainer's
  ParameterList of_model_;
  ItemScorer scorer_;
  std::vector<Member> derived_;
  Gradients added_;  // of the last backward(), kept for its memory
  ItemScorer root_;  // in the graph of the model's parameters
};

}  // namespace hstu
