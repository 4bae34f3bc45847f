// SPDX-License-Identifier: MIT
// The program hstu: finds the verb, runs it, and turns errors into one line and an exit code.
#include <csignal>

#include <array>
#include <new>

#include "command.hpp"
#include "output.hpp"

namespace hstu::cli {

struct Verb {
  std::string_view name;
  int (*run)(Arguments);
  std::string_view summary;
};

constexpr std::array<Verb, 8> kVerbs = {{
    {"prepare", prepare, "ratings file -> prepared data, with a report"},
    {"train", train, "prepared data -> a run: log, checkpoint, metrics"},
    {"evaluate", evaluate, "ranking metrics of a run, or of a baseline"},
    {"recommend", recommend, "ranked items for a user or a history"},
    {"generate", generate, "the next N items of a user: beam search or sampling"},
    {"serve", serve, "recommendations line by line, histories cached in between"},
    {"rank", rank, "what users do with items: a model of several tasks, candidates scored"},
    {"inspect", inspect, "what is in a file or folder that this program wrote"},
}};

inline std::string overview() {
  Sheet verbs;
  for (const Verb& verb : kVerbs) verbs.row(concat("  ", verb.name), verb.summary);
  return "Trains, evaluates and recommends with HSTU.\n\nUsage:\n  hstu VERB [options]\n\nVerbs:\n" + verbs.text() +
         "\n"
         "  hstu VERB --help   options of a verb\n"
         "  hstu --version     versions of this program and of what it is built with\n"
         "\n"
         "Data go to stdout, everything else to stderr.\n"
         "Exit codes: 0 ok, 1 failed, 2 wrong command line, 3 bad data, 4 bad checkpoint, 130 or 143 interrupted.\n";
}

/// A file opened later must not become stdout or stderr because the caller closed them.
inline void occupy_standard_descriptors() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) < 0 && ::open("/dev/null", O_RDONLY) < 0) ::_exit(kFailed);
  }
}

inline int run(Arguments arguments) {
  check<UsageError>(!arguments.empty(), "expected a verb; see hstu --help");
  const std::string_view first = arguments[0];
  for (const Verb& verb : kVerbs) {
    if (first == verb.name) return verb.run(arguments);
  }
  const bool is_version = first == "--version";
  check<UsageError>(is_version || first == "--help" || first == "-h",
                    first.starts_with("-") ? "unknown option " : "unknown verb ", quote_text(first),
                    "; see hstu --help");
  check<UsageError>(arguments.size() == 1, first, ": takes no argument, got ",
                    quote_text(arguments.size() > 1 ? arguments[1] : ""));
  print(is_version ? version_text() : overview());
  return kOk;
}

/// Runs the program; `place` begins the line on stderr.
inline int run_reporting(Arguments arguments, const std::string& place) {
  const auto fail = [&](ExitCode code, std::string_view what) {
    note(place + ": " + plain(what) + "\n");
    return code;
  };
  try {
    return run(arguments);
  } catch (const UsageError& error) {
    return fail(kUsage, error.what());
  } catch (const DataError& error) {
    return fail(kBadData, error.what());
  } catch (const CheckpointError& error) {
    return fail(kBadCheckpoint, error.what());
  } catch (const std::bad_alloc&) {
    return fail(kFailed, "out of memory");
  } catch (const std::exception& error) {
    return fail(kFailed, error.what());
  }
}

}  // namespace hstu::cli

int main(int argc, char** argv) {
  using namespace hstu::cli;
  occupy_standard_descriptors();
  std::signal(SIGPIPE, SIG_IGN);
  const Arguments arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  bool is_verb = false;
  for (const Verb& verb : kVerbs) is_verb |= !arguments.empty() && arguments[0] == verb.name;
  return run_reporting(arguments, is_verb ? hstu::concat("hstu ", arguments[0]) : "hstu");
}
