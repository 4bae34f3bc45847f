// SPDX-License-Identifier: MIT
// A batch of users' histories without padding, and the way to it from left-padded windows.
#pragma once
#include <limits>
#include <span>
#include <vector>

#include <hstu/core/tensor.hpp>

namespace hstu {

/// B histories one after another: T tokens, user b has tokens [offsets[b], offsets[b+1]).
struct JaggedBatch {
  Tensor offsets;        ///< int64 [B+1]
  Tensor items;          ///< int32 [T]
  Tensor positions;      ///< int32 [T], row of the position embedding
  Tensor times_s;        ///< int64 [T], when the event happened
  Tensor query_times_s;  ///< int64 [T], when the prediction made at this token is asked for (time of the next event)
  Tensor ages_s;         ///< int64 [T], time difference for the input time embedding: query time − event time
  Tensor targets;        ///< int32 [T], the next item; 0 = none

  std::int64_t users() const { return offsets.numel() - 1; }
  std::int64_t tokens() const { return items.numel(); }
};

/// Collects histories into a JaggedBatch.
class JaggedBatchBuilder {
 public:
  void begin_user() { offsets_.push_back(static_cast<std::int64_t>(items_.size())); }
  void add(std::int32_t item, std::int32_t position, std::int64_t time_s, std::int64_t query_time_s, std::int64_t age_s,
           std::int32_t target) {
    items_.push_back(item);
    positions_.push_back(position);
    times_s_.push_back(time_s);
    query_times_s_.push_back(query_time_s);
    ages_s_.push_back(age_s);
    targets_.push_back(target);
  }
  std::int64_t tokens() const { return std::ssize(items_); }
  JaggedBatch build() {
    offsets_.push_back(std::ssize(items_));
    return {Tensor::from(offsets_),       Tensor::from(items_),  Tensor::from(positions_), Tensor::from(times_s_),
            Tensor::from(query_times_s_), Tensor::from(ages_s_), Tensor::from(targets_)};
  }

 private:
  PoolVector<std::int64_t> offsets_;
  PoolVector<std::int32_t> items_, positions_, targets_;
  PoolVector<std::int64_t> times_s_, query_times_s_, ages_s_;
};

enum class Padding { skip, keep };

/// From left-padded windows as torch-rechub makes them: tokens, time_diffs_s [B, L] row-major, targets [B].
/// The anchor of the time differences is time 0.  Positions are columns of the window.  Every token's target is the
/// token to its right, the last one's is targets[b]; padding tokens have none.
/// Padding::keep leaves padding tokens (id 0) in the sequence, as torch-rechub 0.1.0 does.
/// Throws ShapeError if the sizes do not fit, DataError for a time difference whose negative leaves int64.
inline JaggedBatch batch_from_windows(std::span<const std::int32_t> tokens, std::span<const std::int64_t> time_diffs_s,
                                      std::span<const std::int32_t> targets, std::int64_t window, Padding padding) {
  const std::int64_t needed = checked_mul(std::ssize(targets), window);
  check<ShapeError>(std::ssize(tokens) == needed && time_diffs_s.size() == tokens.size(), "batch: ", targets.size(),
                    " windows of ", window, " need ", needed, " tokens, got ", tokens.size(), " and ",
                    time_diffs_s.size(), " time differences");
  const auto L = static_cast<std::size_t>(window);
  JaggedBatchBuilder builder;
  for (std::size_t b = 0; b < targets.size(); ++b) {
    builder.begin_user();
    for (std::size_t i = 0; i < L; ++i) {
      const std::size_t at = b * L + i;
      if (tokens[at] == 0 && padding == Padding::skip) continue;
      const std::int32_t next = i + 1 < L ? tokens[at + 1] : targets[b];
      check<DataError>(time_diffs_s[at] > std::numeric_limits<std::int64_t>::min(), "batch: window ", b, ", column ", i,
                       ": time difference ", time_diffs_s[at], " out of range");
      const std::int64_t time_s = -time_diffs_s[at];
      builder.add(tokens[at], static_cast<std::int32_t>(i), time_s, time_s, time_diffs_s[at],
                  tokens[at] == 0 ? 0 : next);
    }
  }
  return builder.build();
}

}  // namespace hstu
