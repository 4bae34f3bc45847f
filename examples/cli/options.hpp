// SPDX-License-Identifier: MIT
// Options of a verb: cxxopts splits the command line, the checks and messages are ours.
#pragma once
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// std::regex recurses once per character: a long --history would end on the stack's limit.
#define CXXOPTS_NO_REGEX
#include <cxxopts.hpp>

#include <hstu/data/text.hpp>

#include "command.hpp"
#include "output.hpp"

namespace hstu::cli {

struct Option {
  std::string name;
  std::string value;  ///< what the help calls its value; empty: a flag
  std::string help;
  bool may_repeat = false;
};

/// The options found on a command line.  Every mistake is a UsageError that names the option.
class Options {
 public:
  /// `operand` names the single argument without a dash that the verb takes, if any.
  Options(Arguments arguments, std::string_view synopsis, std::string_view text, std::vector<Option> declared,
          std::string_view operand = {})
      : declared_(std::move(declared)) {
    declared_.push_back({"help", "", "show this text"});
    cxxopts::Options parser(concat("hstu ", arguments[0]), concat(text, "\n"));
    parser.custom_help(std::string(synopsis)).positional_help("");
    for (const Option& option : declared_) {
      const std::string names = option.name == "help" ? "h,help" : option.name;
      if (option.value.empty()) parser.add_options()(names, option.help);
      else parser.add_options()(names, option.help, cxxopts::value<std::string>(), option.value);
    }
    refuse_values_of_flags(arguments);
    try {
      const cxxopts::ParseResult result = parser.parse(static_cast<int>(arguments.size()), arguments.data());
      for (const cxxopts::KeyValue& found : result.arguments()) found_.push_back({found.key(), found.value()});
      operands_ = result.unmatched();
    } catch (const cxxopts::exceptions::exception& error) {
      throw UsageError(error.what());
    }
    if (has("help")) {
      help_ = parser.help() + "\n";
      return;
    }
    check_counts();
    const std::size_t wanted = operand.empty() ? 0 : 1;
    check<UsageError>(operands_.size() >= wanted, "expected ", operand, ", got nothing");
    check<UsageError>(operands_.size() == wanted, "expected options only, got ",
                      quote_text(operands_.size() > wanted ? operands_[wanted] : ""));
  }

  /// The help if it was asked for; the verb then does nothing else.
  const std::optional<std::string>& help() const { return help_; }
  const std::string& operand() const { return operands_.front(); }

  bool has(std::string_view name) const {
    return std::ranges::any_of(found_, [&](const Found& found) { return found.name == name; });
  }
  /// All values of an option, in their order.
  std::vector<std::string> all(std::string_view name) const {
    std::vector<std::string> values;
    for (const Found& found : found_) {
      if (found.name == name) values.push_back(found.value);
    }
    return values;
  }
  std::string text(std::string_view name, std::string fallback) const { return has(name) ? all(name)[0] : fallback; }
  std::string required_text(std::string_view name) const {
    check<UsageError>(has(name), "--", name, ": this option is needed");
    return all(name)[0];
  }
  std::int64_t integer(std::string_view name, std::int64_t fallback, std::int64_t least, std::int64_t most) const {
    if (!has(name)) return fallback;
    const std::string text = all(name)[0];
    std::int64_t value = 0;
    check<UsageError>(is_number(text, value) && value >= least && value <= most, "--", name,
                      ": expected a whole number from ", least, " to ", most, ", got ", quote_text(text));
    return value;
  }
  double number(std::string_view name, double fallback) const {
    if (!has(name)) return fallback;
    const std::string text = all(name)[0];
    double value = 0;
    check<UsageError>(is_number(text, value) && std::isfinite(value), "--", name, ": expected a number, got ",
                      quote_text(text));
    return value;
  }

  /// Refuses an option where `reason` leaves it without an effect.
  void refuse(std::string_view name, std::string_view reason) const {
    check<UsageError>(!has(name), "--", name, ": ", reason);
  }

 private:
  struct Found {
    std::string name;
    std::string value;
  };

  template <class Number>
  static bool is_number(const std::string& text, Number& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size();
  }

  void refuse_values_of_flags(Arguments arguments) const {
    for (const std::string_view argument : arguments.subspan(1)) {
      if (argument == "--") return;
      for (const Option& option : declared_) {
        check<UsageError>(!option.value.empty() || !argument.starts_with(concat("--", option.name, "=")), "--",
                          option.name, ": takes no value");
      }
    }
  }

  void check_counts() const {
    for (const Option& option : declared_) {
      const std::vector<std::string> values = all(option.name);
      check<UsageError>(values.size() <= 1 || option.may_repeat, "--", option.name, ": given ", values.size(),
                        " times, expected once");
      if (option.value.empty()) continue;
      for (const std::string& value : values) {
        check<UsageError>(!value.empty() && !value.starts_with("--"), "--", option.name, ": expected ", option.value,
                          ", got ", value.empty() ? "nothing" : concat("the option ", quote_text(value)));
      }
    }
  }

  std::vector<Option> declared_;
  std::vector<Found> found_;
  std::vector<std::string> operands_;
  std::optional<std::string> help_;
};

}  // namespace hstu::cli
