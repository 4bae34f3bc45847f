// SPDX-License-Identifier: MIT
// Windows: every prefix of a sequence as one left-padded row that predicts the next item (torch-rechub 0.1.0's
// samples).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <hstu/core/check.hpp>
#include <hstu/data/sequences.hpp>

namespace hstu {

/// n samples with L = max_seq_len; the matrices are row-major [n, L].
struct Windows {
  std::int64_t max_seq_len = 0;
  std::vector<std::int32_t> tokens;        ///< items, oldest first, right-aligned; padding is 0
  std::vector<std::int32_t> positions;     ///< 0 … L - 1 in every row, padding included
  std::vector<std::int64_t> time_diffs_s;  ///< time of the row's last event - time of this event; 0 at padding
  std::vector<std::int32_t> targets;       ///< [n], the item that follows the row's last event

  std::int64_t size() const { return static_cast<std::int64_t>(targets.size()); }
};

/// Names a sample without making it: the events of `user` before its event number `target` (from 0) predict that one.
struct WindowRef {
  std::int64_t user = 0;
  std::int64_t target = 1;

  friend bool operator==(const WindowRef&, const WindowRef&) = default;
};

/// The n - 1 samples of each user with n events, users in the given order, prefixes from short to long; a user with
/// fewer than 2 events has none.  Throws DataError on a user out of range.
inline std::vector<WindowRef> list_windows(const Sequences& sequences, std::span<const std::int64_t> users) {
  std::vector<WindowRef> refs;
  for (const std::int64_t user : users) {
    const std::int64_t length = sequences.length(user);
    for (std::int64_t target = 1; target < length; ++target) refs.push_back({user, target});
  }
  return refs;
}

/// Makes the named samples.  Of a prefix longer than L the latest L events are kept.
/// Throws ConfigError if L < 1, DataError if a sample has no history or no target.
inline Windows make_windows(const Sequences& sequences, std::span<const WindowRef> refs, std::int64_t max_seq_len) {
  check<ConfigError>(max_seq_len >= 1, "windows: expected max_seq_len of at least 1, got ", max_seq_len);
  const auto width = static_cast<std::size_t>(max_seq_len);
  const auto cells = static_cast<std::size_t>(checked_mul(static_cast<std::int64_t>(refs.size()), max_seq_len));
  Windows windows{.max_seq_len = max_seq_len,
                  .tokens = std::vector<std::int32_t>(cells, Vocabulary::kPadding),
                  .positions = std::vector<std::int32_t>(cells),
                  .time_diffs_s = std::vector<std::int64_t>(cells, 0),
                  .targets = {}};
  windows.targets.reserve(refs.size());
  for (std::size_t row = 0; row < refs.size(); ++row) {
    const auto& [user, target] = refs[row];
    check<DataError>(target >= 1 && target < sequences.length(user), "windows: user ", user,
                     ": expected a target in [1, ", sequences.length(user), "), got ", target);
    const auto end = static_cast<std::size_t>(target);
    const std::size_t kept = std::min(end, width);
    const std::size_t first_cell = row * width + (width - kept);
    const auto items = sequences.items_of(user);
    const auto times = sequences.timestamps_of(user);
    for (std::size_t i = 0; i < kept; ++i) {
      windows.tokens[first_cell + i] = items[end - kept + i];
      windows.time_diffs_s[first_cell + i] = times[end - 1] - times[end - kept + i];
    }
    const auto positions = std::span(windows.positions).subspan(row * width, width);
    std::iota(positions.begin(), positions.end(), 0);
    windows.targets.push_back(items[end]);
  }
  return windows;
}

/// All samples of `users` in memory: 16·L + 4 bytes each, so 3.2 GB for MovieLens-1M with L = 200; SeqDataset makes
/// them batch by batch instead.
inline Windows make_windows(const Sequences& sequences, std::span<const std::int64_t> users, std::int64_t max_seq_len) {
  return make_windows(sequences, list_windows(sequences, users), max_seq_len);
}

}  // namespace hstu
