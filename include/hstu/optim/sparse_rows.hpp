// SPDX-License-Identifier: MIT
// Tables too large for a dense pass per step: the rows that a step touches are gathered, differentiated and updated.
#pragma once
#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include <hstu/autograd/node.hpp>
#include <hstu/core/eigen_map.hpp>
#include <hstu/core/parallel.hpp>

namespace hstu {

/// The distinct rows that a step touches, ascending.  A model sees them as a table of its own, [U, D], and ids as
/// places in it; so all ops work as they are, and their gradient is as large as the step, not as the table.
class StepRows {
 public:
  /// `ids` in any order, with repeats.
  explicit StepRows(std::vector<std::int64_t> ids) : ids_(std::move(ids)) {
    std::ranges::sort(ids_);
    ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
  }

  std::int64_t size() const { return std::ssize(ids_); }
  const std::vector<std::int64_t>& ids() const { return ids_; }

  /// int32, places of `ids` (int32 or int64, any shape) among the rows.  Throws DataError for an id that is not there.
  Tensor places(const Tensor& ids) const {
    Tensor result(ids.shape(), DType::int32);
    dispatch_integer("step_rows", ids.dtype(), [&]<class Index>(Index) {
      std::ranges::transform(ids.values<Index>(), result.mutable_data<std::int32_t>(), [&](Index id) {
        const auto found = std::ranges::lower_bound(ids_, static_cast<std::int64_t>(id));
        check<DataError>(found != ids_.end() && *found == id, "step_rows: id ", id, " is not a row of this step");
        return static_cast<std::int32_t>(found - ids_.begin());
      });
    });
    return result;
  }

  /// The rows of `table` [V, D] as a new parameter [U, D].  Throws DataError for an id outside of the table.
  Tensor gather(const Tensor& table) const {
    check<ShapeError>(table.rank() == 2, "step_rows: table must be [V, D], got ", table.shape());
    check_within(table);
    const std::int64_t D = table.size(1);
    Tensor rows({size(), D}, table.dtype());
    for_each_row(table, [&]<class Scalar>(Scalar, std::int64_t i, std::int64_t id) {
      std::copy_n(table.data<Scalar>() + id * D, D, rows.mutable_data<Scalar>() + i * D);
    });
    return parameter(rows);
  }

  void check_within(const Tensor& table) const {
    if (ids_.empty()) return;
    check<DataError>(ids_.front() >= 0 && ids_.back() < table.size(0), "step_rows: ids must be in [0, ", table.size(0),
                     "), got ", ids_.front(), " to ", ids_.back());
  }

  /// body(Scalar{}, place, id) for every row, on all threads.
  template <class Body>
  void for_each_row(const Tensor& table, const Body& body) const {
    constexpr std::int64_t kRows = 256;
    parallel_for((size() + kRows - 1) / kRows, [&](std::int64_t piece) {
      dispatch_floating("step_rows", table.dtype(), [&]<class Scalar>(Scalar) {
        for (std::int64_t i = piece * kRows; i < std::min(size(), (piece + 1) * kRows); ++i) {
          body(Scalar{}, i, ids_[static_cast<std::size_t>(i)]);
        }
      });
    });
  }

 private:
  std::vector<std::int64_t> ids_;
};

namespace detail {
inline void check_sparse_step(std::string_view op, const Tensor& table, const StepRows& rows, const Tensor& gradient,
                              double learning_rate) {
  rows.check_within(table);
  check<ShapeError>(gradient.shape() == Shape{rows.size(), table.size(1)} && gradient.dtype() == table.dtype(), op,
                    ": gradient must be ", table.dtype(), "[", rows.size(), ", ", table.size(1), "], got ",
                    gradient.dtype(), gradient.shape());
  check<ConfigError>(std::isfinite(learning_rate) && learning_rate >= 0, op,
                     ": learning rate must be finite and not negative, got ", learning_rate);
}
}  // namespace detail

/// Updates the rows of a table that a step touches.
class SparseOptimizer {
 public:
  virtual ~SparseOptimizer() = default;

  /// gradient [U, D] of the rows.  Throws DataError for rows outside of the table, ShapeError for a gradient that does
  /// not fit them, ConfigError for a learning rate that is negative or not finite.
  virtual void step(const StepRows& rows, const Tensor& gradient, double learning_rate) = 0;

