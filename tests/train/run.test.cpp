// SPDX-License-Identifier: MIT
// Run folders: what they hold, resuming after any step, keeping the best weights.
#include <sys/wait.h>

#include "../io/files.hpp"
#include "small_training.hpp"

using namespace hstu;
using namespace hstu::test;
namespace fs = std::filesystem;

namespace {

/// 4 steps an epoch.
Config run_config(std::string_view preset) {
  Config config = small_config(preset);
  config.train.batch_size = 70;
  return config;
}

/// metrics.jsonl without what depends on the clock.
std::vector<nlohmann::json> lines_of(const fs::path& run) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(bytes_in(run / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    lines.push_back(nlohmann::json::parse(line));
    CHECK(lines.back().erase("seconds") == 1);
    CHECK(lines.back().erase("tokens_per_second") == 1);
  }
  return lines;
}

std::string checksum_of(const fs::path& run) { return detail::weights_checksum(load_run(run).model); }

/// Everything in the folder that a resumed run must share with an uninterrupted one.
void require_same_run(const fs::path& run, const fs::path& expected) {
  REQUIRE(lines_of(run) == lines_of(expected));
  REQUIRE(checksum_of(run) == checksum_of(expected));
  const Checkpoint a = load_checkpoint(run / "last"), b = load_checkpoint(expected / "last");
  REQUIRE(::is_same(a.weights, b.weights));
  REQUIRE(::is_same(a.optimizer, b.optimizer));
  for (const char* key : {"epoch", "batch", "step", "loss_sum", "loss_count", "best_epoch", "best_score",
                          "trained_predictions"}) {
    INFO(key);
    REQUIRE(a.state->at(key) == b.state->at(key));
  }
}

/// Options that stop after `steps` more steps; a negative number never stops.
FitOptions stop_after(std::int64_t steps, bool resume) {
  return {.resume = resume, .should_stop = [steps]() mutable { return --steps == 0; }};
}

}  // namespace

TEST_CASE("fit: the folder holds configuration, data, a line per epoch, and checkpoints", "[train][run][property]") {
  const TempFolder folder;
  const auto data = small_data();
  Config config = run_config("meta-ml-1m");
  config.train.validate = true;
  config.train.test_every = 2;
  std::int64_t steps = 0;
  std::vector<nlohmann::json> lines;
  const FitResult result = fit(folder.path("run"), config, data,
                               {.on_step = [&](const Progress&) { ++steps; },
                                .on_epoch = [&](const nlohmann::json& line) { lines.push_back(line); }});
  CHECK(result.is_complete);
  CHECK(result.epochs == 3);
  CHECK(result.best_epoch >= 1);
  CHECK(result.train_seconds > 0.0);
  CHECK(steps == 12);
  CHECK(names_in(folder.path("run")) ==
        std::vector<std::string>{"best", "config.json", "data", "last", "metrics.jsonl"});

  REQUIRE(lines.size() == 3);
  for (std::size_t e = 0; e < 3; ++e) {
    const nlohmann::json& line = lines[e];
    CHECK(line.at("epoch") == e + 1);
    for (const char* key : {"train_loss", "learning_rate", "seconds", "tokens_per_second", "weights_crc64", "val_loss",
                            "val_users", "val_mrr", "val_hr@1", "val_hr@10", "val_ndcg@10", "val_hr@200"}) {
      INFO(key);
      CHECK(line.contains(key));
    }
    CHECK(line.contains("test_ndcg@10") == (e == 1));
  }
  Config filled = config;
  filled.model.num_items = data->vocabulary.size();
  CHECK(to_json(load_run_config(folder.path("run"))) == to_json(filled));

  const Run run = load_run(folder.path("run"));
  CHECK(run.epoch == result.best_epoch);
  CHECK(run.sequences.items == data->items);
  CHECK(detail::weights_checksum(run.model) ==
        lines[static_cast<std::size_t>(result.best_epoch) - 1].at("weights_crc64"));
}

