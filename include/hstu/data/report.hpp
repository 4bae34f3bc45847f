// SPDX-License-Identifier: MIT
// data_report: the figures that describe a data set.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include <hstu/data/sequences.hpp>

namespace hstu {

/// All zero for an empty data set.
struct DataReport {
  std::int64_t users = 0;
  std::int64_t items = 0;  ///< names in the vocabulary, so without padding
  std::int64_t events = 0;
  std::int64_t min_length = 0;  ///< events of a user
  double median_length = 0;     ///< mean of the middle two if their number is even
  double mean_length = 0;
  std::int64_t max_length = 0;
  std::int64_t first_timestamp_s = 0;
  std::int64_t last_timestamp_s = 0;
  double tied_step_share = 0;  ///< of all events with one before it (same user), those with its timestamp
};

inline DataReport data_report(const Sequences& sequences) {
  DataReport report{
      .users = sequences.num_users(), .items = sequences.vocabulary.num_names(), .events = sequences.num_events()};
  if (report.users == 0) return report;
  std::vector<std::int64_t> lengths;
  std::int64_t steps = 0;
  std::int64_t tied_steps = 0;
  for (std::int64_t user = 0; user < report.users; ++user) {
    lengths.push_back(sequences.length(user));
    const auto times = sequences.timestamps_of(user);
    for (std::size_t i = 1; i < times.size(); ++i) {
      ++steps;
      tied_steps += times[i] == times[i - 1] ? 1 : 0;
    }
  }
  std::ranges::sort(lengths);
  const std::size_t middle = lengths.size() / 2;
  report.min_length = lengths.front();
  report.max_length = lengths.back();
  report.median_length = static_cast<double>(lengths[middle] + lengths[lengths.size() - 1 - middle]) / 2.0;
  report.mean_length = static_cast<double>(report.events) / static_cast<double>(report.users);
  if (report.events > 0) {
    const auto [first, last] = std::ranges::minmax(sequences.timestamps_s);
    report.first_timestamp_s = first;
    report.last_timestamp_s = last;
  }
  report.tied_step_share = steps == 0 ? 0.0 : static_cast<double>(tied_steps) / static_cast<double>(steps);
  return report;
}

}  // namespace hstu
