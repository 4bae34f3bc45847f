// SPDX-License-Identifier: MIT
// Every option of every verb against missing, wrong and repeated values.
#include <iostream>
#include <set>

#include "cli/program.hpp"

namespace {

enum class Kind { flag, text, choice, number, real };

struct OptionCase {
  std::string name;
  Kind kind;
  bool may_repeat = false;
};

struct VerbCase {
  std::string name;
  Words valid;  ///< what the option under test is added to
  std::vector<OptionCase> options;
};

/// The values do not exist: a mistake in the command line is found before anything is read.
const std::vector<VerbCase>& verbs() {
  using enum Kind;
  static const std::vector<VerbCase> cases = {
      {"prepare",
       {"--synthetic", "--out", "/nowhere/data"},
       {{"ratings", text}, {"format", choice}, {"timestamp-unit", choice}, {"column", text, true}, {"titles", text},
        {"synthetic", flag}, {"users", number}, {"items", number}, {"ties", choice}, {"seed", number}, {"min-user-count", number},
        {"min-item-count", number}, {"min-rating", real}, {"drop-last", number}, {"out", text}, {"json", flag}}},
      {"train",
       {"--data", "/nowhere", "--preset", "rechub-0.1", "--out", "/nowhere/run"},
       {{"data", text}, {"preset", choice}, {"config", choice}, {"set", choice, true}, {"epochs", number},
        {"seed", number}, {"threads", number}, {"out", text}, {"resume", flag}, {"json", flag}, {"device", choice},
        {"precision", choice}}},
      {"evaluate",
       {"--data", "/nowhere", "--baseline", "markov"},
       {{"run", text}, {"data", text}, {"baseline", choice}, {"split", choice}, {"keep-seen", flag},
        {"mask-shown", flag}, {"json", flag}, {"device", choice}, {"precision", choice}}},
      {"recommend",
       {"--run", "/nowhere", "--user", "u1"},
       {{"run", text}, {"user", text}, {"history", text}, {"item", text, true}, {"at", number}, {"top", number},
        {"keep-seen", flag}, {"json", flag}}},
      {"generate",
       {"--run", "/nowhere", "--user", "u1", "--sample", "3"},
       {{"run", text}, {"user", text}, {"tails", text}, {"steps", number}, {"beam", number}, {"sample", number},
        {"temperature", real}, {"top-k", number}, {"top-p", real}, {"seed", number}, {"at", number},
        {"gap", number}, {"keep-seen", flag}, {"json", flag}}},
      {"serve",
       {"--run", "/nowhere", "--stdin"},
       {{"run", text}, {"stdin", flag}, {"pool-mb", number}, {"page", number}, {"kept-events", number}}},
      {"rank",
       {"--data", "/nowhere", "--out", "/nowhere/run"},
       {{"data", text}, {"config", choice}, {"set", choice, true}, {"user-features", text}, {"item-features", text},
        {"epochs", number}, {"seed", number}, {"threads", number}, {"out", text}, {"resume", flag}, {"run", text},
        {"split", choice}, {"user", text}, {"candidates", text}, {"task", text}, {"top", number}, {"at", number},
        {"json", flag}, {"device", choice}, {"precision", choice}}},
      {"inspect", {"/nowhere"}, {}},
  };
  return cases;
}

/// `valid` without `--name` and its value.
Words without(const Words& valid, const std::string& name) {
  Words rest;
  for (std::size_t i = 0; i < valid.size(); ++i) {
    if (valid[i] != "--" + name) {
      rest.push_back(valid[i]);
    } else if (i + 1 < valid.size() && !valid[i + 1].starts_with("--")) {
      ++i;
    }
  }
  return rest;
}

/// Command lines refused by name; printed at the end, for scripts/figures.py.
struct RefusedCount {
  int count = 0;
  ~RefusedCount() {
    std::cout << "figure: " << count << " wrong command lines refused with one line that names the option\n";
  }
};

void require_refused(const Words& words, const std::string& name) {
  static RefusedCount refused;
  ++refused.count;
  const Outcome outcome = run_expecting(2, words);
  INFO(shown(words) << "\nstderr: " << outcome.err);
  REQUIRE(outcome.err.find(name) != std::string::npos);
}

}  // namespace

TEST_CASE("usage: the options of --help are those tested here", "[cli][usage][property]") {
  for (const VerbCase& verb : verbs()) {
    std::set<std::string> expected = {"help"};
    for (const OptionCase& option : verb.options) expected.insert(option.name);
    const Outcome help = run_expecting(0, {verb.name, "--help"});
    CHECK(help.err.empty());
    CHECK(help.out.ends_with("\n"));
    std::set<std::string> found;
    std::istringstream lines(help.out);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t at = line.find("--");
      const bool is_option = at != std::string::npos && at <= 6 && line.starts_with("  ") && line[2] != 'h';
      if (is_option) found.insert(line.substr(at + 2, line.find_first_of(" ", at) - at - 2));
    }
    INFO(verb.name);
    CHECK(found == expected);
  }
}

TEST_CASE("usage: missing values are refused by name", "[cli][usage][errors]") {
  for (const VerbCase& verb : verbs()) {
    for (const OptionCase& option : verb.options) {
      if (option.kind == Kind::flag) continue;
      const Words start = Words{verb.name} + without(verb.valid, option.name);
      require_refused(start + Words{"--" + option.name}, option.name);
      require_refused(start + Words{"--" + option.name + "="}, option.name);
      require_refused(start + Words{"--" + option.name, "--json"}, option.name);
    }
  }
}

