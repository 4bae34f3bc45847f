// SPDX-License-Identifier: MIT
// How attention walks over a batch: users, a few blocks of 16 queries side by side, and panels of keys.
#pragma once
#include <hstu/ops/bias_panels.hpp>
#include <hstu/ops/block_mask.hpp>

namespace hstu::detail {

/// Keys of a panel: with 16 queries 10 KB of float32, so that the three panels of backward share the L1 cache.
inline constexpr std::int64_t kPanelKeys = 160;
/// Blocks that pass by a panel of keys before the next one is fetched: what a long history costs in memory traffic is
/// divided by it.
inline constexpr std::int64_t kBlocksTogether = 4;

/// 16 queries of one user, with the panel that they are at.
template <class Scalar>
struct QueryBlock {
  std::int64_t slot;   ///< of the blocks side by side: which scratch memory is the block's
  std::int64_t start;  ///< first token of the user
  PanelRange range;
  BlockMask<Scalar> mask;

  std::int64_t first_query() const { return start + range.i0; }
  std::int64_t first_key() const { return start + range.first; }
  std::int64_t keys() const { return range.last - range.first; }

  /// body(entry, visible) for every pack of the panel; visible(x, z) is x, but z at queries that do not see the key.
  template <class Body>
  HSTU_INLINE void for_each_pack(const Body& body) const {
    constexpr std::int64_t kLine = kPanelQueries;
    const KeyRange all = mask.seen_by_all(range.first, range.last);
    for (std::int64_t entry = (all.first - range.first) * kLine; entry < (all.last - range.first) * kLine;
         entry += kLanes) {
      body(entry, [](Pack<Scalar> x, Pack<Scalar>) HSTU_LAMBDA_INLINE { return x; });
    }
    for (const KeyRange& some : {KeyRange{range.first, all.first}, KeyRange{all.last, range.last}}) {
      for (std::int64_t key = some.first; key < some.last; ++key) {
        for (std::int64_t n = 0; n < kLine; n += kLanes) {
          const Mask<Scalar> sees = mask.sees(key, n);
          const std::int64_t entry = (key - range.first) * kLine + n;
          body(entry, [sees](Pack<Scalar> x, Pack<Scalar> z) HSTU_LAMBDA_INLINE { return select(sees, x, z); });
        }
      }
    }
  }
};

/// Calls begin(block), then on_panel(block) for the keys that some query of the block sees, in ascending panels, then
/// end(block), for the blocks of all users.  mask_of(user) gives a user's mask.
template <class Scalar, class MaskOf, class Begin, class OnPanel, class End>
void for_each_block(std::span<const std::int64_t> offsets, const MaskOf& mask_of, const Begin& begin,
                    const OnPanel& on_panel, const End& end) {
  std::array<QueryBlock<Scalar>, kBlocksTogether> blocks;
  for (std::size_t user = 0; user + 1 < offsets.size(); ++user) {
    const SequenceMask mask = mask_of(user);
    for (std::int64_t i0 = 0; i0 < mask.length;) {
      std::int64_t count = 0, first_key = mask.length, last_key = 0;
      for (; count < kBlocksTogether && i0 < mask.length; ++count, i0 += kPanelQueries) {
        const std::int64_t queries = std::min(kPanelQueries, mask.length - i0);
        const bool is_plain = i0 >= mask.rule.contextual_seq_len && i0 + queries <= mask.targets_begin();
        QueryBlock<Scalar>& block = blocks[static_cast<std::size_t>(count)];
        block = {.slot = count,
                 .start = offsets[user],
                 .range = {static_cast<std::int64_t>(user), i0, queries, 0, 0, is_plain ? nullptr : &mask},
                 .mask = BlockMask<Scalar>(mask, i0, queries)};
        for (const KeyRange& keys : block.mask.visited()) {
          if (keys.first >= keys.last) continue;
          first_key = std::min(first_key, keys.first);
          last_key = std::max(last_key, keys.last);
        }
        begin(block);
      }
      const std::span side_by_side(blocks.data(), static_cast<std::size_t>(count));
      for (std::int64_t first = first_key; first < last_key; first += kPanelKeys) {
        for (QueryBlock<Scalar>& block : side_by_side) {
          for (const KeyRange& keys : block.mask.visited()) {
            block.range.first = std::max(first, keys.first);
            block.range.last = std::min(first + kPanelKeys, keys.last);
            if (block.range.first < block.range.last) on_panel(block);
          }
        }
      }
      for (QueryBlock<Scalar>& block : side_by_side) end(block);
    }
  }
}

}  // namespace hstu::detail
