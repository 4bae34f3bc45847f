// SPDX-License-Identifier: MIT
// Rows of tables by id on the device, and the gradients of the tables.
#pragma once
#include <hstu/cuda/operands/embedding.hpp>
#include <hstu/cuda/rows.hpp>
#include <hstu/cuda/sort_ids.hpp>

namespace hstu::cuda {

inline void embedding_forward(Device& device, const EmbeddingForward& o) {
  detail::launch_warps(device, {"embedding", "embedding_forward"}, o.rows, o);
}

/// The places of every id in a list, in order: made once per batch.
class SortedIds {
 public:
  /// Places with the id `left_out` are left out.  Throws DataError for an id outside of [0, num_rows).
  SortedIds(const Device& device, std::span<const std::int32_t> ids, std::int64_t num_rows,
            std::int64_t left_out = -1) {
    const SortedPlaces sorted = sort_places(ids, num_rows, left_out);
    places_ = Buffer<std::int32_t>(device, sorted.places);
    starts_ = Buffer<std::int32_t>(device, sorted.starts);
    ids_ = Buffer<std::int32_t>(device, sorted.ids);
  }

  /// Number of different ids.
  std::int64_t unique() const { return ids_.size(); }

  /// What is summed, see SumSegments.
  struct Sum {
    const float* values;
    const std::int32_t* rows = nullptr;
    const float* coefficients = nullptr;
    std::int32_t cols = 0;
    std::int32_t group = 1;
    float scale = 1.0f;
    bool accumulates = false;
  };
  /// Writes, or adds to, the rows of dtable that occur.
  void sum(Device& device, const Sum& what, float* dtable) const {
    SumSegments o{};
    o.values = what.values;
    o.rows = what.rows;
    o.coefficients = what.coefficients;
    o.places = places_.data();
    o.starts = starts_.data();
    o.ids = ids_.data();
    o.dtable = dtable;
    o.segments = static_cast<std::int32_t>(ids_.size());
    o.cols = what.cols;
    o.group = what.group;
    o.scale = what.scale;
    o.accumulates = what.accumulates;
    detail::launch_warps(device, {"embedding", "sum_segments"}, ids_.size(), o);
  }

 private:
  Buffer<std::int32_t> places_, starts_, ids_;
};

}  // namespace hstu::cuda
