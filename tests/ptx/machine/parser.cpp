// SPDX-License-Identifier: MIT
// Modules, variables and heads of functions.
#include "parser.hpp"

#include <algorithm>
#include <charconv>

namespace ptx {

Source parse(const std::string& text) {
  return Parser(text).run();
}

Parser::Parser(const std::string& text) : tokens_(tokenize(text)) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) source_.lines.push_back(line);
}

bool Parser::is(std::string_view text, std::size_t ahead) const {
  return peek(ahead).kind != Token::Kind::kString && peek(ahead).text == text;
}

bool Parser::accept(std::string_view text) {
  if (!is(text)) return false;
  next();
  return true;
}

void Parser::expect(std::string_view text) {
  if (!accept(text)) fail(cat("expected '", text, "', got '", peek().text, "'"));
}

std::string Parser::word(std::string_view what) {
  if (peek().kind != Token::Kind::kWord) fail(cat("expected ", what, ", got '", peek().text, "'"));
  return next().text;
}

u64 Parser::integer() {
  std::string digits = peek().text;
  if (peek().kind != Token::Kind::kNumber) fail(cat("expected a number, got '", digits, "'"));
  while (!digits.empty() && (digits.back() == 'U' || digits.back() == 'u')) digits.pop_back();
  const bool is_hex = digits.size() > 2 && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
  const bool is_octal = !is_hex && digits.size() > 1 && digits[0] == '0';
  const char* const begin = digits.data() + (is_hex ? 2 : 0);
  const char* const end = digits.data() + digits.size();
  u64 value = 0;
  const auto result = std::from_chars(begin, end, value, is_hex ? 16 : is_octal ? 8 : 10);
  if (result.ec != std::errc() || result.ptr != end) fail(cat("'", digits, "' is no integer of 64 bits"));
  next();
  return value;
}

void Parser::fail(const std::string& message) const {
  fail_at(peek().line, message);
}

void Parser::fail_at(u32 line, const std::string& message) const {
  std::string text = line >= 1 && line <= source_.lines.size() ? source_.lines[line - 1] : "";
  text.erase(0, std::min(text.find_first_not_of(" \t"), text.size()));
  throw Error(cat(function_ ? "kernel " + function_->name + ", " : "", "line ", line, ": ", message, ": ", text));
}

void Parser::skip_line() {
  for (const u32 line = peek().line; peek().line == line && peek().kind != Token::Kind::kEnd;) next();
}

void Parser::skip_braces() {
  while (!is("{") && peek().kind != Token::Kind::kEnd) next();
  expect("{");
  for (int depth = 1; depth > 0; next()) {
    if (peek().kind == Token::Kind::kEnd) fail("'{' without '}'");
    depth += is("{") ? 1 : is("}") ? -1 : 0;
  }
}

Source Parser::run() {
  while (peek().kind != Token::Kind::kEnd) directive();
  if (source_.target.empty()) throw Error("line 1: no .target: this is no PTX");
  return std::move(source_);
}

void Parser::directive() {
  if (accept(".visible") || accept(".weak") || accept(".common") || accept(";")) return;
  if (is(".version") || is(".address_size") || is(".alias") || is(".loc")) return skip_line();
  if (accept(".target")) {
    source_.target = word("a target");
    return skip_line();
  }
  if (accept(".file")) {
    const u32 line = peek().line;
    const u32 number = u32(integer());
    source_.files[number] = next().text;
    while (peek().line == line && peek().kind != Token::Kind::kEnd) next();
    return;
  }
  if (is(".section")) return skip_braces();
  if (accept(".pragma")) {
    while (!accept(";")) next();
    return;
  }
  accept(".extern");
  if (accept(".entry")) return function(true);
  if (accept(".func")) return function(false);
  for (const auto& [name, space] : {std::pair{".global", Space::kGlobal},
                                    {".const", Space::kConst},
                                    {".shared", Space::kShared},
                                    {".local", Space::kLocal}})
    if (accept(name)) {
      source_.variables.push_back(variable(space));
      return expect(";");
    }
  fail(cat("unknown directive '", peek().text, "'"));
}

void Parser::function(bool is_entry) {
  Function function;
  function.is_entry = is_entry;
  function.line = peek().line;
  function.scopes.emplace_back();
  function_ = &function;
  scope_ = 0;
  file_ = file_line_ = 0;
  accept(".noreturn");
  if (is("(")) parameters(function.results);
  function.name = word("the name of a function");
  if (is("(")) parameters(function.parameters);
  entry_directives();
  if (!accept(";")) {
    function.has_body = true;
    expect("{");
    body();
    resolve_labels();
  }
  function_ = nullptr;
  source_.functions.push_back(std::move(function));
}

