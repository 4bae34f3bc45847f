// SPDX-License-Identifier: MIT
// Races between the blocks of a launch on global memory.  Every granule remembers who wrote and who read it last.  A
// block may rely on what another one wrote if it saw a flag or atomic that the other set behind a fence.
#include "access.hpp"

namespace ptx {
namespace {

constexpr u64 kStrong = 1;   // all such accesses were atomic, volatile or the like
constexpr u64 kSeveral = 2;  // other blocks as well

u64 launch_of(u64 entry) {
  return entry >> 40;
}
u32 block_of(u64 entry) {
  return u32(entry >> 8);
}
u64 tag_of(const Warp& w) {
  return (w.launch->number & 0xffffff) << 40 | u64{w.block->number} << 8;
}

bool relies_on(const Block& block, u32 other) {
  return other / 64 < block.acquired.size() && (block.acquired[other / 64] >> (other % 64) & 1) != 0;
}

/// True if another block touched it in this launch.
bool is_foreign(u64 entry, u64 tag) {
  return launch_of(entry) == launch_of(tag) && ((entry ^ tag) >> 8 != 0 || (entry & kSeveral) != 0);
}

bool conflicts(const Warp& w, u64 entry, u64 tag, bool strong) {
  return is_foreign(entry, tag) && !(strong && (entry & kStrong)) && !relies_on(*w.block, block_of(entry));
}

void note(u64& entry, u64 tag, bool strong) {
  const u64 own = tag | (strong ? kStrong : 0);
  if (launch_of(entry) != launch_of(tag))
    entry = own;
  else if ((entry ^ tag) >> 8 == 0)
    entry = (entry & (own | kSeveral)) | tag;
  else
    entry = tag | kSeveral | (own & entry & kStrong);
}

void race(Warp& w, const Inst& i, u32 lane, const Allocation& a, u64 granule, u64 entry, std::string_view what,
          std::string_view before) {
  w.launch->fault(Fault::kGlobalRace, w, i, lane,
                  cat(what, " at ", hex(a.base + granule * a.granule), " what block #", block_of(entry), " ", before,
                      " in the same launch"));
}

}  // namespace

void watch_global(Warp& w, const Inst& i, u32 lane, Allocation& a, u64 offset, u32 bytes, Access access) {
  if (w.launch->grid[0] * u64{w.launch->grid[1]} * w.launch->grid[2] == 1) return;
  a.watch(bytes);
  const u64 tag = tag_of(w);
  const bool atomic = access == Access::kAtomic, strong = i.strong || atomic;
  // The first load of a loop around compare-and-swap is plain and harmless.
  const bool tolerant = strong || w.launch->code->has_cas;
  for (u64 g = offset / a.granule; g <= (offset + bytes - 1) / a.granule; ++g) {
    u64 &writer = a.writers[g], &reader = a.readers[g];
    if (access == Access::kRead) {
      if (conflicts(w, writer, tag, tolerant)) race(w, i, lane, a, g, writer, "reads", "wrote");
      note(reader, tag, strong);
      continue;
    }
    if (conflicts(w, writer, tag, strong))
      race(w, i, lane, a, g, writer, "writes", "wrote");
    else if (conflicts(w, strong && w.launch->code->has_cas ? reader | kStrong : reader, tag, strong))
      race(w, i, lane, a, g, reader, "writes", "read");
    note(writer, tag, strong);
  }
}

bool watch_global_range(Warp& w, const Inst& i, Allocation& a, u64 offset, u64 bytes, Access access, u32 element) {
  if (w.launch->grid[0] * u64{w.launch->grid[1]} * w.launch->grid[2] == 1) return true;
  if (access == Access::kAtomic || i.strong) return false;
  a.watch(element);
  const u64 tag = tag_of(w), launch = launch_of(tag);
  const u64 first = offset / a.granule, count = (offset + bytes - 1) / a.granule + 1 - first;
  u64 *const writers = a.writers.get() + first, *const readers = a.readers.get() + first;
  u64 foreign = 0;
  if (access == Access::kRead) {
    for (u64 k = 0; k < count; ++k)
      foreign |= u64{launch_of(writers[k]) == launch} & u64{(writers[k] ^ tag) >= 256 || (writers[k] & 2)};
    if (foreign != 0) return false;
    for (u64 k = 0; k < count; ++k)
      readers[k] = launch_of(readers[k]) == launch && (readers[k] ^ tag) >= 256 ? tag | kSeveral
                   : launch_of(readers[k]) == launch                            ? tag | (readers[k] & kSeveral)
                                                                                : tag;
    return true;
  }
  for (u64 k = 0; k < count; ++k) {
    foreign |= u64{launch_of(writers[k]) == launch} & u64{(writers[k] ^ tag) >= 256 || (writers[k] & 2)};
    foreign |= u64{launch_of(readers[k]) == launch} & u64{(readers[k] ^ tag) >= 256 || (readers[k] & 2)};
  }
  if (foreign != 0) return false;
  for (u64 k = 0; k < count; ++k) writers[k] = tag;
  return true;
}

void fence_global(Warp& w) {
  w.block->fenced = true;
}

void synchronize_blocks(Warp& w, const Inst& i, u64 address, Access access) {
  Block& block = *w.block;
  auto& released = w.launch->released;
  const bool publishes = access != Access::kRead && (block.fenced || i.releases);
  if (!publishes && released.empty()) return;
  const auto join = [](std::vector<u64>& into, const std::vector<u64>& from) {
    if (into.size() < from.size()) into.resize(from.size());
    for (std::size_t k = 0; k < from.size(); ++k) into[k] |= from[k];
  };
  if (access != Access::kWrite || i.strong) {
    const auto found = released.find(address);
    if (found != released.end() && access != Access::kWrite) join(block.acquired, found->second);
  }
  if (!publishes) return;
  std::vector<u64>& set = released[address];
  join(set, block.acquired);
  if (set.size() <= block.number / 64) set.resize(block.number / 64 + 1);
  set[block.number / 64] |= u64{1} << (block.number % 64);
}

}  // namespace ptx
