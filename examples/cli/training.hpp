// SPDX-License-Identifier: MIT
// What the verbs that train share: signals, the file of --config, the seed.
#pragma once
#include <signal.h>

#include <csignal>
#include <limits>

#include <hstu/io/json.hpp>
#include <hstu/io/read_file.hpp>

#include "options.hpp"

namespace hstu::cli {

inline volatile sig_atomic_t received_signal = 0;

/// The first SIGINT or SIGTERM asks for a stop; the second, of either, ends the process as usual.
inline void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int number) {
    received_signal = number;
    ::signal(SIGINT, SIG_DFL);
    ::signal(SIGTERM, SIG_DFL);
  };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

/// Calls use(JSON, name of the file) if --config is given.
template <class Use>
void with_config_file(const Options& options, const Use& use) {
  if (!options.has("config")) return;
  constexpr std::uint64_t kMaxBytes = 1 << 20;
  const std::string file = options.required_text("config");
  try {
    use(*parse_json<ConfigError>(read_file(file, kMaxBytes), file), file);
  } catch (const IoError& error) {
    throw UsageError(concat("--config: ", error.what()));
  }
}

inline std::uint64_t seed_of(const Options& options, std::uint64_t fallback) {
  if (!options.has("seed")) return fallback;
  return static_cast<std::uint64_t>(options.integer("seed", 0, 0, std::numeric_limits<std::int64_t>::max()));
}

}  // namespace hstu::cli
