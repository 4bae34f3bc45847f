// SPDX-License-Identifier: MIT
// The mask of a block of 16 queries: which keys attention has to visit at all, and which lanes see a key.
#pragma once
#include <algorithm>
#include <array>

#include <hstu/core/simd.hpp>
#include <hstu/ops/attention_mask.hpp>
#include <hstu/ops/time_panels.hpp>

namespace hstu::detail {

/// Queries i0 … i0 + count − 1 of a sequence; lanes from `count` on repeat the last query.
template <class Scalar>
class BlockMask {
 public:
  BlockMask() : BlockMask({}, 0, kPanelQueries) {}
  BlockMask(const SequenceMask& mask, std::int64_t i0, std::int64_t count)
      : is_causal_(mask.num_targets == 0 && mask.rule.max_attn_len == 0 && i0 >= mask.rule.contextual_seq_len),
        i0_(i0), visited_{KeyRange{0, i0 + count}, KeyRange{}}, common_{0, i0 + 1} {
    if (!is_causal_) set_lanes(mask, count);
  }

  /// Keys that some query sees, in one or two runs; no other key need be looked at.
  const std::array<KeyRange, 2>& visited() const { return visited_; }
  /// Those of keys [first, last) that all queries see.
  KeyRange seen_by_all(std::int64_t first, std::int64_t last) const {
    const std::int64_t begin = std::clamp(common_.first, first, last);
    return {begin, std::clamp(common_.last, begin, last)};
  }
  /// The lanes n … n + 7 that see `key`.
  HSTU_INLINE Mask<Scalar> sees(std::int64_t key, std::int64_t n) const {
    if (is_causal_) return lane_numbers<Scalar>() >= splat(static_cast<Scalar>(key - i0_ - n));
    const Pack<Scalar> k = splat(static_cast<Scalar>(key - i0_));
    return ((k >= load(first_ + n)) & (k < load(last_ + n))) | (k == load(self_ + n));
  }

 private:
  void set_lanes(const SequenceMask& mask, std::int64_t count) {
    KeyRange all = mask.keys_of(i0_);
    common_ = all;
    for (std::int64_t lane = 0; lane < kPanelQueries; ++lane) {
      const std::int64_t query = i0_ + std::min(lane, count - 1);
      const KeyRange keys = mask.keys_of(query);
      first_[lane] = static_cast<Scalar>(keys.first - i0_);
      last_[lane] = static_cast<Scalar>(keys.last - i0_);
      self_[lane] = static_cast<Scalar>(query - i0_);
      all = {std::min(all.first, keys.first), std::max(all.last, keys.last)};
      common_ = {std::max(common_.first, keys.first), std::min(common_.last, keys.last)};
    }
    const std::int64_t first_target = std::max(i0_, mask.targets_begin()), end = i0_ + count;
    visited_ = {all, KeyRange{std::max(first_target, all.last), std::max({first_target, all.last, end})}};
    if (first_target >= end) visited_[1] = {};
  }

  bool is_causal_;
  std::int64_t i0_;
  std::array<KeyRange, 2> visited_;
  KeyRange common_;
  Scalar first_[kPanelQueries], last_[kPanelQueries], self_[kPanelQueries];  // relative to i0
};

}  // namespace hstu::detail
