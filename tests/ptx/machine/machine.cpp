// SPDX-License-Identifier: MIT
// Launches: blocks in order, warps of a block in turn, faults.
#include "machine.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>

namespace ptx {
namespace {

/// Instructions after which another warp, or another block, gets a turn: whoever waits for somebody sees it happen.
constexpr u64 kWarpSlice = u64{1} << 14, kBlockSlice = u64{1} << 22;
/// A block that waits for another one asks for a flag again and again.
constexpr u64 kSignalsOfWaiting = 1000;
/// Blocks that may be under way at a time.
constexpr std::size_t kResidentBlocks = 256;

u64 warp_budget() {
  const char* const text = std::getenv("PTX_BUDGET");
  const u64 given = text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
  return given != 0 ? given : u64{1} << 28;
}

void start(Block& block, Launch& launch, u32 number, u64 budget) {
  const Code& code = *launch.code;
  block.launch = &launch;
  block.number = number;
  block.index = {number % launch.grid[0], number / launch.grid[0] % launch.grid[1],
                 number / launch.grid[0] / launch.grid[1]};
  block.shared.assign(launch.shared_bytes + 64, 0xcd);
  block.shadow.reset(launch.check ? launch.shared_bytes : 0, code.shared_granule, launch.warps);
  block.barriers = {};
  block.acquired.clear();
  block.fenced = false;
  block.registers.assign(u64{launch.warps} * code.register_bytes + 64, 0xa5);
  block.warps.resize(launch.warps);
  auto* const registers = reinterpret_cast<u8*>(round_up(reinterpret_cast<std::uintptr_t>(block.registers.data()), 64));
  for (u32 k = 0; k < launch.warps; ++k) {
    Warp& w = block.warps[k];
    const u32 threads = std::min(launch.threads - k * kLanes, kLanes);
    w.number = k;
    w.block = &block;
    w.launch = &launch;
    w.alive = threads == kLanes ? kAllLanes : (1u << threads) - 1;
    w.base[1] = const_cast<u8*>(launch.module->constants.data());
    w.paths.assign(1, {0, ~0u, w.alive});
    w.frames.assign(1, {&code, nullptr, registers + u64{k} * code.register_bytes, 0, 0});
    w.spare.clear();
    w.done = w.waiting = false;
    w.sync = 1;
    w.last_branch = w.last_target = w.exit = ~0u;
    w.budget = budget;
    w.copies.clear();
    w.groups.fill(0);
    w.local.assign(u64{kLanes} * round_up(code.stack_bytes, 16), 0xcd);
  }
}

/// Runs the block until it is done (true) or has used its slice.
bool run_block(Block& block) {
  u64 left = kBlockSlice;
  const u64 signals = block.signals;
  for (;;) {
    bool moved = false, alive = false;
    for (Warp& w : block.warps) {
      if (w.done || w.waiting) continue;
      const u64 before = w.budget;
      run_warp(w, kWarpSlice);
      if (block.launch->stopped()) return true;
      left -= std::min(left, before - w.budget);
      moved = true;
    }
    for (const Warp& w : block.warps) alive |= !w.done;
    if (!alive) return true;
    if (!moved) {
      const auto stuck = std::find_if(block.warps.begin(), block.warps.end(), [](const Warp& w) { return !w.done; });
      const Inst& where = *block.barriers[stuck->barrier].where[stuck->number];
      block.launch->fault(Fault::kBarrier, *stuck, where, first_lane(stuck->alive),
                          cat("the warps of the block wait for each other at different barriers (warp ", stuck->number,
                              " at barrier ", stuck->barrier, ")"));
      block.launch->faults.stop = true;
      return true;
    }
    if (left == 0 || block.signals - signals > kSignalsOfWaiting) return false;
  }
}

void run_blocks(Launch& launch) {
  const u64 blocks = u64{launch.grid[0]} * launch.grid[1] * launch.grid[2];
  const u64 budget = warp_budget();
  std::deque<std::unique_ptr<Block>> resident;
  std::unique_ptr<Block> spare;
  u64 next = 0;
  while ((next < blocks || !resident.empty()) && !launch.stopped()) {
    if (next < blocks && resident.size() < kResidentBlocks) {
      if (!spare) spare = std::make_unique<Block>();
      start(*spare, launch, u32(next++), budget);
      resident.push_front(std::move(spare));
    }
    std::unique_ptr<Block> block = std::move(resident.front());
    resident.pop_front();
    if (run_block(*block))
      spare = std::move(block);
    else
      resident.push_back(std::move(block));
  }
  launch.counters.blocks = next;
}

void number_threads(Launch& launch) {
  launch.threads = launch.block[0] * launch.block[1] * launch.block[2];
  launch.warps = (launch.threads + kLanes - 1) / kLanes;
  launch.thread_index.resize(launch.warps);
  for (u32 k = 0; k < launch.warps * kLanes; ++k) {
    auto& index = launch.thread_index[k / kLanes];
    index[0][k % kLanes] = k % launch.block[0];
    index[1][k % kLanes] = k / launch.block[0] % launch.block[1];
    index[2][k % kLanes] = k / launch.block[0] / launch.block[1];
  }
}

std::string triple(u32 x, u32 y, u32 z) {
  return cat("(", x, ",", y, ",", z, ")");
}

}  // namespace

std::string_view fault_name(Fault fault) {
  constexpr std::string_view names[] = {"none",
                                        "illegal address",
                                        "misaligned address",
                                        "uninitialised read",
                                        "race in shared memory",
                                        "race between blocks",
                                        "divergent barrier",
                                        "divergent warp instruction",
                                        "async copy",
                                        "trap",
                                        "assertion",
                                        "livelock"};
  return names[std::size_t(fault)];
}

void Launch::fault(Fault kind, Warp& w, const Inst& i, u32 lane, const std::string& detail) {
  if (faults.first == Fault::kNone) faults.first = kind;
  ++faults.count;
  const auto is_new = faults.reported.insert({i.line, kind}).second;
  if (!is_new || faults.reported.size() > Faults::kMaxReports) return;
  const auto& index = thread_index[w.number];
  const Source& source = module->source;
  std::string text = i.line >= 1 && i.line <= source.lines.size() ? source.lines[i.line - 1] : "";
  text.erase(0, std::min(text.find_first_not_of(" \t"), text.size()));
  const auto file = source.files.find(i.file);
  const auto& b = w.block->index;
  std::fprintf(stderr,
               "========= PTX machine: %s: %s\n=========     at kernel %s, PTX line %u: %s\n"
               "=========     by thread %s in block %s%s\n",
               std::string(fault_name(kind)).c_str(), detail.c_str(), code->name.c_str(), i.line, text.c_str(),
               triple(index[0][lane], index[1][lane], index[2][lane]).c_str(), triple(b[0], b[1], b[2]).c_str(),
               file == source.files.end() ? "" : cat(", ", file->second, ":", i.file_line).c_str());
}

Machine::Result Machine::run(Request request) {
  Launch launch;
  launch.memory = &memory;
  launch.module = request.module;
  launch.code = request.code;
  launch.grid = request.grid;
  launch.block = request.block;
  launch.dynamic_bytes = request.dynamic_bytes;
  launch.shared_bytes =
      request.dynamic_bytes == 0 ? request.code->shared_bytes : request.code->dynamic_offset + request.dynamic_bytes;
  launch.parameters = std::move(request.parameters);
  launch.parameters.resize(round_up(request.code->parameter_bytes, 16) + 64);
  launch.check = request.check;
  launch.count = request.count;
  launch.number = ++launches;
  if ((launch.number & 0xffffff) == 0) {
    memory.forget_launches();
    launch.number = ++launches;
  }
  if (request.code->uses_workspace) launch.workspace = memory.allocate(64, Allocation::Kind::kVariable).base;
  number_threads(launch);
  run_blocks(launch);
  if (launch.workspace != 0) memory.free(launch.workspace);
  std::fflush(stdout);
  if (launch.faults.count > 0)
    std::fprintf(stderr, "========= PTX machine: %llu violations in a launch of %s\n",
                 static_cast<unsigned long long>(launch.faults.count), launch.code->name.c_str());
  return {launch.faults, launch.counters};
}

}  // namespace ptx
