// SPDX-License-Identifier: MIT
#include "access.hpp"

#include <cstring>

namespace ptx {
namespace {

alignas(64) u8 nowhere[64];  // where lanes that failed a check read zeros; nothing writes here

enum class Pattern : u8 { kScattered, kContiguous, kSame };

Pattern pattern_of(u32 mask, const Addresses& a, u32 bytes) {
  if (mask != kAllLanes) return Pattern::kScattered;
  bool contiguous = true, same = true;
  for (u32 l = 0; l < kLanes; ++l) {
    contiguous &= a[l] == a[0] + u64{l} * bytes;
    same &= a[l] == a[0];
  }
  return contiguous ? Pattern::kContiguous : same ? Pattern::kSame : Pattern::kScattered;
}

std::string_view verb(Access access) {
  return access == Access::kRead ? "read" : access == Access::kWrite ? "write" : "atomic";
}

void illegal(Warp& w, const Inst& i, u32 lane, std::string_view space, u64 address, u32 bytes, Access access,
             const std::string& why) {
  w.launch->fault(Fault::kIllegalAddress, w, i, lane,
                  cat("invalid ", space, verb(access), " of ", bytes, " bytes at ", hex(address), ": ", why));
}

Allocation* find_allocation(Warp& w, const Inst& i, u32 lane, u64 address, u32 bytes, Access access) {
  Allocation* found = i.cache;
  if (found == nullptr || !found->holds(address, bytes)) {
    found = w.launch->memory->find(address);
    if (found == nullptr || !found->holds(address, bytes)) {
      illegal(w, i, lane, "global ", address, bytes, access, w.launch->memory->describe(address));
      return nullptr;
    }
    i.cache = found;
  }
  if (found->kind == Allocation::Kind::kConstant && access != Access::kRead) {
    illegal(w, i, lane, "global ", address, bytes, access, "constant memory");
    return nullptr;
  }
  return found;
}

bool check_alignment(Warp& w, const Inst& i, u32 lane, std::string_view space, u64 address, u32 bytes, Access access) {
  if ((address & (bytes - 1)) == 0) return true;
  w.launch->fault(Fault::kMisaligned, w, i, lane,
                  cat("misaligned ", space, verb(access), " of ", bytes, " bytes at ", hex(address)));
  return false;
}

void check_written(Warp& w, const Inst& i, u32 lane, const Allocation& a, u64 offset, u32 bytes) {
  if (a.is_written(offset, bytes)) return;
  w.launch->fault(Fault::kUninitialised, w, i, lane,
                  cat("read of ", bytes, " bytes of global memory never written, at ", hex(a.base + offset), ", ",
                      offset, " bytes into an allocation of ", a.size, " bytes"));
}

/// The whole warp at once; false if a closer look is needed.
bool locate_global_range(Warp& w, const Inst& i, u64 address, u32 bytes, u64 all, Access access, Bytes& places,
                         u64 step) {
  if ((address & (bytes - 1)) != 0) return false;
  Allocation* found = i.cache;
  if (found == nullptr || !found->holds(address, all)) {
    found = w.launch->memory->find(address);
    if (found == nullptr || !found->holds(address, all)) return false;
    i.cache = found;
  }
  if (found->kind == Allocation::Kind::kConstant && access != Access::kRead) return false;
  const u64 offset = address - found->base;
  if (w.launch->check) {
    if (access != Access::kWrite && !found->is_written(offset, all)) return false;
    if (!watch_global_range(w, i, *found, offset, all, access, bytes)) return false;
  }
  if (access != Access::kRead) found->mark_written(offset, all);
  u8* const first = found->bytes + offset;
  for (u32 l = 0; l < kLanes; ++l) places[l] = first + l * step;
  return true;
}

u32 locate_in_global(Warp& w, const Inst& i, const Addresses& a, u32 bytes, Access access, Bytes& places) {
  if (w.launch->count) w.launch->counters.count_global(w.mask, a.data(), bytes);
  if (i.strong || access == Access::kAtomic) {
    ++w.block->signals;
    each_lane(w.mask, [&](u32 l) { synchronize_blocks(w, i, a[l], access); });
  }
  const Pattern pattern = pattern_of(w.mask, a, bytes);
  if (pattern == Pattern::kContiguous &&
      locate_global_range(w, i, a[0], bytes, u64{kLanes} * bytes, access, places, bytes))
    return w.mask;
  if (pattern == Pattern::kSame && access == Access::kRead &&
      locate_global_range(w, i, a[0], bytes, bytes, access, places, 0))
    return w.mask;
  u32 passed = 0;
  each_lane(w.mask, [&](u32 l) {
    u8* const place = locate_global(w, i, l, a[l], bytes, access, bytes);
    if (place == nullptr) return;
    places[l] = place;
    passed |= 1u << l;
  });
  return passed;
}

u32 locate_in_shared(Warp& w, const Inst& i, const Addresses& a, u32 bytes, Access access, const u8* values,
                     Bytes& places) {
  if (w.launch->count) w.launch->counters.count_shared(w.mask, a.data(), bytes);
  u8* const memory = w.block->shared.data();
  const Pattern pattern = access == Access::kRead ? pattern_of(w.mask, a, bytes) : Pattern::kScattered;
  if (pattern != Pattern::kScattered && (a[0] & (bytes - 1)) == 0) {
    const u64 all = pattern == Pattern::kSame ? bytes : u64{kLanes} * bytes;
    if (a[0] + all <= w.launch->shared_bytes &&
        (!w.launch->check || w.block->shadow.read_range(w, a[0], all, pattern == Pattern::kSame ? 0 : bytes))) {
      for (u32 l = 0; l < kLanes; ++l) places[l] = memory + a[l];
      return w.mask;
    }
  }
  u32 passed = 0;
  each_lane(w.mask, [&](u32 l) {
    if (!check_shared(w, i, l, a[l], bytes, access)) return;
    if (w.launch->check) {
      if (access != Access::kWrite) w.block->shadow.read(w, i, l, a[l], bytes, access == Access::kAtomic);
      if (access != Access::kRead)
        w.block->shadow.write(w, i, l, a[l], bytes, access == Access::kAtomic,
                              values ? values + u64{l} * bytes : nullptr);
    }
    places[l] = memory + a[l];
    passed |= 1u << l;
  });
  return passed;
}

u32 locate_in_local(Warp& w, const Inst& i, const Addresses& a, u32 bytes, Access access, Bytes& places) {
  const u64 size = w.local.size() / kLanes;
  u32 passed = 0;
  if (w.launch->count) ++w.launch->counters.local_requests;
  each_lane(w.mask, [&](u32 l) {
    if (a[l] > size || bytes > size - a[l])
      return illegal(w, i, l, "local ", a[l], bytes, access, cat("a thread has ", size, " bytes of local memory"));
    if (!check_alignment(w, i, l, "local ", a[l], bytes, access)) return;
    places[l] = w.local.data() + l * size + a[l];
    passed |= 1u << l;
  });
  return passed;
}

u32 locate_in_parameters(Warp& w, const Inst& i, const Addresses& a, u32 bytes, Access access, Bytes& places) {
  std::vector<u8>& parameters = w.launch->parameters;
  u32 passed = 0;
  each_lane(w.mask, [&](u32 l) {
    if (a[l] > parameters.size() || bytes > parameters.size() - a[l] || access != Access::kRead)
      return illegal(w, i, l, "parameter ", a[l], bytes, access,
                     cat("the kernel has ", parameters.size(), " bytes of parameters"));
    if (!check_alignment(w, i, l, "parameter ", a[l], bytes, access)) return;
    places[l] = parameters.data() + a[l];
    passed |= 1u << l;
  });
  return passed;
}

Space space_of(u64 address) {
  if (address - kSharedWindow < kWindowBytes) return Space::kShared;
  if (address - kLocalWindow < kWindowBytes) return Space::kLocal;
  if (address - kParamWindow < kWindowBytes) return Space::kParam;
  return Space::kGlobal;
}

u64 window_of(Space space) {
  return space == Space::kShared  ? kSharedWindow
         : space == Space::kLocal ? kLocalWindow
         : space == Space::kParam ? kParamWindow
                                  : 0;
}

u32 locate_in(Warp& w, const Inst& i, Space space, const Addresses& a, u32 bytes, Access access, const u8* values,
              Bytes& places) {
  switch (space) {
    case Space::kShared:
      return locate_in_shared(w, i, a, bytes, access, values, places);
    case Space::kLocal:
      return locate_in_local(w, i, a, bytes, access, places);
    case Space::kParam:
      return locate_in_parameters(w, i, a, bytes, access, places);
    default:
      return locate_in_global(w, i, a, bytes, access, places);
  }
}

/// Lanes may point into different spaces.
u32 locate_generic(Warp& w, const Inst& i, const Addresses& a, u32 bytes, Access access, const u8* values,
                   Bytes& places) {
  const u32 mask = w.mask;
  u32 passed = 0;
  for (const Space space : {Space::kGlobal, Space::kShared, Space::kLocal, Space::kParam}) {
    Addresses inside = a;
    w.mask = 0;
    each_lane(mask, [&](u32 l) {
      if (space_of(a[l]) != space) return;
      w.mask |= 1u << l;
      inside[l] = a[l] - window_of(space);
    });
    if (w.mask != 0) passed |= locate_in(w, i, space, inside, bytes, access, values, places);
  }
  w.mask = mask;
  return passed;
}

}  // namespace

void read_addresses(Warp& w, const Inst& i, u32 operand, s64 offset, bool wide, Addresses& into) {
  const u64 base = u64(offset) + (i.mode & kFrameRelative ? w.local_base : 0);
  if (wide) {
    const u64* const a = w.at<u64>(operand);
    for (u32 l = 0; l < kLanes; ++l) into[l] = a[l] + base;
  } else {
    const u32* const a = w.at<u32>(operand);
    for (u32 l = 0; l < kLanes; ++l) into[l] = u32(a[l] + u32(base));
  }
}

u8* locate_global(Warp& w, const Inst& i, u32 lane, u64 address, u32 bytes, Access access, u32 alignment) {
  Allocation* const found = find_allocation(w, i, lane, address, bytes, access);
  if (found == nullptr || !check_alignment(w, i, lane, "global ", address, alignment, access)) return nullptr;
  const u64 offset = address - found->base;
  if (w.launch->check) {
    if (access != Access::kWrite) check_written(w, i, lane, *found, offset, bytes);
    watch_global(w, i, lane, *found, offset, bytes, access);
  }
  if (access != Access::kRead) found->mark_written(offset, bytes);
  return found->bytes + offset;
}

bool check_shared(Warp& w, const Inst& i, u32 lane, u64 offset, u32 bytes, Access access) {
  const u64 size = w.launch->shared_bytes;
  if (offset > size || bytes > size - offset) {
    illegal(w, i, lane, "shared ", offset, bytes, access, cat("the block has ", size, " bytes of shared memory"));
    return false;
  }
  return check_alignment(w, i, lane, "shared ", offset, bytes, access);
}

u32 locate(Warp& w, const Inst& i, Space space, const Addresses& a, u32 bytes, Access access, const u8* values,
           Bytes& places) {
  places.fill(nowhere);
  if (space == Space::kGeneric) return locate_generic(w, i, a, bytes, access, values, places);
  return locate_in(w, i, space, a, bytes, access, values, places);
}

}  // namespace ptx
