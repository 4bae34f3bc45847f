// SPDX-License-Identifier: MIT
#include "flow.hpp"

#include <algorithm>

namespace ptx {
namespace {

bool ends_block(Flow flow) {
  return flow == Flow::kBranch || flow == Flow::kBranchIndex || flow == Flow::kReturn || flow == Flow::kExit ||
         flow == Flow::kTrap;
}

constexpr u32 kUnknown = ~0u;

/// Blocks in the order in which a walk against the edges leaves them, from the exit.
std::vector<u32> post_order(const Graph& graph) {
  std::vector<u32> order;
  std::vector<char> seen(graph.prior.size(), 0);
  std::vector<std::pair<u32, std::size_t>> stack{{graph.exit, 0}};
  seen[graph.exit] = 1;
  while (!stack.empty()) {
    auto& [block, edge] = stack.back();
    if (edge == graph.prior[block].size()) {
      order.push_back(block);
      stack.pop_back();
    } else if (const u32 to = graph.prior[block][edge++]; !seen[to]) {
      seen[to] = 1;
      stack.emplace_back(to, 0);
    }
  }
  return order;
}

std::vector<u32> post_dominators(const Graph& graph) {
  const std::vector<u32> order = post_order(graph);
  std::vector<u32> number(graph.prior.size(), kUnknown), above(graph.prior.size(), kUnknown);
  for (u32 k = 0; k < order.size(); ++k) number[order[k]] = k;
  above[graph.exit] = graph.exit;
  const auto meet = [&](u32 a, u32 b) {
    while (a != b) {
      while (number[a] < number[b]) a = above[a];
      while (number[b] < number[a]) b = above[b];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t k = order.size() - 1; k-- > 0;) {
      u32 best = kUnknown;
      for (const u32 to : graph.next[order[k]])
        if (above[to] != kUnknown) best = best == kUnknown ? to : meet(best, to);
      if (best != above[order[k]]) {
        above[order[k]] = best;
        changed = true;
      }
    }
  }
  return above;
}

}  // namespace

Graph make_graph(const std::vector<DraftInst>& drafts) {
  const u32 n = u32(drafts.size());
  std::vector<char> leads(n + 1, 0);
  leads[0] = 1;
  for (u32 k = 0; k < n; ++k) {
    if (!ends_block(drafts[k].inst.flow)) continue;
    leads[k + 1] = 1;
    for (const u32 target : drafts[k].targets) leads[target] = 1;
  }
  Graph graph;
  std::vector<u32> block_of(n + 1);
  for (u32 k = 0; k < n; ++k) {
    if (leads[k]) graph.begins.push_back(k);
    block_of[k] = u32(graph.begins.size()) - 1;
  }
  graph.exit = block_of[n] = u32(graph.begins.size());
  graph.begins.push_back(n);
  graph.next.resize(graph.exit + 1);
  graph.prior.resize(graph.exit + 1);
  for (u32 block = 0; block < graph.exit; ++block) {
    const DraftInst& last = drafts[graph.begins[block + 1] - 1];
    std::vector<u32>& next = graph.next[block];
    for (const u32 target : last.targets) next.push_back(block_of[target]);
    const bool leaves = ends_block(last.inst.flow);
    if (leaves && last.targets.empty()) next.push_back(graph.exit);
    if (!leaves || last.inst.guard != kNoOperand) next.push_back(block_of[graph.begins[block + 1]]);
    for (const u32 to : next) graph.prior[to].push_back(block);
  }
  return graph;
}

void find_meeting_points(const Graph& graph, std::vector<DraftInst>& drafts) {
  const std::vector<u32> above = post_dominators(graph);
  const u32 n = u32(drafts.size());
  for (u32 block = 0; block < graph.exit; ++block) {
    Inst& last = drafts[graph.begins[block + 1] - 1].inst;
    if (last.flow != Flow::kBranch && last.flow != Flow::kBranchIndex) continue;
    last.meet = above[block] == kUnknown ? n : graph.begins[above[block]];
    if (last.meet < n) drafts[last.meet].inst.reconverges = true;
  }
}

}  // namespace ptx
