// SPDX-License-Identifier: MIT
// Integer instructions against their definitions, at the borders of their types.
#include <algorithm>

#include "instruction.hpp"

using namespace ptx_test;
using s16 = std::int16_t;
using u16 = std::uint16_t;
using s32 = std::int32_t;
using u32 = std::uint32_t;
using s64 = std::int64_t;
using u64 = std::uint64_t;
__extension__ typedef __int128 s128;
__extension__ typedef unsigned __int128 u128;

TEST_CASE("PTX integers: add, sub, mul and mad wrap around", "[ptx][integer][parity]") {
  check_instruction<u32, u32>("add.u32 %d, %a, %b;", [](u32 a, u32 b, u32) { return a + b; });
  check_instruction<u64, u64>("sub.s64 %d, %a, %b;", [](u64 a, u64 b, u64) { return a - b; });
  check_instruction<u16, u16>("add.s16 %d, %a, %b;", [](u16 a, u16 b, u16) { return u16(a + b); });
  check_instruction<s32, s32>("add.sat.s32 %d, %a, %b;",
                              [](s32 a, s32 b, s32) { return s32(std::clamp<s64>(s64(a) + b, INT32_MIN, INT32_MAX)); });
  check_instruction<u16, u16>("mul.lo.u16 %d, %a, %b;", [](u16 a, u16 b, u16) { return u16(u32(a) * b); });
  check_instruction<s32, s32>("mul.hi.s32 %d, %a, %b;", [](s32 a, s32 b, s32) { return s32(s64(a) * b >> 32); });
  check_instruction<u32, u32>("mul.hi.u32 %d, %a, %b;", [](u32 a, u32 b, u32) { return u32(u64(a) * b >> 32); });
  check_instruction<s64, s64>("mul.hi.s64 %d, %a, %b;", [](s64 a, s64 b, s64) { return s64(s128(a) * b >> 64); });
  check_instruction<u64, u64>("mul.hi.u64 %d, %a, %b;", [](u64 a, u64 b, u64) { return u64(u128(a) * b >> 64); });
  check_instruction<s64, s32>("mul.wide.s32 %d, %a, %b;", [](s32 a, s32 b, s32) { return s64(a) * b; });
  check_instruction<u64, u32>("mul.wide.u32 %d, %a, %b;", [](u32 a, u32 b, u32) { return u64(a) * b; });
  check_instruction<s32, s16>("mul.wide.s16 %d, %a, %b;", [](s16 a, s16 b, s16) { return s32(a) * b; });
  check_instruction<u32, u32>("mad.lo.s32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) { return a * b + c; });
  check_instruction<s64, s32, s32, s64>("mad.wide.s32 %d, %a, %b, %c;",
                                        [](s32 a, s32 b, s64 c) { return s64(u64(s64(a) * b) + u64(c)); });
  check_instruction<s32, s32>("mul24.lo.s32 %d, %a, %b;", [](s32 a, s32 b, s32) {
    return s32(u32(s64(s32(u32(a) << 8) >> 8) * (s32(u32(b) << 8) >> 8)));
  });
}

TEST_CASE("PTX integers: carries go from one instruction to the next", "[ptx][integer][parity]") {
  check_instruction<u32, u32>("add.cc.u32 %t, %a, %b;\naddc.u32 %d, %c, 0;",
                              [](u32 a, u32 b, u32 c) { return c + u32((u64(a) + b) >> 32); });
  check_instruction<u64, u64>("sub.cc.u64 %p4, %a, %b;\nsubc.u64 %d, %c, 5;",
                              [](u64 a, u64 b, u64 c) { return c - 5 - (a < b); });
  check_instruction<u32, u32>("sub.cc.u32 %t, %a, %b;\naddc.u32 %d, %c, 0;",
                              [](u32 a, u32 b, u32 c) { return c + (a >= b); });
  check_instruction<u32, u32>("mad.lo.cc.u32 %t, %a, %b, %c;\nmadc.hi.u32 %d, %a, %b, 0;",
                              [](u32 a, u32 b, u32 c) { return u32((u64(a) * b + c) >> 32); });
}

TEST_CASE("PTX integers: division, remainder, extremes, distances", "[ptx][integer][parity]") {
  const auto not_zero = "setp.eq.s32 %q, %b, 0;\nselp.b32 %b, 1, %b, %q;\n";  // division by zero is undefined
  check_instruction<s32, s32>(not_zero + std::string("div.s32 %d, %a, %b;"), [](s32 a, s32 b, s32) {
    return b == 0 ? a : b == -1 ? s32(0u - u32(a)) : a / b;
  });
  check_instruction<s32, s32>(not_zero + std::string("rem.s32 %d, %a, %b;"),
                              [](s32 a, s32 b, s32) { return b == 0 || b == -1 ? 0 : a % b; });
  check_instruction<u32, u32>(not_zero + std::string("rem.u32 %d, %a, %b;"),
                              [](u32 a, u32 b, u32) { return b == 0 ? 0 : a % b; });
  check_instruction<s32, s32>("min.s32 %d, %a, %b;", [](s32 a, s32 b, s32) { return std::min(a, b); });
  check_instruction<u64, u64>("max.u64 %d, %a, %b;", [](u64 a, u64 b, u64) { return std::max(a, b); });
  check_instruction<s16, s16>("min.s16 %d, %a, %b;", [](s16 a, s16 b, s16) { return std::min(a, b); });
  check_instruction<s32, s32>("abs.s32 %d, %a;", [](s32 a, s32, s32) { return a < 0 ? s32(0u - u32(a)) : a; });
  check_instruction<s64, s64>("neg.s64 %d, %a;", [](s64 a, s64, s64) { return s64(u64(0) - u64(a)); });
  check_instruction<u32, s32>("sad.s32 %d, %a, %b, 9;",
                              [](s32 a, s32 b, s32) { return 9 + u32(std::abs(s64(a) - b)); });
  check_instruction<s32, u32, u32, s32>("dp4a.s32.u32 %d, %a, %b, %c;", [](u32 a, u32 b, s32 c) {
    u32 sum = u32(c);
    for (int k = 0; k < 4; ++k) sum += u32(s32(std::int8_t(a >> 8 * k)) * s32(b >> 8 * k & 255));
    return s32(sum);
  });
}

TEST_CASE("PTX bits: logic, shifts that clamp, fields, permutations, counts", "[ptx][integer][parity]") {
  check_instruction<u32, u32>("lop3.b32 %d, %a, %b, %c, 0x96;", [](u32 a, u32 b, u32 c) { return a ^ b ^ c; });
  check_instruction<u32, u32>("lop3.b32 %d, %a, %b, %c, 0xca;", [](u32 a, u32 b, u32 c) { return (a & b) | (~a & c); });
  check_instruction<u64, u64>("not.b64 %d, %a;", [](u64 a, u64, u64) { return ~a; });
  check_instruction<u32, u32>("shl.b32 %d, %a, %b;", [](u32 a, u32 b, u32) { return b >= 32 ? 0 : a << b; });
  check_instruction<s32, s32, u32>("shr.s32 %d, %a, %b;", [](s32 a, u32 b, s32) { return a >> std::min(b, 31u); });
  check_instruction<u64, u64, u32>("shr.u64 %d, %a, %b;", [](u64 a, u32 b, u64) { return b >= 64 ? 0 : a >> b; });
  check_instruction<s16, s16, u32>("shr.s16 %d, %a, %b;", [](s16 a, u32 b, s16) { return s16(a >> std::min(b, 15u)); });
  check_instruction<u32, u32>("shf.l.wrap.b32 %d, %a, %b, %c;",
                              [](u32 a, u32 b, u32 c) { return u32(((u64(b) << 32 | a) << (c & 31)) >> 32); });
  check_instruction<u32, u32>("shf.r.clamp.b32 %d, %a, %b, %c;",
                              [](u32 a, u32 b, u32 c) { return c >= 32 ? b : u32((u64(b) << 32 | a) >> c); });
  check_instruction<u32, u32>("popc.b32 %d, %a;", [](u32 a, u32, u32) { return u32(std::popcount(a)); });
  check_instruction<u32, u64>("clz.b64 %d, %a;", [](u64 a, u64, u64) { return u32(std::countl_zero(a)); });
  check_instruction<u32, s32>("bfind.s32 %d, %a;",
                              [](s32 a, s32, s32) { return u32(31 - std::countl_zero(u32(a < 0 ? ~a : a))); });
  check_instruction<u32, u32>("bfind.shiftamt.u32 %d, %a;",
                              [](u32 a, u32, u32) { return a == 0 ? ~0u : u32(std::countl_zero(a)); });
  check_instruction<u32, u32>("brev.b32 %d, %a;", [](u32 a, u32, u32) {
    u32 r = 0;
    for (u32 k = 0; k < 32; ++k) r |= (a >> k & 1) << (31 - k);
    return r;
  });
  check_instruction<u32, u32>("bfe.u32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    b &= 255, c &= 255;
    u32 r = 0;
    for (u32 k = 0; k < c && k < 32 && b + k < 32; ++k) r |= (a >> (b + k) & 1) << k;
    return r;
  });
  check_instruction<s32, s32, u32, u32>("bfe.s32 %d, %a, %b, %c;", [](s32 a, u32 b, u32 c) {
    b &= 255, c &= 255;
    const u32 sign = c == 0 ? 0 : u32(a) >> std::min(b + c - 1, 31u) & 1;  // the definition in the PTX manual
    u32 r = 0;
    for (u32 k = 0; k < 32; ++k) r |= (k < c && b + k < 32 ? u32(a) >> (b + k) & 1 : sign) << k;
    return s32(r);
  });
  check_instruction<u32, u32>("bfi.b32 %d, %a, %b, %c, 11;", [](u32 a, u32 b, u32 c) {
    c &= 255;
    u32 r = b;
    for (u32 k = 0; k < 11 && c + k < 32; ++k) r = (r & ~(1u << (c + k))) | (a >> k & 1) << (c + k);
    return r;
  });
  check_instruction<u64, u64, u64, u32>("bfi.b64 %d, %a, %b, %c, 33;", [](u64 a, u64 b, u32 c) {
    c &= 255;
    u64 r = b;
    for (u32 k = 0; k < 33 && c + k < 64; ++k) r = (r & ~(u64(1) << (c + k))) | (a >> k & 1) << (c + k);
    return r;
  });
  check_instruction<u32, u32>("prmt.b32 %d, %a, %b, %c;", [](u32 a, u32 b, u32 c) {
    const u64 both = u64(b) << 32 | a;
    u32 r = 0;
    for (int k = 0; k < 4; ++k) {
      const u32 byte = u32(both >> (8 * (c >> (4 * k) & 7))) & 255;
      r |= (c >> (4 * k + 3) & 1 ? (byte & 128 ? 255u : 0u) : byte) << (8 * k);
    }
    return r;
  });
}

