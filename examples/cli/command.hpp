// SPDX-License-Identifier: MIT
// The verbs of the program, its exit codes, and errors that choose one.
#pragma once
#include <concepts>
#include <span>
#include <string>

#include <hstu/core/check.hpp>

namespace hstu::cli {

/// What the program hands back to the shell.
enum ExitCode { kOk = 0, kFailed = 1, kUsage = 2, kBadData = 3, kBadCheckpoint = 4, kSignalled = 128 };

/// A command line that cannot be obeyed: exit code 2.
class UsageError : public Error { using Error::Error; };

using Arguments = std::span<const char* const>;  ///< as argv: begins with the verb

int prepare(Arguments arguments);
int train(Arguments arguments);
int evaluate(Arguments arguments);
int recommend(Arguments arguments);
int generate(Arguments arguments);
int serve(Arguments arguments);
int rank(Arguments arguments);
int inspect(Arguments arguments);

/// Lines of `hstu --version`.
std::string version_text();

/// Result of `read()`, which reads data: a file that the system refuses then counts as bad data.
template <std::invocable Read>
auto reading_data(const Read& read) {
  try {
    return read();
  } catch (const IoError& error) {
    throw DataError(error.what());
  }
}

/// Result of `build()`, which follows options: what it finds contradicting is a mistake in the command line.
template <std::invocable Build>
auto following_options(const Build& build) {
  try {
    return build();
  } catch (const ConfigError& error) {
    throw UsageError(error.what());
  }
}

}  // namespace hstu::cli
