// SPDX-License-Identifier: MIT
// atom and red: read, change and write in one step, lane after lane.
#include <algorithm>

#include "access.hpp"
#include "decoder.hpp"
#include "lanes.hpp"
#include "memory_modifiers.hpp"
#include "numbers.hpp"

namespace ptx {
namespace {

// apply(old, b, c): the new value.
struct Add {
  template <class T>
  static T apply(T a, T b, T) {
    return T(a + b);
  }
};
struct Min {
  template <class T>
  static T apply(T a, T b, T) {
    return std::min(a, b);
  }
};
struct Max {
  template <class T>
  static T apply(T a, T b, T) {
    return std::max(a, b);
  }
};
struct And {
  template <class T>
  static T apply(T a, T b, T) {
    return T(a & b);
  }
};
struct Or {
  template <class T>
  static T apply(T a, T b, T) {
    return T(a | b);
  }
};
struct Xor {
  template <class T>
  static T apply(T a, T b, T) {
    return T(a ^ b);
  }
};
struct Exch {
  template <class T>
  static T apply(T, T b, T) {
    return b;
  }
};
struct Cas {
  template <class T>
  static T apply(T a, T b, T c) {
    return a == b ? c : a;
  }
};
struct Inc {
  template <class T>
  static T apply(T a, T b, T) {
    return a >= b ? T(0) : T(a + 1);
  }
};
struct Dec {
  template <class T>
  static T apply(T a, T b, T) {
    return a == 0 || a > b ? b : T(a - 1);
  }
};

template <class N>
u16 add_half(u16 a, u16 b) {
  return N::narrow(N::wide(a) + N::wide(b));
}
template <class N, bool kMax>
u16 extreme_half(u16 a, u16 b) {
  const f32 x = N::wide(a), y = N::wide(b);
  return x != x ? b : y != y ? a : (x < y) != kMax ? a : b;
}
template <u16 (*kHalf)(u16, u16)>
struct Half {
  static u16 apply(u16 a, u16 b, u16) { return kHalf(a, b); }
};
template <u16 (*kHalf)(u16, u16)>
struct HalfPair {
  static u32 apply(u32 a, u32 b, u32) { return pair_of(kHalf(low(a), low(b)), kHalf(high(a), high(b))); }
};

// o[0..] = old values, o[4..] or o[8..] = operands: count elements; o[12] = third operand (cas).
constexpr u32 kOperands = 6, kThird = 12;

template <class F, class T>
void atomic(Warp& w, const Inst& i) {
  Addresses a;
  Bytes places;
  read_addresses(w, i, i.address, i.offset, i.wide_address, a);
  const u32 passed = locate(w, i, i.space, a, u32(sizeof(T)) * i.count, Access::kAtomic, nullptr, places);
  w.launch->counters.atomics += u64(std::popcount(w.mask));
  each_lane(passed, [&](u32 l) {
    // all sources first: a result may lie where an operand lies
    T b[6];
    for (u32 k = 0; k < i.count; ++k) b[k] = loaded<T>(w.at<Stored<T>>(i.o[kOperands + k])[l]);
    const T c = i.o[kThird] == kNoOperand ? T{} : loaded<T>(w.at<Stored<T>>(i.o[kThird])[l]);
    for (u32 k = 0; k < i.count; ++k) {
      T old;
      std::memcpy(&old, places[l] + k * sizeof(T), sizeof(T));
      const T changed = F::apply(old, b[k], c);
      std::memcpy(places[l] + k * sizeof(T), &changed, sizeof(T));
      if (i.o[k] != kNoOperand) w.at<Stored<T>>(i.o[k])[l] = stored<T>(old);
    }
  });
}

template <class F>
Handler unsigned_handler(Type t) {
  return bytes_of(t) == 2 ? atomic<F, u16> : bytes_of(t) == 4 ? atomic<F, u32> : atomic<F, u64>;
}
template <class F>
Handler signed_handler(Type t) {
  if (!is_signed(t)) return unsigned_handler<F>(t);
  return bytes_of(t) == 4 ? atomic<F, s32> : atomic<F, s64>;
}

template <class N>
Handler half_handler(std::string_view op, bool pair) {
  if (op == "add") return pair ? atomic<HalfPair<add_half<N>>, u32> : Handler(atomic<Half<add_half<N>>, u16>);
  if (op == "min")
    return pair ? atomic<HalfPair<extreme_half<N, false>>, u32> : Handler(atomic<Half<extreme_half<N, false>>, u16>);
  if (op == "max")
    return pair ? atomic<HalfPair<extreme_half<N, true>>, u32> : Handler(atomic<Half<extreme_half<N, true>>, u16>);
  return nullptr;
}

Handler handler(std::string_view op, Type t) {
  switch (t) {
    case Type::kF16:
      return half_handler<F16>(op, false);
    case Type::kF16x2:
      return half_handler<F16>(op, true);
    case Type::kBF16:
      return half_handler<BF16>(op, false);
    case Type::kBF16x2:
      return half_handler<BF16>(op, true);
    case Type::kF32:
      return op == "add" ? Handler(atomic<Add, f32>) : op == "exch" ? Handler(atomic<Exch, f32>) : nullptr;
    case Type::kF64:
      return op == "add" ? Handler(atomic<Add, f64>) : op == "exch" ? Handler(atomic<Exch, f64>) : nullptr;
    default:
      break;
  }
  if (op == "cas") return unsigned_handler<Cas>(t);
  if (bytes_of(t) < 4) return nullptr;
  if (op == "add") return unsigned_handler<Add>(t);
  if (op == "min") return signed_handler<Min>(t);
  if (op == "max") return signed_handler<Max>(t);
  if (op == "and") return unsigned_handler<And>(t);
  if (op == "or") return unsigned_handler<Or>(t);
  if (op == "xor") return unsigned_handler<Xor>(t);
  if (op == "exch") return unsigned_handler<Exch>(t);
  if (op == "inc" && bytes_of(t) == 4) return atomic<Inc, u32>;
  if (op == "dec" && bytes_of(t) == 4) return atomic<Dec, u32>;
  return nullptr;
}

void decode_atomic(Decoder& d) {
  static constexpr std::string_view names[] = {"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"};
  d.inst.kind = Class::kAtomic;
  const bool hinted = take_memory_modifiers(d), returns = d.name() == "atom";
  d.take("noftz");
  const int op = d.take_any(names);
  static constexpr std::string_view vectors[] = {"v2", "v4"};
  const int vector = d.take_any(vectors);
  d.inst.count = u8(vector < 0 ? 1 : 2 << vector);
  const Type t = d.type();
  d.inst.size = u8(bytes_of(t));
  d.inst.run = op < 0 ? nullptr : handler(names[op], t);
  if (d.inst.run == nullptr) d.unsupported();
  const bool swaps = names[op] == "cas";
  d.expect_size((returns ? 3u : 2u) + (swaps ? 1u : 0u) + (hinted ? 1u : 0u));
  std::size_t at = 0;
  const auto each = [&](const Operand& operand, auto&& f) {
    if (operand.kind != Operand::Kind::kVector) return f(0u, operand);
    if (operand.parts.size() != d.inst.count) d.unsupported("wrong number of registers");
    for (u32 k = 0; k < operand.parts.size(); ++k) f(k, operand.parts[k]);
  };
  if (returns) each(d.operand(at++), [&](u32 k, const Operand& r) { d.define(k, r, t); });
  d.address(d.operand(at++));
  each(d.operand(at++), [&](u32 k, const Operand& r) { d.use(kOperands + k, r, t); });
  if (swaps) d.use(kThird, d.operand(at), t);
  if (d.inst.space == Space::kShared || d.inst.space == Space::kGeneric)
    d.code().shared_granule = std::min(d.code().shared_granule, bytes_of(t));
  d.code().has_cas |= swaps && d.inst.space != Space::kShared;
  d.emit();
}

}  // namespace

std::span<const DecodeEntry> atomic_decoders() {
  static constexpr DecodeEntry entries[] = {{"atom", decode_atomic}, {"red", decode_atomic}};
  return entries;
}

}  // namespace ptx
