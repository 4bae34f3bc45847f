// SPDX-License-Identifier: MIT
// hstu train: prepared data and a configuration -> a run folder, and its metrics on the test split.
#include <hstu/train/presets.hpp>

#include "compute.hpp"
#include "metrics.hpp"
#include "progress.hpp"
#include "training.hpp"

namespace hstu::cli {
namespace train_detail {

inline Options parse(Arguments arguments) {
  return {arguments,
          "--data DIR --preset NAME --out RUN [options]",
          "Trains a model and prints its metrics on the test split: the last event of each user, ranked among all\n"
          "items that the user has not met (keep_seen: all items).  The folder RUN gets configuration, data, log and\n"
          "checkpoints.\n"
          "Precedence: preset < --config < --set < other options.  SIGINT or SIGTERM: the step is finished, the\n"
          "run saved, and the exit code 130 or 143.",
          with_compute_options({
           {"data", "DIR", "what hstu prepare wrote"},
           {"preset", "NAME", preset_names()},
           {"config", "FILE", "JSON object of fields that replace the preset's (names as in RUN/config.json)"},
           {"set", "KEY=VALUE", "one such field; may be given many times", true},
           {"epochs", "N", "number of epochs"},
           {"seed", "S", "of initial weights, order of users, dropout and negatives"},
           {"threads", "N", "threads (default: all cores); the result is the same for any number"},
           {"out", "RUN", "folder of the run; an existing run is not touched without --resume"},
           {"resume", "", "go on with the run in RUN, on the same device bit for bit; --data and --preset are then not "
                          "needed, --epochs may grow.  Starts anew if RUN holds no run"},
           {"json", "", "the metrics as one JSON object"}})};
}

/// defaults < preset, or the configuration of the run that goes on < file < --set < options
inline Config make_config(const Options& options, const std::filesystem::path& out, bool is_started) {
  Config config = options.has("preset") || !is_started ? make_preset(options.required_text("preset"))
                                                       : load_run_config(out);
  with_config_file(options, [&](const nlohmann::json& json, const std::string& file) {
    update_from_json(config, json, file);
  });
  for (const std::string& assignment : options.all("set")) set_field(config, assignment);
  config.train.epochs = options.integer("epochs", config.train.epochs, 1, 1'000'000'000);
  config.train.seed = seed_of(options, config.train.seed);
  return config;
}

/// A run goes on with its own copy of the data; fit() refuses a --data that holds other events.
inline std::shared_ptr<const Sequences> load_data(const Options& options, const std::filesystem::path& out,
                                                  bool is_started) {
  const std::filesystem::path folder =
      options.has("data") || !is_started ? std::filesystem::path(options.required_text("data")) : out / "data";
  return std::make_shared<const Sequences>(reading_data([&] { return load_sequences(folder); }));
}

}  // namespace train_detail

int train(Arguments arguments) {
  using namespace train_detail;
  const Options options = parse(arguments);
  if (options.help()) return print(*options.help()), kOk;

  const std::filesystem::path out = options.required_text("out");
  const bool is_started = std::filesystem::exists(out / "config.json");
  check<UsageError>(!is_started || options.has("resume"), "--out: ", quote_text(out.string(), 200),
                    " holds a run already; --resume goes on with it");
  ProgressDisplay display(::isatty(STDERR_FILENO) != 0);
  const MakeEngine make_engine = chosen_engine(options);
  const FitResult result = following_options([&] {
    set_num_threads(static_cast<int>(options.integer("threads", num_threads(), 1, 1024)));
    const Config config = make_config(options, out, is_started);
    const auto sequences = load_data(options, out, is_started);
    catch_signals();
    return fit(out, config, sequences,
               {.resume = options.has("resume"),
                .make_engine = make_engine,
                .on_step = [&](const Progress& progress) { display.on_step(progress); },
                .on_epoch = [&](const nlohmann::json& line) { display.on_epoch(line); },
                .should_stop = [] { return received_signal != 0; }});
  });
  display.end();
  if (!result.is_complete) {
    note(concat("hstu train: interrupted and saved; --resume --out ", plain(out.string()), " goes on\n"));
    return kSignalled + received_signal;
  }

  const Run run = open_run(out);
  const LeaveLastOut split = leave_last_out(run.sequences);
  nlohmann::json metrics = metrics_json(
      evaluate_there(options, run.model, run.sequences, split.test,
                     {.max_history = run.config.train.max_history, .keep_seen = run.config.train.keep_seen}));
  metrics.update(describe_run(run, *last_state(out)));
  metrics["split"] = "test";
  metrics["keep_seen"] = run.config.train.keep_seen;
  metrics["preset"] = options.has("preset") ? nlohmann::json(options.required_text("preset")) : nlohmann::json();
  print_metrics(metrics, options.has("json"));
  return kOk;
}

}  // namespace hstu::cli
