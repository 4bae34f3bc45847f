// SPDX-License-Identifier: MIT
// Every failed call is an error that names path, call and reason.
#include <csignal>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/io/atomic_write.hpp>

#include "files.hpp"

using namespace hstu;
using hstu::detail::PosixFile;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("posix_file: failed calls name path, call and reason", "[io][posix_file][errors]") {
  const TempFolder folder;
  const std::string path = folder.write("file", "content");
  std::string room(4, '\0');
  const std::string byte = "x";
  const auto bytes = std::as_bytes(std::span(byte));

  CHECK_THROWS_WITH(PosixFile(folder.path("none"), O_RDONLY), ContainsSubstring("none: open: No such file"));
  PosixFile of_folder(folder.path(), O_RDONLY | O_DIRECTORY);
  CHECK_THROWS_WITH(of_folder.read_some(room), ContainsSubstring("read: Is a directory"));
  CHECK_NOTHROW(of_folder.sync());

  PosixFile readable(path, O_RDONLY);
  CHECK(readable.read_some(room) == 4);
  CHECK(room == "cont");
  CHECK_THROWS_WITH(readable.write_all(bytes), ContainsSubstring("write: Bad file descriptor"));
  CHECK_NOTHROW(readable.write_all({}));

  PosixFile full("/dev/full", O_WRONLY);
  CHECK_THROWS_WITH(full.write_all(bytes), ContainsSubstring("/dev/full: write: No space left"));
  CHECK_THROWS_WITH(full.sync(), ContainsSubstring("fsync: Invalid argument"));

  PosixFile closed(path, O_RDONLY);
  PosixFile moved(std::move(closed));
  REQUIRE(::close(moved.descriptor()) == 0);  // behind its back
  CHECK_THROWS_WITH(moved.status(), ContainsSubstring("fstat: Bad file descriptor"));
  CHECK_THROWS_WITH(moved.sync(), ContainsSubstring("fsync: Bad file descriptor"));
  CHECK_THROWS_WITH(moved.close(), ContainsSubstring("close: Bad file descriptor"));
}

TEST_CASE("posix_file: interrupted calls are repeated, others are not", "[io][posix_file][property]") {
  int calls = 0;
  const auto call = [&](int error, int failures) {
    calls = 0;
    return detail::retry_interrupted([&] {
      if (++calls > failures) return 7;
      errno = error;
      return -1;
    });
  };
  CHECK(call(EINTR, 3) == 7);
  CHECK(calls == 4);
  CHECK(call(EIO, 3) == -1);
  CHECK(calls == 1);
}

TEST_CASE("atomic_write: names that an earlier process of the same number left are stepped over",
          "[io][atomic_write][property]") {
  const TempFolder folder;
  constexpr int kNames = 2000;  // more temporary files than this program makes
  for (int i = 0; i < kNames; ++i) folder.write(concat(".hstu-", ::getpid(), "-", i, ".tmp"), "old");
  atomic_write(folder.path("file"), "new");
  CHECK(bytes_in(folder.path("file")) == "new");
  CHECK(names_in(folder.path()).size() == kNames + 1);
  CHECK(bytes_in(folder.path(concat(".hstu-", ::getpid(), "-", kNames - 1, ".tmp"))) == "old");
}
