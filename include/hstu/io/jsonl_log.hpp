// SPDX-License-Identifier: MIT
// JsonLines: a log with one JSON object per line, which a resumed run can cut back to its checkpoint.
#pragma once
#include <concepts>
#include <string>

#include <hstu/io/atomic_write.hpp>
#include <hstu/io/json.hpp>
#include <hstu/io/read_file.hpp>

namespace hstu {

/// Appends lines to a file; each is handed to the system at once, so a killed process loses none.
/// A resumed run first calls `keep_lines` to drop what came after its checkpoint, then opens the log.
class JsonLines {
 public:
  static constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 30U;

  /// Opens `path` for appending, creating it if need be.  Throws IoError.
  explicit JsonLines(const std::filesystem::path& path) : file_(path, O_WRONLY | O_CREAT | O_APPEND, 0666) {}

  /// Appends `line`; NaN and infinity become null.  Throws IoError, the file being then as before.
  void write(const nlohmann::json& line) {
    const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
    const auto end = file_.status().st_size;
    try {
      file_.write_all(std::as_bytes(std::span(text)));
    } catch (const IoError&) {
      std::error_code ignored;  // the write has failed: that is the error to report
      std::filesystem::resize_file(file_.path(), static_cast<std::uintmax_t>(end), ignored);
      throw;
    }
  }

  /// Makes all lines durable: call it before a checkpoint that relies on them.
  void sync() { file_.sync(); }

  /// Rewrites the log at `path` with the lines for which `keep(json)` holds, byte by byte.  A last line without its end
  /// (the process died in a write) is dropped.  A log that does not exist stays so.
  /// Throws DataError "path:line:column: ..." on a line that is no JSON, IoError if the system refuses.
  template <std::predicate<const nlohmann::json&> Keep>
  static void keep_lines(const std::filesystem::path& path, Keep keep) {
    if (!std::filesystem::exists(path)) return;
    const std::string text = read_file(path, kMaxBytes);
    std::string kept;
    std::size_t number = 1;
    for (std::string_view rest = text; rest.find('\n') != std::string_view::npos; ++number) {
      const std::string_view line = rest.substr(0, rest.find('\n') + 1);
      rest.remove_prefix(line.size());
      if (keep(*parse_json(line, path.string(), number))) kept += line;
    }
    if (kept.size() != text.size()) atomic_write(path, kept);
  }

 private:
  detail::PosixFile file_;
};

}  // namespace hstu
