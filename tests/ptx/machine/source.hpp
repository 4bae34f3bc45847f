// SPDX-License-Identifier: MIT
// PTX text as a tree: what parse() makes and translate() reads.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "types.hpp"

namespace ptx {

enum class Space : u8 { kGeneric, kGlobal, kConst, kShared, kLocal, kParam };

struct Operand {
  enum class Kind : u8 { kRegister, kInteger, kFloat, kSymbol, kVariable, kSpecial, kAddress, kVector, kList, kSink };
  Kind kind = Kind::kInteger;
  bool negated = false;        ///< !%p
  u32 index = 0;               ///< kRegister: number of the register; kVariable: of the variable in the function
  u64 bits = 0;                ///< kInteger: the value; kFloat: bits of a double
  std::optional<u32> single;   ///< kFloat: bits of the float, if it was written as 0f...
  s64 offset = 0;              ///< kAddress: [base + offset]; kSymbol, kVariable: symbol + offset
  std::string name;            ///< kSymbol, kSpecial
  std::vector<Operand> parts;  ///< kVector, kList: elements; kAddress: the base; d|p: p
};

struct Initial {
  u64 bits = 0;
  bool is_float = false;  ///< bits are those of a double
  std::string symbol;     ///< address of this variable plus bits, if not empty
};

struct Variable {
  std::string name;
  Space space = Space::kGlobal;
  Type type = Type::kB8;
  u32 align = 1;
  u64 bytes = 0;  ///< 0: [] whose size the launch gives
  std::vector<Initial> values;
};

struct Statement {
  u32 line = 0;
  u32 file = 0, file_line = 0;  ///< from .loc; 0 if there is none
  u32 scope = 0;
  std::string opcode;              ///< all of it: ld.global.v4.f32
  std::vector<std::string> words;  ///< its parts: ld, global, v4, f32
  int guard = -1;                  ///< register of @%p
  bool guard_negated = false;
  std::vector<Operand> operands;
};

/// Names of a block { }.
struct Scope {
  u32 parent = 0;
  std::map<std::string, u32, std::less<>> registers, variables;
  std::map<std::string, u32, std::less<>> labels;  ///< number of the statement
  std::map<std::string, std::vector<std::string>, std::less<>> targets;
};

struct Function {
  std::string name;
  bool is_entry = false, has_body = false;
  u32 line = 0;
  u32 max_threads = 0;
  std::array<u32, 3> required_threads{};
  std::vector<u32> parameters, results;  ///< numbers of variables
  std::vector<Variable> variables;
  std::vector<Type> registers;
  std::vector<Scope> scopes;
  std::vector<Statement> statements;
};

struct Source {
  std::string target;  ///< sm_80
  std::vector<std::string> lines;
  std::map<u32, std::string> files;
  std::vector<Variable> variables;
  std::vector<Function> functions;
};

/// Throws Error.
Source parse(const std::string& text);

}  // namespace ptx
