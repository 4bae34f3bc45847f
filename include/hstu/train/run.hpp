// SPDX-License-Identifier: MIT
// A run: the folder that training writes and that evaluation and recommendation read.
//
//   RUN/config.json     the whole configuration
//   RUN/data/           a copy of the prepared data, so that a run stands alone
//   RUN/metrics.jsonl   one line per epoch
//   RUN/last/           checkpoint to go on from
//   RUN/best/           weights of the best validated epoch; only if the configuration validates
#pragma once
#include <charconv>
#include <functional>

#include <hstu/io/jsonl_log.hpp>
#include <hstu/train/run_folder.hpp>
#include <hstu/train/trainer.hpp>

namespace hstu {

inline constexpr std::array<std::int64_t, 4> kReportedRanks = {1, 10, 50, 200};

struct FitOptions {
  bool resume = false;
  MakeEngine make_engine = make_cpu_engine;                  ///< where to compute
  std::function<void(const Progress&)> on_step = {};         ///< after every step
  std::function<void(const nlohmann::json&)> on_epoch = {};  ///< with the line that goes to metrics.jsonl
  std::function<bool()> should_stop = {};                    ///< asked after every step; true saves and returns
};

struct FitResult {
  bool is_complete = false;  ///< false if should_stop ended it early
  std::int64_t epochs = 0;   ///< trained in all
  std::int64_t best_epoch = 0;  ///< 0 without validation
  double train_seconds = 0.0;   ///< of the steps of these epochs, in all calls for this run
  std::int64_t trained_predictions = 0;  ///< in these epochs
};

/// "hr@10" and so on, and "loss", of an evaluation.
inline nlohmann::json metrics_json(const Evaluation& evaluation) {
  nlohmann::json json = evaluation.ranking.named(kReportedRanks);
  json["loss"] = evaluation.loss();
  json["users"] = evaluation.users();
  return json;
}

namespace detail {

/// Throws ConfigError naming the first field other than epochs, patience and test_every that differs.
inline void check_same_run(const Config& now, const Config& before, const std::string& origin) {
  const JsonTree a(to_json(now)), b(to_json(before));
  for (const auto& [name, value] : a->items()) {
    if (name == "epochs" || name == "patience" || name == "test_every") continue;
    check<ConfigError>(b->at(name) == value, origin, ": ", name, " was ", b->at(name).dump(), ", now it is ",
                       value.dump());
  }
}

/// Throws ConfigError unless `weights` were saved by a run of this configuration.
inline void check_config_of(const TensorFile& weights, const Config& config, const std::string& origin) {
  const auto entry = weights.metadata.find("config");
  check<ConfigError>(entry != weights.metadata.end(), origin, ": expected the metadata 'config', found none");
  Config saved;
  update_from_json(saved, *parse_json<ConfigError>(entry->second, origin), origin);
  check_same_run(config, saved, origin);
}

/// The metric that validation follows, larger is better.
inline double validation_score(const Evaluation& evaluation, const std::string& metric) {
  if (metric == "loss") return -evaluation.loss();
  if (metric == "mrr") return evaluation.ranking.mrr();
  const std::size_t at = metric.find('@');
  const std::string name = metric.substr(0, at);
  std::int64_t k = 0;
  if (at != std::string::npos && (name == "hr" || name == "ndcg")) {
    const char* end = metric.data() + metric.size();
    const auto [rest, error] = std::from_chars(metric.data() + at + 1, end, k);
    if (error != std::errc() || rest != end) k = 0;
  }
  check<ConfigError>(k >= 1, "config: metric must be hr@K, ndcg@K, mrr or loss, got '", metric, "'");
  return name == "hr" ? evaluation.ranking.hit_rate(k) : evaluation.ranking.ndcg(k);
}

/// Best epoch so far and what a resumed run needs to know of the time before.
struct FitState {
  std::int64_t best_epoch = 0;
  double best_score = 0.0;
  double train_seconds = 0.0;
  std::int64_t trained_predictions = 0;

