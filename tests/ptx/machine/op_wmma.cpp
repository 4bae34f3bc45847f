// SPDX-License-Identifier: MIT
// wmma: matrix products whose fragments no program may look into.  Here element k of a matrix in row-major order lies
// in lane k % 32, slot k / 32; where a fragment has more slots than elements, they repeat.
#include "access.hpp"
#include "decoder.hpp"
#include "lanes.hpp"
#include "memory_modifiers.hpp"
#include "numbers.hpp"
#include "warp_sync.hpp"

namespace ptx {
namespace {

enum Matrix : u8 { kA, kB, kC };

struct Shape {
  u32 m, n, k;
  u32 rows(Matrix x) const { return x == kB ? k : m; }
  u32 columns(Matrix x) const { return x == kA ? k : n; }
};
constexpr std::string_view kShapeNames[] = {"m16n16k16", "m32n8k16", "m8n32k16", "m16n16k8"};
constexpr Shape kShapes[] = {{16, 16, 16}, {32, 8, 16}, {8, 32, 16}, {16, 16, 8}};

/// What a fragment is, packed into Inst::immediate.
struct Fragment {
  Shape shape{};
  Matrix matrix = kA;
  Type type = Type::kF16;
  bool by_columns = false;

  u32 elements() const { return shape.rows(matrix) * shape.columns(matrix); }
  u32 per_register() const { return bytes_of(type) == 2 ? 2 : 1; }
  /// float16 factors of 16x16 have twice the registers they need, as the first tensor cores had.
  u32 registers() const {
    if (matrix != kC && type == Type::kF16) return 8;
    return elements() / kLanes / per_register();
  }
};

u64 packed(const Fragment& f, u64 shape) {
  return shape | u64(f.matrix) << 8 | u64(f.type) << 16 | u64(f.by_columns) << 24;
}
Fragment unpacked(u64 bits) {
  return {kShapes[bits & 0xff], Matrix(bits >> 8 & 0xff), Type(bits >> 16 & 0xff), (bits >> 24 & 1) != 0};
}

/// Addresses of slot k of every lane.  o[8] = stride in elements.
Addresses slot_addresses(Warp& w, const Inst& i, const Fragment& f, u32 slot) {
  Addresses a;
  read_addresses(w, i, i.address, i.offset, i.wide_address, a);
  const u32 rows = f.shape.rows(f.matrix), columns = f.shape.columns(f.matrix);
  for (u32 l = 0; l < kLanes; ++l) {
    const u32 stride = i.o[8] == kNoOperand ? (f.by_columns ? rows : columns) : w.at<u32>(i.o[8])[l];
    const u32 element = slot % (f.elements() / kLanes) * kLanes + l, row = element / columns,
              column = element % columns;
    a[l] += u64{f.by_columns ? column * stride + row : row * stride + column} * bytes_of(f.type);
  }
  return a;
}

void load(Warp& w, const Inst& i) {
  check_whole_warp(w, i);
  const Fragment f = unpacked(i.immediate);
  const u32 bytes = bytes_of(f.type);
  u32 t[8][kLanes] = {};  // all of them before the first is written: a result may lie where address or stride lie
  for (u32 slot = 0; slot < f.registers() * f.per_register(); ++slot) {
    Bytes places;
    locate(w, i, i.space, slot_addresses(w, i, f, slot), bytes, Access::kRead, nullptr, places);
    for (u32 l = 0; l < kLanes; ++l) {
      u32 value = 0;
      std::memcpy(&value, places[l], bytes);
      t[slot / f.per_register()][l] |= value << (16 * (slot % f.per_register()));
    }
  }
  for (u32 r = 0; r < f.registers(); ++r) put(w, i.o[r], t[r]);
}

void store(Warp& w, const Inst& i) {
  check_whole_warp(w, i);
  const Fragment f = unpacked(i.immediate);
  const u32 bytes = bytes_of(f.type);
  for (u32 slot = 0; slot < f.registers() * f.per_register(); ++slot) {
    const u32* const from = w.at<u32>(i.o[slot / f.per_register()]);
    alignas(4) u8 values[kLanes * 4];
    for (u32 l = 0; l < kLanes; ++l) {
      const u32 value = from[l] >> (16 * (slot % f.per_register()));
      std::memcpy(values + l * bytes, &value, bytes);
    }
    Bytes places;
    const u32 passed = locate(w, i, i.space, slot_addresses(w, i, f, slot), bytes, Access::kWrite, values, places);
    each_lane(passed, [&](u32 l) { std::memcpy(places[l], values + l * bytes, bytes); });
  }
}

f32 number(u32 bits, Type type) {
  switch (type) {
    case Type::kF16:
      return F16::wide(low(bits));
    case Type::kBF16:
      return BF16::wide(low(bits));
    case Type::kTF32:
      return tf32_seen(bits);
    default:
      return std::bit_cast<f32>(bits);
  }
}

std::vector<f32> elements(Warp& w, const u32* operands, const Fragment& f) {
  std::vector<f32> result(f.elements());
  for (u32 k = 0; k < f.elements(); ++k) {
    const u32 slot = k / kLanes, half = slot % f.per_register();
    result[k] = number(w.at<u32>(operands[slot / f.per_register()])[k % kLanes] >> (16 * half), f.type);
  }
  return result;
}

// Operands in Code::more: 8 of D, 8 of A, 8 of B, 8 of C.  Inst: immediate = A, offset = the type of C, offset2 = that
// of D.
void multiply(Warp& w, const Inst& i) {
  check_whole_warp(w, i);
  const u32* const operands = &w.frames.back().code->more[i.more];
  Fragment fa = unpacked(i.immediate), fb = fa, fc = fa, fd = fa;
  fb.matrix = kB;
  fc.matrix = fd.matrix = kC;
  fc.type = Type(i.offset);
  fd.type = Type(i.offset2);
  const std::vector<f32> a = elements(w, operands + 8, fa), b = elements(w, operands + 16, fb);
  std::vector<f32> sums = elements(w, operands + 24, fc);
  const Shape s = fa.shape;
  for (u32 r = 0; r < s.m; ++r)
    for (u32 k = 0; k < s.k; ++k)
      for (u32 c = 0; c < s.n; ++c) sums[r * s.n + c] += a[r * s.k + k] * b[k * s.n + c];
  for (u32 r = 0; r < fd.registers(); ++r) {
    u32 t[kLanes] = {};
    for (u32 half = 0; half < fd.per_register(); ++half)
      for (u32 l = 0; l < kLanes; ++l) {
        const f32 sum = sums[(r * fd.per_register() + half) * kLanes + l];
        t[l] |= (fd.type == Type::kF16 ? u32{F16::narrow(sum)} : std::bit_cast<u32>(sum)) << (16 * half);
      }
    put(w, operands[r], t);
  }
  w.launch->counters.mma_flops += u64{2} * s.m * s.n * s.k;
}

Type fragment_type(Decoder& d) {
  if (d.take("tf32")) return Type::kTF32;
  const Type t = d.type();
  if (t != Type::kF16 && t != Type::kBF16 && t != Type::kF32) d.unsupported();
  return t;
}

void each_register(Decoder& d, const Operand& list, const Fragment& f, u32 slot, bool defines) {
  const auto registers = list.kind == Operand::Kind::kVector ? std::span(list.parts) : std::span(&list, 1);
  if (registers.size() != f.registers()) d.unsupported("wrong number of registers");
  for (u32 k = 0; k < registers.size(); ++k)
    defines ? d.define(slot + k, registers[k], Type::kB32) : d.use(slot + k, registers[k], Type::kB32);
}

void decode_mma(Decoder& d, int shape) {
  const bool a_rows = d.take("row"), a_columns = d.take("col");
  if (!a_rows && !a_columns) d.unsupported();
  d.take("row");  // both factors may have the same order, which the fragments have lost already
  d.take("col");
  Fragment a{kShapes[shape], kA, Type::kF16, false};
  const Type sum = fragment_type(d);
  Type from = fragment_type(d);
  if (from == Type::kBF16 || from == Type::kTF32) {
    a.type = from;
    if (fragment_type(d) != a.type) d.unsupported();
    from = fragment_type(d);
  }
  Fragment b = a, c = a, result = a;
  b.matrix = kB;
  c.matrix = result.matrix = kC;
  c.type = from;
  result.type = sum;
  d.expect_size(4);
  each_register(d, d.operand(0), result, kMoreSlots, true);
  each_register(d, d.operand(1), a, kMoreSlots + 8, false);
  each_register(d, d.operand(2), b, kMoreSlots + 16, false);
  each_register(d, d.operand(3), c, kMoreSlots + 24, false);
  d.inst.immediate = packed(a, u64(shape));
  d.inst.offset = s64(c.type);
  d.inst.offset2 = s64(result.type);
  d.inst.run = multiply;
  d.inst.kind = Class::kMatrix;
  d.emit();
}

void decode_wmma(Decoder& d) {
  const bool loads = d.take("load"), stores = !loads && d.take("store");
  if (!loads && !stores && !d.take("mma")) d.unsupported();
  const int shape = d.take_any(kShapeNames);
  if (!d.take("sync") || !d.take("aligned") || shape < 0) d.unsupported();
  if (!loads && !stores) return decode_mma(d, shape);
  Fragment f{kShapes[shape], d.take("a") ? kA : d.take("b") ? kB : kC, Type::kF16, false};
  if (f.matrix == kC && !d.take(loads ? "c" : "d")) d.unsupported();
  f.by_columns = d.take("col");
  if (!f.by_columns && !d.take("row")) d.unsupported();
  take_memory_modifiers(d);
  f.type = fragment_type(d);
  d.expect_size(2, 3);
  d.address(d.operand(stores ? 0 : 1));
  each_register(d, d.operand(stores ? 1 : 0), f, 0, loads);
  if (d.size() == 3) d.use(8, d.operand(2), Type::kU32);
  if (d.inst.space == Space::kShared || d.inst.space == Space::kGeneric)
    d.code().shared_granule = std::min(d.code().shared_granule, bytes_of(f.type));
  d.inst.immediate = packed(f, u64(shape));
  d.inst.run = loads ? load : store;
  d.inst.kind = loads ? Class::kLoad : Class::kStore;
  d.emit();
}

}  // namespace

std::span<const DecodeEntry> wmma_decoders() {
  static constexpr DecodeEntry entries[] = {{"wmma", decode_wmma}};
  return entries;
}

}  // namespace ptx
