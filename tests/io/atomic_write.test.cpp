// SPDX-License-Identifier: MIT
// read_file and atomic_write: content, refusals, and an old file that survives each failure.
#include <sys/resource.h>
#include <sys/wait.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <csignal>

#include <hstu/io/atomic_write.hpp>
#include <hstu/io/read_file.hpp>

#include "io/files.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

TEST_CASE("read_file: gives every byte", "[io][read_file]") {
  const TempFolder folder;
  std::string bytes;
  for (int i = 0; i < 20000; ++i) bytes += static_cast<char>(i % 251);
  CHECK(read_file(folder.write("a", bytes), bytes.size()) == bytes);
  CHECK(read_file(folder.write("empty", ""), 0).empty());
  CHECK(read_file("/proc/self/status", 1U << 20U).find("Pid:") != std::string::npos);  // a file that says it has size 0
}

TEST_CASE("read_file: refuses what is too long, not there or no regular file", "[io][read_file][errors]") {
  const TempFolder folder;
  const std::string path = folder.write("a", "12345");
  CHECK_THROWS_WITH(read_file(path, 4), path + ": expected at most 4 bytes, got 5");
  CHECK_THROWS_WITH(read_file("/proc/self/status", 10), ContainsSubstring("expected at most 10 bytes"));
  CHECK_THROWS_WITH(read_file(folder.path("b"), 4), folder.path("b") + ": open: No such file or directory");
  CHECK_THROWS_WITH(read_file(folder.path(), 4), folder.path() + ": expected a regular file, got a folder");
  CHECK_THROWS_WITH(read_file("/dev/zero", 4), ContainsSubstring("got a pipe or device"));
  REQUIRE(::mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  CHECK_THROWS_AS(read_file(folder.path("pipe"), 4), IoError);  // and does not wait for a writer
  fs::resize_file(path, std::uintmax_t{1} << 40U);              // sparse
  CHECK_THROWS_AS(read_file(path, 1U << 20U), IoError);
}

TEST_CASE("atomic_write: creates and replaces", "[io][atomic_write]") {
  const TempFolder folder;
  const std::string path = folder.path("a");
  using namespace std::string_literals;
  for (const std::string& bytes : {"old"s, ""s, std::string(300000, 'x'), "n\0w"s}) {
    atomic_write(path, bytes);
    CHECK(bytes_in(path) == bytes);
  }
  const std::string longest = std::string(255, 'n');
  atomic_write(folder.path(longest), "x");
  CHECK(names_in(folder.path()) == std::vector<std::string>{"a", longest});
}

TEST_CASE("atomic_write: a path without a folder is in the current one", "[io][atomic_write]") {
  const TempFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  atomic_write("plain", "x");
  fs::current_path(before);
  CHECK(bytes_in(folder.path("plain")) == "x");
}

TEST_CASE("atomic_write: a link stays a link and its target is replaced", "[io][atomic_write]") {
  const TempFolder folder;
  fs::create_directory(folder.path("real"));
  folder.write("real/a", "old");
  fs::create_symlink("real/a", folder.path("link"));
  atomic_write(folder.path("link"), "new");
  CHECK(fs::is_symlink(folder.path("link")));
  CHECK(bytes_in(folder.path("real/a")) == "new");
  fs::create_symlink("nowhere", folder.path("dangling"));
  CHECK_THROWS_AS(atomic_write(folder.path("dangling"), "new"), IoError);
}

TEST_CASE("atomic_write: folders, devices, missing folders, too long names are refused", "[io][atomic_write][errors]") {
  const TempFolder folder;
  fs::create_directory(folder.path("sub"));
  CHECK_THROWS_WITH(atomic_write(folder.path("sub"), "x"), ContainsSubstring("expected a regular file to replace"));
  CHECK_THROWS_WITH(atomic_write("/dev/null", "x"), ContainsSubstring("got a pipe or device"));
  CHECK_THROWS_WITH(atomic_write(folder.path("no/a"), "x"), ContainsSubstring("No such file or directory"));
  CHECK_THROWS_WITH(atomic_write(folder.path(std::string(256, 'n')), "x"), ContainsSubstring("File name too long"));
  folder.write("file", "x");
  CHECK_THROWS_WITH(atomic_write(folder.path("file/a"), "x"), ContainsSubstring("Not a directory"));
  CHECK(names_in(folder.path()) == std::vector<std::string>{"file", "sub"});
}

TEST_CASE("atomic_write: a write that fails halfway leaves the old file alone", "[io][atomic_write][errors]") {
  const TempFolder folder;
  const std::string path = folder.write("a", "old");
  std::string message;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t limit : {0U, 1U, 4096U, 65536U, 99999U}) {
    const rlimit lowered{limit, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &lowered) == 0);
    message = message_of<IoError>([&] { atomic_write(path, std::string(100000, 'x')); });
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    // Sandboxes exist that do not enforce this limit: then the write must have succeeded entirely.
    if (message.empty()) REQUIRE(bytes_in(path) == std::string(100000, 'x'));
    else CHECK_THAT(message, ContainsSubstring("write: File too large"));
    if (!message.empty()) REQUIRE(bytes_in(path) == "old");
    REQUIRE(names_in(folder.path()) == std::vector<std::string>{"a"});
  }
  std::signal(SIGXFSZ, handler);
}

TEST_CASE("remove_stale_temporaries: removes what dead processes left and nothing else", "[io][atomic_write]") {
  const TempFolder folder;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);  // a process id that is no longer in use
  folder.write(".hstu-" + std::to_string(child) + "-0.tmp", "dead");
  const std::string ours = ".hstu-" + std::to_string(::getpid()) + "-999999.tmp";
  for (const auto& name : {ours, std::string(".hstu-x.tmp"), std::string(".hstu-0-1.tmp"),
                           std::string(".hstu-5"), std::string("model.tmp")}) {
    folder.write(name, "keep");
  }
  const auto before = names_in(folder.path()).size();
  remove_stale_temporaries(folder.path());
  CHECK(names_in(folder.path()).size() == before - 1);
  CHECK(fs::exists(folder.path(ours)));
  remove_stale_temporaries(folder.path("missing"));  // nothing to do, no error
}
