// SPDX-License-Identifier: MIT
// Loads and stores of registers, in every space; prefetches.
#include "access.hpp"
#include "decoder.hpp"
#include "lanes.hpp"
#include "memory_modifiers.hpp"
#include "translate.hpp"

namespace ptx {
namespace {

// Inst::immediate of a load: how wide the result registers are, and whether the value is extended by its sign.
constexpr u64 kResultBytes = 15, kSigned = 16;

template <class T>
void load_elements(Warp& w, const Inst& i, const Bytes& places) {
  const u64 result = i.immediate & kResultBytes;
  for (u32 k = 0; k < i.count; ++k) {
    if (i.o[k] == kNoOperand) continue;
    alignas(64) T t[kLanes];
    for (u32 l = 0; l < kLanes; ++l) std::memcpy(&t[l], places[l] + k * sizeof(T), sizeof(T));
    if constexpr (sizeof(T) == 8) {
      put(w, i.o[k], t);
    } else if (result == 8) {
      u64 wide[kLanes];
      for (u32 l = 0; l < kLanes; ++l)
        wide[l] = i.immediate & kSigned ? u64(s64(std::make_signed_t<T>(t[l]))) : u64(t[l]);
      put(w, i.o[k], wide);
    } else if constexpr (sizeof(T) == 4) {
      put(w, i.o[k], t);
    } else {
      u32 wide[kLanes];
      const u32 mask = result == 2 ? 0xffff : ~0u;
      for (u32 l = 0; l < kLanes; ++l)
        wide[l] = (i.immediate & kSigned ? u32(s32(std::make_signed_t<T>(t[l]))) : u32(t[l])) & mask;
      put(w, i.o[k], wide);
    }
  }
}

template <class T>
void load(Warp& w, const Inst& i) {
  Addresses a;
  Bytes places;
  read_addresses(w, i, i.address, i.offset, i.wide_address, a);
  const u32 mask = w.mask;
  w.mask = locate(w, i, i.space, a, u32(sizeof(T)) * i.count, Access::kRead, nullptr, places);
  if (w.mask != 0) load_elements<T>(w, i, places);
  w.mask = mask;
}

/// A parameter of the kernel: the same for all lanes.
template <class T>
void load_parameter(Warp& w, const Inst& i) {
  Bytes places;
  places.fill(w.launch->parameters.data() + i.offset);
  load_elements<T>(w, i, places);
}

template <class T>
void store(Warp& w, const Inst& i) {
  alignas(64) u8 values[kLanes * 64];
  const u32 bytes = u32(sizeof(T)) * i.count;
  const bool wide = (i.immediate & kResultBytes) == 8;
  for (u32 k = 0; k < i.count; ++k) {
    const u8* const from = w.at<u8>(i.o[k]);
    const u32 step = wide || sizeof(T) == 8 ? 8 : 4;
    for (u32 l = 0; l < kLanes; ++l) std::memcpy(values + l * bytes + k * sizeof(T), from + l * step, sizeof(T));
  }
  Addresses a;
  Bytes places;
  read_addresses(w, i, i.address, i.offset, i.wide_address, a);
  const u32 passed = locate(w, i, i.space, a, bytes, Access::kWrite, values, places);
  each_lane(passed, [&](u32 l) { std::memcpy(places[l], values + l * bytes, bytes); });
}

template <class F>
Handler by_size(u32 bytes, F&& make) {
  switch (bytes) {
    case 1:
      return make(u8{});
    case 2:
      return make(u16{});
    case 4:
      return make(u32{});
    default:
      return make(u64{});
  }
}

std::span<const Operand> elements(const Operand& operand) {
  return operand.kind == Operand::Kind::kVector ? std::span(operand.parts) : std::span(&operand, 1);
}

/// Takes .v2, .v4, .v8 and the type.
Type take_element(Decoder& d) {
  static constexpr std::string_view vectors[] = {"v2", "v4", "v8"};
  const int vector = d.take_any(vectors);
  d.inst.count = u8(vector < 0 ? 1 : 2 << vector);
  const Type t = d.type();
  d.inst.size = u8(bytes_of(t));
  if (d.inst.count * bytes_of(t) > 32 || bytes_of(t) > 8) d.unsupported();
  return t;
}

/// Width of the registers of a vector: all the same.
u32 register_width(Decoder& d, std::span<const Operand> registers, Type t) {
  if (registers.size() != d.inst.count) d.unsupported("wrong number of registers");
  u32 width = 0;
  for (const Operand& r : registers)
    if (const u32 bytes = d.register_bytes(r); bytes != 0) {
      if (width != 0 && width != bytes) d.unsupported("registers of different widths");
      width = bytes;
    }
  if (width == 0) width = bytes_of(t);
  if (width < bytes_of(t)) d.unsupported("a register is too narrow");
  return width;
}

void note_shared(Decoder& d, u32 bytes) {
  if (d.inst.space == Space::kShared || d.inst.space == Space::kGeneric)
    d.code().shared_granule = std::min(d.code().shared_granule, bytes);
}

void decode_ld(Decoder& d) {
  d.inst.kind = Class::kLoad;
  const bool hinted = take_memory_modifiers(d);
  const Type t = take_element(d);
  d.expect_size(hinted ? 3 : 2);
  const auto registers = elements(d.operand(0));
  const u32 width = register_width(d, registers, t);
  for (u32 k = 0; k < registers.size(); ++k) d.define(k, registers[k], width == 8 ? Type::kB64 : Type::kB32);
  d.inst.immediate = width | (is_signed(t) ? kSigned : 0);
  const Space space = d.inst.space;
  d.address(d.operand(1));
  note_shared(d, bytes_of(t));
  const Operand& base = d.operand(1).parts[0];
  if (space == Space::kParam && d.inst.space == Space::kParam && base.kind == Operand::Kind::kVariable) {
    d.inst.offset += s64(d.translator().place_of(base).offset);
    if (d.inst.offset < 0 || u64(d.inst.offset) + bytes_of(t) * d.inst.count > round_up(d.code().parameter_bytes, 16))
      d.unsupported("outside the parameters");
    d.inst.run = by_size(bytes_of(t), [](auto e) -> Handler { return load_parameter<decltype(e)>; });
  } else {
    d.inst.run = by_size(bytes_of(t), [](auto e) -> Handler { return load<decltype(e)>; });
  }
  d.emit();
}

void decode_st(Decoder& d) {
  d.inst.kind = Class::kStore;
  const bool hinted = take_memory_modifiers(d);
  const Type t = take_element(d);
  d.expect_size(hinted ? 3 : 2);
  d.address(d.operand(0));
  note_shared(d, bytes_of(t));
  const auto registers = elements(d.operand(1));
  const u32 width = register_width(d, registers, t);
  for (u32 k = 0; k < registers.size(); ++k) d.use(k, registers[k], width == 8 ? (is_float(t) ? t : Type::kB64) : t);
  d.inst.immediate = width;
  d.inst.run = by_size(bytes_of(t), [](auto e) -> Handler { return store<decltype(e)>; });
  d.emit();
}

/// Hints for caches change nothing that a program could see.
void decode_prefetch(Decoder& d) {
  d.inst.kind = Class::kLoad;
  take_memory_modifiers(d);
  static constexpr std::string_view levels[] = {"L1", "L2"};
  d.take_any(levels);
  d.inst.run = do_nothing;
  d.emit();
}

void no_policy(Warp& w, const Inst& i) {
  put_same<u64>(w, i.o[0], 0);
}

void decode_createpolicy(Decoder& d) {
  for (const std::string& word : d.statement().words) d.take(word);
  d.define(0, d.operand(0), Type::kB64);
  d.inst.run = no_policy;
  d.emit();
}

}  // namespace

bool take_memory_modifiers(Decoder& d) {
  constexpr std::pair<std::string_view, Space> spaces[] = {
      {"global", Space::kGlobal},      {"const", Space::kConst},      {"shared", Space::kShared},
      {"shared::cta", Space::kShared}, {"local", Space::kLocal},      {"param", Space::kParam},
      {"param::entry", Space::kParam}, {"param::func", Space::kParam}};
  d.inst.space = Space::kGeneric;
  for (const auto& [name, space] : spaces)
    if (d.take(name)) d.inst.space = space;
  for (const std::string_view word : {"volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"})
    if (d.take(word)) {
      d.inst.strong = true;
      d.inst.releases |= (word == "release" || word == "acq_rel") && !d.has("cta");
    }
  for (const std::string_view word : {"weak",
                                      "cta",
                                      "cluster",
                                      "gpu",
                                      "sys",
                                      "nc",
                                      "ca",
                                      "cg",
                                      "cs",
                                      "lu",
                                      "cv",
                                      "wb",
                                      "wt",
                                      "L1::evict_normal",
                                      "L1::evict_unchanged",
                                      "L1::evict_first",
                                      "L1::evict_last",
                                      "L1::no_allocate",
                                      "L2::evict_last",
                                      "L2::evict_normal",
                                      "L2::evict_first",
                                      "L2::64B",
                                      "L2::128B",
                                      "L2::256B",
                                      "unified"})
    d.take(word);
  bool hinted = d.take("L2::cache_hint");
  hinted |= d.take("level::cache_hint");
  return hinted;
}

std::span<const DecodeEntry> memory_decoders() {
  static constexpr DecodeEntry entries[] = {{"ld", decode_ld},
                                            {"ldu", decode_ld},
                                            {"st", decode_st},
                                            {"prefetch", decode_prefetch},
                                            {"prefetchu", decode_prefetch},
                                            {"applypriority", decode_prefetch},
                                            {"createpolicy", decode_createpolicy}};
  return entries;
}

}  // namespace ptx
