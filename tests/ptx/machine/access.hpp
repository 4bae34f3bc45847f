// SPDX-License-Identifier: MIT
// From the addresses of 32 lanes to bytes of the host, with every check on the way.
#pragma once
#include "machine.hpp"

namespace ptx {

enum class Access : u8 { kRead, kWrite, kAtomic };

using Addresses = std::array<u64, kLanes>;
using Bytes = std::array<u8*, kLanes>;

/// Register or constant, plus offset, plus the frame where the variable belongs to it.
void read_addresses(Warp& warp, const Inst& inst, u32 operand, s64 offset, bool wide, Addresses& into);

/// Finds where each lane of warp.mask reads or writes `bytes` bytes; returns the lanes that may go on, the others have
/// a place with zeros.  `values`: what lanes write, `bytes` apart (nullptr if not known).
u32 locate(Warp& warp, const Inst& inst, Space space, const Addresses& addresses, u32 bytes, Access access,
           const u8* values, Bytes& places);

/// Device memory of one lane, for copies that are not loads of registers; nullptr after a fault.
u8* locate_global(Warp& warp, const Inst& inst, u32 lane, u64 address, u32 bytes, Access access, u32 alignment);

/// True if the bytes lie in the block's shared memory and are aligned; else reports.
bool check_shared(Warp& warp, const Inst& inst, u32 lane, u64 offset, u32 bytes, Access access);

// Races between blocks (global_shadow.cpp).
void watch_global(Warp& warp, const Inst& inst, u32 lane, Allocation& allocation, u64 offset, u32 bytes, Access access);
/// True if no byte of the range was touched by another block; then the access is noted.
bool watch_global_range(Warp& warp, const Inst& inst, Allocation& allocation, u64 offset, u64 bytes, Access access,
                        u32 element);
/// A fence of the device: what this block wrote before may be published by a flag or atomic.
void fence_global(Warp& warp);
void synchronize_blocks(Warp& warp, const Inst& inst, u64 address, Access access);

}  // namespace ptx
