// SPDX-License-Identifier: MIT
// Barriers of a block.
#include <algorithm>

#include "lanes.hpp"
#include "machine.hpp"

namespace ptx {

void Block::arrive(Warp& w, const Inst& i) {
  const u32 first = first_lane(w.mask);
  const u32 id = w.at<u32>(i.o[0])[first];
  const u32 threads = i.o[1] == kNoOperand ? 0 : w.at<u32>(i.o[1])[first];
  if (launch->check && w.mask != w.alive)
    launch->fault(Fault::kBarrier, w, i, first_lane(w.mask),
                  cat("only the lanes ", hex(w.mask), " of the warp reach it, but ", hex(w.alive), " are alive"));
  if (id >= barriers.size() || threads % kLanes != 0 || threads / kLanes > launch->warps) {
    launch->fault(Fault::kBarrier, w, i, first_lane(w.mask),
                  cat("barrier ", id, " of ", threads,
                      " threads: there are 16 barriers, "
                      "the number of threads is a multiple of 32 and at most that of the block"));
    return;
  }
  Barrier& barrier = barriers[id];
  if (barrier.arrivers >> w.number & 1)
    launch->fault(Fault::kBarrier, w, i, first_lane(w.mask), cat("the warp arrives at barrier ", id, " twice"));
  if (barrier.arrivers != 0 && barrier.expected != threads / kLanes)
    launch->fault(Fault::kBarrier, w, i, first_lane(w.mask),
                  cat("barrier ", id, " is used with different numbers of threads"));
  ++launch->counters.barriers;
  barrier.expected = threads / kLanes;
  barrier.arrivers |= 1u << w.number;
  if (i.mode != kBarrierArrive) {
    barrier.waiters |= 1u << w.number;
    barrier.where[w.number] = &i;
    w.waiting = true;
    w.barrier = id;
  }
  if (i.mode >= kBarrierPopc) {
    const u32 yes = w.predicate(i.o[2]) & w.mask;
    barrier.votes += u32(std::popcount(yes));
    barrier.all &= yes == w.mask;
  }
  release_if_full(barrier);
}

void Block::finish(Warp& w) {
  w.done = true;
  for (Barrier& barrier : barriers)
    if (barrier.arrivers != 0) release_if_full(barrier);
}

void Block::release_if_full(Barrier& barrier) {
  u32 alive = 0;
  for (const Warp& w : warps) alive |= u32(!w.done) << w.number;
  const bool full = barrier.expected == 0 ? (alive & ~barrier.arrivers) == 0
                                          : u32(std::popcount(barrier.arrivers)) >= barrier.expected;
  if (!full || barrier.arrivers == 0) return;
  if (launch->check && barrier.expected == 0 && barrier.waiters != 0) check_skipped(barrier);
  shadow.barrier(barrier.waiters, barrier.arrivers);
  each_lane(barrier.waiters, [&](u32 k) {
    Warp& w = warps[k];
    const Inst& i = *barrier.where[k];
    w.waiting = false;
    ++w.sync;
    if (i.mode < kBarrierPopc) return;
    w.mask = w.alive;
    if (i.mode == kBarrierPopc)
      put_same<u32>(w, i.o[3], barrier.votes);
    else
      w.set_predicate(i.o[3], (i.mode == kBarrierAnd ? barrier.all : barrier.votes != 0) ? ~0u : 0u);
  });
  barrier = {};
}

/// A thread that has returned need not come to a barrier; one that went past it should have waited.
void Block::check_skipped(const Barrier& barrier) {
  const Inst* const first = launch->code->insts.data();
  const Inst& i = *barrier.where[first_lane(barrier.waiters)];
  const u64 at = u64(&i - first);
  if (&i < first || at >= launch->code->insts.size()) return;  // a barrier of a function
  for (const Warp& w : warps) {
    if (!w.done || (barrier.arrivers >> w.number & 1)) continue;
    const std::vector<bool>& beyond = launch->code->beyond(u32(at));
    const bool returned_at_once = w.exit == w.last_target;
    if ((w.last_branch == ~0u || !beyond[w.last_branch]) && (returned_at_once || w.exit == ~0u || !beyond[w.exit]))
      continue;
    Warp& waiter = warps[first_lane(barrier.waiters)];
    launch->fault(Fault::kBarrier, waiter, i, first_lane(waiter.alive),
                  cat("warp ", w.number, " went past it without waiting"));
  }
}

const std::vector<bool>& Code::beyond(u32 inst) const {
  const auto found = beyond_.find(inst);
  if (found != beyond_.end()) return found->second;
  const u32 n = u32(insts.size());
  std::vector<bool> after(n), before(n);
  for (std::vector<u32> left{inst}; !left.empty();) {
    const std::vector<u32> next = successors(left.back());
    left.pop_back();
    for (const u32 k : next)
      if (k < n && !after[k]) after[k] = true, left.push_back(k);
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (u32 k = n; k-- > 0;)
      for (const u32 next : successors(k))
        if (!before[k] && next < n && (next == inst || before[next])) before[k] = changed = true;
  }
  for (u32 k = 0; k < n; ++k) after[k] = after[k] && !before[k] && k != inst;
  return beyond_[inst] = after;
}

std::vector<u32> Code::successors(u32 inst) const {
  const Inst& i = insts[inst];
  std::vector<u32> result;
  if (i.flow == Flow::kBranch) result.push_back(i.target);
  if (i.flow == Flow::kBranchIndex) result = branch_tables[i.target];
  const bool leaves = i.flow == Flow::kBranch || i.flow == Flow::kBranchIndex || i.flow == Flow::kReturn ||
                      i.flow == Flow::kExit || i.flow == Flow::kTrap;
  if (!leaves || i.guard != kNoOperand) result.push_back(inst + 1);
  return result;
}

bool Block::done() const {
  return std::all_of(warps.begin(), warps.end(), [](const Warp& w) { return w.done; });
}

}  // namespace ptx
