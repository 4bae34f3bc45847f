// SPDX-License-Identifier: MIT
// Barriers of a block.
#include <algorithm>

#include "lanes.hpp"
#include "machine.hpp"

namespace ptx {

void Block::arrive(Warp& w, const Inst& i) {
  const u32 id = *w.at<u32>(i.o[0]);
  const u32 threads = i.o[1] == kNoOperand ? 0 : *w.at<u32>(i.o[1]);
  if (launch->check && w.mask != w.alive)
    launch->fault(Fault::kBarrier, w, i, first_lane(w.mask),
                  cat("divergent barrier: only the lanes ", hex(w.mask), " of the warp reach it, but ", hex(w.alive), " are alive"));
  if (id >= barriers.size() || threads % kLanes != 0 || threads / kLanes > launch->warps) {
    launch->fault(Fault::kBarrier, w, i, first_lane(w.mask), cat("barrier ", id, " of ", threads, " threads: there are 16 barriers, "
                  "the number of threads is a multiple of 32 and at most that of the block"));
    return;
  }
  Barrier& barrier = barriers[id];
  if (barrier.arrivers >> w.number & 1)
    launch->fault(Fault::kBarrier, w, i, first_lane(w.mask), cat("the warp arrives at barrier ", id, " twice"));
  if (barrier.arrivers != 0 && barrier.expected != threads / kLanes)
    launch->fault(Fault::kBarrier, w, i, first_lane(w.mask), cat("barrier ", id, " is used with different numbers of threads"));
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
  shadow.barrier(barrier.waiters, barrier.arrivers);
  each_lane(barrier.waiters, [&](u32 k) {
    Warp& w = warps[k];
    const Inst& i = *barrier.where[k];
    w.waiting = false;
    ++w.sync;
    if (i.mode < kBarrierPopc) return;
    w.mask = w.alive;
    if (i.mode == kBarrierPopc) put_same<u32>(w, i.o[3], barrier.votes);
    else w.set_predicate(i.o[3], (i.mode == kBarrierAnd ? barrier.all : barrier.votes != 0) ? ~0u : 0u);
  });
  barrier = {};
}

bool Block::done() const {
  return std::all_of(warps.begin(), warps.end(), [](const Warp& w) { return w.done; });
}

}  // namespace ptx