TEST_CASE("PTX integers: comparisons, selections, predicates", "[ptx][integer][parity]") {
  const auto choose = [](const std::string& setp) { return setp + "\nselp.b32 %d, 1, 0, %q;"; };
  check_instruction<u32, s32>(choose("setp.lt.s32 %q, %a, %b;"), [](s32 a, s32 b, s32) { return u32(a < b); });
  check_instruction<u32, u32>(choose("setp.hs.u32 %q, %a, %b;"), [](u32 a, u32 b, u32) { return u32(a >= b); });
  check_instruction<u32, s64>(choose("setp.le.s64 %q, %a, %b;"), [](s64 a, s64 b, s64) { return u32(a <= b); });
  check_instruction<u32, s16>(choose("setp.gt.s16 %q, %a, %b;"), [](s16 a, s16 b, s16) { return u32(a > b); });
  check_instruction<u32, u32>(choose("setp.ne.b32 %r, %c, 1;\nsetp.eq.or.u32 %q, %a, %b, !%r;"),
                              [](u32 a, u32 b, u32 c) { return u32(a == b || c == 1); });
  check_instruction<u32, u32>("setp.lt.u32 %q|%r, %a, %b;\nselp.b32 %d, 1, 0, %q;\n@%r add.u32 %d, %d, 2;",
                              [](u32 a, u32 b, u32) { return a < b ? 1u : 2u; });
  check_instruction<u32, u32>("setp.lt.u32 %q, %a, %b;\nnot.pred %r, %q;\nand.pred %q, %q, %r;\nselp.b32 %d, 1, 0, %q;",
                              [](u32, u32, u32) { return 0u; });
  check_instruction<u32, s32>("set.ge.u32.s32 %d, %a, %b;", [](s32 a, s32 b, s32) { return a >= b ? ~0u : 0u; });
  check_instruction<s32, s32>("slct.s32.s32 %d, %a, %b, %c;", [](s32 a, s32 b, s32 c) { return c >= 0 ? a : b; });
}
