// SPDX-License-Identifier: MIT
// Replaces a file so that a crash, a full disk or a lost power leaves the old or the new content, never a mixture.
#pragma once
#include <signal.h>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <string>

#include <hstu/io/posix_file.hpp>

namespace hstu {
namespace detail {

inline constexpr std::string_view kTemporaryPrefix = ".hstu-";
inline constexpr std::string_view kTemporarySuffix = ".tmp";

inline std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Makes the names in `folder` durable.
inline void sync_folder(const std::filesystem::path& folder) {
  PosixFile file(folder, O_RDONLY | O_DIRECTORY);
  file.sync();
  file.close();
}

/// A new file beside the target, removed again unless `release`d.  Its name does not grow with the target's.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& folder) : file_(create(folder)) {}
  ~TemporaryFile() {
    if (is_owned_) ::unlink(file_.path().c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  PosixFile& file() { return file_; }
  void release() { is_owned_ = false; }

 private:
  static PosixFile create(const std::filesystem::path& folder) {
    static std::atomic<unsigned> counter = 0;
    while (true) {
      const auto path = folder / concat(kTemporaryPrefix, ::getpid(), "-", counter++, kTemporarySuffix);
      if (::access(path.c_str(), F_OK) != 0) return PosixFile(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    }
  }

  PosixFile file_;
  bool is_owned_ = true;
};

/// The file to replace: `path`, or what it links to, so that the link survives.  A folder, pipe or device is refused:
/// renaming over /dev/null would remove it.
inline std::filesystem::path resolve_target(const std::filesystem::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return path;
    throw_io_error(path, "lstat", errno);
  }
  if (S_ISLNK(status.st_mode)) {
    if (::stat(path.c_str(), &status) != 0) throw_io_error(path, "stat", errno);
    std::error_code error;
    const auto target = std::filesystem::canonical(path, error);
    if (error) throw_io_error(path, "realpath", error.value());
    return resolve_target(target);
  }
  check<IoError>(S_ISREG(status.st_mode), path.string(), ": expected a regular file to replace, got ",
                 S_ISDIR(status.st_mode) ? "a folder" : "a pipe or device");
  return path;
}

}  // namespace detail

/// Puts `bytes` into `path`: temporary file in the same folder, write, fsync, close, rename, fsync of the folder.
/// Throws IoError "path: call: reason"; the old file is then as before and the temporary file removed.  Only where the
/// last step fails (fsync of the folder) is the new content visible, complete, but perhaps not durable.
inline void atomic_write(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  const std::filesystem::path target = detail::resolve_target(path);
  const std::filesystem::path folder = detail::folder_of(target);
  detail::TemporaryFile temporary(folder);
  temporary.file().write_all(bytes);
  temporary.file().sync();
  temporary.file().close();
  if (::rename(temporary.file().path().c_str(), target.c_str()) != 0) detail::throw_io_error(path, "rename", errno);
  temporary.release();
  detail::sync_folder(folder);
}
inline void atomic_write(const std::filesystem::path& path, std::string_view text) {
  atomic_write(path, std::as_bytes(std::span(text)));
}

/// Removes the temporary files that killed processes left in `folder`; those of a living process stay.
inline void remove_stale_temporaries(const std::filesystem::path& folder) {
  detail::for_each_name(folder, [&](std::string_view name) {
    if (!name.starts_with(detail::kTemporaryPrefix) || !name.ends_with(detail::kTemporarySuffix)) return;
    pid_t owner = 0;
    std::from_chars(name.data() + detail::kTemporaryPrefix.size(), name.data() + name.size(), owner);
    const bool is_stale = owner > 0 && ::kill(owner, 0) != 0 && errno == ESRCH;
    std::error_code ignored;  // leftovers cost space only: failing to remove one is no reason to stop
    if (is_stale) std::filesystem::remove(folder / name, ignored);
  });
}

}  // namespace hstu
