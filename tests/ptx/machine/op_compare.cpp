// SPDX-License-Identifier: MIT
// Comparisons and choices: setp, set, selp, slct.
#include "decoder.hpp"
#include "lanes.hpp"
#include "numbers.hpp"

namespace ptx {
namespace {

enum Relation : u8 { kEq, kNe, kLt, kLe, kGt, kGe, kEqu, kNeu, kLtu, kLeu, kGtu, kGeu, kNum, kNan };
constexpr std::string_view kRelations[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge", "equ", "neu", "ltu",
                                           "leu", "gtu", "geu", "num", "nan", "lo", "ls",  "hi",  "hs"};

template <u8 kRelation, class T>
inline bool holds(T a, T b) {
  constexpr bool floating = std::is_floating_point_v<T>;
  if constexpr (kRelation == kEq)
    return a == b;
  else if constexpr (kRelation == kNe)
    return floating ? a < b || a > b : a != b;
  else if constexpr (kRelation == kLt)
    return a < b;
  else if constexpr (kRelation == kLe)
    return a <= b;
  else if constexpr (kRelation == kGt)
    return a > b;
  else if constexpr (kRelation == kGe)
    return a >= b;
  else if constexpr (kRelation == kEqu)
    return !(a < b || a > b);
  else if constexpr (kRelation == kNeu)
    return a != b;
  else if constexpr (kRelation == kLtu)
    return !(a >= b);
  else if constexpr (kRelation == kLeu)
    return !(a > b);
  else if constexpr (kRelation == kGtu)
    return !(a <= b);
  else if constexpr (kRelation == kGeu)
    return !(a < b);
  else if constexpr (kRelation == kNum)
    return a == a && b == b;
  else
    return a != a || b != b;
}

enum Combine : u8 { kPlain, kWithAnd, kWithOr, kWithXor };

/// A comparison combined with the predicate in o[4]; mode says how.
inline u32 combined(Warp& w, const Inst& i, u32 result) {
  if (i.mode == kPlain) return result;
  const u32 c = w.predicate(i.o[4]);
  return i.mode == kWithAnd ? result & c : i.mode == kWithOr ? result | c : result ^ c;
}

template <class T, u8 kRelation>
u32 compare(const T* a, const T* b) {
  u32 result = 0;
  if constexpr (sizeof(T) == 4) {
    alignas(64) u32 t[kLanes];
    PTX_EACH_LANE t[l] = holds<kRelation>(a[l], b[l]) ? 1u << l : 0u;
    PTX_EACH_LANE result |= t[l];
  } else {
    for (u32 l = 0; l < kLanes; ++l) result |= u32(holds<kRelation>(a[l], b[l])) << l;
  }
  return result;
}

template <class T>
u32 compare(u8 relation, const T* a, const T* b) {
  switch (relation) {
    case kEq:
      return compare<T, kEq>(a, b);
    case kNe:
      return compare<T, kNe>(a, b);
    case kLt:
      return compare<T, kLt>(a, b);
    case kLe:
      return compare<T, kLe>(a, b);
    case kGt:
      return compare<T, kGt>(a, b);
    case kGe:
      return compare<T, kGe>(a, b);
    default:
      break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    switch (relation) {
      case kEqu:
        return compare<T, kEqu>(a, b);
      case kNeu:
        return compare<T, kNeu>(a, b);
      case kLtu:
        return compare<T, kLtu>(a, b);
      case kLeu:
        return compare<T, kLeu>(a, b);
      case kGtu:
        return compare<T, kGtu>(a, b);
      case kGeu:
        return compare<T, kGeu>(a, b);
      case kNum:
        return compare<T, kNum>(a, b);
      case kNan:
        return compare<T, kNan>(a, b);
      default:
        break;
    }
  }
  return 0;
}

/// Converts a register of 32 lanes to what is compared.
template <class From, class To, To (*kConvert)(From)>
const To* converted(Warp& w, u32 operand, To* buffer) {
  const Stored<From>* const a = w.at<Stored<From>>(operand);
  PTX_EACH_LANE buffer[l] = kConvert(From(a[l]));
  return buffer;
}

inline s32 widen_signed(u32 x) {
  return s32(s16(x));
}
inline u32 widen(u32 x) {
  return x & 0xffff;
}
inline f32 flush(u32 x) {
  return flushed(std::bit_cast<f32>(x));
}
inline f32 low_half(u32 x) {
  return F16::wide(low(x));
}
inline f32 high_half(u32 x) {
  return F16::wide(high(x));
}
inline f32 low_brain(u32 x) {
  return BF16::wide(low(x));
}
inline f32 high_brain(u32 x) {
  return BF16::wide(high(x));
}

/// What the operands of a comparison are; kLow... take one half of a register.
enum Operands : u8 {
  kSigned16,
  kUnsigned16,
  kSigned32,
  kUnsigned32,
  kSigned64,
  kUnsigned64,
  kFloat,
  kFloatFtz,
  kDouble,
  kLowHalf,
  kHighHalf,
  kLowBrain,
  kHighBrain
};

template <class To, To (*kConvert)(u32)>
u32 compare_converted(Warp& w, const Inst& i, u8 relation) {
  alignas(64) To a[kLanes], b[kLanes];
  return compare<To>(relation, converted<u32, To, kConvert>(w, i.o[2], a), converted<u32, To, kConvert>(w, i.o[3], b));
}

template <class T>
u32 compare_plain(Warp& w, const Inst& i, u8 relation) {
  return compare<T>(relation, w.at<T>(i.o[2]), w.at<T>(i.o[3]));
}

u32 compare(Warp& w, const Inst& i, Operands operands, u8 relation) {
  switch (operands) {
    case kSigned16:
      return compare_converted<s32, widen_signed>(w, i, relation);
    case kUnsigned16:
      return compare_converted<u32, widen>(w, i, relation);
    case kSigned32:
      return compare_plain<s32>(w, i, relation);
    case kUnsigned32:
      return compare_plain<u32>(w, i, relation);
    case kSigned64:
      return compare_plain<s64>(w, i, relation);
    case kUnsigned64:
      return compare_plain<u64>(w, i, relation);
    case kFloat:
      return compare_plain<f32>(w, i, relation);
    case kFloatFtz:
      return compare_converted<f32, flush>(w, i, relation);
    case kDouble:
      return compare_plain<f64>(w, i, relation);
    case kLowHalf:
      return compare_converted<f32, low_half>(w, i, relation);
    case kHighHalf:
      return compare_converted<f32, high_half>(w, i, relation);
    case kLowBrain:
      return compare_converted<f32, low_brain>(w, i, relation);
    default:
      return compare_converted<f32, high_brain>(w, i, relation);
  }
}

// Inst: size = Operands, count = Relation.

void setp(Warp& w, const Inst& i) {
  const u32 result = compare(w, i, Operands(i.size), i.count);
  const u32 first = combined(w, i, result), second = combined(w, i, ~result);
  w.set_predicate(i.o[0], first);
  w.set_predicate(i.o[1], second);
}

/// Two results, of the low and of the high halves.
void setp_pair(Warp& w, const Inst& i) {
  const u32 first = combined(w, i, compare(w, i, Operands(i.size), i.count));
  const u32 second = combined(w, i, compare(w, i, Operands(i.size + 1), i.count));
  w.set_predicate(i.o[0], first);
  w.set_predicate(i.o[1], second);
}

/// immediate: the value of a true result, of one lane or of one half.
void set_value(Warp& w, const Inst& i) {
  const bool pair = i.offset != 0;
  const u32 first = combined(w, i, compare(w, i, Operands(i.size), i.count));
  const u32 second = pair ? combined(w, i, compare(w, i, Operands(i.size + 1), i.count)) : 0;
  u32 t[kLanes];
  for (u32 l = 0; l < kLanes; ++l)
    t[l] = (first >> l & 1 ? u32(i.immediate) : 0) | (second >> l & 1 ? u32(i.immediate) << 16 : 0);
  put(w, i.o[0], t);
}

template <class T>
void select(Warp& w, const Inst& i) {
  const T *const a = w.at<T>(i.o[1]), *const b = w.at<T>(i.o[2]);
  const u32 choice = w.predicate(i.o[3]);
  alignas(64) T t[kLanes];
  PTX_EACH_LANE t[l] = (choice >> l & 1) != 0 ? a[l] : b[l];
  put(w, i.o[0], t);
}

template <class T, class C>
void select_by_sign(Warp& w, const Inst& i) {
  const T *const a = w.at<T>(i.o[1]), *const b = w.at<T>(i.o[2]);
  const C* const c = w.at<C>(i.o[3]);
  T t[kLanes];
  for (u32 l = 0; l < kLanes; ++l) t[l] = c[l] >= C(0) ? a[l] : b[l];
  put(w, i.o[0], t);
}

void take_relation(Decoder& d) {
  // the relation is the first modifier: "lo" and "hi" mean other things elsewhere
  const int found = d.take_any(kRelations);
  if (found < 0) d.unsupported("no comparison");
  constexpr Relation unsigned_names[] = {kLt, kLe, kGt, kGe};
  d.inst.count = u8(found < 14 ? found : unsigned_names[found - 14]);
  constexpr std::string_view combines[] = {"and", "or", "xor"};
  d.inst.mode = u8(d.take_any(combines) + 1);
}

Operands operands_of(Decoder& d, Type t, bool ftz) {
  const bool signs = is_signed(t);
  switch (t) {
    case Type::kF32:
      return ftz ? kFloatFtz : kFloat;
    case Type::kF64:
      return kDouble;
    case Type::kF16:
    case Type::kF16x2:
      return kLowHalf;
    case Type::kBF16:
    case Type::kBF16x2:
      return kLowBrain;
    case Type::kPred:
      d.unsupported();
    default:
      break;
  }
  switch (bytes_of(t)) {
    case 2:
      return signs ? kSigned16 : kUnsigned16;
    case 4:
      return signs ? kSigned32 : kUnsigned32;
    case 8:
      return signs ? kSigned64 : kUnsigned64;
    default:
      d.unsupported();
  }
}

void use_operands(Decoder& d, Type t) {
  d.expect_size(d.inst.mode == kPlain ? 3 : 4);
  d.use(2, d.operand(1), t);
  d.use(3, d.operand(2), t);
  if (d.inst.mode != kPlain) d.use_predicate(4, d.operand(3));
  d.inst.kind = Class::kCompare;
}

void decode_setp(Decoder& d) {
  take_relation(d);
  const bool ftz = d.take("ftz");
  const Type t = d.type();
  d.inst.size = operands_of(d, t, ftz);
  use_operands(d, t);
  d.define(0, d.operand(0), Type::kPred);
  if (!d.operand(0).parts.empty()) d.define(1, d.operand(0).parts[0], Type::kPred);
  d.inst.run = t == Type::kF16x2 || t == Type::kBF16x2 ? setp_pair : setp;
  d.emit();
}

void decode_set(Decoder& d) {
  take_relation(d);
  const bool ftz = d.take("ftz");
  const Type result = d.type(), t = d.type();
  d.inst.size = operands_of(d, t, ftz);
  use_operands(d, t);
  d.define(0, d.operand(0), result);
  const bool pair = t == Type::kF16x2 || t == Type::kBF16x2;
  switch (result) {
    case Type::kU32:
    case Type::kS32:
      d.inst.immediate = pair ? 0xffffu : ~0u;
      break;
    case Type::kF32:
      d.inst.immediate = 0x3f800000u;
      break;
    case Type::kF16:
    case Type::kF16x2:
      d.inst.immediate = F16::kOne;
      break;
    case Type::kBF16:
    case Type::kBF16x2:
      d.inst.immediate = BF16::kOne;
      break;
    case Type::kU16:
    case Type::kS16:
      d.inst.immediate = 0xffffu;
      break;
    default:
      d.unsupported();
  }
  d.inst.offset = pair ? 1 : 0;
  d.inst.run = set_value;
  d.emit();
}

void decode_selp(Decoder& d) {
  const Type t = d.type();
  d.expect_size(4);
  d.define(0, d.operand(0), t);
  d.use(1, d.operand(1), t);
  d.use(2, d.operand(2), t);
  d.use_predicate(3, d.operand(3));
  d.inst.kind = Class::kCompare;
  d.inst.run = bytes_of(t) == 8 ? select<u64> : select<u32>;
  d.emit();
}

void decode_slct(Decoder& d) {
  d.take("ftz");
  const Type t = d.type(), sign = d.type();
  d.expect_size(4);
  d.define(0, d.operand(0), t);
  d.use(1, d.operand(1), t);
  d.use(2, d.operand(2), t);
  d.use(3, d.operand(3), sign);
  const bool is_long = bytes_of(t) == 8;
  if (sign == Type::kF32)
    d.inst.run = is_long ? select_by_sign<u64, f32> : select_by_sign<u32, f32>;
  else if (sign == Type::kS32)
    d.inst.run = is_long ? select_by_sign<u64, s32> : select_by_sign<u32, s32>;
  else
    d.unsupported();
  d.inst.kind = Class::kCompare;
  d.emit();
}

}  // namespace

std::span<const DecodeEntry> compare_decoders() {
  static constexpr DecodeEntry entries[] = {
      {"setp", decode_setp}, {"set", decode_set}, {"selp", decode_selp}, {"slct", decode_slct}};
  return entries;
}

}  // namespace ptx
