// SPDX-License-Identifier: MIT
// Branches, calls, ends, barriers and fences.
#include "access.hpp"
#include "builtin.hpp"
#include "decoder.hpp"
#include "lanes.hpp"
#include "translate.hpp"
#include "warp_sync.hpp"

namespace ptx {
namespace {

void decode_bra(Decoder& d) {
  d.take("uni");
  d.inst.flow = Flow::kBranch;
  d.inst.kind = Class::kControl;
  d.targets.push_back(u32(d.operand(0).bits));
  d.emit();
}

/// o[0] = index
void decode_brx(Decoder& d) {
  if (!d.take("idx")) d.unsupported();
  d.take("uni");
  d.inst.flow = Flow::kBranchIndex;
  d.inst.kind = Class::kControl;
  d.use(0, d.operand(0), Type::kU32);
  for (const Operand& label : d.operand(1).parts) d.targets.push_back(u32(label.bits));
  if (d.targets.empty()) d.unsupported("no targets");
  d.emit();
}

void decode_end(Decoder& d) {
  d.take("uni");
  d.inst.kind = Class::kControl;
  const std::string& name = d.name();
  d.inst.flow = name == "ret" && !d.code().is_entry ? Flow::kReturn
                : name == "ret" || name == "exit"   ? Flow::kExit
                                                    : Flow::kTrap;
  d.emit();
}

// ---- calls
// ------------------------------------------------------------------------------------------------------------

std::vector<Copy> places(Decoder& d, const Operand& list, bool results) {
  std::vector<Copy> copies;
  if (list.kind != Operand::Kind::kList) d.unsupported("expected a list of parameters");
  for (const Operand& part : list.parts) {
    if (part.kind != Operand::Kind::kVariable) d.unsupported("a parameter that is no variable");
    const Place place = d.translator().place_of(part);
    if (place.space != Space::kLocal) d.unsupported("a parameter of the wrong kind");
    Copy copy{0, 0, u32(d.function().variables[part.index].bytes)};
    (results ? copy.to : copy.from) = u32(place.offset);
    copies.push_back(copy);
  }
  return copies;
}

void decode_call(Decoder& d) {
  d.take("uni");
  std::size_t at = 0;
  Call call;
  if (d.operand(at).kind == Operand::Kind::kList) call.results = places(d, d.operand(at++), true);
  const Operand& callee = d.operand(at++);
  if (callee.kind != Operand::Kind::kSymbol) d.unsupported("a call through a pointer");
  call.name = callee.name;
  if (at < d.size()) call.arguments = places(d, d.operand(at++), false);
  if (at != d.size()) d.unsupported();
  const Function* const function = d.translator().find_function(call.name);
  if (function == nullptr || (!function->has_body && find_builtin(call.name) == nullptr))
    d.unsupported(cat("function ", call.name, " has no body"));
  d.inst.flow = Flow::kCall;
  d.inst.kind = Class::kControl;
  d.inst.target = u32(d.code().calls.size());
  d.code().calls.push_back(call);
  d.emit();
}

// ---- barriers: o[0] = barrier, o[1] = threads, o[2] = predicate, o[3] = result
// ------------------------------------------

void decode_barrier(Decoder& d) {
  d.take("cta");
  const bool aligned = d.take("aligned");
  (void)aligned;  // all lanes of a warp arrive together either way
  d.inst.kind = Class::kBarrier;
  if (d.take("warp")) {
    if (!d.take("sync")) d.unsupported();
    d.expect_size(1);
    d.use(0, d.operand(0), Type::kB32);
    d.inst.run = warp_barrier;
    return d.emit();
  }
  d.inst.flow = Flow::kBarrier;
  std::size_t at = 0;
  if (d.take("red")) {
    static constexpr std::string_view reductions[] = {"popc", "and", "or"};
    d.inst.mode = u8(kBarrierPopc + d.take_any(reductions));
    if (d.inst.mode < kBarrierPopc) d.unsupported();
    d.define(3, d.operand(at++), d.type());
    d.expect_size(3, 4);
    d.use_predicate(2, d.operand(d.size() - 1));
    d.use(0, d.operand(at++), Type::kU32);
    if (d.size() == 4) d.use(1, d.operand(at), Type::kU32);
    return d.emit();
  }
  d.inst.mode = d.take("arrive") ? kBarrierArrive : kBarrierSync;
  if (d.inst.mode == kBarrierSync && !d.take("sync")) d.unsupported();
  d.expect_size(d.inst.mode == kBarrierArrive ? 2 : 1, 2);
  d.use(0, d.operand(0), Type::kU32);
  if (d.size() == 2) d.use(1, d.operand(1), Type::kU32);
  d.emit();
}

void run_fence(Warp& w, const Inst&) {
  fence_global(w);
}

void decode_fence(Decoder& d) {
  d.inst.kind = Class::kControl;
  if (d.has("proxy") || d.has("mbarrier_init")) d.unsupported();
  for (const std::string_view word : {"acq_rel", "sc", "acquire", "release"}) d.take(word);
  const bool of_block = d.take("cta");
  for (const std::string_view word : {"gl", "gpu", "sys", "cluster"}) d.take(word);
  d.inst.run = of_block ? do_nothing : run_fence;
  d.emit();
}

void decode_nothing(Decoder& d) {
  for (const std::string_view word : {"u32", "launch_dependents", "wait", "inc", "dec", "sync", "aligned"})
    d.take(word);
  d.inst.kind = Class::kControl;
  d.inst.run = do_nothing;
  d.emit();
}

}  // namespace

std::span<const DecodeEntry> control_decoders() {
  static constexpr DecodeEntry entries[] = {{"bra", decode_bra},
                                            {"brx", decode_brx},
                                            {"ret", decode_end},
                                            {"exit", decode_end},
                                            {"trap", decode_end},
                                            {"call", decode_call},
                                            {"bar", decode_barrier},
                                            {"barrier", decode_barrier},
                                            {"membar", decode_fence},
                                            {"fence", decode_fence},
                                            {"nanosleep", decode_nothing},
                                            {"griddepcontrol", decode_nothing},
                                            {"setmaxnreg", decode_nothing},
                                            {"pmevent", decode_nothing}};
  return entries;
}

}  // namespace ptx
