// SPDX-License-Identifier: MIT
// Moves: mov with packing and unpacking, addresses of variables, address spaces, special registers.
#include <chrono>

#include "decoder.hpp"
#include "lanes.hpp"
#include "translate.hpp"

namespace ptx {
namespace {

template <class T>
void copy(Warp& w, const Inst& i) {
  put(w, i.o[0], w.at<T>(i.o[1]));
}

void copy_predicate(Warp& w, const Inst& i) {
  w.set_predicate(i.o[0], w.predicate(i.o[1]));
}

/// o[1] ... = count elements of size bytes, the first lowest.
template <class T>
void pack(Warp& w, const Inst& i) {
  T t[kLanes] = {};
  const u32 bits = 8u * i.size;
  for (u32 k = 0; k < i.count; ++k) {
    const u32* const part = w.at<u32>(i.o[1 + k]);
    const u32 mask = bits == 32 ? ~0u : (1u << bits) - 1;
    PTX_EACH_LANE t[l] |= T(part[l] & mask) << (bits * k);
  }
  put(w, i.o[0], t);
}

/// o[0] ... = count elements, o[8] = the whole.
template <class T>
void unpack(Warp& w, const Inst& i) {
  T whole[kLanes];
  std::memcpy(whole, w.at<T>(i.o[8]), sizeof whole);  // a result may lie where the whole lies
  const u32 bits = 8u * i.size;
  const u32 mask = bits == 32 ? ~0u : (1u << bits) - 1;
  for (u32 k = 0; k < i.count; ++k) {
    u32 t[kLanes];
    PTX_EACH_LANE t[l] = u32(whole[l] >> (bits * k)) & mask;
    put(w, i.o[k], t);
  }
}

Type element_of(Decoder& d, Type whole, std::size_t parts) {
  d.inst.count = u8(parts);
  d.inst.size = u8(parts == 0 ? 0 : bytes_of(whole) / parts);
  if (d.inst.size != 1 && d.inst.size != 2 && d.inst.size != 4) d.unsupported();
  return d.inst.size == 4 ? Type::kB32 : Type::kB16;
}

void local_address(Warp& w, const Inst& i) {
  put_same<u64>(w, i.o[0], i.immediate + w.local_base);
}
void local_address32(Warp& w, const Inst& i) {
  put_same<u32>(w, i.o[0], u32(i.immediate) + w.local_base);
}

bool decode_local_address(Decoder& d, Type t) {
  const Operand& from = d.operand(1);
  if (from.kind != Operand::Kind::kVariable || d.code().is_entry) return false;
  const Place place = d.translator().place_of(from);
  if (place.space != Space::kLocal) return false;
  d.define(0, d.operand(0), t);
  d.inst.immediate = place.offset + u64(from.offset);
  d.inst.run = bytes_of(t) == 8 ? local_address : local_address32;
  return true;
}

void decode_mov(Decoder& d) {
  const Type t = d.type();
  const bool is_long = bytes_of(t) == 8;
  d.inst.kind = Class::kMove;
  d.expect_size(2);
  const Operand &to = d.operand(0), &from = d.operand(1);
  if (from.kind == Operand::Kind::kVector) {
    const Type element = element_of(d, t, from.parts.size());
    d.define(0, to, t);
    for (u32 k = 0; k < from.parts.size(); ++k) d.use(1 + k, from.parts[k], element);
    d.inst.run = is_long ? pack<u64> : pack<u32>;
  } else if (to.kind == Operand::Kind::kVector) {
    const Type element = element_of(d, t, to.parts.size());
    for (u32 k = 0; k < to.parts.size(); ++k) d.define(k, to.parts[k], element);
    d.use(8, from, t);
    d.inst.run = is_long ? unpack<u64> : unpack<u32>;
  } else if (t == Type::kPred) {
    d.define(0, to, t);
    d.use_predicate(1, from);
    d.inst.run = copy_predicate;
  } else if (from.kind == Operand::Kind::kSpecial) {
    d.define(0, to, t);
    d.inst.run = special_register(from.name, bytes_of(t));
    if (d.inst.run == nullptr) d.unsupported(cat("register ", from.name));
    d.code().uses_workspace |= from.name.starts_with("%envreg");
  } else if (!decode_local_address(d, t)) {
    d.all(2, t);
    d.inst.run = is_long ? copy<u64> : copy<u32>;
  }
  d.emit();
}

// ---- address spaces
// ---------------------------------------------------------------------------------------------------

template <u64 kWindow>
struct ToGeneric {
  static u64 apply(u64 a) { return a + kWindow; }
};
template <u64 kWindow>
struct FromGeneric {
  static u64 apply(u64 a) { return a - kWindow; }
};

template <u64 kWindow>
Handler window(bool to) {
  return to ? Handler(unary<FromGeneric<kWindow>, u64, u64>) : unary<ToGeneric<kWindow>, u64, u64>;
}

void decode_cvta(Decoder& d) {
  const bool to = d.take("to");
  d.inst.kind = Class::kMove;
  if (d.take("global") || d.take("const"))
    d.inst.run = copy<u64>;
  else if (d.take("shared") || d.take("shared::cta") || d.take("shared::cluster"))
    d.inst.run = window<kSharedWindow>(to);
  else if (d.take("local"))
    d.inst.run = window<kLocalWindow>(to);
  else if (d.take("param") || d.take("param::entry"))
    d.inst.run = window<kParamWindow>(to);
  const Type t = d.type();
  if (d.inst.run == nullptr || bytes_of(t) != 8) d.unsupported();
  d.all(2, t);
  d.emit();
}

/// mode: the Space asked for.
void is_space(Warp& w, const Inst& i) {
  const u64* const a = w.at<u64>(i.o[1]);
  u32 result = 0;
  for (u32 l = 0; l < kLanes; ++l) {
    const Space space = a[l] - kSharedWindow < kWindowBytes  ? Space::kShared
                        : a[l] - kLocalWindow < kWindowBytes ? Space::kLocal
                        : a[l] - kParamWindow < kWindowBytes ? Space::kParam
                                                             : Space::kGlobal;
    result |= u32(space == Space(i.mode)) << l;
  }
  w.set_predicate(i.o[0], result);
}

void decode_isspacep(Decoder& d) {
  const Space space = d.take("global") || d.take("const")                                      ? Space::kGlobal
                      : d.take("shared") || d.take("shared::cta") || d.take("shared::cluster") ? Space::kShared
                      : d.take("local")                                                        ? Space::kLocal
                      : d.take("param") || d.take("param::entry")                              ? Space::kParam
                                                                                               : Space::kGeneric;
  if (space == Space::kGeneric) d.unsupported();
  d.expect_size(2);
  d.define(0, d.operand(0), Type::kPred);
  d.use(1, d.operand(1), Type::kB64);
  d.inst.mode = u8(space);
  d.inst.run = is_space;
  d.emit();
}

// ---- special registers
// ------------------------------------------------------------------------------------------------

template <int kAxis>
void thread_index(Warp& w, const Inst& i) {
  put(w, i.o[0], w.launch->thread_index[w.number][kAxis].data());
}

struct Read {
  std::string_view name;
  u64 (*value)(const Warp&, u32 lane);
};

template <int kAxis>
u64 block_size(const Warp& w, u32) {
  return w.launch->block[kAxis];
}
template <int kAxis>
u64 block_index(const Warp& w, u32) {
  return w.block->index[kAxis];
}
template <int kAxis>
u64 grid_size(const Warp& w, u32) {
  return w.launch->grid[kAxis];
}
u64 zero(const Warp&, u32) {
  return 0;
}
u64 one(const Warp&, u32) {
  return 1;
}
u64 lane_number(const Warp&, u32 l) {
  return l;
}
u64 warp_number(const Warp& w, u32) {
  return w.number;
}
u64 warp_count(const Warp& w, u32) {
  return w.launch->warps;
}
u64 mask_eq(const Warp&, u32 l) {
  return 1u << l;
}
u64 mask_lt(const Warp&, u32 l) {
  return (1u << l) - 1;
}
u64 mask_le(const Warp&, u32 l) {
  return (2u << l) - 1;
}
u64 mask_gt(const Warp&, u32 l) {
  return ~((2u << l) - 1);
}
u64 mask_ge(const Warp&, u32 l) {
  return ~((1u << l) - 1);
}
u64 clock_ticks(const Warp& w, u32) {
  return ++w.launch->ticks;
}
u64 clock_high(const Warp& w, u32) {
  return ++w.launch->ticks >> 32;
}
u64 nanoseconds(const Warp&, u32) {
  return u64(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
                 .count());
}
u64 grid_number(const Warp& w, u32) {
  return w.launch->number;
}
u64 dynamic_bytes(const Warp& w, u32) {
  return w.launch->dynamic_bytes;
}
u64 shared_bytes(const Warp& w, u32) {
  return w.launch->shared_bytes;
}
u64 workspace_high(const Warp& w, u32) {
  return w.launch->workspace >> 32;
}
u64 workspace_low(const Warp& w, u32) {
  return w.launch->workspace & 0xffffffff;
}

template <u64 (*kValue)(const Warp&, u32), class T>
void read_register(Warp& w, const Inst& i) {
  T t[kLanes];
  for (u32 l = 0; l < kLanes; ++l) t[l] = T(kValue(w, l));
  put(w, i.o[0], t);
}

template <u64 (*kValue)(const Warp&, u32)>
Handler reader(u32 bytes) {
  return bytes == 8 ? read_register<kValue, u64> : read_register<kValue, u32>;
}

}  // namespace

Handler special_register(std::string_view name, u32 bytes) {
  struct Entry {
    std::string_view name;
    Handler (*make)(u32 bytes);
  };
  static constexpr Entry entries[] = {{"%ntid.x", reader<block_size<0>>},
                                      {"%ntid.y", reader<block_size<1>>},
                                      {"%ntid.z", reader<block_size<2>>},
                                      {"%ctaid.x", reader<block_index<0>>},
                                      {"%ctaid.y", reader<block_index<1>>},
                                      {"%ctaid.z", reader<block_index<2>>},
                                      {"%nctaid.x", reader<grid_size<0>>},
                                      {"%nctaid.y", reader<grid_size<1>>},
                                      {"%nctaid.z", reader<grid_size<2>>},
                                      {"%laneid", reader<lane_number>},
                                      {"%warpid", reader<warp_number>},
                                      {"%nwarpid", reader<warp_count>},
                                      {"%lanemask_eq", reader<mask_eq>},
                                      {"%lanemask_lt", reader<mask_lt>},
                                      {"%lanemask_le", reader<mask_le>},
                                      {"%lanemask_gt", reader<mask_gt>},
                                      {"%lanemask_ge", reader<mask_ge>},
                                      {"%clock", reader<clock_ticks>},
                                      {"%clock64", reader<clock_ticks>},
                                      {"%clock_hi", reader<clock_high>},
                                      {"%globaltimer", reader<nanoseconds>},
                                      {"%globaltimer_lo", reader<nanoseconds>},
                                      {"%gridid", reader<grid_number>},
                                      {"%smid", reader<zero>},
                                      {"%nsmid", reader<one>},
                                      {"%envreg1", reader<workspace_high>},
                                      {"%envreg2", reader<workspace_low>},
                                      {"%dynamic_smem_size", reader<dynamic_bytes>},
                                      {"%total_smem_size", reader<shared_bytes>},
                                      {"%cluster_ctarank", reader<zero>},
                                      {"%cluster_nctarank", reader<one>},
                                      {"%cluster_ctaid.x", reader<zero>},
                                      {"%cluster_ctaid.y", reader<zero>},
                                      {"%cluster_ctaid.z", reader<zero>},
                                      {"%cluster_nctaid.x", reader<one>},
                                      {"%cluster_nctaid.y", reader<one>},
                                      {"%cluster_nctaid.z", reader<one>}};
  if (name == "%tid.x" || name == "%tid.y" || name == "%tid.z") {
    if (bytes == 8) return nullptr;
    return name == "%tid.x" ? thread_index<0> : name == "%tid.y" ? thread_index<1> : thread_index<2>;
  }
  for (const Entry& entry : entries)
    if (entry.name == name) return entry.make(bytes);
  return nullptr;
}

std::span<const DecodeEntry> move_decoders() {
  static constexpr DecodeEntry entries[] = {{"mov", decode_mov}, {"cvta", decode_cvta}, {"isspacep", decode_isspacep}};
  return entries;
}

}  // namespace ptx
