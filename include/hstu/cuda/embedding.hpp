// SPDX-License-Identifier: MIT
// Rows of tables by id on the device, and the gradients of the tables.
#pragma once
#include <algorithm>
#include <numeric>

#include <hstu/cuda/operands/embedding.hpp>
#include <hstu/cuda/rows.hpp>

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
    // A counting sort: stable, and linear in places and rows.
    std::vector<std::int32_t> next(static_cast<std::size_t>(num_rows) + 1, 0);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      check<DataError>(ids[i] >= 0 && ids[i] < num_rows, "embedding: id ", ids[i], " of place ", i, ", expected 0 to ",
                       num_rows - 1);
      if (ids[i] != left_out) ++next[static_cast<std::size_t>(ids[i]) + 1];
    }
    std::vector<std::int32_t> starts, unique;
    for (std::size_t id = 0; id + 1 < next.size(); ++id) {
      if (next[id + 1] > 0) {
        starts.push_back(next[id]);
        unique.push_back(static_cast<std::int32_t>(id));
      }
      next[id + 1] += next[id];
    }
    starts.push_back(next.back());
    std::vector<std::int32_t> places(static_cast<std::size_t>(next.back()));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == left_out) continue;
      places[static_cast<std::size_t>(next[static_cast<std::size_t>(ids[i])]++)] = static_cast<std::int32_t>(i);
    }
    places_ = Buffer<std::int32_t>(device, places);
    starts_ = Buffer<std::int32_t>(device, starts);
    ids_ = Buffer<std::int32_t>(device, unique);
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
