// SPDX-License-Identifier: MIT
// The loop that executes a warp: divergence and reconvergence by a stack of paths, calls by a stack of frames.
#include <cstring>

#include "builtin.hpp"
#include "lanes.hpp"

namespace ptx {
namespace {

class Run {
 public:
  explicit Run(Warp& warp) : w_(warp) { enter_frame(); }

  void go(u64 slice) {
    u64 left = std::min(slice, w_.budget);
    const u64 given = left;
    u64 threads = 0;
    Counters& counters = w_.launch->counters;
    const bool count = w_.launch->count;
    while (left > 0) {
      const Inst& i = insts_[pc_];
      if (i.reconverges && pc_ == path_->meet && w_.paths.size() > w_.frames.back().first_path + 1) {
        pop_path();
        continue;
      }
      active_ = path_->mask;
      u32 mask = active_;
      if (i.guard != kNoOperand) mask &= i.guard_negated ? ~w_.predicate(i.guard) : w_.predicate(i.guard);
      --left;
      if (count) {
        threads += u64(std::popcount(mask));
        ++counters.by_class[std::size_t(i.kind)];
      }
      if (i.flow == Flow::kNext) [[likely]] {
        if (mask != 0) {
          w_.mask = mask;
          i.run(w_, i);
        }
        ++pc_;
      } else if (!step(i, mask)) {
        break;
      }
    }
    if (!w_.done && !w_.paths.empty()) path_->pc = pc_;
    counters.warp_instructions += given - left;
    counters.thread_instructions += threads;
    w_.launch->ticks += given - left;
    w_.budget -= given - left;
    if (w_.budget == 0 && !w_.done) livelock();
  }

 private:
  void enter_frame() {
    const Frame& frame = w_.frames.back();
    insts_ = frame.code->insts.data();
    w_.base[0] = frame.registers;
    w_.local_base = frame.local_base;
    path_ = &w_.paths.back();
    pc_ = path_->pc;
  }

  void pop_path() {
    w_.paths.pop_back();
    path_ = &w_.paths.back();
    pc_ = path_->pc;
  }

  /// Everything that is not "do it and go on"; false if the warp stops for now.
  bool step(const Inst& i, u32 mask) {
    w_.mask = mask;
    switch (i.flow) {
      case Flow::kBranch:
        branch(i, mask);
        return !w_.launch->stopped();
      case Flow::kBranchIndex:
        branch_index(i, mask);
        return true;
      case Flow::kBarrier:
        ++pc_;
        if (mask == 0) return true;
        path_->pc = pc_;
        w_.block->arrive(w_, i);
        return !w_.waiting && !w_.launch->stopped();
      case Flow::kCall:
        return call(i, mask);
      case Flow::kReturn:
        return leave(mask, false);
      case Flow::kTrap:
        if (mask != 0) w_.launch->fault(Fault::kTrap, w_, i, first_lane(mask), "the thread executes trap");
        return leave(mask, true);
      default:
        return leave(mask, true);
    }
  }

  void branch(const Inst& i, u32 mask) {
    ++w_.launch->counters.branches;
    if (mask == active_) {
      if (w_.frames.size() == 1) w_.last_branch = pc_, w_.last_target = i.target;
      pc_ = i.target;
    } else if (mask == 0) {
      ++pc_;
    } else {
      part(i, {{pc_ + 1, active_ & ~mask}, {i.target, mask}});
    }
  }

  void branch_index(const Inst& i, u32 mask) {
    const std::vector<u32>& table = w_.frames.back().code->branch_tables[i.target];
    const u32* const index = w_.at<u32>(i.o[0]);
    ++w_.launch->counters.branches;
    std::vector<std::pair<u32, u32>> ways;
    if (active_ != mask) ways.emplace_back(pc_ + 1, active_ & ~mask);
    each_lane(mask, [&](u32 l) {
      const u32 target = table[std::min<std::size_t>(index[l], table.size() - 1)];
      for (auto& [to, lanes] : ways)
        if (to == target) {
          lanes |= 1u << l;
          return;
        }
      ways.emplace_back(target, 1u << l);
    });
    if (ways.size() == 1)
      pc_ = ways[0].first;
    else
      part(i, ways);
  }

  /// Lanes that go straight to the end of the kernel are gone: barriers and warp instructions do not count them.
  bool ends_at(u32 pc) const { return insts_[pc].flow == Flow::kExit && insts_[pc].guard == kNoOperand; }

