// SPDX-License-Identifier: MIT
// A file descriptor whose every failed call becomes an IoError "path: call: reason".
#pragma once
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <hstu/core/check.hpp>

namespace hstu::detail {

[[noreturn]] inline void throw_io_error(const std::filesystem::path& path, std::string_view call, int error) {
  throw IoError(concat(path.string(), ": ", call, ": ", std::generic_category().message(error)));
}

/// Repeats a system call that a signal interrupted.
template <class Call>
auto retry_interrupted(Call call) {
  while (true) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

/// Calls use(name) for every entry of a folder, of none if it cannot be read.  std::filesystem's iterator would end the
/// process where it gets no memory.
template <class Use>
void for_each_name(const std::filesystem::path& folder, const Use& use) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), [](DIR* open) { return ::closedir(open); });
  if (entries == nullptr) return;
  while (const dirent* entry = ::readdir(entries.get())) use(std::string_view(entry->d_name));
}

/// Owns one descriptor.  The destructor closes without a check: call `close()` where written data must be safe.
class PosixFile {
 public:
  PosixFile(std::filesystem::path path, int flags, mode_t mode = 0)
      : path_(std::move(path)),
        descriptor_(retry_interrupted([&] { return ::open(path_.c_str(), flags | O_CLOEXEC, mode); })) {
    if (descriptor_ < 0) throw_io_error(path_, "open", errno);
  }
  ~PosixFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  PosixFile(PosixFile&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  PosixFile& operator=(PosixFile&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }

  struct stat status() const {
    struct stat result {};
    if (::fstat(descriptor_, &result) != 0) throw_io_error(path_, "fstat", errno);
    return result;
  }

  /// Reads up to `room.size()` bytes; 0 is the end of the file.
  std::size_t read_some(std::span<char> room) {
    const auto count = retry_interrupted([&] { return ::read(descriptor_, room.data(), room.size()); });
    if (count < 0) throw_io_error(path_, "read", errno);
    return static_cast<std::size_t>(count);
  }

  void write_all(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto count = retry_interrupted([&] { return ::write(descriptor_, bytes.data(), bytes.size()); });
      if (count < 0) throw_io_error(path_, "write", errno);
      if (count == 0) throw_io_error(path_, "write", EIO);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }

  /// Waits until the data is on the disk.  A file system that cannot sync a folder says EINVAL: accepted for folders.
  void sync() {
    if (retry_interrupted([&] { return ::fsync(descriptor_); }) == 0) return;
    if (errno == EINVAL && S_ISDIR(status().st_mode)) return;
    throw_io_error(path_, "fsync", errno);
  }

  /// The last call that can report a failed write.  Linux frees the descriptor even when it says EINTR.
  void close() {
    if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) throw_io_error(path_, "close", errno);
  }

 private:
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace hstu::detail
