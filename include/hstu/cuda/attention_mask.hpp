// SPDX-License-Identifier: MIT
// A mask of attention as the kernels ask for it: of every query the keys that it sees, of 16 queries what some and what
// all of them see, so that whole tiles can be left out.
#pragma once
#include <algorithm>
#include <hstu/cuda/buffer.hpp>
#include <hstu/cuda/operands/attention.hpp>
#include <hstu/ops/attention_operands.hpp>
#include <limits>

namespace hstu::cuda {

/// The mask of a batch, on the device.
class DeviceMask {
 public:
  /// bounds [users + 1]: first tokens of the users.  num_targets as in AttentionOptions.  Throws as hstu_attention does
  /// if the mask does not fit a user.
  DeviceMask(const Device& device, const std::vector<std::int32_t>& bounds, const AttentionMask& rule,
             const Tensor& num_targets)
      : rule_(rule), num_targets_(num_targets), looks_ahead_(rule.contextual_seq_len > 0) {
    const std::vector<std::int64_t> wide(bounds.begin(), bounds.end());
    hstu::detail::check_mask(rule, num_targets, wide);
    std::vector<std::int32_t> places(static_cast<std::size_t>(bounds.back()));
    std::vector<TargetUser> users;
    seen_.resize(places.size());
    for (std::size_t b = 0; b + 1 < bounds.size(); ++b) {
      const SequenceMask mask{rule, wide[b + 1] - wide[b],
                              num_targets.defined() ? num_targets.values<std::int64_t>()[b] : 0};
      for (std::int64_t i = 0; i < mask.length; ++i) {
        const auto token = static_cast<std::size_t>(wide[b] + i);
        const KeyRange keys = mask.keys_of(i);
        seen_[token] = {token_of(wide[b] + keys.first), token_of(wide[b] + keys.last)};
        places[token] = token_of(wide[b] + mask.place(i));
      }
      if (mask.num_targets > 1) users.push_back({bounds[b], token_of(wide[b] + mask.targets_begin())});
    }
    seen_on_device_ = Buffer<KeySpan>(device, seen_);
    const Blocks of_blocks = blocks(places);
    seen_by_some_ = Buffer<KeySpan>(device, of_blocks.some);
    seen_by_all_ = Buffer<KeySpan>(device, of_blocks.all);
    if (users.empty()) return;
    places_ = Buffer<std::int32_t>(device, places);
    users_ = Buffer<TargetUser>(device, users);
  }

  /// Of every query, besides itself.
  const std::vector<KeySpan>& seen() const { return seen_; }
  /// Users with more than one target: their distances are no differences of tokens.
  const Buffer<TargetUser>& target_users() const { return users_; }

  bool is_of(const AttentionOptions& options) const {
    return options.mask == rule_ && options.num_targets.defined() == num_targets_.defined() &&
           (!num_targets_.defined() ||
            std::ranges::equal(options.num_targets.values<std::int64_t>(), num_targets_.values<std::int64_t>()));
  }
  template <class Element>
  void fill(AttentionOperands<Element>& o) const {
    o.seen = seen_on_device_.data();
    o.seen_by_some = seen_by_some_.data();
    o.seen_by_all = seen_by_all_.data();
    o.places = places_.data();
    o.looks_ahead = looks_ahead_;
  }

 private:
  static std::int32_t token_of(std::int64_t token) { return static_cast<std::int32_t>(token); }

  /// Of every 16 queries.  Nothing is seen by all of those with targets that share a place, or that the batch does not
  /// fill.
  struct Blocks {
    std::vector<KeySpan> some, all;
  };
  Blocks blocks(const std::vector<std::int32_t>& places) const {
    constexpr std::size_t kQueries = 16, kBlocksOfTile = 4;
    constexpr std::int32_t kFar = std::numeric_limits<std::int32_t>::max();
    const std::size_t tokens = seen_.size(), tile = kQueries * kBlocksOfTile;
    const std::size_t count = (tokens + tile - 1) / tile * kBlocksOfTile;
    Blocks blocks{std::vector<KeySpan>(count, {kFar, 0}), std::vector<KeySpan>(count, {0, 0})};
    for (std::size_t b = 0; b * kQueries < tokens; ++b) {
      KeySpan& some = blocks.some[b];
      KeySpan all{0, kFar};
      bool is_plain = (b + 1) * kQueries <= tokens;
      for (std::size_t i = b * kQueries; i < std::min((b + 1) * kQueries, tokens); ++i) {
        const KeySpan keys = seen_[i];
        is_plain &= places[i] == token_of(static_cast<std::int64_t>(i));
        all = {std::max(all.first, keys.first), std::min(all.last, keys.last)};
        if (keys.first < keys.last) some = {std::min(some.first, keys.first), std::max(some.last, keys.last)};
      }
      if (is_plain && all.first < all.last) blocks.all[b] = all;
    }
    return blocks;
  }

  AttentionMask rule_;
  Tensor num_targets_;
  bool looks_ahead_;
  std::vector<KeySpan> seen_;
  Buffer<KeySpan> seen_on_device_, seen_by_some_, seen_by_all_;
  Buffer<std::int32_t> places_;
  Buffer<TargetUser> users_;
};

}  // namespace hstu::cuda
