// SPDX-License-Identifier: MIT
// Liveness of virtual registers and their places.
#include <algorithm>

#include "flow.hpp"

namespace ptx {
namespace {

using Bits = std::vector<u64>;

void set(Bits& bits, u32 k) {
  bits[k / 64] |= u64{1} << (k % 64);
}
bool test(const Bits& bits, u32 k) {
  return (bits[k / 64] >> (k % 64) & 1) != 0;
}

template <class F>
void each_bit(const Bits& bits, F&& f) {
  for (std::size_t w = 0; w < bits.size(); ++w)
    for (u64 left = bits[w]; left != 0; left &= left - 1) f(u32(w * 64 + u32(std::countr_zero(left))));
}

/// First and last moment at which a register holds a value: 2k reads of instruction k, 2k + 1 its writes.
struct Span {
  u32 begin = ~0u, end = 0;
  void cover(u32 moment) {
    begin = std::min(begin, moment);
    end = std::max(end, moment);
  }
};

std::vector<Span> live_spans(const Graph& graph, std::vector<DraftInst>& drafts, u32 count) {
  const std::size_t words = (count + 63) / 64;
  std::vector<Bits> in(graph.exit + 1, Bits(words)), reads = in, writes = in;
  for (u32 block = 0; block < graph.exit; ++block)
    for (u32 k = graph.begins[block]; k < graph.begins[block + 1]; ++k) {
      // A guarded write leaves the old value in some lanes: it reads as well.
      const bool guarded = drafts[k].inst.guard != kNoOperand;
      for (const Use& use : drafts[k].uses)
        if (const u32 r = drafts[k].place(use.slot); (!use.defines || guarded) && !test(writes[block], r))
          set(reads[block], r);
      for (const Use& use : drafts[k].uses)
        if (use.defines && !guarded) set(writes[block], drafts[k].place(use.slot));
    }
  const auto out = [&](u32 block, std::size_t w) {
    u64 bits = 0;
    for (const u32 to : graph.next[block]) bits |= in[to][w];
    return bits;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (u32 block = graph.exit; block-- > 0;)
      for (std::size_t w = 0; w < words; ++w) {
        const u64 bits = reads[block][w] | (out(block, w) & ~writes[block][w]);
        changed |= bits != in[block][w];
        in[block][w] = bits;
      }
  }
  std::vector<Span> spans(count);
  for (u32 block = 0; block < graph.exit; ++block) {
    each_bit(in[block], [&](u32 r) { spans[r].cover(2 * graph.begins[block]); });
    for (const u32 to : graph.next[block])
      each_bit(in[to], [&](u32 r) { spans[r].cover(2 * graph.begins[block + 1]); });
    for (u32 k = graph.begins[block]; k < graph.begins[block + 1]; ++k)
      for (const Use& use : drafts[k].uses) spans[drafts[k].place(use.slot)].cover(2 * k + (use.defines ? 1 : 0));
  }
  return spans;
}

}  // namespace

u32& DraftInst::place(u8 slot) {
  switch (slot) {
    case Use::kAddress:
      return inst.address;
    case Use::kAddress2:
      return inst.address2;
    case Use::kGuard:
      return inst.guard;
    default:
      return slot >= kMoreSlots ? more.at(slot - kMoreSlots) : inst.o[slot];
  }
}

u32 place_registers(const Graph& graph, std::vector<DraftInst>& drafts, const std::vector<Type>& registers) {
  const u32 count = u32(registers.size());
  const std::vector<Span> spans = live_spans(graph, drafts, count);
  const auto bytes = [&](u32 r) {
    return registers[r] == Type::kPred ? 4u : bytes_of(registers[r]) == 8 ? 256u : 128u;
  };
  std::vector<u32> order;
  for (u32 r = 0; r < count; ++r)
    if (spans[r].begin != ~0u) order.push_back(r);
  std::stable_sort(order.begin(), order.end(), [&](u32 a, u32 b) { return spans[a].begin < spans[b].begin; });

  std::vector<u32> places(count, 0), alive;
  std::map<u32, std::vector<u32>> free;
  u32 top = 0, predicates = 0;
  for (const u32 r : order) {
    std::erase_if(alive, [&](u32 other) {
      if (spans[other].end >= spans[r].begin) return false;
      free[bytes(other)].push_back(places[other]);
      return true;
    });
    std::vector<u32>& vacant = free[bytes(r)];
    if (!vacant.empty()) {
      places[r] = vacant.back();
      vacant.pop_back();
    } else if (bytes(r) == 4) {
      places[r] = predicates++ * 4;  // moved behind the others below
    } else {
      places[r] = top;
      top += bytes(r);
    }
    alive.push_back(r);
  }
  for (DraftInst& draft : drafts)
    for (const Use& use : draft.uses) {
      u32& slot = draft.place(use.slot);
      slot = places[slot] + (registers[slot] == Type::kPred ? top : 0);
    }
  return u32(round_up(top + predicates * 4, 128));
}

}  // namespace ptx
