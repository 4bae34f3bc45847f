// SPDX-License-Identifier: MIT
// Source to Module: variables get addresses, statements become instructions.
#pragma once
#include "decoder.hpp"
#include "memory.hpp"

namespace ptx {

/// Where a variable lies: an address (global, const), an offset in shared memory, in the parameters of the kernel, or
/// in the local memory of the function's frame.
struct Place {
  Space space = Space::kGlobal;
  u64 offset = 0;
};

class Translator {
 public:
  Translator(Module& module, Memory& memory) : module_(module), memory_(memory) {}
  void run();

  // for Decoder
  Place place_of(const Operand& operand);
  const Function& function() const { return *function_; }
  Code& code() { return *code_; }
  Module& module() { return module_; }
  u32 new_register(Type type);
  u32 carry_register();
  const Function* find_function(std::string_view name) const;
  std::vector<DraftInst>& drafts() { return drafts_; }
  std::vector<Type>& registers() { return registers_; }

 private:
  void note_error(const Statement& statement, const std::string& message);
  void place_variables();
  void fill_variable(const Variable& variable);
  void translate(const Function& function);
  void place_locals();
  void finish();
  void link_calls();
  u32 stack_of(Code& code, std::vector<const Code*>& path);

  Module& module_;
  Memory& memory_;
  std::map<std::string, u32, std::less<>> module_shared_;  ///< offsets of .shared variables of the module
  u32 module_shared_bytes_ = 0;
  bool functions_use_dynamic_ = false;
  u32 errors_ = 0;
  std::string messages_;

  const Function* function_ = nullptr;
  Code* code_ = nullptr;
  std::vector<Place> places_;
  std::vector<Type> registers_;
  std::vector<DraftInst> drafts_;
  int carry_ = -1;
};

}  // namespace ptx
