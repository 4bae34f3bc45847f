// SPDX-License-Identifier: MIT
#include "shared_shadow.hpp"

#include <algorithm>
#include <cstring>

#include "machine.hpp"

namespace ptx {
namespace {

constexpr u64 kWritten = 1, kInFlight = 2, kAtomic = 4;

u64 entry_of(u32 time, const Warp& w, u32 lane, u64 flags) {
  return u64{time} << 32 | u64{w.sync & 0xffff} << 16 | u64{w.number} << 11 | u64{lane} << 6 | flags;
}
u32 time_of(u64 entry) {
  return u32(entry >> 32);
}
u32 sync_of(u64 entry) {
  return u32(entry >> 16) & 0xffff;
}
u32 warp_of(u64 entry) {
  return u32(entry >> 11) & 31;
}
u32 lane_of(u64 entry) {
  return u32(entry >> 6) & 31;
}

constexpr u64 kSeveral = 1;
u64 last_of(const Warp& w, u32 lane) {
  return u64{w.sync} << 32 | u64{w.number} << 16 | u64{lane} << 8;
}

/// The last readers, one more among them.
u64 joined(u64 before, u64 own) {
  if (before >> 16 != own >> 16) return own;
  return own | (before & kSeveral) | ((before ^ own) >> 8 != 0 ? kSeveral : 0);
}

void race(Warp& w, const Inst& i, u32 lane, u64 offset, std::string_view what, u32 warp, const std::string& lanes) {
  w.launch->fault(Fault::kSharedRace, w, i, lane,
                  cat(what, " at offset ", offset, " by warp ", warp, lanes, ", with no barrier in between"));
}

}  // namespace

void SharedShadow::reset(u64 bytes, u32 granule, u32 warps) {
  shift_ = granule == 1 ? 0 : granule == 2 ? 1 : 2;
  warps_ = warps;
  now_ = 1;
  const u64 granules = (bytes >> shift_) + 4;
  writers_.assign(granules, 0);
  readers_.assign(granules, 0);
  last_.assign(granules, 0);
  everyone_ = 0;
  synced_.assign(warps, {});
  oldest_.fill(0);
}

bool SharedShadow::in_order(const Warp& w, u32 lane, u64 entry) const {
  const u32 other = warp_of(entry);
  if (time_of(entry) < synced_[w.number][other]) return true;
  return other == w.number && (lane_of(entry) == lane || sync_of(entry) != (w.sync & 0xffff));
}

void SharedShadow::note_reader(const Warp& w, u32 lane, u64 g) {
  readers_[g] = with_reader(readers_[g], w.number);
  last_[g] = joined(last_[g], last_of(w, lane));
}

u64 SharedShadow::with_reader(u64 before, u32 warp) const {
  return u64{now_} << 32 | u64{1} << warp | (before >> 32 >= everyone_ ? before & 0xffffffff : 0);
}

void SharedShadow::read(Warp& w, const Inst& i, u32 lane, u64 offset, u32 bytes, bool atomic) {
  for (u64 g = offset >> shift_; g <= (offset + bytes - 1) >> shift_; ++g) {
    const u64 writer = writers_[g];
    const u64 at = std::max(offset, g << shift_);
    if (writer & kInFlight)
      w.launch->fault(Fault::kAsyncCopy, w, i, lane,
                      cat("read of shared memory at offset ", at,
                          " that an async copy is still writing: wait for its group first"));
    else if (!(writer & kWritten))
      w.launch->fault(Fault::kUninitialised, w, i, lane, cat("read of shared memory never written, at offset ", at));
    else if (!in_order(w, lane, writer) && !((writer & kAtomic) && (atomic || i.strong)))
      race(w, i, lane, at, "read after a write", warp_of(writer), cat(" lane ", lane_of(writer)));
    if (!atomic && !i.strong) note_reader(w, lane, g);
  }
}

bool SharedShadow::read_range(Warp& w, u64 offset, u64 bytes, u32 lane_bytes) {
  const u64 first = offset >> shift_, last = (offset + bytes - 1) >> shift_;
  const u64 limit = u64{oldest_[w.number]} << 32;
  u64 bad = 0;
  for (u64 g = first; g <= last; ++g) bad |= u64{writers_[g] >= limit} | (~writers_[g] & kWritten);
  if (bad != 0) return false;
  for (u64 g = first; g <= last; ++g) readers_[g] = with_reader(readers_[g], w.number);
  for (u64 g = first; g <= last; ++g) {
    const u64 lane = lane_bytes == 0 ? 0 : ((g << shift_) - offset) / lane_bytes;
    last_[g] = joined(last_[g], last_of(w, u32(lane))) | (lane_bytes == 0 ? kSeveral : 0);
  }
  return true;
}

void SharedShadow::check_readers(Warp& w, const Inst& i, u32 lane, u64 g) {
  const u64 readers = readers_[g];
  const u32 time = time_of(readers);
  u32 conflicting = 0;
  each_lane(u32(readers), [&](u32 warp) {
    if (warp != w.number && time >= synced_[w.number][warp]) conflicting |= 1u << warp;
  });
  if (conflicting != 0) return race(w, i, lane, g << shift_, "write after a read", first_lane(conflicting), "");
  const u64 last = last_[g], own = last_of(w, lane);
  if (last >> 16 == own >> 16 && ((last & kSeveral) || (last ^ own) >> 8 != 0))
    race(w, i, lane, g << shift_, "write after a read", w.number,
         (last & kSeveral) ? " (several lanes)" : cat(" lane ", last >> 8 & 0xff));
}

void SharedShadow::write(Warp& w, const Inst& i, u32 lane, u64 offset, u32 bytes, bool atomic, const void* value) {
  const bool same = value != nullptr && std::memcmp(w.block->shared.data() + offset, value, bytes) == 0;
  for (u64 g = offset >> shift_; g <= (offset + bytes - 1) >> shift_; ++g) {
    const u64 writer = writers_[g];
    const u64 at = std::max(offset, g << shift_);
    const bool both_strong = (writer & kAtomic) && (atomic || i.strong);
    if (writer & kInFlight)
      w.launch->fault(Fault::kAsyncCopy, w, i, lane,
                      cat("write to shared memory at offset ", at, " that an async copy is still writing"));
    else if ((writer & kWritten) && !in_order(w, lane, writer) && !both_strong && !same)
      race(w, i, lane, at, "write after a write", warp_of(writer), cat(" lane ", lane_of(writer)));
    else if (!same)
      check_readers(w, i, lane, g);
    writers_[g] = entry_of(now_, w, lane, kWritten | (atomic || i.strong ? kAtomic : 0));
  }
}

void SharedShadow::depart(Warp& w, const Inst& i, u32 lane, u64 offset, u32 bytes) {
  write(w, i, lane, offset, bytes, false, nullptr);
  for (u64 g = offset >> shift_; g <= (offset + bytes - 1) >> shift_; ++g)
    writers_[g] = entry_of(~0u, w, lane, kWritten | kInFlight);
}

void SharedShadow::land(const Warp& w, u32 lane, u64 offset, u32 bytes) {
  for (u64 g = offset >> shift_; g <= (offset + bytes - 1) >> shift_; ++g)
    writers_[g] = entry_of(now_, w, lane, kWritten);
}

void SharedShadow::barrier(u32 waiters, u32 arrivers) {
  ++now_;
  // What a warp knows of others, everyone who waits for it knows as well.
  std::array<u32, 32> known{};
  each_lane(arrivers, [&](u32 u) {
    for (u32 x = 0; x < warps_; ++x) known[x] = std::max(known[x], synced_[u][x]);
  });
  each_lane(arrivers, [&](u32 u) { known[u] = now_; });
  each_lane(waiters, [&](u32 w) {
    for (u32 x = 0; x < warps_; ++x) synced_[w][x] = std::max(synced_[w][x], known[x]);
    oldest_[w] = *std::min_element(synced_[w].begin(), synced_[w].begin() + warps_);
  });
  everyone_ = *std::min_element(oldest_.begin(), oldest_.begin() + warps_);
}

}  // namespace ptx
