// SPDX-License-Identifier: MIT
// The time bucket of every pair of a query and a key it may see, in the order in which attention walks over them.
#pragma once
#include <span>

#include <hstu/core/tensor.hpp>
#include <hstu/ops/time_buckets.hpp>

namespace hstu {

/// Queries that attention treats side by side.
inline constexpr std::int64_t kPanelQueries = 16;

/// Buckets of one batch: per user and block of 16 queries a panel [keys up to the last query][16 queries], or of all
/// keys if contextual tokens are among the queries.  Two bytes a pair, so L² bytes for a history of L events: made once
/// per batch for all layers and heads.
class TimePanels {
 public:
  /// Buckets |query_time[i] − key_time[j]| for j <= i inside each user, and for all j of the first
  /// `contextual_seq_len` queries, which see later keys too.
  ///   offsets int64 [B+1]   query_times_s, key_times_s int64 [T]
  /// Throws ShapeError for offsets that do not fit, DataError for times whose differences could leave int64.
  TimePanels(const Tensor& offsets, const Tensor& query_times_s, const Tensor& key_times_s, const TimeBorders& borders,
             std::int64_t contextual_seq_len = 0)
      : offsets_(offsets.detach()), first_row_(Tensor(offsets.shape(), DType::int64)), buckets_(0),
        contextual_seq_len_(contextual_seq_len) {
    const auto starts = offsets.values<std::int64_t>();
    const auto queries = query_times_s.values<std::int64_t>();
    const auto keys = key_times_s.values<std::int64_t>();
    check<ShapeError>(queries.size() == keys.size() && !starts.empty() && starts.front() == 0 &&
                          starts.back() == std::ssize(keys) && std::ranges::is_sorted(starts),
                      "time_panels: offsets must ascend from 0 to the number of events, got ",
                      starts.empty() ? 0 : starts.front(), " to ", starts.empty() ? 0 : starts.back(), " for ",
                      queries.size(), " query times and ", keys.size(), " key times");
    // Differences of times beyond this would overflow; no calendar reaches it.
    constexpr std::int64_t kMaxTime = std::numeric_limits<std::int64_t>::max() / 8;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      check<DataError>(std::abs(queries[i] / 2) <= kMaxTime && std::abs(keys[i] / 2) <= kMaxTime,
                       "time_panels: timestamps of token ", i, " out of range: query ", queries[i], ", event ", keys[i]);
    }
    auto rows = first_row_.mutable_values<std::int64_t>();
    rows[0] = 0;
    for (std::size_t b = 0; b + 1 < starts.size(); ++b) rows[b + 1] = rows[b] + all_rows(starts[b + 1] - starts[b]);
    buckets_ = Storage(checked_mul(rows.back(), kPanelQueries * std::int64_t{sizeof(std::uint16_t)}));
    for (std::size_t b = 0; b + 1 < starts.size(); ++b) {
      const auto first = static_cast<std::size_t>(starts[b]), length = static_cast<std::size_t>(starts[b + 1]) - first;
      fill(static_cast<std::int64_t>(b), queries.subspan(first, length), keys.subspan(first, length), borders);
    }
  }

  std::int64_t users() const { return first_row_.numel() - 1; }
  /// True if the panels of user b were made for a history of this length.
  bool fits(std::int64_t b, std::int64_t length) const {
    const auto rows = first_row_.values<std::int64_t>();
    return rows[static_cast<std::size_t>(b) + 1] - rows[static_cast<std::size_t>(b)] == all_rows(length);
  }
  std::int64_t contextual_seq_len() const { return contextual_seq_len_; }
  std::int32_t largest_bucket() const { return largest_; }
  /// True if the buckets of every key ascend along the queries, as they do when times ascend; blocks with contextual
  /// tokens left out.
  bool is_ascending() const { return is_ascending_; }

  /// The buckets of queries i0 … i0 + 15 (i0 a multiple of 16) of user b with `key`.  Entries of queries before the
  /// key or behind the last query are some bucket that occurs nearby.
  const std::uint16_t* row(std::int64_t b, std::int64_t i0, std::int64_t key) const {
    return data() + (first_row_.data<std::int64_t>()[b] + first_row_of_block(b, i0) + key) * kPanelQueries;
  }

 private:
  /// Rows of the panels of a history: 16, 32, … keys for the full blocks, all of them for the rest.
  static std::int64_t num_rows(std::int64_t length) {
    const std::int64_t blocks = length / kPanelQueries;
    return kPanelQueries * blocks * (blocks + 1) / 2 + (length % kPanelQueries == 0 ? 0 : length);
  }
  /// Behind them: all keys of every block with contextual tokens.
  std::int64_t all_rows(std::int64_t length) const {
    return num_rows(length) + (std::min(contextual_seq_len_, length) + kPanelQueries - 1) / kPanelQueries * length;
  }
  std::int64_t first_row_of_block(std::int64_t b, std::int64_t i0) const {
    if (i0 >= contextual_seq_len_) return num_rows(i0);
    const std::int64_t length = offsets_.data<std::int64_t>()[b + 1] - offsets_.data<std::int64_t>()[b];
    return num_rows(length) + i0 / kPanelQueries * length;
  }
  std::uint16_t* data() const { return reinterpret_cast<std::uint16_t*>(buckets_.data()); }

  void fill(std::int64_t b, std::span<const std::int64_t> queries, std::span<const std::int64_t> keys,
            const TimeBorders& borders) {
    const std::int64_t length = std::ssize(keys);
    for (std::int64_t i0 = 0; i0 < length; i0 += kPanelQueries) {
      const std::int64_t count = std::min(kPanelQueries, length - i0);
      const bool is_contextual = i0 < contextual_seq_len_;
      const std::int64_t* query = queries.data() + i0;
      std::uint16_t* to = data() + (first_row_.data<std::int64_t>()[b] + first_row_of_block(b, i0)) * kPanelQueries;
      for (std::int64_t key = 0; key < (is_contextual ? length : i0 + count); ++key, to += kPanelQueries) {
        if (key > 0 && keys[static_cast<std::size_t>(key)] == keys[static_cast<std::size_t>(key - 1)]) {
          std::copy_n(to - kPanelQueries, kPanelQueries, to);  // simultaneous events: half of MovieLens
          continue;
        }
        const std::int64_t first = is_contextual ? 0 : std::max<std::int64_t>(key - i0, 0);
        std::uint16_t bucket = 0;
        for (std::int64_t lane = first; lane < count; ++lane) {
          if (lane == first || query[lane] != query[lane - 1]) {
            const std::uint16_t before = bucket;
            bucket = borders.find(query[lane] - keys[static_cast<std::size_t>(key)]);
            is_ascending_ &= is_contextual || lane == first || bucket >= before;
            largest_ = std::max<std::int32_t>(largest_, bucket);
          }
          to[lane] = bucket;
        }
        std::fill_n(to, first, to[first]);
        std::fill(to + count, to + kPanelQueries, bucket);
      }
    }
  }

  Tensor offsets_, first_row_;  // [B + 1]
  Storage buckets_;
  std::int64_t contextual_seq_len_;
  std::int32_t largest_ = 0;
  bool is_ascending_ = true;
};

}  // namespace hstu
