// SPDX-License-Identifier: MIT
// Names and sizes of PTX types.
#include "types.hpp"

#include <utility>

namespace ptx {
namespace {

constexpr std::pair<std::string_view, Type> kNames[] = {
    {"pred", Type::kPred}, {"b8", Type::kB8},     {"b16", Type::kB16},       {"b32", Type::kB32},
    {"b64", Type::kB64},   {"b128", Type::kB128}, {"u8", Type::kU8},         {"u16", Type::kU16},
    {"u32", Type::kU32},   {"u64", Type::kU64},   {"s8", Type::kS8},         {"s16", Type::kS16},
    {"s32", Type::kS32},   {"s64", Type::kS64},   {"f16", Type::kF16},       {"f16x2", Type::kF16x2},
    {"bf16", Type::kBF16}, {"f32", Type::kF32},   {"bf16x2", Type::kBF16x2}, {"f32x2", Type::kF32x2},
    {"f64", Type::kF64},   {"tf32", Type::kTF32}, {"u16x2", Type::kU16x2},   {"s16x2", Type::kS16x2}};

}  // namespace

Type parse_type(std::string_view word) {
  for (const auto& [name, type] : kNames)
    if (name == word) return type;
  return Type::kNone;
}

u32 bytes_of(Type type) {
  switch (type) {
    case Type::kB8:
    case Type::kU8:
    case Type::kS8:
      return 1;
    case Type::kB16:
    case Type::kU16:
    case Type::kS16:
    case Type::kF16:
    case Type::kBF16:
      return 2;
    case Type::kB64:
    case Type::kU64:
    case Type::kS64:
    case Type::kF64:
    case Type::kF32x2:
      return 8;
    case Type::kB128:
      return 16;
    default:
      return 4;
  }
}

}  // namespace ptx