void Parser::parameters(std::vector<u32>& into) {
  expect("(");
  while (!accept(")")) {
    if (accept(",")) continue;
    const bool in_register = accept(".reg");
    if (in_register || !accept(".param")) fail("unsupported parameter: only .param is known");
    into.push_back(declare(variable(Space::kParam)));
  }
}

void Parser::entry_directives() {
  while (!is("{") && !is(";")) {
    const std::string name = word("a directive");
    if (name == ".noreturn" || name == ".unique" || name == ".blocksareclusters" || name == ".explicitcluster")
      continue;
    if (name == ".pragma") {
      while (!accept(";")) next();
      continue;
    }
    std::array<u32, 3> numbers{1, 1, 1};
    for (std::size_t k = 0; peek().kind == Token::Kind::kNumber; ++k) {
      numbers[std::min<std::size_t>(k, 2)] = u32(integer());
      if (!accept(",")) break;
    }
    if (name == ".maxntid")
      function_->max_threads = numbers[0] * numbers[1] * numbers[2];
    else if (name == ".reqntid")
      function_->required_threads = numbers;
    else if (name != ".minnctapersm" && name != ".maxnctapersm" && name != ".maxnreg" && name != ".reqnctapercluster" &&
             name != ".maxclusterrank")
      fail(cat("unknown directive '", name, "'"));
  }
}

Variable Parser::variable(Space space) {
  Variable result;
  result.space = space;
  u32 vector = 1;
  bool aligned = false;
  for (;;) {
    const std::string name = word("a type");
    const Type type = parse_type(std::string_view(name).substr(1));
    if (name == ".align") {
      const u32 align = u32(integer());
      if (!std::has_single_bit(align)) fail(cat("alignment ", align, " is no power of two"));
      result.align = align;
      aligned = true;
    } else if (name == ".v2" || name == ".v4") {
      vector = name == ".v2" ? 2 : 4;
    } else if (name == ".ptr") {
      // .ptr{.space} .align N tells about the memory pointed to
      while (is(".global") || is(".shared") || is(".const") || is(".local") || is(".align")) {
        if (accept(".align"))
          integer();
        else
          next();
      }
    } else if (name == ".attribute") {
      while (!accept(")")) next();
    } else if (name[0] == '.' && type != Type::kNone) {
      result.type = type;
    } else if (name[0] != '.') {
      result.name = name;
      break;
    } else {
      fail(cat("unknown directive '", name, "'"));
    }
  }
  const u32 element = bytes_of(result.type) * vector;
  if (!aligned) result.align = element;
  result.bytes = element;
  declarator(result);
  return result;
}

void Parser::declarator(Variable& into) {
  while (accept("[")) {
    const u64 count = is("]") ? 0 : integer();
    if (count > (u64{1} << 40) / std::max<u64>(into.bytes, 1)) fail("variable is too large");
    into.bytes *= count;
    expect("]");
  }
  if (accept("=")) initialiser(into);
}

void Parser::initialiser(Variable& into) {
  initial_values(into);
  if (into.bytes == 0) into.bytes = into.values.size() * bytes_of(into.type);
}

void Parser::initial_values(Variable& into) {
  if (accept("{")) {
    while (!accept("}")) {
      initial_values(into);
      if (!is("}")) expect(",");
    }
    return;
  }
  into.values.push_back(initial_value(into.type));
  if (into.bytes != 0 && into.values.size() * bytes_of(into.type) > into.bytes) fail("too many initial values");
}

Initial Parser::initial_value(Type type) {
  Initial result;
  const bool negative = accept("-");
  if (peek().kind == Token::Kind::kNumber) {
    const Operand value = number(negative);
    result.bits = value.bits;
    result.is_float = value.kind == Operand::Kind::kFloat;
    if (is("(")) fail("unsupported initial value: a mask of an address");
    return result;
  }
  if (bytes_of(type) != 8) fail("unsupported initial value: an address needs 64 bits");
  const bool generic = accept("generic");
  if (generic) expect("(");
  result.symbol = word("a variable");
  if (generic) expect(")");
  if (accept("+")) result.bits = integer();
  return result;
}

}  // namespace ptx
