// SPDX-License-Identifier: MIT
// Lanes that talk to each other: shfl, vote, match, redux, activemask, elect, bar.warp.sync.
#include <algorithm>

#include "bitwise.hpp"
#include "decoder.hpp"
#include "lanes.hpp"
#include "warp_sync.hpp"

namespace ptx {

void check_members(Warp& w, const Inst& i, u32 operand) {
  if (!w.launch->check) return;
  const u32* const members = w.at<u32>(operand);
  const u32 executing = w.mask;
  each_lane(executing, [&](u32 l) {
    const u32 expected = members[l] & w.alive;
    if ((members[l] >> l & 1) == 0)
      w.launch->fault(Fault::kWarpSync, w, i, l,
                      cat("the member mask ", hex(members[l]), " does not hold the lane itself"));
    else if ((expected & ~executing) != 0)
      w.launch->fault(
          Fault::kWarpSync, w, i, l,
          cat("the member mask is ", hex(members[l]), ", but only the lanes ", hex(executing), " execute it"));
  });
}

void check_whole_warp(Warp& w, const Inst& i) {
  if (!w.launch->check || w.mask == kAllLanes) return;
  w.launch->fault(Fault::kWarpSync, w, i, first_lane(w.mask),
                  cat("all 32 lanes must execute it, but only the lanes ", hex(w.mask), " do"));
}

namespace {

enum ShuffleMode : u8 { kUp, kDown, kBfly, kIdx };

/// o[0] = value, o[1] = predicate, o[2] = source, o[3] = lane, o[4] = clamp, o[5] = members.
void shfl(Warp& w, const Inst& i) {
  check_members(w, i, i.o[5]);
  const u32 *const a = w.at<u32>(i.o[2]), *const b = w.at<u32>(i.o[3]), *const c = w.at<u32>(i.o[4]);
  const u32* const members = w.at<u32>(i.o[5]);
  u32 t[kLanes], in_range = 0, inactive = 0;
  for (u32 l = 0; l < kLanes; ++l) {
    const u32 by = b[l] & 31, clamp = c[l] & 31, segment = c[l] >> 8 & 31;
    const u32 last = (l & segment) | (clamp & ~segment), first = l & segment;
    const s32 j = i.mode == kUp     ? s32(l) - s32(by)
                  : i.mode == kDown ? s32(l + by)
                  : i.mode == kBfly ? s32(l ^ by)
                                    : s32(first | (by & ~segment));
    const bool valid = i.mode == kUp ? j >= s32(last) : j <= s32(last);
    const u32 source = valid ? u32(j) & 31 : l;
    in_range |= u32(valid) << l;
    const bool takes_part = (w.mask & members[l] & (1u << source)) != 0;
    inactive |= u32(!takes_part && (w.alive >> source & 1) != 0) << l;
    // of a lane that has exited comes no error, but a value (NaN, -1) that shows if it is used
    t[l] = takes_part || (w.mask >> l & 1) == 0 ? a[source] : ~0u;
  }
  inactive &= w.mask;
  if (inactive != 0 && w.launch->check)
    w.launch->fault(Fault::kWarpSync, w, i, first_lane(inactive),
                    "shuffle reads the register of a lane that does not take part");
  put(w, i.o[0], t);
  w.set_predicate(i.o[1], in_range);
}

void decode_shfl(Decoder& d) {
  if (!d.take("sync")) d.unsupported();
  static constexpr std::string_view modes[] = {"up", "down", "bfly", "idx"};
  const int mode = d.take_any(modes);
  if (mode < 0 || d.type() != Type::kB32) d.unsupported();
  d.expect_size(5);
  d.define(0, d.operand(0), Type::kB32);
  if (!d.operand(0).parts.empty()) d.define(1, d.operand(0).parts[0], Type::kPred);
  for (u32 k = 1; k < 5; ++k) d.use(k + 1, d.operand(k), Type::kB32);
  d.inst.mode = u8(mode);
  d.inst.run = shfl;
  d.inst.kind = Class::kWarp;
  d.emit();
}

/// Calls f(lanes) once for each group of lanes that name the same members.
template <class F>
void each_group(Warp& w, const u32* members, F&& f) {
  for (u32 left = w.mask; left != 0;) {
    const u32 wanted = members[first_lane(left)];
    u32 group = 0;
    each_lane(left, [&](u32 l) { group |= u32(members[l] == wanted) << l; });
    f(group);
    left &= ~group;
  }
}

enum VoteMode : u8 { kAll, kAny, kUni, kBallot };

/// o[0] = result, o[1] = predicate, o[2] = members.
void vote(Warp& w, const Inst& i) {
  check_members(w, i, i.o[2]);
  const u32 p = w.predicate(i.o[1]);
  u32 result = 0;
  u32 t[kLanes] = {};
  each_group(w, w.at<u32>(i.o[2]), [&](u32 group) {
    const u32 votes = p & group;
    const bool holds = i.mode == kAll ? votes == group : i.mode == kAny ? votes != 0 : votes == group || votes == 0;
    if (holds) result |= group;
    each_lane(group, [&](u32 l) { t[l] = votes; });
  });
  if (i.mode == kBallot)
    put(w, i.o[0], t);
  else
    w.set_predicate(i.o[0], result);
}

void decode_vote(Decoder& d) {
  if (!d.take("sync")) d.unsupported();
  static constexpr std::string_view modes[] = {"all", "any", "uni", "ballot"};
  const int mode = d.take_any(modes);
  const Type t = d.type();
  if (mode < 0 || (t == Type::kPred) == (mode == kBallot)) d.unsupported();
  d.expect_size(3);
  d.define(0, d.operand(0), t);
  d.use_predicate(1, d.operand(1));
  d.use(2, d.operand(2), Type::kB32);
  d.inst.mode = u8(mode);
  d.inst.run = vote;
  d.inst.kind = Class::kWarp;
  d.emit();
}

/// o[0] = lanes, o[1] = predicate (all), o[2] = value, o[3] = members; mode 1: all.
template <class T>
void match(Warp& w, const Inst& i) {
  check_members(w, i, i.o[3]);
  const T* const a = w.at<T>(i.o[2]);
  u32 t[kLanes] = {}, agree = 0;
  each_group(w, w.at<u32>(i.o[3]), [&](u32 group) {
    each_lane(group, [&](u32 l) {
      each_lane(group, [&](u32 other) { t[l] |= u32(a[l] == a[other]) << other; });
      if (i.mode == 1 && t[l] != group) t[l] = 0;
      agree |= u32(t[l] == group) << l;
    });
  });
  put(w, i.o[0], t);
  w.set_predicate(i.o[1], agree);
}

void decode_match(Decoder& d) {
  const bool all = d.take("all");
  if (!all && !d.take("any")) d.unsupported();
  if (!d.take("sync")) d.unsupported();
  const Type t = d.type();
  d.expect_size(3);
  d.define(0, d.operand(0), Type::kB32);
  if (!d.operand(0).parts.empty()) d.define(1, d.operand(0).parts[0], Type::kPred);
  d.use(2, d.operand(1), t);
  d.use(3, d.operand(2), Type::kB32);
  d.inst.mode = all ? 1 : 0;
  d.inst.run = bytes_of(t) == 8 ? match<u64> : match<u32>;
  d.inst.kind = Class::kWarp;
  d.emit();
}

struct Add {
  template <class T>
  static T apply(T a, T b) {
    return T(a + b);
  }
};
struct Min {
  template <class T>
  static T apply(T a, T b) {
    return std::min(a, b);
  }
};
struct Max {
  template <class T>
  static T apply(T a, T b) {
    return std::max(a, b);
  }
};

template <class F, class T>
void redux(Warp& w, const Inst& i) {
  check_members(w, i, i.o[2]);
  const T* const a = w.at<T>(i.o[1]);
  T t[kLanes] = {};
  each_group(w, w.at<u32>(i.o[2]), [&](u32 group) {
    T result = a[first_lane(group)];
    each_lane(group & (group - 1), [&](u32 l) { result = F::apply(result, a[l]); });
    each_lane(group, [&](u32 l) { t[l] = result; });
  });
  put(w, i.o[0], t);
}

void decode_redux(Decoder& d) {
  if (!d.take("sync")) d.unsupported();
  static constexpr std::string_view names[] = {"add", "min", "max", "and", "or", "xor"};
  static constexpr Handler plain[] = {redux<Add, u32>, redux<Min, u32>, redux<Max, u32>,
                                      redux<And, u32>, redux<Or, u32>,  redux<Xor, u32>};
  const int op = d.take_any(names);
  const Type t = d.type();
  if (op < 0) d.unsupported();
  if (t == Type::kF32 && (op == 1 || op == 2))
    d.inst.run = op == 1 ? redux<Min, f32> : redux<Max, f32>;
  else if (t == Type::kS32 && (op == 1 || op == 2))
    d.inst.run = op == 1 ? redux<Min, s32> : redux<Max, s32>;
  else if (t == Type::kS32 || t == Type::kU32 || t == Type::kB32)
    d.inst.run = plain[op];
  else
    d.unsupported();
  d.expect_size(3);
  d.define(0, d.operand(0), t);
  d.use(1, d.operand(1), t);
  d.use(2, d.operand(2), Type::kB32);
  d.inst.kind = Class::kWarp;
  d.emit();
}

void activemask(Warp& w, const Inst& i) {
  put_same<u32>(w, i.o[0], w.mask);
}

void decode_activemask(Decoder& d) {
  d.type();
  d.expect_size(1);
  d.define(0, d.operand(0), Type::kB32);
  d.inst.run = activemask;
  d.inst.kind = Class::kWarp;
  d.emit();
}

/// o[0] = number of the chosen lane, o[1] = true there, o[2] = members.
void elect(Warp& w, const Inst& i) {
  check_members(w, i, i.o[2]);
  const u32 chosen = first_lane(w.mask);
  put_same<u32>(w, i.o[0], chosen);
  w.set_predicate(i.o[1], 1u << chosen);
}

void decode_elect(Decoder& d) {
  if (!d.take("sync")) d.unsupported();
  d.expect_size(2);
  d.define(0, d.operand(0), Type::kB32);
  if (!d.operand(0).parts.empty()) d.define(1, d.operand(0).parts[0], Type::kPred);
  d.use(2, d.operand(1), Type::kB32);
  d.inst.run = elect;
  d.inst.kind = Class::kWarp;
  d.emit();
}

}  // namespace

void warp_barrier(Warp& w, const Inst& i) {
  check_members(w, i, i.o[0]);
  ++w.sync;
}

std::span<const DecodeEntry> warp_decoders() {
  static constexpr DecodeEntry entries[] = {{"shfl", decode_shfl},   {"vote", decode_vote},
                                            {"match", decode_match}, {"redux", decode_redux},
                                            {"elect", decode_elect}, {"activemask", decode_activemask}};
  return entries;
}

}  // namespace ptx
