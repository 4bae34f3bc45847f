// SPDX-License-Identifier: MIT
// FolderLock: one holder at a time, in one process and in several, and none left after a kill.
#include <sys/wait.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <csignal>
#include <optional>

#include <hstu/io/folder_lock.hpp>

#include "io/files.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("folder_lock: the second holder is refused until the first has gone", "[io][folder_lock]") {
  const TempFolder folder;
  std::optional<FolderLock> first(folder.path());
  CHECK_THROWS_WITH(FolderLock(folder.path()), folder.path() + ": expected to be alone here, but another process holds "
                                                               "the folder");
  first.reset();
  CHECK_NOTHROW(FolderLock(folder.path()));
  CHECK(names_in(folder.path()).empty());
}

TEST_CASE("folder_lock: a killed process holds nothing", "[io][folder_lock]") {
  const TempFolder folder;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const FolderLock lock(folder.path());
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::pause();
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK_THROWS_AS(FolderLock(folder.path()), IoError);
  REQUIRE(::kill(child, SIGKILL) == 0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK_NOTHROW(FolderLock(folder.path()));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("folder_lock: what is no folder is refused", "[io][folder_lock][errors]") {
  const TempFolder folder;
  CHECK_THROWS_WITH(FolderLock(folder.write("file", "")), ContainsSubstring("open: Not a directory"));
  CHECK_THROWS_WITH(FolderLock(folder.path("missing")), ContainsSubstring("open: No such file or directory"));
}
