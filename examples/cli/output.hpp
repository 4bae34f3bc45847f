// SPDX-License-Identifier: MIT
// Data on stdout, everything else on stderr; text made harmless for terminals.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <iomanip>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <hstu/core/check.hpp>
#include <hstu/data/text.hpp>

namespace hstu::cli {

namespace detail {
inline void write_to(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EPIPE) return;  // the reader has seen enough, as in `hstu ... | head -1`
    check<IoError>(count >= 0, "stdout: ", std::strerror(errno));
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}
}  // namespace detail

/// Writes all of `text` to stdout.  Throws IoError, as for a full disk, but a reader that has gone is no error.
inline void print(std::string_view text) { detail::write_to(STDOUT_FILENO, text); }

/// One JSON value as a line; text that is not UTF-8 is mended.
inline void print_json(const nlohmann::json& value) {
  print(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

/// Writes to stderr; that it cannot be written is nobody's business.
inline void note(std::string_view text) {
  try {
    detail::write_to(STDERR_FILENO, text);
  } catch (const IoError&) {
    return;
  }
}

/// Text from files without what would act on a terminal or break a line: control and malformed bytes become "?".
inline std::string plain(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = hstu::detail::utf8_length(text, at);
    const std::string_view character = text.substr(at, std::max<std::size_t>(length, 1));
    if (length == 0 || hstu::detail::is_control(character)) result += '?';
    else result += character;
    at += character.size();
  }
  return result;
}

/// `value` with `digits` behind the point.
inline std::string fixed(double value, int digits) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << std::fixed << std::setprecision(digits) << value;
  return text.str();
}

/// "2000-04-25", in UTC.
inline std::string date_of(std::int64_t timestamp_s) {
  const std::chrono::year_month_day day =
      std::chrono::floor<std::chrono::days>(std::chrono::sys_seconds(std::chrono::seconds(timestamp_s)));
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << std::setfill('0') << std::setw(4) << static_cast<int>(day.year()) << '-' << std::setw(2)
       << static_cast<unsigned>(day.month()) << '-' << std::setw(2) << static_cast<unsigned>(day.day());
  return text.str();
}

/// Lines "name   value", the values in one column.
class Sheet {
 public:
  template <class... Parts>
  void row(std::string name, const Parts&... parts) {
    rows_.emplace_back(std::move(name), concat(parts...));
  }
  std::string text() const {
    std::size_t width = 0;
    for (const auto& [name, value] : rows_) width = std::max(width, name.size());
    std::string lines;
    for (const auto& [name, value] : rows_) lines += name + std::string(width - name.size() + 2, ' ') + value + "\n";
    return lines;
  }

 private:
  std::vector<std::pair<std::string, std::string>> rows_;
};

}  // namespace hstu::cli
