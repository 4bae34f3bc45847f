// SPDX-License-Identifier: MIT
// ldmatrix, stmatrix, movmatrix and mma.sync.
//
// A register of a fragment, seen as an array over the lanes, is an 8x8 tile of 16-bit numbers in row-major order (lane
// 4 g + t holds row g, columns 2 t and 2 t + 1), or an 8x4 tile of 32-bit ones.  So A needs no rearrangement, B is its
// transpose, and the accumulators are rows whose even and odd columns lie in two registers.
#include "access.hpp"
#include "decoder.hpp"
#include "lanes.hpp"
#include "numbers.hpp"
#include "warp_sync.hpp"

namespace ptx {
namespace {

using Tile = std::array<std::array<u16, 8>, 8>;

Tile transposed(const Tile& m) {
  Tile t;
  for (u32 r = 0; r < 8; ++r)
    for (u32 c = 0; c < 8; ++c) t[c][r] = m[r][c];
  return t;
}

/// Rows of 16 bytes at the addresses of lanes 8 k ... 8 k + 7 for tile k; the lanes that found theirs.
u32 locate_rows(Warp& w, const Inst& i, Access access, const u8* values, Bytes& places) {
  Addresses a;
  read_addresses(w, i, i.address, i.offset, i.wide_address, a);
  const u32 lanes = i.count == 4 ? kAllLanes : (1u << (8 * i.count)) - 1;
  const u32 mask = w.mask;
  w.mask &= lanes;
  const u32 passed = locate(w, i, Space::kShared, a, 16, access, values, places);
  w.mask = mask;
  return passed;
}

/// count tiles; mode bit 1: transposed (bit 0 says that the address is relative to the frame).
constexpr u8 kTransposed = 2;

void ldmatrix(Warp& w, const Inst& i) {
  check_whole_warp(w, i);
  Bytes places;
  locate_rows(w, i, Access::kRead, nullptr, places);
  Tile tiles[4];
  for (u32 k = 0; k < i.count; ++k)
    for (u32 r = 0; r < 8; ++r) std::memcpy(tiles[k][r].data(), places[8 * k + r], 16);
  for (u32 k = 0; k < i.count; ++k) {
    u32 t[kLanes];
    const Tile tile = i.mode & kTransposed ? transposed(tiles[k]) : tiles[k];
    std::memcpy(t, tile.data(), sizeof t);
    put(w, i.o[k], t);
  }
}

void stmatrix(Warp& w, const Inst& i) {
  check_whole_warp(w, i);
  alignas(16) u8 rows[kLanes * 16];
  for (u32 k = 0; k < i.count; ++k) {
    Tile tile;
    std::memcpy(&tile, w.at<u32>(i.o[k]), sizeof tile);
    if (i.mode & kTransposed) tile = transposed(tile);
    std::memcpy(rows + 128 * k, &tile, sizeof tile);
  }
  Bytes places;
  const u32 passed = locate_rows(w, i, Access::kWrite, rows, places);
  each_lane(passed, [&](u32 l) { std::memcpy(places[l], rows + 16 * l, 16); });
}

void movmatrix(Warp& w, const Inst& i) {
  check_whole_warp(w, i);
  Tile tile;
  std::memcpy(&tile, w.at<u32>(i.o[1]), sizeof tile);
  tile = transposed(tile);
  u32 t[kLanes];
  std::memcpy(t, &tile, sizeof t);
  put(w, i.o[0], t);
}

void decode_ldmatrix(Decoder& d) {
  const bool stores = d.name() == "stmatrix";
  static constexpr std::string_view counts[] = {"x1", "x2", "x4"};
  const int count = d.take_any(counts);
  if (!d.take("sync") || !d.take("aligned") || !d.take("m8n8") || count < 0) d.unsupported();
  const bool trans = d.take("trans");
  if (!d.take("shared")) d.take("shared::cta");
  if (d.type() != Type::kB16) d.unsupported();
  d.inst.space = Space::kShared;
  d.inst.count = u8(1 << count);
  d.expect_size(2);
  const Operand& list = d.operand(stores ? 1 : 0);
  const auto registers = list.kind == Operand::Kind::kVector ? std::span(list.parts) : std::span(&list, 1);
  if (registers.size() != d.inst.count) d.unsupported("wrong number of registers");
  for (u32 k = 0; k < registers.size(); ++k)
    stores ? d.use(k, registers[k], Type::kB32) : d.define(k, registers[k], Type::kB32);
  d.address(d.operand(stores ? 0 : 1));
  if (trans) d.inst.mode |= kTransposed;
  d.inst.run = stores ? stmatrix : ldmatrix;
  d.inst.kind = stores ? Class::kStore : Class::kLoad;
  d.emit();
}

void decode_movmatrix(Decoder& d) {
  if (!d.take("sync") || !d.take("aligned") || !d.take("m8n8") || !d.take("trans")) d.unsupported();
  d.all(2, d.type());
  d.inst.run = movmatrix;
  d.inst.kind = Class::kWarp;
  d.emit();
}

// ---- mma: o[0..3] = D, o[4..7] = A, o[8..11] = B, o[12..15] = C
// ---------------------------------------------------------

constexpr u32 kA = 4, kB = 8, kC = 12;

using Row = f32 __attribute__((vector_size(32)));

struct HalfInput {
  static constexpr u32 kColumns = 8;
  static void row(const void* from, f32* to) {
    u16 bits[8];
    std::memcpy(bits, from, 16);
    for (u32 k = 0; k < 8; ++k) to[k] = F16::wide(bits[k]);
  }
};
struct BrainInput {
  static constexpr u32 kColumns = 8;
  static void row(const void* from, f32* to) {
    u16 bits[8];
    std::memcpy(bits, from, 16);
    for (u32 k = 0; k < 8; ++k) to[k] = BF16::wide(bits[k]);
  }
};
struct Tf32Input {
  static constexpr u32 kColumns = 4;
  static void row(const void* from, f32* to) {
    u32 bits[4];
    std::memcpy(bits, from, 16);
    for (u32 k = 0; k < 4; ++k) to[k] = tf32_seen(bits[k]);
  }
};

/// A[16][K] from K / columns * 2 registers: the odd ones hold rows 8 to 15.
template <class Input, u32 K>
void read_a(Warp& w, const Inst& i, f32 (&a)[16][K]) {
  for (u32 q = 0; q < 2 * K / Input::kColumns; ++q) {
    const u8* const tile = w.at<u8>(i.o[kA + q]);
    for (u32 r = 0; r < 8; ++r) Input::row(tile + 16 * r, &a[8 * (q & 1) + r][q / 2 * Input::kColumns]);
  }
}

template <class Input, u32 K>
void read_b(Warp& w, const Inst& i, Row (&b)[K]) {
  alignas(32) f32 rows[8][K];  // [n][k]
  for (u32 q = 0; q < K / Input::kColumns; ++q) {
    const u8* const tile = w.at<u8>(i.o[kB + q]);
    for (u32 n = 0; n < 8; ++n) Input::row(tile + 16 * n, &rows[n][q * Input::kColumns]);
  }
  for (u32 k = 0; k < K; ++k)
    for (u32 n = 0; n < 8; ++n) b[k][n] = rows[n][k];
}

/// Row g + 8 h of the accumulators: columns 2 t of lane 4 g + t from register 2 h, columns 2 t + 1 from the next.
void read_c(Warp& w, const Inst& i, Row (&c)[16]) {
  for (u32 h = 0; h < 2; ++h) {
    const f32 *const even = w.at<f32>(i.o[kC + 2 * h]), *const odd = w.at<f32>(i.o[kC + 2 * h + 1]);
    for (u32 g = 0; g < 8; ++g)
      for (u32 t = 0; t < 4; ++t) {
        c[g + 8 * h][2 * t] = even[4 * g + t];
        c[g + 8 * h][2 * t + 1] = odd[4 * g + t];
      }
  }
}

void write_d(Warp& w, const Inst& i, const Row (&c)[16]) {
  for (u32 h = 0; h < 2; ++h)
    for (u32 e = 0; e < 2; ++e) {
      f32 t[kLanes];
      for (u32 l = 0; l < kLanes; ++l) t[l] = c[l / 4 + 8 * h][2 * (l % 4) + e];
      put(w, i.o[2 * h + e], t);
    }
}

/// float16 accumulators: register h holds both columns of row g + 8 h.
void read_c16(Warp& w, const Inst& i, Row (&c)[16]) {
  for (u32 h = 0; h < 2; ++h) {
    const u32* const pairs = w.at<u32>(i.o[kC + h]);
    for (u32 l = 0; l < kLanes; ++l) {
      c[l / 4 + 8 * h][2 * (l % 4)] = F16::wide(low(pairs[l]));
      c[l / 4 + 8 * h][2 * (l % 4) + 1] = F16::wide(high(pairs[l]));
    }
  }
}

void write_d16(Warp& w, const Inst& i, const Row (&c)[16]) {
  for (u32 h = 0; h < 2; ++h) {
    u32 t[kLanes];
    for (u32 l = 0; l < kLanes; ++l)
      t[l] = pair_of(F16::narrow(c[l / 4 + 8 * h][2 * (l % 4)]), F16::narrow(c[l / 4 + 8 * h][2 * (l % 4) + 1]));
    put(w, i.o[h], t);
  }
}

template <class Input, u32 K, bool kHalfSums>
void mma(Warp& w, const Inst& i) {
  check_whole_warp(w, i);
  alignas(32) f32 a[16][K];
  Row b[K], c[16];
  read_a<Input, K>(w, i, a);
  read_b<Input, K>(w, i, b);
  kHalfSums ? read_c16(w, i, c) : read_c(w, i, c);
  for (u32 r = 0; r < 16; r += 4)  // four rows at a time hide the latency of the additions
    for (u32 k = 0; k < K; ++k) {
      c[r] += a[r][k] * b[k];
      c[r + 1] += a[r + 1][k] * b[k];
      c[r + 2] += a[r + 2][k] * b[k];
      c[r + 3] += a[r + 3][k] * b[k];
    }
  kHalfSums ? write_d16(w, i, c) : write_d(w, i, c);
  w.launch->counters.mma_flops += 2 * 16 * 8 * K;
}

void use_fragment(Decoder& d, u32 slot, const Operand& operand, u32 count, bool defines) {
  if (operand.kind != Operand::Kind::kVector || operand.parts.size() != count)
    d.unsupported("wrong number of registers");
  for (u32 k = 0; k < count; ++k)
    defines ? d.define(slot + k, operand.parts[k], Type::kB32) : d.use(slot + k, operand.parts[k], Type::kB32);
}

void decode_mma(Decoder& d) {
  static constexpr std::string_view shapes[] = {"m16n8k4", "m16n8k8", "m16n8k16"};
  const int shape = d.take_any(shapes);
  if (!d.take("sync") || !d.take("aligned") || !d.take("row") || !d.take("col") || shape < 0) d.unsupported();
  const Type sums = d.type(), a = d.type(), b = d.type(), c = d.type();
  const u32 k = 4u << shape;
  if (a != b || sums != c) d.unsupported();
  const bool half = sums == Type::kF16;
  if (a == Type::kTF32 && sums == Type::kF32 && k == 4)
    d.inst.run = mma<Tf32Input, 4, false>;
  else if (a == Type::kTF32 && sums == Type::kF32 && k == 8)
    d.inst.run = mma<Tf32Input, 8, false>;
  else if (a == Type::kBF16 && sums == Type::kF32 && k == 8)
    d.inst.run = mma<BrainInput, 8, false>;
  else if (a == Type::kBF16 && sums == Type::kF32 && k == 16)
    d.inst.run = mma<BrainInput, 16, false>;
  else if (a == Type::kF16 && k == 8)
    d.inst.run = half ? mma<HalfInput, 8, true> : mma<HalfInput, 8, false>;
  else if (a == Type::kF16 && k == 16)
    d.inst.run = half ? mma<HalfInput, 16, true> : mma<HalfInput, 16, false>;
  else
    d.unsupported();
  if (half ? a != Type::kF16 : sums != Type::kF32) d.unsupported();
  d.expect_size(4);
  const u32 columns = a == Type::kTF32 ? 4 : 8;
  use_fragment(d, 0, d.operand(0), half ? 2 : 4, true);
  use_fragment(d, kA, d.operand(1), 2 * k / columns, false);
  const Operand& right = d.operand(2);
  if (k == columns && right.kind == Operand::Kind::kRegister)
    d.use(kB, right, Type::kB32);
  else
    use_fragment(d, kB, right, k / columns, false);
  use_fragment(d, kC, d.operand(3), half ? 2 : 4, false);
  d.inst.kind = Class::kMatrix;
  d.emit();
}

}  // namespace

std::span<const DecodeEntry> matrix_decoders() {
  static constexpr DecodeEntry entries[] = {{"ldmatrix", decode_ldmatrix},
                                            {"stmatrix", decode_ldmatrix},
                                            {"movmatrix", decode_movmatrix},
                                            {"mma", decode_mma}};
  return entries;
}

}  // namespace ptx
