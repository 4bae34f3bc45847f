// SPDX-License-Identifier: MIT
// Which keys a query sees: Meta's production mask.  Plain numbers, so that the reference, the kernels of the CPU and
// those of a GPU read one description.
#pragma once
#include <cstdint>

namespace hstu {

/// What all sequences of a batch have in common; all zero: query i sees the keys j <= i.
struct AttentionMask {
  std::int64_t contextual_seq_len = 0;     ///< tokens at the front that see every token before the targets
  std::int64_t max_attn_len = 0;           ///< window: how many ids back a query sees; 0 = no window
  std::int64_t min_full_attn_seq_len = 0;  ///< this many ids before the targets, and the targets, see past the window

  bool operator==(const AttentionMask&) const = default;
};

/// Keys first … last − 1.
struct KeyRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

/// The mask of one sequence: contextual tokens, history, then `num_targets` targets that see the contextual tokens,
/// the history and themselves, never each other.  Needs contextual_seq_len + num_targets <= length.
/// docs/math.md (A9), (A10).  Source: generative-recommenders, ops/pytorch/pt_hstu_attention.py.
struct SequenceMask {
  AttentionMask rule;
  std::int64_t length = 0;
  std::int64_t num_targets = 0;

  /// The place of the first target.
  constexpr std::int64_t targets_begin() const { return length - num_targets; }
  /// All targets stand where the first stands.  Distances between tokens are counted between these places.
  constexpr std::int64_t place(std::int64_t p) const { return p < targets_begin() ? p : targets_begin(); }
  /// Contextual tokens share the id 0, targets the largest.
  constexpr std::int64_t id(std::int64_t p) const {
    if (rule.contextual_seq_len == 0) return place(p);
    const std::int64_t shifted = place(p) - rule.contextual_seq_len + 1;
    return shifted > 0 ? shifted : 0;
  }
  /// True if no window cuts what the query sees.
  constexpr bool sees_everything_before(std::int64_t query) const {
    const std::int64_t window = rule.max_attn_len, last = id(targets_begin());
    return window == 0 || id(query) <= window ||
           (rule.min_full_attn_seq_len > 0 && id(query) >= last - rule.min_full_attn_seq_len);
  }

  /// True if `query` sees `key`: the definition, pair by pair.
  constexpr bool sees(std::int64_t query, std::int64_t key) const {
    if (query == key) return true;
    if (query < rule.contextual_seq_len) return key < targets_begin();
    const std::int64_t distance = id(query) - id(key);
    return distance > 0 && (sees_everything_before(query) || distance <= rule.max_attn_len);
  }

  /// The same as a range: the query sees these keys, and itself if it is a target, and no other.
  constexpr KeyRange keys_of(std::int64_t query) const {
    if (query < rule.contextual_seq_len) return {0, targets_begin()};
    const std::int64_t first = sees_everything_before(query) ? 0 : place(query) - rule.max_attn_len;
    return {first, query < targets_begin() ? query + 1 : targets_begin()};
  }
};

/// The first of the queries 0 … before − 1 of a history that sees other keys once the history has grown from `before` to
/// `after` tokens, `before` if none: those that min_full_attn_seq_len no longer lifts over the window.
constexpr std::int64_t first_changed_query(const AttentionMask& rule, std::int64_t before, std::int64_t after) {
  if (rule.max_attn_len == 0 || rule.min_full_attn_seq_len == 0) return before;
  const std::int64_t first_lifted = before - rule.min_full_attn_seq_len;
  const std::int64_t first = first_lifted > rule.max_attn_len ? first_lifted : rule.max_attn_len + 1;
  return first < before && first < after - rule.min_full_attn_seq_len ? first : before;
}

}  // namespace hstu
