// SPDX-License-Identifier: MIT
// Rows of tables by id on the device, and the gradients of the tables.
#pragma once
#include <algorithm>
#include <hstu/cuda/operands/embedding.hpp>
#include <hstu/cuda/rows.hpp>
#include <numeric>

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
    std::vector<std::int32_t> places;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      check<DataError>(ids[i] >= 0 && ids[i] < num_rows, "embedding: id ", ids[i], " of place ", i, ", expected 0 to ",
                       num_rows - 1);
      if (ids[i] != left_out) places.push_back(static_cast<std::int32_t>(i));
    }
    const auto id_of = [&](std::int32_t place) { return ids[static_cast<std::size_t>(place)]; };
    std::ranges::stable_sort(places, {}, id_of);
    std::vector<std::int32_t> starts, unique;
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (i > 0 && id_of(places[i]) == unique.back()) continue;
      starts.push_back(static_cast<std::int32_t>(i));
      unique.push_back(id_of(places[i]));
    }
    starts.push_back(static_cast<std::int32_t>(places.size()));
    places_ = Buffer<std::int32_t>(device, places);
    starts_ = Buffer<std::int32_t>(device, starts);
    ids_ = Buffer<std::int32_t>(device, unique);
  }

  /// dtable += or, on rows that occur, = scale·Σ coefficient·values[place / group], see SumSegments.
  void sum(Device& device, const float* values, const float* coefficients, std::int32_t cols, std::int32_t group,
           float scale, bool accumulates, float* dtable) const {
    const SumSegments o{values,
                        coefficients,
                        places_.data(),
                        starts_.data(),
                        ids_.data(),
                        dtable,
                        static_cast<std::int32_t>(ids_.size()),
                        cols,
                        group,
                        scale,
                        accumulates};
    detail::launch_warps(device, {"embedding", "sum_segments"}, ids_.size(), o);
  }

 private:
  Buffer<std::int32_t> places_, starts_, ids_;
};

}  // namespace hstu::cuda
