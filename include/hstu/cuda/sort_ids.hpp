// SPDX-License-Identifier: MIT
// The places of every id in a list, on the host: a step has millions of candidates to sort.
#pragma once
#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <hstu/core/parallel.hpp>

namespace hstu::cuda {

/// The places of ids[i] are places[starts[i] … starts[i + 1]), ascending; ids ascend.
struct SortedPlaces {
  std::vector<std::int32_t> places, starts, ids;
};

/// A counting sort, linear in places and rows, over parts of the list on all threads; the result does not depend on
/// their number.  Places with the id `left_out` are left out.  Throws DataError for an id outside of [0, num_rows).
inline SortedPlaces sort_places(std::span<const std::int32_t> ids, std::int64_t num_rows, std::int64_t left_out) {
  constexpr std::int64_t kLeastPart = 16384;
  const std::int64_t parts =
      std::clamp<std::int64_t>(std::ssize(ids) / std::max(num_rows, kLeastPart), 1, num_threads());
  const std::int64_t part_size = (std::ssize(ids) + parts - 1) / parts;
  const auto rows = static_cast<std::size_t>(num_rows);
  std::vector<std::int32_t> next(static_cast<std::size_t>(parts) * rows, 0);  // of each part and id: its next place
  const auto for_each_place = [&](const auto& visit) {
    parallel_for(parts, [&](std::int64_t part) {
      std::int32_t* const of_part = next.data() + static_cast<std::size_t>(part) * rows;
      const std::int64_t last = std::min(std::ssize(ids), (part + 1) * part_size);
      for (std::int64_t place = part * part_size; place < last; ++place) {
        visit(of_part, ids[static_cast<std::size_t>(place)], static_cast<std::int32_t>(place));
      }
    });
  };
  for_each_place([&](std::int32_t* of_part, std::int32_t id, std::int32_t place) {
    check<DataError>(id >= 0 && id < num_rows, "embedding: id ", id, " of place ", place, ", expected 0 to ",
                     num_rows - 1);
    if (id != left_out) ++of_part[id];
  });
  SortedPlaces sorted;
  std::int32_t count = 0;
  for (std::size_t id = 0; id < rows; ++id) {
    const std::int32_t first = count;
    for (std::size_t part = 0; part < static_cast<std::size_t>(parts); ++part) {
      const std::int32_t of_part = std::exchange(next[part * rows + id], count);
      count += of_part;
    }
    if (count == first) continue;
    sorted.starts.push_back(first);
    sorted.ids.push_back(static_cast<std::int32_t>(id));
  }
  sorted.starts.push_back(count);
  sorted.places.resize(static_cast<std::size_t>(count));
  for_each_place([&](std::int32_t* of_part, std::int32_t id, std::int32_t place) {
    if (id != left_out) sorted.places[static_cast<std::size_t>(of_part[id]++)] = place;
  });
  return sorted;
}

}  // namespace hstu::cuda
