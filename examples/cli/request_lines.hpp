// SPDX-License-Identifier: MIT
// Lines from stdin, bounded in length, and JSON objects with only the keys that are known.
#pragma once
#include <array>
#include <initializer_list>
#include <optional>

#include <hstu/io/json.hpp>

#include "output.hpp"

namespace hstu::cli {

/// The lines of stdin.  One that is too long is passed over as far as its end.
class StdinLines {
 public:
  static constexpr std::size_t kMaxLine = std::size_t{1} << 20;

  /// False at the end of stdin.  `line` is absent if it was too long.  Throws IoError if stdin cannot be read.
  bool next(std::optional<std::string>& line) {
    line.emplace();
    while (true) {
      if (at_ == count_ && !fill()) return line.has_value() ? !line->empty() : true;
      const auto begin = buffer_.begin() + static_cast<std::ptrdiff_t>(at_);
      const auto end = std::find(begin, buffer_.begin() + static_cast<std::ptrdiff_t>(count_), '\n');
      if (line.has_value()) line->append(begin, end);
      if (line.has_value() && line->size() > kMaxLine) line.reset();
      at_ = static_cast<std::size_t>(end - buffer_.begin());
      if (at_ == count_) continue;
      ++at_;
      return true;
    }
  }

 private:
  bool fill() {
    ssize_t count = 0;
    do {
      count = ::read(STDIN_FILENO, buffer_.data(), buffer_.size());
    } while (count < 0 && errno == EINTR);
    check<IoError>(count >= 0, "stdin: ", std::strerror(errno));
    at_ = 0;
    count_ = static_cast<std::size_t>(count);
    return count > 0;
  }

  std::array<char, 1 << 16> buffer_;
  std::size_t at_ = 0, count_ = 0;
};

/// Throws DataError unless `object` is an object with no other keys than these.
inline void check_keys(const nlohmann::json& object, std::string_view where,
                       std::initializer_list<std::string_view> keys) {
  check<DataError>(object.is_object(), where, ": expected an object, got ", object.type_name());
  for (const auto& [key, value] : object.items()) {
    check<DataError>(std::ranges::find(keys, key) != keys.end(), where, ": unknown key ", quote_text(key));
  }
}

/// The value under `key`, or `absent`.
template <class T>
T optional_value(const nlohmann::json& object, const std::string& key, std::string_view where, T absent) {
  return object.contains(key) ? required<T>(object, key, where) : absent;
}

}  // namespace hstu::cli
