// SPDX-License-Identifier: MIT
// Progress of training on stderr: a bar with the time left on a terminal, one line per epoch everywhere.
#pragma once
#include <chrono>
#include <cmath>

#include <hstu/train/trainer.hpp>

#include "output.hpp"

namespace hstu::cli {

/// "1:02:03" or "2:03".
inline std::string duration_text(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  const auto two_digits = [](std::int64_t value) { return concat(value < 10 ? "0" : "", value); };
  const std::int64_t hours = total / 3600, minutes = total / 60 % 60;
  const std::string start = hours > 0 ? concat(hours, ":", two_digits(minutes)) : concat(minutes);
  return start + ":" + two_digits(total % 60);
}

class ProgressDisplay {
 public:
  explicit ProgressDisplay(bool is_terminal) : is_terminal_(is_terminal) {}

  void on_step(const Progress& progress) {
    ++steps_here_;
    const double done = static_cast<double>((progress.epoch - 1) * progress.steps + progress.step);
    steps_left_ = static_cast<double>(progress.epochs * progress.steps) - done;
    epochs_ = progress.epochs;
    const Clock::time_point now = Clock::now();
    if (!is_terminal_ || now - drawn_ < std::chrono::milliseconds(100)) return;
    drawn_ = now;
    constexpr std::int64_t kWidth = 30;
    const auto filled = static_cast<std::size_t>(kWidth * progress.step / progress.steps);
    note(concat("\r\x1b[K", "epoch ", progress.epoch, "/", progress.epochs, " [", std::string(filled, '='),
                std::string(kWidth - filled, ' '), "] loss ", fixed(progress.loss, 4), "  ", time_left()));
  }

  /// `line` is what metrics.jsonl gets.
  void on_epoch(const nlohmann::json& line) {
    std::string text = concat("epoch ", line["epoch"].get<std::int64_t>(), "/", epochs_, "  loss ",
                              fixed(line["train_loss"], 4));
    for (const char* name : {"val_ndcg@10", "test_ndcg@10"}) {
      if (line.contains(name)) text += concat("  ", name, " ", fixed(line[name], 4));
    }
    const double thousand_tokens_per_second = line["tokens_per_second"].get<double>() / 1000;
    note(concat(is_terminal_ ? "\r\x1b[K" : "", text, "  ", fixed(line["seconds"], 1), " s  ",
                fixed(thousand_tokens_per_second, 1), "k tokens/s  ", time_left(), "\n"));
  }

  /// Leaves the line that the bar stands on.
  void end() const {
    if (is_terminal_) note("\r\x1b[K");
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::string time_left() const {
    const std::chrono::duration<double> elapsed = Clock::now() - begin_;
    const auto steps = static_cast<double>(std::max<std::int64_t>(1, steps_here_));
    return "ETA " + duration_text(elapsed.count() / steps * steps_left_);
  }

  bool is_terminal_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point drawn_ = begin_;
  std::int64_t steps_here_ = 0;  // in this process
  std::int64_t epochs_ = 0;
  double steps_left_ = 0;
};

}  // namespace hstu::cli
