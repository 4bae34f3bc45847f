// SPDX-License-Identifier: MIT
// Bodies of functions: blocks, registers, labels, instructions and their operands.
#include <algorithm>
#include <cmath>
#include <utility>

#include "parser.hpp"

namespace ptx {

void Parser::body() {
  for (;;) {
    if (peek().kind == Token::Kind::kEnd) fail("function without end");
    if (accept(";")) continue;
    if (is("}")) {
      next();
      if (scope_ == 0) return;
      scope_ = scope().parent;
    } else if (!block_or_label()) {
      if (peek().text[0] == '.')
        body_directive();
      else
        statement();
    }
  }
}

bool Parser::block_or_label() {
  if (accept("{")) {
    function_->scopes.push_back({.parent = scope_, .registers = {}, .variables = {}, .labels = {}, .targets = {}});
    scope_ = u32(function_->scopes.size() - 1);
    return true;
  }
  if (peek().kind != Token::Kind::kWord || !is(":", 1)) return false;
  const std::string name = next().text;
  next();
  if (accept(".branchtargets")) {
    do scope().targets[name].push_back(word("a label"));
    while (accept(","));
    expect(";");
  } else if (is(".callprototype")) {
    fail("unsupported: call through a pointer");
  } else if (!scope().labels.emplace(name, u32(function_->statements.size())).second) {
    fail(cat("label '", name, "' occurs twice"));
  }
  return true;
}

void Parser::body_directive() {
  if (accept(".loc")) return location();
  if (accept(".reg")) return registers();
  if (accept(".pragma")) {
    while (!accept(";")) next();
    return;
  }
  for (const auto& [name, space] :
       {std::pair{".shared", Space::kShared}, {".local", Space::kLocal}, {".param", Space::kParam}})
    if (accept(name)) {
      declare(variable(space));
      return expect(";");
    }
  fail(cat("unknown directive '", peek().text, "'"));
}

void Parser::location() {
  const u32 line = peek().line;
  file_ = u32(integer());
  file_line_ = u32(integer());
  while (peek().line == line) next();
}

void Parser::registers() {
  const std::string type_word = word("a type");
  const Type type = parse_type(std::string_view(type_word).substr(1));
  if (type == Type::kNone || type == Type::kB128) fail(cat("unsupported type of register '", type_word, "'"));
  do {
    const std::string name = word("a register");
    u64 count = 1;
    const bool many = accept("<");
    if (many) {
      count = integer();
      expect(">");
    }
    if (count > 1'000'000 || function_->registers.size() > 4'000'000) fail("too many registers");
    for (u64 k = 0; k < count; ++k) {
      scope().registers[many ? cat(name, k) : name] = u32(function_->registers.size());
      function_->registers.push_back(type);
    }
  } while (accept(","));
  expect(";");
}

u32 Parser::declare(Variable variable) {
  const u32 number = u32(function_->variables.size());
  scope().variables[variable.name] = number;
  function_->variables.push_back(std::move(variable));
  return number;
}

void Parser::statement() {
  Statement result;
  if (accept("@")) {
    result.guard_negated = accept("!");
    const Operand guard = operand();
    if (guard.kind != Operand::Kind::kRegister) fail("the guard is no register");
    result.guard = int(guard.index);
  }
  result.line = peek().line;
  result.file = file_;
  result.file_line = file_line_;
  result.scope = scope_;
  result.opcode = word("an instruction");
  std::string part;
  for (std::size_t k = 0; k <= result.opcode.size(); ++k) {
    if (k < result.opcode.size() && result.opcode[k] != '.') {
      part += result.opcode[k];
    } else {
      result.words.push_back(part);
      part.clear();
    }
  }
  while (!accept(";")) {
    if (peek().kind == Token::Kind::kEnd) fail("instruction without ';'");
    result.operands.push_back(operand());
    if (!accept(",") && !is(";")) fail(cat("expected ',' or ';', got '", peek().text, "'"));
  }
  function_->statements.push_back(std::move(result));
}

Operand Parser::operand() {
  if (accept("{")) return list("}", Operand::Kind::kVector);
  if (accept("(")) return list(")", Operand::Kind::kList);
  if (accept("[")) return address();
  if (accept("!")) {
    Operand result = operand();
    result.negated = true;
    return result;
  }
  if (accept("-")) return number(true);
  if (peek().kind == Token::Kind::kNumber) return number(false);
  Operand result = named(word("an operand"));
  if (accept("|")) {
    result.parts.push_back(operand());
  } else if (result.kind == Operand::Kind::kSymbol || result.kind == Operand::Kind::kVariable) {
    if (accept("+"))
      result.offset = accept("-") ? -s64(integer()) : s64(integer());
    else if (accept("-"))
      result.offset = -s64(integer());
  }
  return result;
}

Operand Parser::list(std::string_view close, Operand::Kind kind) {
  Operand result;
  result.kind = kind;
  while (!accept(close)) {
    if (peek().kind == Token::Kind::kEnd) fail(cat("expected '", close, "'"));
    result.parts.push_back(operand());
    if (!is(close)) expect(",");
  }
  return result;
}

Operand Parser::address() {
  Operand result;
  result.kind = Operand::Kind::kAddress;
  result.parts.push_back(operand());
  Operand& base = result.parts[0];
  result.offset = std::exchange(base.offset, 0);
  if (accept("+"))
    result.offset += accept("-") ? -s64(integer()) : s64(integer());
  else if (accept("-"))
    result.offset -= s64(integer());
  expect("]");
  return result;
}

Operand Parser::number(bool negative) {
  Operand result;
  const std::string& text = peek().text;
  if (peek().kind != Token::Kind::kNumber) fail(cat("expected a number, got '", text, "'"));
  const char mark = text.size() > 2 && text[0] == '0' ? char(std::tolower(text[1])) : '\0';
  if (mark == 'f' || mark == 'd' || (mark != 'x' && text.find_first_of(".eE") != std::string::npos)) {
    std::size_t used = text.size();
    double value = 0;
    try {
      if (mark == 'f')
        value = double(std::bit_cast<f32>(u32(std::stoul(text.substr(2), &used, 16))));
      else if (mark == 'd')
        value = std::bit_cast<f64>(u64(std::stoull(text.substr(2), &used, 16)));
      else
        value = std::stod(text, &used);
    } catch (const std::exception&) {
      fail(cat("'", text, "' is no number"));
    }
    if (used + (mark == 'f' || mark == 'd' ? 2 : 0) != text.size()) fail(cat("'", text, "' is no number"));
    result.kind = Operand::Kind::kFloat;
    result.bits = std::bit_cast<u64>(negative ? -value : value);
    // a signalling NaN loses a bit on its way through a double
    if (mark == 'f') result.single = u32(std::stoul(text.substr(2), nullptr, 16)) ^ (negative ? 0x80000000u : 0u);
    next();
    return result;
  }
  const u64 value = integer();
  result.bits = negative ? u64{0} - value : value;
  return result;
}

Operand Parser::named(const std::string& name) {
  Operand result;
  if (name == "_") {
    result.kind = Operand::Kind::kSink;
    return result;
  }
  for (u32 k = scope_;; k = function_->scopes[k].parent) {
    const Scope& names = function_->scopes[k];
    if (const auto found = names.registers.find(name); found != names.registers.end()) {
      result.kind = Operand::Kind::kRegister;
      result.index = found->second;
      return result;
    }
    if (const auto found = names.variables.find(name); found != names.variables.end()) {
      result.kind = Operand::Kind::kVariable;
      result.index = found->second;
      return result;
    }
    if (k == 0) break;
  }
  result.name = name;
  if (name == "WARP_SZ") {
    result.bits = kLanes;
    return result;
  }
  result.kind = name[0] == '%' ? Operand::Kind::kSpecial : Operand::Kind::kSymbol;
  return result;
}

void Parser::resolve_labels() {
  const auto find = [&](const Statement& at, u32 from, const std::string& name) -> u32 {
    for (u32 k = from;; k = function_->scopes[k].parent) {
      const auto& labels = function_->scopes[k].labels;
      if (const auto found = labels.find(name); found != labels.end()) return found->second;
      if (k == 0) break;
    }
    fail_at(at.line, cat("there is no label '", name, "'"));
  };
  for (Statement& statement : function_->statements) {
    if (statement.words[0] == "bra") {
      if (statement.operands.size() != 1) fail_at(statement.line, "expected one label");
      statement.operands[0].bits = find(statement, statement.scope, statement.operands[0].name);
    } else if (statement.words[0] == "brx") {
      if (statement.operands.size() != 2) fail_at(statement.line, "expected an index and a list of labels");
      Operand& list = statement.operands[1];
      list.kind = Operand::Kind::kList;
      for (u32 k = statement.scope;; k = function_->scopes[k].parent) {
        const auto found = function_->scopes[k].targets.find(list.name);
        if (found != function_->scopes[k].targets.end()) {
          for (const std::string& label : found->second) {
            list.parts.emplace_back();
            list.parts.back().bits = find(statement, k, label);
          }
          break;
        }
        if (k == 0) fail_at(statement.line, cat("there is no list '", list.name, "'"));
      }
    }
  }
}

}  // namespace ptx