TEST_CASE("fit: the run is the trainer's epochs, one after another", "[train][run][parity]") {
  const TempFolder folder;
  const auto data = small_data();
  const Config config = run_config("rechub-0.9");
  fit(folder.path("run"), config, data);
  Trainer trainer(config, data);
  const auto lines = lines_of(folder.path("run"));
  for (std::size_t e = 0; e < 3; ++e) {
    CHECK(lines[e].at("train_loss") == trainer.train_one_epoch().loss);
    CHECK(lines[e].at("weights_crc64") == detail::weights_checksum(trainer.model()));
  }
  const Run run = load_run(folder.path("run"));  // without validation: the last weights
  CHECK(run.epoch == 3);
  CHECK(detail::weights_checksum(run.model) == detail::weights_checksum(trainer.model()));
  const auto held_out = leave_last_out(run.sequences).test;
  const Evaluation evaluation = evaluate(run.model, run.sequences, held_out, {.max_history = 30});
  CHECK(metrics_json(evaluation) == metrics_json(trainer.evaluate(Split::test)));
}

TEST_CASE("fit: resumed after any step it ends in the bits of an uninterrupted run", "[train][run][property]") {
  const TempFolder folder;
  const auto data = small_data();
  for (const std::string_view kind : kKinds) {
    Config config = run_config(kind);
    config.train.validate = true;
    const fs::path whole = folder.path(concat(kind, "-whole"));
    fit(whole, config, data);
    for (const std::int64_t stop : {1, 4, 6, 11}) {
      INFO(kind << ", stopped after step " << stop);
      const fs::path run = folder.path(concat(kind, "-", stop));
      const FitResult first = fit(run, config, data, stop_after(stop, false));
      REQUIRE_FALSE(first.is_complete);
      REQUIRE(first.epochs == stop / 4);
      const FitResult rest = fit(run, config, data, {.resume = true});
      REQUIRE(rest.is_complete);
      REQUIRE(rest.epochs == 3);
      require_same_run(run, whole);
    }
  }
}

TEST_CASE("fit: stopped after each single step, and killed between steps, it ends in the same bits",
          "[train][run][property]") {
  const TempFolder folder;
  const auto data = small_data();
  Config config = run_config("meta-ml-1m");
  config.train.validate = true;
  const fs::path whole = folder.path("whole"), run = folder.path("run");
  fit(whole, config, data);
  bool is_complete = false;
  std::vector<fs::path> copies;
  for (int calls = 1; !is_complete; ++calls) {
    REQUIRE(calls <= 12);
    is_complete = fit(run, config, data, stop_after(1, true)).is_complete;
    copies.push_back(folder.path(concat("killed-", calls)));
    fs::copy(run, copies.back(), fs::copy_options::recursive);
  }
  CHECK(copies.size() == 12);  // the last step completes the run: nothing is left to resume
  require_same_run(run, whole);
  for (const fs::path& copy : {copies[0], copies[4], copies[7], copies[11]}) {
    INFO(copy.string());
    fit(copy, config, data, {.resume = true});
    require_same_run(copy, whole);
  }
}

TEST_CASE("fit: what a killed process wrote after its last checkpoint is dropped", "[train][run][property]") {
  const TempFolder folder;
  const auto data = small_data();
  Config config = run_config("meta-ml-1m");
  config.train.validate = true;
  const fs::path whole = folder.path("whole"), killed = folder.path("killed");
  fit(whole, config, data);
  fit(killed, config, data, stop_after(6, false));  // epoch 2 begun
  // Killed within the next epoch's end: its line and its best weights are there, the checkpoint is not.
  fs::copy(whole / "metrics.jsonl", killed / "metrics.jsonl", fs::copy_options::overwrite_existing);
  std::ofstream(killed / "metrics.jsonl", std::ios::app) << "{\"epoch\": 4, \"tra";
  fs::remove_all(killed / "best");
  fs::copy(whole / "best", killed / "best");
  fit(killed, config, data, {.resume = true});
  require_same_run(killed, whole);

  const fs::path early = folder.path("early");  // killed before the first checkpoint
  fit(early, config, data, stop_after(1, false));
  fs::remove_all(early / "last");
  fs::remove(early / "metrics.jsonl");
  fit(early, config, data, {.resume = true});
  require_same_run(early, whole);

  const fs::path earlier = folder.path("earlier");  // killed before the configuration was there: no run yet
  fs::create_directories(earlier / "data");
  std::ofstream(earlier / "data" / "data.json") << "{";
  fit(earlier, config, data);
  require_same_run(earlier, whole);
}