TEST_CASE("usage: wrong values are refused by name", "[cli][usage][errors]") {
  for (const VerbCase& verb : verbs()) {
    for (const OptionCase& option : verb.options) {
      const Words start = Words{verb.name} + without(verb.valid, option.name);
      Words values;
      if (option.kind == Kind::flag) values = {"yes", "1", "\x1b[31m"};
      if (option.kind == Kind::choice) {
        values = {"nonsense", "epochs", "-1", "1e999", "99999999999999999999999", " ", "\n", "größe", "\xff",
                  std::string(100'000, 'x')};
      }
      if (option.kind == Kind::number || option.kind == Kind::real) {
        values = {"abc", "", "1x", "0x10", "nan", "inf", "1e999", " 1", "+1", "1,5", "١", std::string(100'000, '9')};
      }
      if (option.kind == Kind::number) values = values + Words{"-1", "1.5", "99999999999999999999999", "-99999999999999999999999"};
      for (const std::string& value : values) {
        require_refused(start + Words{"--" + option.name + "=" + value}, option.name);
      }
    }
  }
}

TEST_CASE("usage: repeated and unknown options are refused by name", "[cli][usage][errors]") {
  for (const VerbCase& verb : verbs()) {
    const Words valid = Words{verb.name} + verb.valid;
    for (const OptionCase& option : verb.options) {
      if (option.may_repeat) continue;
      const std::string word = "--" + option.name + (option.kind == Kind::flag ? "" : "=1");
      require_refused(Words{verb.name} + without(verb.valid, option.name) + Words{word, word}, option.name);
    }
    require_refused(valid + Words{"--no-such-option"}, "no-such-option");
    require_refused(valid + Words{"--no-such-option=3"}, "no-such-option");
    require_refused(valid + Words{"-x"}, "x");
    require_refused(valid + Words{"--x\x1b[31m"}, "x");
    require_refused(valid + Words{"stray"}, "stray");
    require_refused(valid + Words{"--", "stray"}, "stray");
  }
}

TEST_CASE("usage: options that contradict are refused", "[cli][usage][errors]") {
  require_refused({"prepare", "--synthetic", "--ratings", "x", "--out", "y"}, "--ratings");
  require_refused({"prepare", "--ratings", "x", "--users", "3", "--out", "y"}, "--users");
  require_refused({"prepare", "--ratings", "x", "--seed", "3", "--out", "y"}, "--seed");
  require_refused({"prepare", "--out", "y"}, "--ratings");
  require_refused({"prepare", "--synthetic"}, "--out");
  require_refused({"train", "--data", "x", "--out", "y"}, "--preset");
  require_refused({"train", "--preset", "meta-ml-1m", "--out", "y"}, "--data");
  require_refused({"evaluate"}, "--run");
  require_refused({"evaluate", "--run", "x", "--data", "y"}, "--data");
  require_refused({"evaluate", "--baseline", "markov"}, "--data");
  require_refused({"recommend", "--run", "x"}, "--user");
  require_refused({"recommend", "--run", "x", "--user", "y", "--item", "z"}, "--user");
  require_refused({"recommend", "--run", Example::get().run(), "--item", "i1", "--at", "5"}, "--at");
  require_refused({"generate", "--run", "x"}, "--user");
  require_refused({"generate", "--run", "x", "--user", "y", "--tails", "z"}, "--user");
  require_refused({"generate", "--run", "x", "--user", "y", "--top-k", "3"}, "--top-k");
  require_refused({"generate", "--run", "x", "--user", "y", "--beam", "3", "--sample", "3"}, "--beam");
  require_refused({"generate", "--run", "x", "--tails", "y", "--at", "3"}, "--at");
  require_refused({"generate", "--run", Example::get().run(), "--user", "u1", "--beam", "51"}, "--beam");
  require_refused({"rank"}, "--out");
  require_refused({"rank", "--run", "x", "--data", "y"}, "--data");
  require_refused({"rank", "--run", "x", "--task", "like"}, "--task");
  require_refused({"rank", "--run", "x", "--user", "y", "--device", "cuda"}, "--device");
  require_refused({"inspect"}, "FILE");
  require_refused(Words{"train", "--data", Example::get().data(), "--out", "/nowhere/run"} + kTinyModel +
                      Words{"--set", "max_history=500"},
                  "max_history");
}

TEST_CASE("usage: help, version and verbs", "[cli][usage][property]") {
  CHECK(run_expecting(0, {"--help"}).out.find("recommend") != std::string::npos);
  CHECK(run_expecting(0, {"-h"}).out == run_expecting(0, {"--help"}).out);
  CHECK(run_expecting(0, {"train", "-h"}).out == run_expecting(0, {"train", "--help"}).out);
  const std::string version = run_expecting(0, {"--version"}).out;
  for (const char* part : {"hstu", "Eigen", "nlohmann/json", "cxxopts", "compiler", "SIMD", "threads"}) {
    CHECK(version.find(part) != std::string::npos);
  }
  run_expecting(2, {});
  require_refused({"predict"}, "predict");
  require_refused({"--frobnicate"}, "--frobnicate");
  require_refused({"--version", "now"}, "now");
}

TEST_CASE("usage: a reader that leaves and a closed stdout do not crash the program", "[cli][usage][errors]") {
  const std::string program = HSTU_CLI_PATH;
  const auto code_of = [](const std::string& command) {
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  const std::string run = Example::get().run();
  CHECK(code_of("bash -c 'set -o pipefail; " + program + " inspect " + run + " | true'") == 0);
  CHECK(code_of(program + " inspect " + run + " >&- 2>/dev/null") == 1);
  CHECK(code_of(program + " inspect " + run + " >/dev/full 2>/dev/null") == 1);
  CHECK(code_of(program + " inspect " + run + " >/dev/null 2>&-") == 0);
}
