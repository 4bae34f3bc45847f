// SPDX-License-Identifier: MIT
// Keeps a folder for one process at a time.
#pragma once
#include <sys/file.h>

#include <hstu/io/posix_file.hpp>

namespace hstu {

/// Holds `folder`, which must exist, until it is destroyed or the process ends, however that happens: flock on the
/// folder itself, so nothing is left behind.  A file system without locks, as some on a network, keeps nobody out.
class FolderLock {
 public:
  /// Throws IoError if another FolderLock holds the folder, in this or another process, or if it cannot be opened.
  explicit FolderLock(const std::filesystem::path& folder) : file_(folder, O_RDONLY | O_DIRECTORY) {
    if (detail::retry_interrupted([&] { return ::flock(file_.descriptor(), LOCK_EX | LOCK_NB); }) == 0) return;
    check<IoError>(errno != EWOULDBLOCK, folder.string(),
                   ": expected to be alone here, but another process holds the folder");
  }

 private:
  detail::PosixFile file_;
};

}  // namespace hstu
