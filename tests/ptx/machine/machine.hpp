// SPDX-License-Identifier: MIT
// The running machine: launches, blocks and warps.
#pragma once
#include <memory>
#include <unordered_map>

#include "counters.hpp"
#include "faults.hpp"
#include "memory.hpp"
#include "shared_shadow.hpp"

namespace ptx {

// Generic addresses of what is not global memory.
inline constexpr u64 kSharedWindow = 0x7e00'0000'0000;
inline constexpr u64 kLocalWindow = 0x7d00'0000'0000;
inline constexpr u64 kParamWindow = 0x7c00'0000'0000;
inline constexpr u64 kWindowBytes = u64{1} << 32;

/// Inst::mode of memory instructions whose address is an offset in the frame of the function.
inline constexpr u8 kFrameRelative = 1;

/// Inst::mode of barriers.
inline constexpr u8 kBarrierSync = 0, kBarrierArrive = 1, kBarrierPopc = 2, kBarrierAnd = 3, kBarrierOr = 4;

struct Block;
struct Launch;

/// Lanes that run together until pc reaches meet.
struct Path {
  u32 pc = 0, meet = 0, mask = 0;
};

/// A function being run; its paths are those of Warp::paths from first_path on.
struct Frame {
  const Code* code = nullptr;
  const Call* call = nullptr;  ///< nullptr: the kernel itself
  u8* registers = nullptr;
  u32 first_path = 0;
  u32 local_base = 0;
};

/// Bytes of a cp.async on their way.
struct AsyncCopy {
  u32 destination = 0, bytes = 0, lane = 0, group = 0;
  std::array<u8, 16> data{};
};

struct Warp {
  u8* base[2] = {};  ///< registers of the frame, constants of the module
  u32 mask = 0;      ///< lanes that execute the instruction at hand
  u32 alive = 0;     ///< lanes that have not exited
  u32 number = 0;
  u32 local_base = 0;
  Block* block = nullptr;
  Launch* launch = nullptr;
  std::vector<Path> paths;
  std::vector<Frame> frames;
  bool done = false, waiting = false;
  u32 barrier = 0;
  u32 sync = 1;                              ///< counts points at which the lanes wait for each other
  u32 last_branch = ~0u, last_target = ~0u;  ///< of the kernel itself
  u32 exit = ~0u;                            ///< where the last lanes exited
  u64 budget = 0;                            ///< instructions it may still execute
  std::vector<AsyncCopy> copies;
  std::array<u32, kLanes> groups{};          ///< groups of async copies committed so far
  std::vector<u8> local;                     ///< lane after lane
  std::vector<std::unique_ptr<u8[]>> spare;  ///< registers of the functions being called

  template <class T>
  T* at(u32 operand) {
    return reinterpret_cast<T*>(base[operand >> 31] + (operand & ~kConstantBit));
  }
  u32& predicate(u32 operand) { return *at<u32>(operand); }
  void set_predicate(u32 operand, u32 value) {
    if (operand == kNoOperand) return;
    u32& p = predicate(operand);
    p = (p & ~mask) | (value & mask);
  }
};

struct Barrier {
  u32 arrivers = 0, waiters = 0;  ///< masks of warps
  u32 expected = 0;               ///< warps; 0: all that are not done
  u32 votes = 0;                  ///< lanes that voted yes, of all warps
  bool all = true;
  std::array<const Inst*, 32> where{};  ///< where each waiter stands
};

struct Block {
  Launch* launch = nullptr;
  std::array<u32, 3> index{};
  u32 number = 0;
  std::vector<u8> shared;
  SharedShadow shadow;
  std::vector<Warp> warps;
  std::vector<u8> registers;
  std::array<Barrier, 16> barriers{};
  std::vector<u64> acquired;  ///< blocks whose writes this one may rely on, one bit each
  bool fenced = false;
  u64 signals = 0;  ///< atomics and volatile accesses of global memory, by which blocks wait for each other

  /// The lanes of warp.mask are at a barrier; the warp waits unless that completed it.
  void arrive(Warp& warp, const Inst& inst);
  /// All lanes of the warp have exited.
  void finish(Warp& warp);
  bool done() const;

 private:
  void release_if_full(Barrier& barrier);
  void check_skipped(const Barrier& barrier);
};

struct Launch {
  Memory* memory = nullptr;
  const Module* module = nullptr;
  const Code* code = nullptr;
  std::array<u32, 3> grid{}, block{};
  u32 shared_bytes = 0, dynamic_bytes = 0, threads = 0, warps = 0;
  std::vector<u8> parameters;
  bool check = true, count = true;
  u64 number = 0;
  u64 workspace = 0;  ///< of the grid, if the kernel asks for it
  u64 ticks = 0;      ///< instructions so far: what clocks show
  Counters counters;
  Faults faults;
  std::vector<std::array<std::array<u32, kLanes>, 3>> thread_index;  ///< per warp, [xyz][lane]
  /// Atomics and flags behind a fence publish what blocks wrote: per address, the blocks.
  std::unordered_map<u64, std::vector<u64>> released;

  void fault(Fault kind, Warp& warp, const Inst& inst, u32 lane, const std::string& detail);
  bool stopped() const { return faults.stop; }
};

/// Runs launches one after the other.  Blocks run in order, several at a time only where one waits for another.
class Machine {
 public:
  Memory memory;
  u64 launches = 0;

  struct Request {
    const Module* module = nullptr;
    const Code* code = nullptr;
    std::array<u32, 3> grid{}, block{};
    u32 dynamic_bytes = 0;
    std::vector<u8> parameters;
    bool check = true, count = false;
  };
  struct Result {
    Faults faults;
    Counters counters;
  };
  Result run(Request request);
};

/// Runs the warp until it waits, ends, or has used its slice of instructions.
void run_warp(Warp& warp, u64 slice);

}  // namespace ptx
