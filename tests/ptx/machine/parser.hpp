// SPDX-License-Identifier: MIT
// The parser of PTX: tokens to Source.  parser.cpp reads modules and functions, parser_statement.cpp what bodies hold.
#pragma once
#include <algorithm>

#include "lexer.hpp"
#include "source.hpp"

namespace ptx {

class Parser {
 public:
  explicit Parser(const std::string& text);
  Source run();

 private:
  // tokens
  const Token& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is(std::string_view text, std::size_t ahead = 0) const;
  bool accept(std::string_view text);
  void expect(std::string_view text);
  std::string word(std::string_view what);
  u64 integer();
  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void fail_at(u32 line, const std::string& message) const;
  void skip_line();
  void skip_braces();

  // module
  void directive();
  void function(bool is_entry);
  void parameters(std::vector<u32>& into);
  void entry_directives();
  Variable variable(Space space);
  void declarator(Variable& into);
  void initialiser(Variable& into);
  void initial_values(Variable& into);
  Initial initial_value(Type type);

  // bodies
  void body();
  bool block_or_label();
  void body_directive();
  void location();
  void registers();
  void statement();
  Operand operand();
  Operand list(std::string_view close, Operand::Kind kind);
  Operand address();
  Operand number(bool negative);
  Operand named(const std::string& name);
  u32 declare(Variable variable);
  void resolve_labels();
  Scope& scope() { return function_->scopes[scope_]; }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  Source source_;
  Function* function_ = nullptr;
  u32 scope_ = 0;
  u32 file_ = 0, file_line_ = 0;
};

}  // namespace ptx