TEST_CASE("fit: a process killed in the very last step of the last save leaves nothing behind a resumed one",
          "[train][run][regression]") {
  const TempFolder folder;
  const auto data = small_data();
  const fs::path run = folder.path("run");
  fit(run, run_config("meta-ml-1m"), data);
  const std::vector<std::string> names = names_in(run), last_names = names_in(run / "last");
  // The optimizer of the epoch before, and the temporary files of a process that is gone.
  std::ofstream(run / "last/optimizer-0123456789abcdef.safetensors") << "old";
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  REQUIRE(::waitpid(gone, nullptr, 0) == gone);
  for (const char* where : {".", "last"}) std::ofstream(run / where / concat(".hstu-", gone, "-0.tmp")) << "half";
  REQUIRE(names_in(run / "last").size() == last_names.size() + 2);
  CHECK(fit(run, run_config("meta-ml-1m"), data, {.resume = true}).is_complete);
  CHECK(names_in(run) == names);
  CHECK(names_in(run / "last") == last_names);
}

TEST_CASE("fit: a finished run may be given more epochs", "[train][run][property]") {
  const TempFolder folder;
  const auto data = small_data();
  Config config = run_config("meta-ml-1m");
  const fs::path run = folder.path("run"), whole = folder.path("whole");
  fit(run, config, data);
  const FitResult again = fit(run, config, data, {.resume = true});
  CHECK(again.is_complete);
  CHECK(again.epochs == 3);
  CHECK(lines_of(run).size() == 3);
  config.train.epochs = 5;
  config.train.test_every = 5;
  CHECK(fit(run, config, data, {.resume = true}).epochs == 5);
  CHECK(load_run_config(run).train.epochs == 5);
  fit(whole, config, data);
  require_same_run(run, whole);
}

TEST_CASE("fit: with a patience it stops early and keeps the best weights, not the last", "[train][run][property]") {
  const TempFolder folder;
  const auto data = small_data();
  Config config = run_config("meta-ml-1m");
  config.train.learning_rate = 0.1;  // so that it gets worse again
  config.train.epochs = 60;
  config.train.validate = true;
  config.train.patience = 3;
  for (const char* metric : {"ndcg@10", "loss"}) {
    config.train.metric = metric;
    const fs::path run = folder.path(metric);
    const FitResult result = fit(run, config, data);
    CHECK(result.is_complete);
    const auto lines = lines_of(run);
    INFO(metric << ": best " << result.best_epoch << " of " << result.epochs);
    REQUIRE(std::ssize(lines) == result.epochs);
    REQUIRE(result.epochs == result.best_epoch + 3);
    const double sign = metric == std::string("loss") ? -1.0 : 1.0;
    const auto score = [&](std::int64_t epoch) {
      return sign * lines[static_cast<std::size_t>(epoch) - 1].at(concat("val_", metric)).get<double>();
    };
    for (std::int64_t e = 1; e <= result.epochs; ++e) {
      if (e < result.best_epoch) CHECK(score(e) < score(result.best_epoch));
      else CHECK(score(e) <= score(result.best_epoch));
    }
    CHECK(load_run(run).epoch == result.best_epoch);
    CHECK(checksum_of(run) == lines[static_cast<std::size_t>(result.best_epoch) - 1].at("weights_crc64"));
    CHECK(checksum_of(run) != lines.back().at("weights_crc64"));
    CHECK(fit(run, config, data, {.resume = true}).epochs == result.epochs);  // and it stays stopped
  }
}

TEST_CASE("fit: the time of a resumed epoch is that of all its steps", "[train][run][property]") {
  const TempFolder folder;
  const auto data = small_data();
  Config config = run_config("meta-ml-1m");
  config.train.epochs = 1;
  fit(folder.path("run"), config, data, stop_after(3, false));
  const double before = load_checkpoint(folder.path("run/last")).state->at("seconds").get<double>();
  CHECK(before > 0.0);
  const FitResult result = fit(folder.path("run"), config, data, {.resume = true});
  CHECK(result.train_seconds > before);
}
