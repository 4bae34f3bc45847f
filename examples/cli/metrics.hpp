// SPDX-License-Identifier: MIT
// What train and evaluate print: ranking metrics and the figures of the run, as JSON or as a table.
#pragma once
#include <hstu/train/run.hpp>

#include "options.hpp"

namespace hstu::cli {

/// What is printed of a run whose weights `run` holds.  `state` is the one of its last checkpoint.
inline nlohmann::json describe_run(const Run& run, const nlohmann::json& state) {
  constexpr const char* kOrigin = "state";
  const auto seconds = required<double, CheckpointError>(state, "train_seconds", kOrigin);
  const auto predictions = required<std::int64_t, CheckpointError>(state, "trained_predictions", kOrigin);
  return {{"items", run.sequences.vocabulary.num_names()},
          {"parameters", count_values(run.model.parameters())},
          {"epochs", required<std::int64_t, CheckpointError>(state, "epoch", kOrigin)},
          {"weights_of_epoch", run.epoch},
          {"train_seconds", seconds},
          {"tokens_per_second", seconds > 0 ? static_cast<double>(predictions) / seconds : 0.0},
          {"ties", name_of(run.sequences.ties)},
          {"tie_seed", run.sequences.tie_seed},
          {"seed", run.config.train.seed}};
}

/// Loads what `--run` names; without a checkpoint there it is CheckpointError.
inline Run open_run(const std::filesystem::path& folder) {
  try {
    return load_run(folder);
  } catch (const IoError& error) {
    throw CheckpointError(error.what());
  }
}

/// The state of the run's last checkpoint.
inline JsonTree last_state(const std::filesystem::path& folder) {
  return load_checkpoint(folder / "last", CheckpointPart::model).state;
}

/// Prints `result` as one JSON line, or as a table of its numbers.
inline void print_metrics(const nlohmann::json& result, bool as_json) {
  if (as_json) return print_json(result);
  std::string table = "         K       HR     NDCG\n";
  for (const std::int64_t k : kReportedRanks) {
    const std::string number = concat(k);
    table += concat(std::string(10 - number.size(), ' '), number, "   ", fixed(result[concat("hr@", k)], 4), "   ",
                    fixed(result[concat("ndcg@", k)], 4), "\n");
  }
  Sheet sheet;
  sheet.row("MRR", fixed(result["mrr"], 4));
  for (const auto& [name, value] : result.items()) {
    if (name == "mrr" || name.find('@') != std::string::npos || value.is_null()) continue;
    sheet.row(name, value.is_number_float() ? fixed(value, name == "loss" ? 4 : 1)
                    : value.is_string()     ? plain(value.get<std::string>())
                                            : value.dump());
  }
  print(table + "\n" + sheet.text());
}

}  // namespace hstu::cli