  /// Copies of everything but the table that the next step depends on.
  std::map<std::string, Tensor> state() const {
    std::map<std::string, Tensor> copies;
    for (const auto& [name, value] : slots()) copies.emplace(name, value.clone());
    return copies;
  }
  /// Restores what state() gave.  Throws CheckpointError, with nothing changed, for entries that are missing, unknown,
  /// or of another shape or dtype.
  void load_state(const std::map<std::string, Tensor>& all) {
    std::map<std::string, Tensor> mine = slots();
    check<CheckpointError>(all.size() == mine.size(), "item optimizer state: expected ", mine.size(), " entries, got ",
                           all.size());
    for (const auto& [name, value] : mine) {
      const auto found = all.find(name);
      check<CheckpointError>(found != all.end(), "item optimizer state: no entry ", name);
      check<CheckpointError>(found->second.shape() == value.shape() && found->second.dtype() == value.dtype(),
                             "item optimizer state: ", name, " must be ", value.dtype(), value.shape(), ", got ",
                             found->second.dtype(), found->second.shape());
    }
    for (auto& [name, value] : mine) value.copy_from(all.at(name));
  }

 protected:
  /// The tensors of the state themselves.
  virtual std::map<std::string, Tensor> slots() const = 0;
};

/// Adagrad with one number of state per row r:  s_r ← s_r + mean_d g_rd²;  θ_r ← θ_r − lr·g_r / (√s_r + eps), for the
/// rows of the step only; docs/math.md (O6).  Source: FBGEMM's EXACT_ROWWISE_ADAGRAD.
class RowwiseAdagrad : public SparseOptimizer {
 public:
  /// Shares the data of `table` [V, D].
  explicit RowwiseAdagrad(Tensor table, double eps = 1e-8)
      : table_(std::move(table)), sums_(Tensor::zeros({table_.size(0)}, table_.dtype())), eps_(eps) {}

  void step(const StepRows& rows, const Tensor& gradient, double learning_rate) override {
    detail::check_sparse_step("rowwise_adagrad", table_, rows, gradient, learning_rate);
    const std::int64_t D = table_.size(1);
    rows.for_each_row(table_, [&]<class Scalar>(Scalar, std::int64_t i, std::int64_t id) {
      const ConstArrayMap<Scalar> g(gradient.data<Scalar>() + i * D, D);
      Scalar& sum = sums_.mutable_data<Scalar>()[id];
      sum += g.square().mean();
      ArrayMap<Scalar>(table_.mutable_data<Scalar>() + id * D, D) -=
          static_cast<Scalar>(learning_rate) / (std::sqrt(sum) + static_cast<Scalar>(eps_)) * g;
    });
  }

 private:
  std::map<std::string, Tensor> slots() const override { return {{"sum", sums_}}; }

  Tensor table_, sums_;
  double eps_;
};

/// Adam whose moments move for the rows of the step only, t counting all steps:
///   m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,  θ ← θ − lr·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + eps).
/// docs/math.md (O7).  Source: torch.optim.SparseAdam.
class SparseAdam : public SparseOptimizer {
 public:
  explicit SparseAdam(Tensor table, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8)
      : table_(std::move(table)), m_(zeros_like(table_)), v_(zeros_like(table_)),
        num_steps_(Tensor::zeros({1}, DType::int64)), beta1_(beta1), beta2_(beta2), eps_(eps) {
    const auto is_share = [](double x) { return x >= 0.0 && x < 1.0; };
    check<ConfigError>(is_share(beta1) && is_share(beta2), "sparse_adam: betas must be in [0, 1), got ", beta1, " and ",
                       beta2);
  }

  void step(const StepRows& rows, const Tensor& gradient, double learning_rate) override {
    detail::check_sparse_step("sparse_adam", table_, rows, gradient, learning_rate);
    const double t = static_cast<double>(++num_steps_.mutable_data<std::int64_t>()[0]);
    const double rate = learning_rate * std::sqrt(1.0 - std::pow(beta2_, t)) / (1.0 - std::pow(beta1_, t));
    const std::int64_t D = table_.size(1);
    rows.for_each_row(table_, [&]<class Scalar>(Scalar, std::int64_t i, std::int64_t id) {
      const ConstArrayMap<Scalar> g(gradient.data<Scalar>() + i * D, D);
      const auto of = [&](Tensor& x) { return ArrayMap<Scalar>(x.mutable_data<Scalar>() + id * D, D); };
      ArrayMap<Scalar> m = of(m_), v = of(v_);
      m += Scalar(1.0 - beta1_) * (g - m);
      v += Scalar(1.0 - beta2_) * (g.square() - v);
      of(table_) -= Scalar(rate) * m / (v.sqrt() + Scalar(eps_));
    });
  }

 private:
  std::map<std::string, Tensor> slots() const override {
    return {{"exp_avg", m_}, {"exp_avg_sq", v_}, {"step", num_steps_}};
  }

  Tensor table_, m_, v_, num_steps_;
  double beta1_, beta2_, eps_;
};

}  // namespace hstu
