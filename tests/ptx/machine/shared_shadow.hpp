// SPDX-License-Identifier: MIT
// Who wrote and read which bytes of a block's shared memory, and which of it happened before what.
//
// Time is a counter that every completed barrier advances.  An access carries the time at which it happened;
// synced[w][u] is the time since when warp w no longer knows what warp u did, so an access of u at time t happened
// before what w does now exactly if t < synced[w][u].  Inside a warp, lanes are in order across __syncwarp and
// barriers.
#pragma once
#include <array>
#include <vector>

#include "types.hpp"

namespace ptx {

struct Warp;
struct Inst;

class SharedShadow {
 public:
  void reset(u64 bytes, u32 granule, u32 warps);

  /// A lane is about to read or write; reports faults.
  void read(Warp& warp, const Inst& inst, u32 lane, u64 offset, u32 bytes, bool atomic);
  void write(Warp& warp, const Inst& inst, u32 lane, u64 offset, u32 bytes, bool atomic, const void* value);
  /// True if the whole range may be read without a closer look; then the readers are noted.
  bool read_range(Warp& warp, u64 offset, u64 bytes, u32 lane_bytes);
  /// cp.async: bytes on their way belong to nobody until they land.
  void depart(Warp& warp, const Inst& inst, u32 lane, u64 offset, u32 bytes);
  void land(const Warp& warp, u32 lane, u64 offset, u32 bytes);

  /// A barrier completed: every waiter is now after everything that the arrivers did.
  void barrier(u32 waiters, u32 arrivers);

 private:
  bool in_order(const Warp& warp, u32 lane, u64 writer) const;
  void check_readers(Warp& warp, const Inst& inst, u32 lane, u64 granule);
  void note_reader(const Warp& warp, u32 lane, u64 granule);
  u64 with_reader(u64 before, u32 warp) const;

  u32 shift_ = 2;
  u32 warps_ = 0, now_ = 1;
  u32 everyone_ = 0;          ///< least of oldest_
  std::vector<u64> writers_;  ///< time:32 | sync:16 | warp:5 | lane:5 | flags:6
  std::vector<u64> readers_;  ///< time:32 | mask of warps
  std::vector<u64> last_;     ///< last reader: sync:32 | warp:8 | lane:8 | several:1
  std::vector<std::array<u32, 32>> synced_;
  std::array<u32, 32> oldest_{};  ///< least of synced_[w]
};

}  // namespace ptx