  void add_to(nlohmann::json& state) const {
    state["best_epoch"] = best_epoch;
    state["best_score"] = best_score;
    state["train_seconds"] = train_seconds;
    state["trained_predictions"] = trained_predictions;
  }
  static FitState from(const nlohmann::json& state) {
    const std::string origin = "state";
    return {required<std::int64_t, CheckpointError>(state, "best_epoch", origin),
            required<double, CheckpointError>(state, "best_score", origin),
            required<double, CheckpointError>(state, "train_seconds", origin),
            required<std::int64_t, CheckpointError>(state, "trained_predictions", origin)};
  }
};

}  // namespace detail

/// The configuration of a run folder.  Throws IoError without one, CheckpointError if it is damaged.
inline Config load_run_config(const std::filesystem::path& run) {
  return detail::load_settings(run, [](const nlohmann::json& json, const std::string& origin) {
    Config config;
    update_from_json(config, json, origin);
    validate(config);
    return config;
  });
}

/// Trains `config` on `sequences` in the folder `run`: an epoch, its line of metrics, its checkpoint, and so on.
/// With validation it keeps the best epoch's weights in RUN/best and stops when `patience` epochs brought none better.
/// With options.resume it goes on where the folder's checkpoint stands; on the same engine, the result has the bits of
/// an uninterrupted run.  Throws ConfigError if the folder holds a run and resume is off, or if it holds one of another
/// configuration or of other data; CheckpointError or DataError if it is damaged; IoError if another process trains in
/// it.  Nothing on disk has changed then.
inline FitResult fit(const std::filesystem::path& run, const Config& config,
                     std::shared_ptr<const Sequences> sequences, const FitOptions& options = {}) {
  detail::validation_score({}, config.train.metric);  // refuse a bad name before training
  Trainer trainer(config, sequences, options.make_engine);
  const TrainConfig& train = trainer.config().train;
  const std::filesystem::path last = run / "last", best = run / "best";
  detail::FitState fit_state;
  const detail::RunFolder folder(run, options.resume);
  if (folder.is_started()) {
    detail::check_same_run(trainer.config(), load_run_config(run), "resume");
    detail::check_same_data(*sequences, load_sequences(run / "data"));
    if (has_checkpoint(last)) {
      const Checkpoint saved = load_checkpoint(last);
      trainer.restore(saved);
      fit_state = detail::FitState::from(*saved.state);
      remove_leftovers(last, saved);  // a finished run is not saved again
    }
  } else {
    save_sequences(run / "data", *sequences);
  }
  const auto is_kept = [&](const nlohmann::json& line) {
    return required<std::int64_t>(line, "epoch", "metrics.jsonl") <= trainer.finished_epochs();
  };
  JsonLines::keep_lines(detail::metrics_path(run), is_kept);
  atomic_write(detail::config_path(run), to_json(trainer.config()).dump(2) + "\n");
  JsonLines log(detail::metrics_path(run));

  const auto save = [&] {
    log.sync();
    Checkpoint checkpoint = trainer.checkpoint();
    fit_state.add_to(*checkpoint.state);
    save_checkpoint(last, checkpoint);
  };
  const auto result = [&](bool is_complete) {
    return FitResult{is_complete, trainer.finished_epochs(), fit_state.best_epoch, fit_state.train_seconds,
                     fit_state.trained_predictions};
  };
  const auto is_done = [&] {
    const std::int64_t without_gain = trainer.finished_epochs() - fit_state.best_epoch;
    return trainer.finished_epochs() >= train.epochs ||
           (train.validate && train.patience > 0 && without_gain >= train.patience);
  };

  while (!is_done()) {
    bool is_stopped = false;
    const EpochResult epoch = trainer.train_one_epoch([&](const Progress& progress) {
      if (options.on_step) options.on_step(progress);
      is_stopped = options.should_stop && options.should_stop();
      return !is_stopped || progress.step == progress.steps;  // a finished epoch is closed before stopping
    });
    if (epoch.epoch > 0) {
      fit_state.train_seconds += epoch.seconds;
      fit_state.trained_predictions += epoch.predictions;
      nlohmann::json line = {{"epoch", epoch.epoch},
                             {"train_loss", epoch.loss},
                             {"learning_rate", epoch.learning_rate},
                             {"seconds", epoch.seconds},
                             {"tokens_per_second", static_cast<double>(epoch.predictions) / std::max(epoch.seconds, 1e-9)},
                             {"device", trainer.engine_name()},
                             {"weights_crc64", detail::weights_checksum(trainer.model())}};
      const auto add_metrics = [&](const char* prefix, const Evaluation& evaluation) {
        const nlohmann::json metrics = metrics_json(evaluation);  // items() does not keep a temporary alive
        for (const auto& [name, value] : metrics.items()) line[prefix + name] = value;
      };
      if (train.validate) {
        const Evaluation evaluation = trainer.evaluate(Split::validation, train.keep_seen);
        add_metrics("val_", evaluation);
        const double score = detail::validation_score(evaluation, train.metric);
        if (fit_state.best_epoch == 0 || score > fit_state.best_score) {
          fit_state.best_epoch = epoch.epoch;
          fit_state.best_score = score;
          save_checkpoint(best, {trainer.weights(), {}, JsonTree(nlohmann::json::object({{"epoch", epoch.epoch}}))});
        }
      }
      if (train.test_every > 0 && epoch.epoch % train.test_every == 0) {
        add_metrics("test_", trainer.evaluate(Split::test, train.keep_seen));
      }
      log.write(line);
      if (options.on_epoch) options.on_epoch(line);
    }
    save();
    if (is_stopped) break;
  }
  return result(is_done());
}

/// What evaluation and recommendation need of a run.
struct Run {
  Config config;
  Sequences sequences;
  HstuModel model;
  std::int64_t epoch = 0;  ///< of the weights: the best validated one, or the last
};

/// Throws IoError or CheckpointError if the folder holds no run, an unfinished first epoch or a damaged one, DataError
/// for damaged data.
inline Run load_run(const std::filesystem::path& run) {
  const Config config = load_run_config(run);
  const std::filesystem::path folder = run / (config.train.validate ? "best" : "last");
  const Checkpoint saved = load_checkpoint(folder, CheckpointPart::model);
  Sequences sequences = load_sequences(run / "data");
  try {  // before a model of the sizes that config.json claims takes memory
    detail::check_config_of(saved.weights, config, folder.string());
    check<ConfigError>(sequences.vocabulary.size() == config.model.num_items, "the data has ",
                       sequences.vocabulary.size(), " items with padding, the model ", config.model.num_items);
  } catch (const ConfigError& error) {
    throw CheckpointError(concat(run.string(), ": ", error.what()));
  }
  Run loaded{config, std::move(sequences), HstuModel(config.model, config.train.seed),
             required<std::int64_t, CheckpointError>(*saved.state, "epoch", folder.string())};
  load_weights(loaded.model.parameters(), saved.weights);
  return loaded;
}

}  // namespace hstu
