// SPDX-License-Identifier: MIT
// Control flow of one function: basic blocks, the points where parted lanes meet, and places for registers.
#pragma once
#include <vector>

#include "decoder.hpp"

namespace ptx {

struct Graph {
  std::vector<u32> begins;  ///< first instruction of each block, and the number of instructions behind the last
  std::vector<std::vector<u32>> next, prior;
  u32 exit = 0;  ///< number of the block behind the last
  u32 blocks() const { return u32(begins.size()) - 1; }
};

/// Targets of the drafts are numbers of instructions.
Graph make_graph(const std::vector<DraftInst>& drafts);

/// Sets meet of every branch to where its ways meet again (the nearest post-dominator), after Cooper, Harvey and
/// Kennedy, "A Simple, Fast Dominance Algorithm"; the number of instructions if that is the exit.
void find_meeting_points(const Graph& graph, std::vector<DraftInst>& drafts);

/// Replaces virtual registers by byte offsets, by liveness and linear scan; returns the bytes of a warp.  A lane's
/// value is never touched by other lanes, so the liveness of one thread is that of all.
u32 place_registers(const Graph& graph, std::vector<DraftInst>& drafts, const std::vector<Type>& registers);

}  // namespace ptx
