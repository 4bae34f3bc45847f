// SPDX-License-Identifier: MIT
// JSON text as a sequence of events, every complaint placed at line:column; the one way JSON enters this library.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include <hstu/core/check.hpp>

namespace hstu {
namespace detail {

/// `text` in quotes for a message: unprintable bytes as \xNN, at most 60 characters.
inline std::string in_quotes(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string result = "'";
  for (const char c : text.substr(0, 60)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 32 && byte < 127) result += c;
    else result += {'\\', 'x', kHex[byte / 16], kHex[byte % 16]};
  }
  return result + (text.size() > 60 ? "...'" : "'");
}

/// Reads a text and tells how far the parser has come, which nlohmann's events do not.
class JsonCursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  JsonCursor(const char* at, const char** consumed) : at_(at), consumed_(consumed) {}
  reference operator*() const { return *at_; }
  JsonCursor& operator++() {
    *consumed_ = ++at_;
    return *this;
  }
  friend bool operator==(const JsonCursor& a, const JsonCursor& b) { return a.at_ == b.at_; }
  friend bool operator!=(const JsonCursor& a, const JsonCursor& b) { return a.at_ != b.at_; }

 private:
  const char* at_;
  const char** consumed_;
};

/// What nlohmann says without its prefix and without the token, which may be long or no text at all:
/// "[json.exception.parse_error.101] parse error at line 1, column 3: syntax error while parsing value - ..."
inline std::string syntax_reason(std::string_view what) {
  for (const std::string_view lead : {"] ", "parse error at line ", ": "}) {
    const std::size_t found = what.find(lead);
    if (found < 60) what.remove_prefix(found + lead.size());
  }
  return std::string(what.substr(0, std::min(what.find("; last read"), what.find(" parsing '"))).substr(0, 160));
}

}  // namespace detail

/// Base of event readers.  An override returns true, or throws DataError with what it expected; the place is added.
class JsonEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    throw DataError(detail::syntax_reason(error.what()));
  }
  bool binary(nlohmann::json::binary_t&) override { throw DataError("expected text, got binary"); }
};

/// Sends the events of `text` (one JSON value, UTF-8, nothing after it) to `events`.
/// Throws `Kind` "origin:line:column: reason" on what is no JSON or what `events` refuses; lines begin at `first_line`.
template <class Kind = DataError>
void read_json(std::string_view text, std::string_view origin, JsonEvents& events, std::size_t first_line = 1) {
  const char* consumed = text.data();
  try {
    // nlohmann takes a zero byte for the end of the text and would ignore what follows.
    const std::size_t zero = text.find('\0');
    if (zero != std::string_view::npos) {
      consumed = text.data() + zero + 1;
      throw DataError("expected JSON text, got a zero byte");
    }
    nlohmann::json::sax_parse(detail::JsonCursor(text.data(), &consumed),
                              detail::JsonCursor(text.data() + text.size(), &consumed), &events);
  } catch (const DataError& error) {
    const std::string_view before(text.data(), static_cast<std::size_t>(consumed - text.data()));
    const std::string_view done = before.substr(0, before.empty() ? 0 : before.size() - 1);
    const std::size_t line = first_line + static_cast<std::size_t>(std::ranges::count(done, '\n'));
    const std::size_t column = done.size() - (done.rfind('\n') + 1) + 1;  // rfind gives -1 on the first line
    throw Kind(concat(origin, ":", line, ":", column, ": ", error.what()));
  }
}

}  // namespace hstu
