// SPDX-License-Identifier: MIT
// A ranking run: the folder that training writes and that evaluation and the scoring of candidates read.
//
//   RUN/config.json            the settings
//   RUN/data/                  a copy of the prepared data
//   RUN/features.safetensors   features of the users and items
//   RUN/metrics.jsonl          one line per epoch
//   RUN/last/, RUN/best/       checkpoint to go on from; weights of the epoch that validated best
#pragma once
#include <chrono>

#include <hstu/io/jsonl_log.hpp>
#include <hstu/train/ranking_files.hpp>
#include <hstu/train/ranking_trainer.hpp>
#include <hstu/train/run_folder.hpp>

namespace hstu {

struct RankingFitOptions {
  bool resume = false;
  std::function<void(const nlohmann::json&)> on_epoch = {};  ///< with the line that goes to metrics.jsonl
  std::function<bool()> should_stop = {};  ///< asked after every step; true ends training at the last whole epoch
  MakeRankingEngine make_engine = make_cpu_ranking_engine;
};

struct RankingFitResult {
  bool is_complete = false;  ///< false if should_stop ended it early
  std::int64_t epochs = 0;
  std::int64_t best_epoch = 0;
};

namespace detail {

inline std::filesystem::path features_path(const std::filesystem::path& run) { return run / "features.safetensors"; }

/// Features of a JSON object come in the order of their names.  Throws ConfigError if those of the data do not.
inline void check_order(const RankingData& data) {
  for (const FeatureTable* table : {&data.users, &data.items, &data.actions}) {
    const auto name = [](const FeatureColumn& column) { return column.spec.name; };
    check<ConfigError>(std::ranges::adjacent_find(*table, std::ranges::greater_equal(), name) == table->end(),
                       "ranking: a run needs features in the order of their names, each once");
  }
}

/// Throws ConfigError naming the first setting other than epochs and patience that differs.
inline void check_same_ranking(const RankingSettings& now, const RankingSettings& before, const std::string& origin) {
  JsonTree a(to_json(now)), b(to_json(before));
  for (const char* free : {"epochs", "patience", "validate"}) {
    a->at("hstu").erase(free);
    b->at("hstu").erase(free);
  }
  for (const auto& [name, value] : a->items()) {
    check<ConfigError>(b->at(name) == value, origin, ": ", name, " was ", b->at(name).dump(), ", now it is ",
                       value.dump());
  }
}

inline void check_same_columns(const Sequences& now, const Sequences& before) {
  check_same_data(now, before);
  check<ConfigError>(now.ratings == before.ratings && now.columns == before.columns,
                     "resume: the run was trained on events with other ratings or columns");
}

inline void check_same_features(const FeatureTable& now, const FeatureTable& before) {
  const auto same = [](const FeatureColumn& a, const FeatureColumn& b) {
    return a.categories == b.categories && a.numbers == b.numbers;
  };
  check<ConfigError>(std::ranges::equal(now, before, same), "resume: the run was trained with other features");
}

}  // namespace detail

/// The settings of a ranking run.  Throws IoError without one, CheckpointError if they are damaged or of another kind of
/// run.
inline RankingSettings load_ranking_settings(const std::filesystem::path& run) {
  return detail::load_settings(run, [](const nlohmann::json& json, const std::string& origin) {
    check<ConfigError>(json.is_object() && json.contains("tasks"), origin, ": expected settings of a ranking run");
    RankingSettings settings;
    update_from_json(settings, json, origin);
    validate(settings);
    return settings;
  });
}

/// The data of a ranking run.  Throws IoError, CheckpointError or DataError for what is missing or damaged.
inline RankingData load_ranking_data(const std::filesystem::path& run, const RankingConfig& ranking) {
  auto sequences = std::make_shared<const Sequences>(load_sequences(run / "data"));
  auto [users, items] = detail::load_features(detail::features_path(run), ranking, *sequences);
  return make_ranking_data(std::move(sequences), ranking, std::move(users), std::move(items));
}

namespace detail {

/// Which epoch has validated best so far.
struct BestEpoch {
  std::int64_t epoch = 0;
  double error = std::numeric_limits<double>::infinity();
};

/// Takes a trainer to where the run stands.  Throws ConfigError unless settings, data and features are the run's.
inline BestEpoch resume_ranking(const std::filesystem::path& run, RankingTrainer& trainer) {
  check_same_ranking(trainer.settings(), load_ranking_settings(run), "resume");
  const RankingData before = load_ranking_data(run, trainer.settings().ranking), &now = trainer.data();
  check_same_columns(*now.sequences, *before.sequences);
  check_same_features(now.users, before.users);
  check_same_features(now.items, before.items);
  if (!has_checkpoint(run / "last")) return {};
  const Checkpoint saved = load_checkpoint(run / "last");
  trainer.restore(saved);
  const BestEpoch best{required<std::int64_t, CheckpointError>(*saved.state, "best_epoch", "state"),
                       required<double, CheckpointError>(*saved.state, "least_error", "state")};
  remove_leftovers(run / "last", saved);  // a finished run is not saved again
  return best;
}

/// Validates a finished epoch, and keeps its weights if it is the best.  The line of metrics.jsonl.
inline nlohmann::json validate_ranking(const std::filesystem::path& run, const RankingTrainer& trainer,
                                       BestEpoch& best) {
  const std::vector<Task>& tasks = trainer.settings().ranking.tasks;
  const std::int64_t epoch = trainer.finished_epochs();
  const TaskPredictions validated = trainer.predict(false);
  const double error = ranking_error(tasks, validated);
  check<NumericError>(std::isfinite(error), "ranking: epoch ", epoch, ": the validation error is ", error,
                      "; do the validation events have both labels?");
  if (error < best.error) {
    best = {epoch, error};
    save_checkpoint(run / "best", {trainer.weights(), {}, JsonTree(nlohmann::json::object({{"epoch", epoch}}))});
  }
  return {{"epoch", epoch}, {"validation_error", error}, {"validation", ranking_metrics(tasks, validated)},
          {"weights_crc64", weights_checksum(trainer.model())}};
}

}  // namespace detail

/// Trains a ranking model in the folder `run`: an epoch, its validation, its line of metrics, its checkpoint, and so on;
/// stops when `patience` epochs brought no smaller validation error.  With options.resume it goes on behind the last
/// whole epoch; the result has the bits of an uninterrupted run.
/// Throws ConfigError if the folder holds a run and resume is off, or one of other settings, data or features, or if
/// features are not in the order of their names; CheckpointError or DataError if it is damaged; IoError if another
/// process trains in it.
inline RankingFitResult fit_ranking(const std::filesystem::path& run, const RankingSettings& settings,
                                    const RankingData& data, const RankingFitOptions& options = {}) {
  detail::check_order(data);
  RankingTrainer trainer(settings, data, options.make_engine);
  const TrainConfig& train = trainer.settings().hstu.train;
  const detail::RunFolder folder(run, options.resume);
  detail::BestEpoch best;
  if (folder.is_started()) {
    best = detail::resume_ranking(run, trainer);
  } else {
    save_sequences(run / "data", *data.sequences);
    detail::save_features(detail::features_path(run), data);
  }
  JsonLines::keep_lines(detail::metrics_path(run), [&](const nlohmann::json& line) {
    return required<std::int64_t>(line, "epoch", "metrics.jsonl") <= trainer.finished_epochs();
  });
  atomic_write(detail::config_path(run), to_json(trainer.settings()).dump(2) + "\n");
  JsonLines log(detail::metrics_path(run));
  const auto is_done = [&] {
    const std::int64_t without_gain = trainer.finished_epochs() - best.epoch;
    return trainer.finished_epochs() >= train.epochs || (train.patience > 0 && without_gain >= train.patience);
  };
  while (!is_done()) {
    const auto begin = std::chrono::steady_clock::now();
    const std::optional<double> loss = trainer.train_one_epoch(options.should_stop);
    if (!loss) break;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    nlohmann::json line = detail::validate_ranking(run, trainer, best);
    line["train_loss"] = *loss;
    line["seconds"] = seconds.count();
    line["device"] = trainer.engine_name();
    log.write(line);
    if (options.on_epoch) options.on_epoch(line);
    log.sync();
    Checkpoint checkpoint = trainer.checkpoint();
    (*checkpoint.state)["best_epoch"] = best.epoch;
    (*checkpoint.state)["least_error"] = best.error;
    save_checkpoint(run / "last", checkpoint);
    if (options.should_stop && options.should_stop()) break;
  }
  return {is_done(), trainer.finished_epochs(), best.epoch};
}

/// What evaluation and the scoring of candidates need of a ranking run.
struct RankingRun {
  RankingSettings settings;
  RankingData data;
  RankingModel model;
  std::int64_t epoch = 0;  ///< of the weights: the best validated one
};

/// Throws IoError or CheckpointError if the folder holds no ranking run, an unfinished first epoch or a damaged one,
/// DataError for damaged data.
inline RankingRun load_ranking_run(const std::filesystem::path& run) {
  const RankingSettings settings = load_ranking_settings(run);
  const std::string folder = (run / "best").string();
  const Checkpoint saved = load_checkpoint(folder, CheckpointPart::model);
  RankingData data = load_ranking_data(run, settings.ranking);
  try {
    const auto config = saved.weights.metadata.find("config");
    check<ConfigError>(config != saved.weights.metadata.end(), folder, ": expected the metadata 'config', found none");
    RankingSettings trained;
    update_from_json(trained, *parse_json<ConfigError>(config->second, folder), folder);
    detail::check_same_ranking(settings, trained, folder);
    const std::int64_t items = data.sequences->vocabulary.size();
    check<ConfigError>(items == settings.hstu.model.num_items, "the data has ", items,
                       " items with padding, the model ", settings.hstu.model.num_items);
  } catch (const ConfigError& error) {
    throw CheckpointError(concat(run.string(), ": ", error.what()));
  }
  RankingModel model(settings.hstu.model, settings.ranking, data, data.labels, settings.hstu.train.seed);
  load_weights(model.parameters(), saved.weights);
  return {settings, std::move(data), std::move(model),
          required<std::int64_t, CheckpointError>(*saved.state, "epoch", folder)};
}

}  // namespace hstu
