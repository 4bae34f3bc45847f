// SPDX-License-Identifier: MIT
#include "lexer.hpp"

#include <cctype>

namespace ptx {
namespace {

class Lexer {
 public:
  explicit Lexer(const std::string& text) : text_(text) {}

  std::vector<Token> run() {
    for (skip_blank(); at_ < text_.size(); skip_blank()) tokens_.push_back(next());
    tokens_.push_back({Token::Kind::kEnd, "end of file", line_});
    return std::move(tokens_);
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  static bool is_word(char c) { return std::isalnum(u8(c)) || c == '_' || c == '$' || c == '%' || c == '.'; }

  void skip_comment() {
    while (at_ < text_.size() && !(peek() == '*' && peek(1) == '/')) line_ += text_[at_++] == '\n';
    if (at_ >= text_.size()) throw Error(cat("line ", line_, ": comment without end"));
    at_ += 2;
  }

  void skip_blank() {
    while (at_ < text_.size()) {
      if (std::isspace(u8(peek()))) {
        line_ += text_[at_++] == '\n';
      } else if (peek() == '/' && peek(1) == '/') {
        while (at_ < text_.size() && peek() != '\n') ++at_;
      } else if (peek() == '/' && peek(1) == '*') {
        skip_comment();
      } else {
        return;
      }
    }
  }

  Token word() {
    const std::size_t begin = at_++;
    const bool is_directive = text_[begin] == '.';  // ".reg.b32" is two of them
    while ((is_word(peek()) && !(is_directive && peek() == '.')) || (peek() == ':' && peek(1) == ':'))
      at_ += peek() == ':' ? 2 : 1;
    return {Token::Kind::kWord, text_.substr(begin, at_ - begin), line_};
  }

  Token number() {
    const std::size_t begin = at_;
    const bool is_hex = peek() == '0' && std::string_view("xXfFdD").find(peek(1)) != std::string_view::npos;
    ++at_;
    while (std::isalnum(u8(peek())) || (!is_hex && peek() == '.') ||
           (!is_hex && (peek() == '+' || peek() == '-') && std::tolower(text_[at_ - 1]) == 'e'))
      ++at_;
    return {Token::Kind::kNumber, text_.substr(begin, at_ - begin), line_};
  }

  Token quoted() {
    const std::size_t begin = ++at_;
    while (at_ < text_.size() && peek() != '"' && peek() != '\n') ++at_;
    if (peek() != '"') throw Error(cat("line ", line_, ": string without end"));
    return {Token::Kind::kString, text_.substr(begin, at_++ - begin), line_};
  }

  Token next() {
    const char c = peek();
    if (std::isdigit(u8(c))) return number();
    if (is_word(c)) return word();
    if (c == '"') return quoted();
    if (std::string_view("{}[]()<>,;:=+-!@|").find(c) == std::string_view::npos)
      throw Error(cat("line ", line_, ": unexpected character '", c, "'"));
    ++at_;
    return {Token::Kind::kMark, std::string(1, c), line_};
  }

  const std::string& text_;
  std::size_t at_ = 0;
  u32 line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(const std::string& text) {
  return Lexer(text).run();
}

}  // namespace ptx
