// SPDX-License-Identifier: MIT
// Every input that the fuzzer kept, through its target, in an ordinary build.
#include <catch2/catch_test_macros.hpp>

#include "fuzz/targets.hpp"
#include "io/files.hpp"

TEST_CASE("fuzz: the kept inputs are read or refused as promised", "[fuzz][regression]") {
  for (const hstu::fuzz::Target& target : hstu::fuzz::kTargets) {
    const std::filesystem::path folder = std::filesystem::path(HSTU_FUZZ_CORPUS) / target.name;
    const auto names = names_in(folder);
    CHECK(names.size() >= 10);
    for (const std::string& name : names) {
      INFO(target.name << "/" << name);
      const std::string bytes = bytes_in(folder / name);
      REQUIRE_NOTHROW(target.run(bytes));
    }
  }
}
