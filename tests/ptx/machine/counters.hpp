// SPDX-License-Identifier: MIT
// What a launch did, counted per instruction of a warp.
#pragma once
#include <array>

#include "program.hpp"

namespace ptx {

/// Global memory moves in sectors of 32 bytes; shared memory has 32 banks of 4 bytes, and a wavefront serves one word
/// of each.  "Ideal" is what the bytes asked for would take at least.
struct Counters {
  u64 blocks = 0, warp_instructions = 0, thread_instructions = 0;
  std::array<u64, std::size_t(Class::kCount)> by_class{};
  u64 mma_flops = 0;
  u64 global_requests = 0, global_bytes = 0, global_sectors = 0, global_sectors_ideal = 0;
  u64 shared_requests = 0, shared_wavefronts = 0, shared_wavefronts_ideal = 0;
  u64 local_requests = 0;
  u64 atomics = 0;  ///< per thread
  u64 branches = 0, divergent_branches = 0, barriers = 0;

  void count_global(u32 mask, const u64* addresses, u32 bytes);
  void count_shared(u32 mask, const u64* addresses, u32 bytes);
};

std::string_view class_name(Class kind);

}  // namespace ptx
