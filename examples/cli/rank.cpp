// SPDX-License-Identifier: MIT
// hstu rank: trains and evaluates a ranking model, and scores candidates for a user.
#include <hstu/recommend/rank_candidates.hpp>
#include <hstu/train/ranking_run.hpp>

#include "compute.hpp"
#include "history.hpp"
#include "training.hpp"

namespace hstu::cli {
namespace rank_detail {

constexpr const char* kOfTraining[] = {"config", "set",     "user-features", "item-features", "epochs",
                                       "seed",   "resume",  "out",           "threads"};
constexpr const char* kOfScoring[] = {"candidates", "task", "top", "at"};

inline Options parse(Arguments arguments) {
  return {arguments,
          "(--data DIR --out RUN | --run RUN [--user ID]) [options]",
          "--data: trains a model that predicts what users do with items, and prints its metrics for the last events\n"
          "of every user.  --run: the metrics of a run; with --user: what the user would do with each candidate next.\n"
          "The configuration names tasks, actions and features (docs/ranking.md); without one: ratings of 4 and more,\n"
          "and the rating.  SIGINT or SIGTERM: the run stays at its last whole epoch, and the exit code is 130 or 143.",
          with_compute_options({{"data", "DIR", "what hstu prepare wrote, with --column for further columns of the events"},
           {"config", "FILE", "JSON object with tasks, actions, features, and under hstu fields as of hstu train"},
           {"set", "KEY=VALUE", "one field under hstu; may be given many times", true},
           {"user-features", "FILE", "table with a header, of the user features that the configuration names"},
           {"item-features", "FILE", "the same of items"},
           {"epochs", "N", "number of epochs"},
           {"seed", "S", "of initial weights, order of users and dropout"},
           {"threads", "N", "threads (default: all cores); the result is the same for any number"},
           {"out", "RUN", "folder of the run; an existing run is not touched without --resume"},
           {"resume", "", "go on with the run in RUN, bit for bit; only --epochs may grow.  Starts anew if there is none"},
           {"run", "RUN", "what this verb wrote"},
           {"split", "SPLIT", "of the metrics: val or test (default test)"},
           {"user", "ID", "a user of the data that the run was trained on"},
           {"candidates", "IDS", "item ids with | between them (default: all items that the user has not met)"},
           {"task", "NAME", "the task that orders the candidates, best first (default: the first one)"},
           {"top", "N", "number of candidates shown (default 10)"},
           {"at", "SECONDS", "time of the request in seconds since 1970 (default: that of the user's last event)"},
           {"json", "", "the result as one JSON object"}})};
}

/// defaults < file < --set < options
inline RankingSettings make_settings(const Options& options) {
  RankingSettings settings = dlrm_hstu_settings();
  with_config_file(options, [&](const nlohmann::json& json, const std::string& file) {
    update_from_json(settings, json, file);
  });
  for (const std::string& assignment : options.all("set")) set_field(settings.hstu, assignment);
  settings.hstu.train.epochs = options.integer("epochs", settings.hstu.train.epochs, 1, 1'000'000'000);
  settings.hstu.train.seed = seed_of(options, settings.hstu.train.seed);
  validate(settings);
  return settings;
}

inline RankingData load_data(const Options& options, const RankingSettings& settings) {
  return reading_data([&] {
    auto sequences = std::make_shared<const Sequences>(load_sequences(options.required_text("data")));
    const auto table = [&](const char* option, const std::vector<FeatureSpec>& specs, const auto& read) {
      check<UsageError>(options.has(option) == !specs.empty(), "--", option, ": ",
                        specs.empty() ? "the configuration names no such feature" : "the configuration names features");
      return specs.empty() ? FeatureTable() : read(options.required_text(option));
    };
    const RankingConfig& ranking = settings.ranking;
    FeatureTable users = table("user-features", ranking.user_features, [&](const std::string& path) {
      return read_features(path, {"user_id", "userId"}, sequences->users, 0, ranking.user_features);
    });
    FeatureTable items = table("item-features", ranking.item_features, [&](const std::string& path) {
      return read_features(path, {"item_id", "movieId", "video_id"}, sequences->vocabulary.names(),
                           sequences->vocabulary.first_id(), ranking.item_features);
    });
    return make_ranking_data(std::move(sequences), ranking, std::move(users), std::move(items));
  });
}

inline RankingRun open_ranking_run(const std::filesystem::path& folder) {
  try {
    return load_ranking_run(folder);
  } catch (const IoError& error) {
    throw CheckpointError(error.what());
  }
}

inline void print_run(const RankingRun& run, bool is_test, const Options& options) {
  const auto engine = chosen_ranking_engine(options)(run.model, run.data, run.settings);
  nlohmann::json json = {
      {"tasks", ranking_metrics(run.settings.ranking.tasks, engine->predict(is_test))},
      {"split", is_test ? "test" : "val"},
      {"weights_of_epoch", run.epoch},
      {"parameters", count_values(run.model.parameters())}};
  if (options.has("json")) return print_json(json);
  std::string text;
  for (const auto& [task, metrics] : json["tasks"].items()) {
    Sheet sheet;
    for (const auto& [name, value] : metrics.items()) {
      sheet.row("  " + name, value.is_number_float() ? fixed(value, 4) : value.dump());
    }
    text += plain(task) + "\n" + sheet.text();
  }
  print(text + concat("weights of epoch ", run.epoch, "\n"));
}

/// Trains, or goes on; false if a signal ended it.
inline bool train_run(const Options& options, const std::filesystem::path& out) {
  const bool is_started = std::filesystem::exists(out / "config.json");
  check<UsageError>(!is_started || options.has("resume"), "--out: ", quote_text(out.string(), 200),
                    " holds a run already; --resume goes on with it");
  return following_options([&] {
    set_num_threads(static_cast<int>(options.integer("threads", num_threads(), 1, 1024)));
    const MakeRankingEngine make_engine = chosen_ranking_engine(options);
    RankingSettings settings;
    RankingData data;
    if (is_started) {
      for (const char* name : {"data", "config", "set", "user-features", "item-features", "seed"}) {
        options.refuse(name, "a run that goes on has its own");
      }
      settings = load_ranking_settings(out);
      settings.hstu.train.epochs = options.integer("epochs", settings.hstu.train.epochs, 1, 1'000'000'000);
      data = load_ranking_data(out, settings.ranking);
    } else {
      settings = make_settings(options);
      data = load_data(options, settings);
    }
    catch_signals();
    const auto show = [](const nlohmann::json& line) {
      note(concat("epoch ", line["epoch"].dump(), "  loss ", fixed(line["train_loss"], 4), "  validation error ",
                  fixed(line["validation_error"], 4), "  ", fixed(line["seconds"], 1), " s\n"));
    };
    return fit_ranking(out, settings, data, {.resume = options.has("resume"), .on_epoch = show,
                                             .should_stop = [] { return received_signal != 0; },
                                             .make_engine = make_engine})
        .is_complete;
  });
}

/// --candidates, or all items that are not among the events.
inline std::vector<std::int32_t> candidates_of(const Options& options, const Sequences& sequences,
                                               std::span<const std::int32_t> met) {
  if (options.has("candidates")) {
    return items_called("candidates", split_ids(options.required_text("candidates")), sequences);
  }
  std::vector<std::int32_t> candidates;
  for (std::int64_t item = sequences.vocabulary.first_id(); item < sequences.vocabulary.size(); ++item) {
    if (std::ranges::find(met, item) == met.end()) candidates.push_back(static_cast<std::int32_t>(item));
  }
  return candidates;
}

inline void print_candidates(const RankingRun& run, const Options& options) {
  const Sequences& sequences = *run.data.sequences;
  const std::vector<Task>& tasks = run.settings.ranking.tasks;
  const History history = history_of_user(options, sequences);
  const std::int64_t user = sequences.find_user(options.required_text("user"));
  const std::string task = options.text("task", tasks[0].name);
  const auto found = std::ranges::find(tasks, task, &Task::name);
  check<UsageError>(found != tasks.end(), "--task: expected a task of the run, such as ", quote_text(tasks[0].name),
                    ", got ", quote_text(task));
  const std::int64_t begin = sequences.offsets[static_cast<std::size_t>(user)];
  const std::vector<std::int32_t> candidates = candidates_of(options, sequences, history.items);
  const Tensor predicted = rank_candidates(run.model, run.data, user, {begin, begin + std::ssize(history.items)},
                                           candidates, history.query_time_s, run.settings.hstu.train.max_history);
  const auto K = tasks.size();
  const auto at = [&](std::size_t i, std::size_t k) { return predicted.values<double>()[i * K + k]; };
  std::vector<std::size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto by = static_cast<std::size_t>(found - tasks.begin());
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return at(a, by) > at(b, by); });
  order.resize(std::min(order.size(), static_cast<std::size_t>(options.integer("top", 10, 1, 1'000'000'000))));

  nlohmann::json json = {{"user", options.required_text("user")},
                         {"history_length", history.items.size()},
                         {"task", task},
                         {"candidates", nlohmann::json::array()}};
  std::string text;
  for (const std::size_t i : order) {
    nlohmann::json entry = describe_item(sequences, candidates[i]);
    for (std::size_t k = 0; k < K; ++k) {
      entry["predicted"][tasks[k].name] = at(i, k);
      text += concat(plain(tasks[k].name), " ", fixed(at(i, k), 4), "  ");
    }
    text += label_of(sequences, candidates[i]) + "\n";
    json["candidates"].push_back(std::move(entry));
  }
  options.has("json") ? print_json(json) : print(text);
}

}  // namespace rank_detail

int rank(Arguments arguments) {
  using namespace rank_detail;
  const Options options = parse(arguments);
  if (options.help()) return print(*options.help()), kOk;
  const std::string split = options.text("split", "test");
  check<UsageError>(split == "val" || split == "test", "--split: expected val or test, got ", quote_text(split));
  options.integer("top", 10, 1, 1'000'000'000);
  options.integer("at", 0, 0, kLastTimestamp);
  if (!options.has("user")) {
    for (const char* name : kOfScoring) options.refuse(name, "needs --user");
  } else {
    for (const char* name : {"split", "device", "precision"}) options.refuse(name, "does not go with --user");
  }
  if (options.has("run")) {
    options.refuse("data", "does not go with --run, which has its own copy");
    for (const char* name : kOfTraining) options.refuse(name, "does not go with --run");
    const RankingRun run = open_ranking_run(options.required_text("run"));
    options.has("user") ? print_candidates(run, options) : print_run(run, split == "test", options);
    return kOk;
  }
  options.refuse("user", "needs --run");
  const std::filesystem::path out = options.required_text("out");
  if (!train_run(options, out)) {
    note(concat("hstu rank: interrupted; --resume --out ", plain(out.string()), " goes on behind the last epoch\n"));
    return kSignalled + received_signal;
  }
  print_run(open_ranking_run(out), split == "test", options);
  return kOk;
}

}  // namespace hstu::cli