  /// The lanes go different ways, the last first, until they meet.
  void part(const Inst& i, std::vector<std::pair<u32, u32>> ways) {
    ++w_.launch->counters.divergent_branches;
    for (std::size_t k = ways.size(); k-- > 0 && ways.size() > 1;) {
      if (!ends_at(ways[k].first)) continue;
      w_.alive &= ~ways[k].second;
      for (Path& path : w_.paths) path.mask &= ~ways[k].second;
      ways.erase(ways.begin() + std::ptrdiff_t(k));
    }
    if (ways.size() == 1) {
      pc_ = ways[0].first;
      return;
    }
    const u32 meet = i.meet;
    // A path that ends where the ways meet has nothing left to do: loops do not grow the stack.
    if (path_->meet == meet && w_.paths.size() > w_.frames.back().first_path + 1)
      w_.paths.pop_back();
    else
      path_->pc = meet;
    for (const auto& [to, lanes] : ways)
      if (to != meet) w_.paths.push_back({to, meet, lanes});
    path_ = &w_.paths.back();
    pc_ = path_->pc;
  }

  bool call(const Inst& i, u32 mask) {
    ++pc_;
    if (mask == 0) return true;
    const Call& call = w_.frames.back().code->calls[i.target];
    if (call.callee == nullptr) {
      find_builtin(call.name)(w_, i, call);
      return !w_.launch->stopped();
    }
    path_->pc = pc_;
    const Frame& caller = w_.frames.back();
    Frame frame;
    frame.code = call.callee;
    frame.call = &call;
    frame.first_path = u32(w_.paths.size());
    frame.local_base = caller.local_base + caller.code->local_bytes;
    const u64 stride = w_.local.size() / kLanes;
    if (frame.local_base + call.callee->local_bytes > stride) {
      w_.launch->fault(Fault::kIllegalAddress, w_, i, first_lane(mask),
                       cat("the stack of ", stride, " bytes overflows"));
      w_.launch->faults.stop = true;
      return false;
    }
    each_lane(mask, [&](u32 l) {
      for (const Copy& c : call.arguments)
        std::memcpy(&w_.local[l * stride + frame.local_base + c.to], &w_.local[l * stride + caller.local_base + c.from],
                    c.bytes);
    });
    w_.spare.emplace_back(new u8[call.callee->register_bytes + 64]());
    frame.registers = w_.spare.back().get();
    w_.frames.push_back(frame);
    w_.paths.push_back({0, ~0u, mask});
    enter_frame();
    return true;
  }

  /// Lanes return from the frame, or exit altogether.
  bool leave(u32 mask, bool exits) {
    const bool in_kernel = w_.frames.size() == 1;
    if (exits || in_kernel) w_.alive &= ~mask;
    const std::size_t first = exits ? 0 : w_.frames.back().first_path;
    if (!exits && !in_kernel) return_results(mask);
    for (std::size_t k = first; k < w_.paths.size(); ++k) w_.paths[k].mask &= ~mask;
    if (path_->mask != 0) {
      ++pc_;
      return true;
    }
    for (;;) {
      while (w_.paths.size() > w_.frames.back().first_path && w_.paths.back().mask == 0) w_.paths.pop_back();
      if (w_.paths.size() > w_.frames.back().first_path) break;
      if (w_.frames.size() == 1) {
        end();
        return false;
      }
      w_.frames.pop_back();
      w_.spare.pop_back();
    }
    enter_frame();
    return true;
  }

  void return_results(u32 mask) {
    const Frame &frame = w_.frames.back(), &caller = w_.frames[w_.frames.size() - 2];
    const u64 stride = w_.local.size() / kLanes;
    each_lane(mask, [&](u32 l) {
      for (const Copy& c : frame.call->results)
        std::memcpy(&w_.local[l * stride + caller.local_base + c.to], &w_.local[l * stride + frame.local_base + c.from],
                    c.bytes);
    });
  }

  void end() {
    w_.exit = pc_;
    if (!w_.copies.empty() && w_.launch->check)
      w_.launch->fault(Fault::kAsyncCopy, w_, insts_[pc_], w_.copies[0].lane,
                       cat("the thread ends with ", w_.copies.size(), " async copies of its warp never waited for"));
    w_.block->finish(w_);
  }

  void livelock() {
    w_.launch->fault(Fault::kLivelock, w_, insts_[pc_], first_lane(w_.paths.back().mask),
                     "the warp has executed as many instructions as it may (PTX_BUDGET): a loop without end?");
    w_.launch->faults.stop = true;
  }

  Warp& w_;
  const Inst* insts_ = nullptr;
  Path* path_ = nullptr;
  u32 pc_ = 0, active_ = 0;
};

}  // namespace

void run_warp(Warp& warp, u64 slice) {
  Run(warp).go(slice);
}

}  // namespace ptx
