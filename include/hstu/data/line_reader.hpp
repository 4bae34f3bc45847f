// SPDX-License-Identifier: MIT
// LineReader: a text file line by line in bounded memory, with every complaint placed at file:line:column.
#pragma once
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <hstu/core/check.hpp>
#include <hstu/data/text.hpp>

namespace hstu {

/// How the bytes of a file are read as text.
enum class TextEncoding {
  utf8,            ///< malformed UTF-8 is an error
  utf8_or_latin1,  ///< a line that is not UTF-8 is Latin-1 (movies.dat, u.item) and is converted
};

/// Lines end with LF or CRLF; the last may lack its end; a byte order mark is skipped.  Control characters other than
/// tab are errors, and so is a line longer than `max_line_bytes`: a binary or endless file fails early and in bounded
/// memory.
class LineReader {
 public:
  static constexpr std::size_t kMaxLineBytes = 1U << 16U;

  /// Throws IoError if the file cannot be opened.
  explicit LineReader(std::string path, TextEncoding encoding = TextEncoding::utf8,
                      std::size_t max_line_bytes = kMaxLineBytes)
      : path_(std::move(path)),
        encoding_(encoding),
        max_line_bytes_(max_line_bytes),
        file_(std::fopen(path_.c_str(), "rb"), &std::fclose),
        buffer_(max_line_bytes + kReadBytes) {
    check<IoError>(file_ != nullptr, path_, ": expected a readable file: ", std::strerror(errno));
  }

  /// Reads the next line, without its end, into `line`, valid until the next call.  False after the last line.
  /// Throws DataError on text that breaks the rules above, IoError if the system refuses (a folder, a failing disk).
  bool next(std::string_view& line) {
    const char* newline = nullptr;
    while ((newline = find_newline()) == nullptr && end_ - begin_ <= max_line_bytes_ && fill()) {
    }
    if (newline == nullptr && begin_ == end_) return false;
    const char* first = buffer_.data() + begin_;
    const char* last = newline != nullptr ? newline : buffer_.data() + end_;
    begin_ = static_cast<std::size_t>(last - buffer_.data()) + (newline != nullptr ? 1 : 0);
    line = std::string_view(first, static_cast<std::size_t>(last - first));
    ++line_number_;
    if (line_number_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    if (line.size() > max_line_bytes_) fail(1, concat("expected at most ", max_line_bytes_, " bytes in a line"), line);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!is_plain_ascii(line)) line = to_utf8(line);
    return true;
  }

  /// Number of the line last read, from 1.
  std::int64_t line_number() const { return line_number_; }
  const std::string& path() const { return path_; }

  /// Throws DataError "path:line:column: expectation, got «text»" for the line last read; columns are bytes from 1.
  [[noreturn]] void fail(std::size_t column, std::string_view expectation, std::string_view got) const {
    throw DataError(concat(path_, ":", line_number_, ":", column, ": ", expectation, ", got ", quote_text(got)));
  }

 private:
  static constexpr std::size_t kReadBytes = 1U << 15U;

  const char* find_newline() const {
    return begin_ == end_ ? nullptr
                          : static_cast<const char*>(std::memchr(buffer_.data() + begin_, '\n', end_ - begin_));
  }

  /// Moves the unread bytes to the front and reads on.  False at the end of the file.
  bool fill() {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    const std::size_t read = std::fread(buffer_.data() + end_, 1, buffer_.size() - end_, file_.get());
    check<IoError>(read != 0 || std::ferror(file_.get()) == 0, path_,
                   ": expected a readable file: ", std::strerror(errno));
    end_ += read;
    return read != 0;
  }

  static bool is_plain_ascii(std::string_view line) {
    bool plain = true;
    for (const char c : line)
      plain &= static_cast<signed char>(c) >= 0x20 || c == '\t';  // bytes from 0x80 up are negative
    return plain;
  }

  std::string_view to_utf8(std::string_view line) {
    for (std::size_t at = 0; at < line.size(); ++at) {
      const auto byte = static_cast<unsigned char>(line[at]);
      if (byte < 0x20U && byte != '\t') fail(at + 1, "expected no control character", line.substr(at));
    }
    const std::size_t invalid = detail::find_invalid_utf8(line);
    if (invalid == std::string_view::npos) return line;
    if (encoding_ == TextEncoding::utf8) fail(invalid + 1, "expected UTF-8 text", line.substr(invalid));
    converted_ = detail::latin1_to_utf8(line);
    return converted_;
  }

  std::string path_;
  TextEncoding encoding_;
  std::size_t max_line_bytes_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  ///< unread bytes: buffer_[begin_, end_)
  std::size_t end_ = 0;
  std::int64_t line_number_ = 0;
  std::string converted_;
};

}  // namespace hstu
