// SPDX-License-Identifier: MIT
// Runs the built program hstu and catches its exit code, stdout and stderr; a small run that the tests share.
#pragma once
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "io/files.hpp"

extern char** environ;

struct Outcome {
  int code = -1;  ///< 1000 + signal if one ended the program
  std::string out;
  std::string err;

  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

using Words = std::vector<std::string>;

/// A running program; wait() ends it.
class Program {
 public:
  explicit Program(const Words& words, const std::string& input = {}) {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
    const std::string in = folder_.write("in", input);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, in.c_str(), O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, folder_.path("out").c_str(), kFlags, 0600);
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, folder_.path("err").c_str(), kFlags, 0600);
    std::vector<char*> argv = {const_cast<char*>(HSTU_CLI_PATH)};
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const int error = ::posix_spawn(&pid_, HSTU_CLI_PATH, &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("cannot start " HSTU_CLI_PATH);
  }
  void send(int signal) const { ::kill(pid_, signal); }
  Outcome wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), bytes_in(folder_.path("out")),
            bytes_in(folder_.path("err"))};
  }

 private:
  TempFolder folder_;
  pid_t pid_ = 0;
};

inline Outcome run_program(const Words& words) { return Program(words).wait(); }

inline Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline std::string shown(const Words& words) {
  std::string text = "hstu";
  for (const std::string& word : words) text += " '" + word + "'";
  return text;
}

/// Runs the program and requires `code`.  A failure must say why in one line of stderr, and print no data.
inline Outcome run_expecting(int code, const Words& words) {
  const Outcome outcome = run_program(words);
  INFO(shown(words) << "\nstdout: " << outcome.out << "\nstderr: " << outcome.err);
  REQUIRE(outcome.code == code);
  if (code != 0) {
    REQUIRE(outcome.out.empty());
    REQUIRE(std::ranges::count(outcome.err, '\n') == 1);
    REQUIRE(outcome.err.starts_with("hstu"));
  }
  return outcome;
}

inline const Words kTinyModel = {"--preset", "meta-ml-1m",      "--set", "d_model=8",      "--set",     "dqk=8",
                                 "--set",    "dv=8",            "--set", "num_layers=1",   "--set",     "max_history=20",
                                 "--set",    "batch_size=16",   "--threads", "2"};

/// Prepared data and a run of two epochs, made once per process.
class Example {
 public:
  static const Example& get() {
    static const Example instance;
    return instance;
  }
  std::string data() const { return folder_.path("data"); }
  std::string run() const { return folder_.path("run"); }
  nlohmann::json metrics;  ///< that train printed

 private:
  Example() {
    run_expecting(0, {"prepare", "--synthetic", "--users", "60", "--items", "50", "--out", data()});
    metrics = run_expecting(
                  0, Words{"train", "--data", data(), "--epochs", "2", "--out", run(), "--json"} + kTinyModel)
                  .json();
  }
  TempFolder folder_;
};

/// The value of `key` in the last line of a run's log.
inline nlohmann::json last_logged(const std::string& run, const char* key) {
  const std::string log = bytes_in(run + "/metrics.jsonl");
  const std::size_t begin = log.rfind('\n', log.size() - 2);
  return nlohmann::json::parse(log.substr(begin == std::string::npos ? 0 : begin + 1)).at(key);
}
