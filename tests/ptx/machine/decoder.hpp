// SPDX-License-Identifier: MIT
// What a decoder of one family of instructions sees: a statement whose modifiers it takes one by one, and the
// instruction that it fills.  A modifier nobody took is an error, so that nothing is skipped silently.
#pragma once
#include <optional>
#include <span>

#include "program.hpp"

namespace ptx {

/// A virtual register in a slot of an instruction, replaced by its place once registers have places.
struct Use {
  enum Slot : u8 { kAddress = 100, kAddress2, kGuard };
  u8 slot;
  bool defines;
};

struct DraftInst {
  Inst inst;
  std::vector<Use> uses;
  std::vector<u32> targets;  ///< numbers of statements, of kBranch and kBranchIndex
  std::vector<u32> more;     ///< operands from slot kMoreSlots on

  /// The operand of a slot.
  u32& place(u8 slot);
};

inline constexpr u8 kMoreSlots = 16;

class Translator;

class Decoder {
 public:
  Decoder(Translator& translator, const Statement& statement) : translator_(translator), statement_(statement) {}

  Inst inst;
  std::vector<u32> targets;

  // modifiers
  const std::string& name() const { return statement_.words[0]; }
  bool take(std::string_view word);
  bool has(std::string_view word) const;
  /// Takes the first of the words that is there: its number, or -1.
  int take_any(std::span<const std::string_view> words);
  /// The next type among the modifiers.
  Type type();
  std::optional<Type> maybe_type();
  void check_all_taken() const;
  [[noreturn]] void unsupported(std::string_view reason = "") const;

  // operands
  std::size_t size() const { return statement_.operands.size(); }
  const Operand& operand(std::size_t k) const;
  void expect_size(std::size_t least, std::size_t most) const;
  void expect_size(std::size_t n) const { expect_size(n, n); }
  void define(u32 slot, const Operand& operand, Type type);
  void use(u32 slot, const Operand& operand, Type type);
  /// o[0] = operand 0 defined, o[k] = operand k used, all of one type.
  void all(std::size_t n, Type type);
  /// A predicate; negation goes into a register of its own.
  void use_predicate(u32 slot, const Operand& operand);
  void address(const Operand& operand) {
    address(operand, Use::kAddress, inst.address, inst.offset, inst.wide_address);
  }
  void address(const Operand& operand, Use::Slot slot, u32& place, s64& offset, bool& wide);
  u32 carry_register();
  void use_register(u32 slot, u32 number, bool defines);
  u32 constant(u32 bytes, u64 bits);
  u64 integer(const Operand& operand) const;
  u32 register_bytes(const Operand& operand) const;
  const Function& function() const;
  Code& code();
  Translator& translator() { return translator_; }
  const Statement& statement() const { return statement_; }

  void emit();

 private:
  u64 bits_of_immediate(const Operand& operand, Type type) const;
  void read_special(u32 slot, const Operand& operand, Type type);

  Translator& translator_;
  const Statement& statement_;
  u32& slot_of(u32 slot);

  std::vector<bool> taken_;
  std::vector<Use> uses_;
  std::vector<u32> more_;
};

using Decode = void (*)(Decoder&);

/// The decoder of an instruction's name, nullptr if there is none.
Decode find_decoder(std::string_view name);

struct DecodeEntry {
  std::string_view name;
  Decode decode;
};
std::span<const DecodeEntry> integer_decoders();
std::span<const DecodeEntry> product_decoders();
std::span<const DecodeEntry> bit_decoders();
std::span<const DecodeEntry> float_decoders();
std::span<const DecodeEntry> compare_decoders();
std::span<const DecodeEntry> convert_decoders();
std::span<const DecodeEntry> move_decoders();
std::span<const DecodeEntry> memory_decoders();
std::span<const DecodeEntry> atomic_decoders();
std::span<const DecodeEntry> async_decoders();
std::span<const DecodeEntry> warp_decoders();
std::span<const DecodeEntry> matrix_decoders();
std::span<const DecodeEntry> wmma_decoders();
std::span<const DecodeEntry> control_decoders();

/// Reads special register `name` into o[0]; nullptr if there is none of that name.
Handler special_register(std::string_view name, u32 bytes);

}  // namespace ptx
