// SPDX-License-Identifier: MIT
// Violations that a launch found.
#pragma once
#include <set>
#include <string>
#include <utility>

#include "types.hpp"

namespace ptx {

enum class Fault : u8 {
  kNone,
  kIllegalAddress,
  kMisaligned,
  kUninitialised,
  kSharedRace,
  kGlobalRace,
  kBarrier,
  kWarpSync,
  kAsyncCopy,
  kTrap,
  kAssert,
  kLivelock
};

std::string_view fault_name(Fault fault);

/// The first fault decides how the launch ends; each instruction is reported once per kind.
struct Faults {
  Fault first = Fault::kNone;
  u64 count = 0;
  bool stop = false;  ///< no use in going on
  std::set<std::pair<u32, Fault>> reported;
  static constexpr std::size_t kMaxReports = 10;
};

}  // namespace ptx
