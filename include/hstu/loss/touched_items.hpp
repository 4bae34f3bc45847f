// SPDX-License-Identifier: MIT
// The few rows of a large table that one call of a loss reads, packed for SIMD, with their gradient.
#pragma once
#include <vector>

#include <hstu/core/eigen_map.hpp>

namespace hstu::detail {

/// The rows of a table that one call touches, normalised, padded to whole SIMD vectors, with their gradient.
/// Slots are numbered by first use, so that work and memory depend on the call; on the catalogue, only 4 bytes an item.
template <class Scalar>
class TouchedItems {
 public:
  static constexpr std::int64_t kLanes = 8;

  TouchedItems(const Tensor& table, bool normalize, double eps)
      : table_(matrix<Scalar>(table)),
        normalize_(normalize),
        eps_(static_cast<Scalar>(eps)),
        slot_of_(static_cast<std::size_t>(table.size(0)), -1) {}

  std::int64_t num_vectors() const { return (table_.cols() + kLanes - 1) / kLanes; }

  std::int32_t slot(std::int32_t item) {
    std::int32_t& slot = slot_of_[static_cast<std::size_t>(item)];
    if (slot < 0) {
      slot = static_cast<std::int32_t>(items_.size());
      items_.push_back(item);
    }
    return slot;
  }

  /// Copies the rows of all slots.
  void load(bool with_gradient) {
    const std::int64_t count = std::ssize(items_), width = num_vectors() * kLanes;
    rows_ = Tensor::zeros({count, width}, dtype_of<Scalar>());
    if (with_gradient) gradient_ = zeros_like(rows_);
    auto rows = mutable_matrix<Scalar>(rows_);
    for (std::int64_t s = 0; s < count; ++s) {
      const auto row = table_.row(items_[static_cast<std::size_t>(s)]);
      rows.row(s).head(table_.cols()) = row / divisor(row.norm());
    }
  }

  Scalar* row(std::int32_t slot) { return rows_.mutable_data<Scalar>() + slot * num_vectors() * kLanes; }
  Scalar* gradient(std::int32_t slot) { return gradient_.mutable_data<Scalar>() + slot * num_vectors() * kLanes; }

  /// dtable += scale · gradient through n = e / max(‖e‖, eps):  de = (g − n·(n·g)) / ‖e‖, or g / eps for short rows.
  void add_gradient(Tensor& dtable, Scalar scale) const {
    const std::int64_t width = table_.cols();
    auto out = mutable_matrix<Scalar>(dtable);
    const auto rows = matrix<Scalar>(rows_), gradient = matrix<Scalar>(gradient_);
    for (std::int64_t s = 0; s < std::ssize(items_); ++s) {
      const std::int64_t item = items_[static_cast<std::size_t>(s)];
      const auto n = rows.row(s).head(width), g = gradient.row(s).head(width);
      const Scalar norm = table_.row(item).norm();
      const bool on_sphere = normalize_ && norm >= eps_;
      const Scalar along = on_sphere ? n.dot(g) : Scalar(0);
      out.row(item) += (g - along * n) * (scale / divisor(norm));
    }
  }

 private:
  Scalar divisor(Scalar norm) const { return normalize_ ? std::max(norm, eps_) : Scalar(1); }

  ConstMatrixMap<Scalar> table_;
  bool normalize_;
  Scalar eps_;
  std::vector<std::int32_t> slot_of_;  // by item; -1: not touched
  std::vector<std::int32_t> items_;    // by slot
  Tensor rows_, gradient_;             // [slots, D padded]
};

}  // namespace hstu::detail
