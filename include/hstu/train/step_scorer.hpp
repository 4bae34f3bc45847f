// SPDX-License-Identifier: MIT
// The item table as the losses of a step see it, made once per step and not once per chunk.
#pragma once
#include <hstu/core/simd.hpp>
#include <hstu/model/hstu.hpp>
#include <hstu/ops/columns.hpp>

namespace hstu {

/// A scorer whose table is a parameter of its own: chunks add their gradients to it, and backward() takes the sum
/// through normalisation, and padding to whole SIMD packs, which the losses read fastest, to the model.
class StepScorer {
 public:
  explicit StepScorer(const HstuModel& model) : model_(model), scorer_(scored()) {
    const HstuConfig& config = model.config();
    is_derived_ = config.l2_scores || config.d_model != simd::whole_packs(config.d_model);
    if (is_derived_) scorer_.table = parameter(scorer_.table.clone());
  }

  const ItemScorer& scorer() const { return scorer_; }
  /// The table, if it is not the model's own.
  ParameterList parameters() const {
    return is_derived_ ? ParameterList{{"item table as scored", scorer_.table}} : ParameterList{};
  }

  /// Makes the table from the model's present parameters.
  void forward() {
    if (!is_derived_) return;
    root_ = scored().table;
    scorer_.table.copy_from(root_);
  }
  /// Adds grad(table) to the gradients of the model, once per forward().  Throws NumericError if what it adds is not
  /// finite: rows shorter than the eps of the normalisation multiply their gradient by 1/eps.
  void backward() {
    if (!is_derived_) return;
    added_.clear();
    detail::run_backward(root_, grad(scorer_.table), &added_);
    const Tensor& table = model_.scored_table();
    const Tensor& dtable = added_.of(table);
    dispatch_floating("step_scorer", dtable.dtype(), [&]<class Scalar>(Scalar) {
      if (std::isfinite((array<Scalar>(dtable) * Scalar(0)).sum())) return;
      for (const NamedParameter& p : model_.parameters()) {
        check<NumericError>(p.value.node() != table.node(), "the gradient of ", p.name, " is not finite");
      }
    });
    if (!grad(table).defined()) table.node()->grad = zeros_like(table);
    add_in_place(table.node()->grad, dtable);
    root_ = Tensor();
  }

 private:
  ItemScorer scored() const {
    ItemScorer scorer = model_.row_scorer();
    const std::int64_t width = simd::whole_packs(scorer.table.size(1));
    if (width > scorer.table.size(1)) scorer.table = pad_columns(scorer.table, width);
    return scorer;
  }

  HstuModel model_;  // shares its parameters with the trainer's
  ItemScorer scorer_;
  bool is_derived_ = false;
  Gradients added_;  // of the last backward(), kept for its memory
  Tensor root_;  // the table in the graph of the model's parameters
};

}  // namespace hstu
