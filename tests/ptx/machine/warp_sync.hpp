// SPDX-License-Identifier: MIT
// Instructions that lanes must execute together.
#pragma once
#include "machine.hpp"

namespace ptx {

/// Reports lanes whose member mask (a register of 32 bits per lane) names lanes that do not execute the instruction.
void check_members(Warp& warp, const Inst& inst, u32 operand);
/// As check_members, for instructions of the whole warp (.aligned without a mask).
void check_whole_warp(Warp& warp, const Inst& inst);
/// bar.warp.sync
void warp_barrier(Warp& warp, const Inst& inst);

}  // namespace ptx
