// SPDX-License-Identifier: MIT
#include "decoder.hpp"

#include <algorithm>
#include <unordered_map>

#include "lanes.hpp"
#include "translate.hpp"

namespace ptx {

Decode find_decoder(std::string_view name) {
  static const auto table = [] {
    std::unordered_map<std::string_view, Decode> result;
    for (const auto& family :
         {integer_decoders(), product_decoders(), bit_decoders(), float_decoders(), compare_decoders(),
          convert_decoders(), move_decoders(), memory_decoders(), atomic_decoders(), async_decoders(), warp_decoders(),
          matrix_decoders(), wmma_decoders(), control_decoders()})
      for (const DecodeEntry& entry : family) result.emplace(entry.name, entry.decode);
    return result;
  }();
  const auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

// ---- modifiers
// -------------------------------------------------------------------------------------------------------

bool Decoder::take(std::string_view word) {
  taken_.resize(statement_.words.size());
  for (std::size_t k = 1; k < statement_.words.size(); ++k)
    if (!taken_[k] && statement_.words[k] == word) return taken_[k] = true;
  return false;
}

bool Decoder::has(std::string_view word) const {
  return std::find(statement_.words.begin() + 1, statement_.words.end(), word) != statement_.words.end();
}

int Decoder::take_any(std::span<const std::string_view> words) {
  for (std::size_t k = 0; k < words.size(); ++k)
    if (take(words[k])) return int(k);
  return -1;
}

std::optional<Type> Decoder::maybe_type() {
  taken_.resize(statement_.words.size());
  for (std::size_t k = 1; k < statement_.words.size(); ++k)
    if (const Type type = parse_type(statement_.words[k]); !taken_[k] && type != Type::kNone) {
      taken_[k] = true;
      return type;
    }
  return std::nullopt;
}

Type Decoder::type() {
  const std::optional<Type> result = maybe_type();
  if (!result) unsupported("no type");
  return *result;
}

void Decoder::check_all_taken() const {
  for (std::size_t k = 1; k < statement_.words.size(); ++k)
    if (k >= taken_.size() || !taken_[k]) unsupported(cat("modifier .", statement_.words[k]));
}

void Decoder::unsupported(std::string_view reason) const {
  throw Error(cat("unsupported instruction", reason.empty() ? "" : " (", reason, reason.empty() ? "" : ")"));
}

// ---- operands
// --------------------------------------------------------------------------------------------------------

const Function& Decoder::function() const {
  return translator_.function();
}
Code& Decoder::code() {
  return translator_.code();
}

const Operand& Decoder::operand(std::size_t k) const {
  if (k >= statement_.operands.size()) unsupported("too few operands");
  return statement_.operands[k];
}

void Decoder::expect_size(std::size_t least, std::size_t most) const {
  if (size() < least || size() > most) unsupported(cat("expected ", least, " operands, got ", size()));
}

u32& Decoder::slot_of(u32 slot) {
  if (slot == Use::kAddress) return inst.address;
  if (slot == Use::kAddress2) return inst.address2;
  if (slot < kMoreSlots) return inst.o[slot];
  more_.resize(std::max<std::size_t>(more_.size(), slot - kMoreSlots + 1), kNoOperand);
  return more_[slot - kMoreSlots];
}

void Decoder::use_register(u32 slot, u32 number, bool defines) {
  slot_of(slot) = number;
  uses_.push_back({u8(slot), defines});
}

void Decoder::define(u32 slot, const Operand& operand, Type type) {
  if (operand.kind == Operand::Kind::kSink) return;
  if (operand.kind != Operand::Kind::kRegister) unsupported("the result is no register");
  const Type declared = translator_.registers()[operand.index];
  if ((declared == Type::kPred) != (type == Type::kPred)) unsupported("the result has the wrong type");
  if (type != Type::kPred && (bytes_of(declared) == 8) != (bytes_of(type) == 8))
    unsupported("the result has the wrong size");
  use_register(slot, operand.index, true);
}

u32 Decoder::register_bytes(const Operand& operand) const {
  return operand.kind == Operand::Kind::kRegister ? bytes_of(translator_.registers()[operand.index]) : 0;
}

u64 Decoder::integer(const Operand& operand) const {
  if (operand.kind != Operand::Kind::kInteger) unsupported("expected a constant");
  return operand.bits;
}

u32 Decoder::constant(u32 bytes, u64 bits) {
  return translator_.module().constant(bytes, bits);
}

u64 Decoder::bits_of_immediate(const Operand& operand, Type type) const {
  const u32 bytes = bytes_of(type);
  if (type == Type::kPred) return operand.bits != 0 ? ~u64{0} : 0;
  if (operand.kind == Operand::Kind::kInteger) {
    if (!is_float(type)) return operand.bits;
    const auto number = f64(std::bit_cast<s64>(operand.bits));
    return bytes == 8 ? std::bit_cast<u64>(number) : std::bit_cast<u32>(f32(number));
  }
  if (bytes == 8) return operand.bits;
  if (bytes != 4) unsupported("a constant of the wrong type");
  return operand.single ? *operand.single : std::bit_cast<u32>(f32(std::bit_cast<f64>(operand.bits)));
}

void Decoder::use(u32 slot, const Operand& operand, Type type) {
  switch (operand.kind) {
    case Operand::Kind::kRegister: {
      const Type declared = translator_.registers()[operand.index];
      if (operand.negated) unsupported("a negated operand");
      if ((declared == Type::kPred) != (type == Type::kPred)) unsupported("an operand has the wrong type");
      if (type != Type::kPred && (bytes_of(declared) == 8) != (bytes_of(type) == 8))
        unsupported("an operand has the wrong size");
      return use_register(slot, operand.index, false);
    }
    case Operand::Kind::kInteger:
    case Operand::Kind::kFloat: {
      slot_of(slot) = constant(bytes_of(type), bits_of_immediate(operand, type));
      return;
    }
    case Operand::Kind::kSpecial:
      return read_special(slot, operand, type);
    case Operand::Kind::kSymbol:
    case Operand::Kind::kVariable: {
      const Place place = translator_.place_of(operand);
      if (place.space == Space::kLocal && !code().is_entry) unsupported("an address of the frame");
      slot_of(slot) = constant(bytes_of(type), place.offset + u64(operand.offset));
      return;
    }
    default:
      unsupported("an operand of the wrong kind");
  }
}

void Decoder::all(std::size_t n, Type type) {
  expect_size(n);
  define(0, operand(0), type);
  for (u32 k = 1; k < n; ++k) use(k, operand(k), type);
}

void Decoder::read_special(u32 slot, const Operand& operand, Type type) {
  DraftInst draft;
  draft.inst.run = special_register(operand.name, bytes_of(type));
  if (draft.inst.run == nullptr) unsupported(cat("register ", operand.name));
  code().uses_workspace |= operand.name.starts_with("%envreg");
  draft.inst.kind = Class::kMove;
  draft.inst.o[0] = translator_.new_register(bytes_of(type) == 8 ? Type::kB64 : Type::kB32);
  draft.inst.line = statement_.line;
  draft.uses.push_back({0, true});
  translator_.drafts().push_back(draft);
  use_register(slot, draft.inst.o[0], false);
}

void Decoder::use_predicate(u32 slot, const Operand& operand) {
  Operand plain = operand;
  plain.negated = false;
  if (!operand.negated) return use(slot, plain, Type::kPred);
  if (operand.kind == Operand::Kind::kInteger) {
    plain.bits = operand.bits == 0;
    return use(slot, plain, Type::kPred);
  }
  DraftInst draft;
  draft.inst.run = predicate_not;
  draft.inst.kind = Class::kInteger;
  draft.inst.line = statement_.line;
  draft.inst.o[0] = translator_.new_register(Type::kPred);
  draft.inst.o[1] = operand.index;
  draft.uses = {{0, true}, {1, false}};
  translator_.drafts().push_back(draft);
  use_register(slot, draft.inst.o[0], false);
}

u32 Decoder::carry_register() {
  return translator_.carry_register();
}

void Decoder::address(const Operand& operand, Use::Slot slot, u32& place, s64& offset, bool& wide) {
  if (operand.kind != Operand::Kind::kAddress) unsupported("expected an address");
  const Operand& base = operand.parts[0];
  offset = operand.offset;
  wide = true;
  if (base.kind == Operand::Kind::kRegister) {
    wide = register_bytes(base) == 8;
    use_register(slot, base.index, false);
  } else if (base.kind == Operand::Kind::kInteger) {
    place = constant(8, base.bits);
  } else if (base.kind == Operand::Kind::kSymbol || base.kind == Operand::Kind::kVariable) {
    const Place found = translator_.place_of(base);
    place = constant(8, found.offset);
    if (found.space == Space::kLocal) inst.space = Space::kLocal, inst.mode = kFrameRelative;
  } else {
    unsupported("an address of the wrong kind");
  }
}

void Decoder::emit() {
  check_all_taken();
  inst.line = statement_.line;
  inst.file = statement_.file;
  inst.file_line = statement_.file_line;
  if (statement_.guard >= 0) {
    inst.guard = u32(statement_.guard);
    inst.guard_negated = statement_.guard_negated;
    uses_.push_back({Use::kGuard, false});
  }
  translator_.drafts().push_back({inst, uses_, targets, more_});
}

}  // namespace ptx
