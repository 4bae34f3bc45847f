// SPDX-License-Identifier: MIT
// The fuzzer: hstu_fuzz --target=NAME [options of libFuzzer] CORPUS...   (NAME: see targets.hpp, or planted)
#include <cstdio>
#include <cstdlib>

#include "targets.hpp"

namespace {
void (*chosen)(std::string_view) = nullptr;
}

/// Freed blocks are watched for a while; with the usual 256 MiB of them every run would touch fresh pages.  A finding
/// run again with ASAN_OPTIONS=malloc_context_size=30 tells who asked for a block.
extern "C" const char* __asan_default_options() { return "quarantine_size_mb=1:malloc_context_size=1"; }

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kOption = "--target=";
  for (int i = 1; i < *argc; ++i) {
    std::string_view word = (*argv)[i];
    if (!word.starts_with(kOption)) continue;
    word.remove_prefix(kOption.size());
    if (word == "planted") chosen = hstu::fuzz::planted;
    for (const auto& target : hstu::fuzz::kTargets) {
      if (word == target.name) chosen = target.run;
    }
  }
  if (chosen == nullptr) {
    std::fputs("hstu_fuzz: expected --target=NAME with a name of tests/fuzz/targets.hpp\n", stderr);
    std::exit(2);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  chosen({reinterpret_cast<const char*>(data), size});
  return 0;
}
