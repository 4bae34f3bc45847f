// SPDX-License-Identifier: MIT
// cp.async: bytes leave global memory when the instruction runs and reach shared memory when their group is waited for.
#include <algorithm>

#include "access.hpp"
#include "decoder.hpp"
#include "lanes.hpp"
#include "memory_modifiers.hpp"

namespace ptx {
namespace {

/// address = shared, address2 = global, size = bytes, o[0] = how many of them to read (the others become zero).
void cp_async(Warp& w, const Inst& i) {
  Addresses to, from;
  read_addresses(w, i, i.address, i.offset, i.wide_address, to);
  read_addresses(w, i, i.address2, i.offset2, true, from);
  const u32 bytes = i.size;
  const u32* const wanted = i.o[0] == kNoOperand ? nullptr : w.at<u32>(i.o[0]);
  if (w.launch->count) {
    u32 reading = 0;
    each_lane(w.mask, [&](u32 l) { reading |= u32(wanted == nullptr || wanted[l] != 0) << l; });
    if (reading != 0) w.launch->counters.count_global(reading, from.data(), bytes);
    w.launch->counters.count_shared(w.mask, to.data(), bytes);
  }
  each_lane(w.mask, [&](u32 l) {
    const u32 reads = wanted == nullptr ? bytes : wanted[l];
    AsyncCopy copy{.destination = u32(to[l]), .bytes = bytes, .lane = l, .group = w.groups[l]};
    if (reads > bytes)
      return w.launch->fault(Fault::kIllegalAddress, w, i, l, cat("cp.async of ", bytes, " bytes asks for ", reads));
    if (!check_shared(w, i, l, to[l], bytes, Access::kWrite)) return;
    if (reads != 0) {
      const u8* const source = locate_global(w, i, l, from[l], reads, Access::kRead, bytes);
      if (source == nullptr) return;
      std::memcpy(copy.data.data(), source, reads);
    }
    if (w.launch->check) w.block->shadow.depart(w, i, l, to[l], bytes);
    w.copies.push_back(copy);
  });
}

void commit_group(Warp& w, const Inst&) {
  each_lane(w.mask, [&](u32 l) { ++w.groups[l]; });
}

/// Lands the copies of the lanes at hand whose group is among all but the last `immediate`; mode 1: all copies.
void wait_group(Warp& w, const Inst& i) {
  std::erase_if(w.copies, [&](const AsyncCopy& copy) {
    if ((w.mask >> copy.lane & 1) == 0) return false;
    if (i.mode == 0 && copy.group + i.immediate >= w.groups[copy.lane]) return false;
    std::memcpy(w.block->shared.data() + copy.destination, copy.data.data(), copy.bytes);
    if (w.launch->check) w.block->shadow.land(w, copy.lane, copy.destination, copy.bytes);
    return true;
  });
}

void decode_copy(Decoder& d) {
  if (d.has("bulk") || d.has("mbarrier") || d.has("reduce")) d.unsupported();
  // "shared.global": the first space is the destination's
  if (!d.take("shared") && !d.take("shared::cta")) d.unsupported();
  if (!d.take("global")) d.unsupported();
  const bool hinted = take_memory_modifiers(d);
  d.inst.space = Space::kShared;
  d.expect_size(hinted ? 4 : 3, hinted ? 5 : 4);
  d.address(d.operand(0));
  bool wide = true;
  d.address(d.operand(1), Use::kAddress2, d.inst.address2, d.inst.offset2, wide);
  if (!wide) d.unsupported("a global address of 32 bits");
  const u64 bytes = d.integer(d.operand(2));
  if (bytes != 4 && bytes != 8 && bytes != 16) d.unsupported();
  d.inst.size = u8(bytes);
  if (d.size() > (hinted ? 4u : 3u)) {
    d.use(0, d.operand(3), Type::kU32);
  }
  d.inst.run = cp_async;
  d.emit();
}

void decode_cp(Decoder& d) {
  d.inst.kind = Class::kAsync;
  if (!d.take("async")) d.unsupported();
  if (d.take("commit_group")) {
    d.inst.run = commit_group;
    d.emit();
  } else if (d.take("wait_group")) {
    d.inst.immediate = d.integer(d.operand(0));
    d.inst.run = wait_group;
    d.emit();
  } else if (d.take("wait_all")) {
    d.inst.mode = 1;
    d.inst.run = wait_group;
    d.emit();
  } else {
    decode_copy(d);
  }
}

}  // namespace

std::span<const DecodeEntry> async_decoders() {
  static constexpr DecodeEntry entries[] = {{"cp", decode_cp}};
  return entries;
}

}  // namespace ptx
