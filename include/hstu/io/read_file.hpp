// SPDX-License-Identifier: MIT
// A whole file as bytes, with an upper bound.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include <hstu/io/posix_file.hpp>

namespace hstu {

/// The bytes of a regular file.  A folder, a pipe or a device is refused without waiting for it.
/// Throws IoError if the system refuses, or if the file has more than `max_bytes`.
inline std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  detail::PosixFile file(path, O_RDONLY | O_NONBLOCK);  // opening a pipe would wait for a writer without O_NONBLOCK
  const auto status = file.status();
  check<IoError>(S_ISREG(status.st_mode), path.string(), ": expected a regular file, got ",
                 S_ISDIR(status.st_mode) ? "a folder" : "a pipe or device");
  const auto check_size = [&](std::uint64_t size) {
    check<IoError>(size <= max_bytes, path.string(), ": expected at most ", max_bytes, " bytes, got ", size);
  };
  const auto expected = static_cast<std::uint64_t>(std::max<off_t>(status.st_size, 0));
  check_size(expected);

  // The size above is a hint only: files of /proc say 0, and another process may be writing.
  std::string bytes(static_cast<std::size_t>(expected), '\0');
  std::size_t size = 0;
  while (true) {
    if (size == bytes.size()) {
      char probe = 0;
      if (file.read_some({&probe, 1}) == 0) break;
      check_size(size + 1);
      bytes.resize(std::max<std::size_t>(2 * size, 4096));
      bytes[size++] = probe;
    }
    const std::size_t count = file.read_some({bytes.data() + size, bytes.size() - size});
    if (count == 0) break;
    check_size(size += count);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace hstu
