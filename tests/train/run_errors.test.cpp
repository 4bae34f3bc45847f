// SPDX-License-Identifier: MIT
// Run folders that are taken, of another run, or damaged: typed errors, and nothing on disk has changed.
#include "../io/files.hpp"
#include "small_training.hpp"

using namespace hstu;
using namespace hstu::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

/// Names and bytes of all files below a folder.
std::map<std::string, std::string> snapshot(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[entry.path().string()] = bytes_in(entry.path());
  }
  return files;
}

void overwrite(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

void replace_in(const fs::path& path, const std::string& from, const std::string& to) {
  std::string text = bytes_in(path);
  REQUIRE(text.find(from) != std::string::npos);
  text.replace(text.find(from), from.size(), to);
  overwrite(path, text);
}

/// A finished run of one epoch, to be damaged.
struct Finished {
  TempFolder folder;
  fs::path run = folder.path("run");
  std::shared_ptr<const Sequences> data = small_data();
  Config config = small_config("meta-ml-1m");

  explicit Finished(bool validates = false) {
    config.train.epochs = 1;
    config.train.validate = validates;
    fit(run, config, data);
  }

  /// The message with which resuming fails as a `Kind`; the disk is checked to be as before.
  template <class Kind>
  std::string resume_failure(const Config& asked, const std::shared_ptr<const Sequences>& events) const {
    const auto before = snapshot(run);
    const std::string message = message_of<Kind>([&] { fit(run, asked, events, {.resume = true}); });
    CHECK((message.empty() || snapshot(run) == before));
    return message;
  }
  template <class Kind>
  std::string resume_failure() const {
    Config longer = config;
    longer.train.epochs = 2;
    return resume_failure<Kind>(longer, data);
  }
  template <class Kind>
  std::string load_failure() const {
    return message_of<Kind>([&] { load_run(run); });
  }
};

}  // namespace

TEST_CASE("fit: a folder with a run is refused without resume", "[train][run][errors]") {
  const Finished f;
  const auto before = snapshot(f.run);
  CHECK_THROWS_MATCHES(fit(f.run, f.config, f.data), ConfigError, says("holds a run already"));
  CHECK(snapshot(f.run) == before);
}

TEST_CASE("fit: another configuration is refused by the name of the field", "[train][run][errors]") {
  const Finished f;
  const std::pair<const char*, const char*> changes[] = {{"d_model", "12"},      {"dropout", "0.1"}, {"seed", "1"},
                                                         {"batch_size", "7"},    {"validate", "true"},
                                                         {"learning_rate", "1"}, {"optimizer", "adam"}};
  for (const auto& [field, value] : changes) {
    Config other = f.config;
    set_field(other, concat(field, "=", value));
    CHECK_THAT(f.resume_failure<ConfigError>(other, f.data), ContainsSubstring(concat("resume: ", field, " was ")));
  }
  Config bad = f.config;
  bad.train.epochs = 0;
  CHECK_THAT(f.resume_failure<ConfigError>(bad, f.data), ContainsSubstring("epochs"));
}

TEST_CASE("fit: other data is refused, though its counts be the same", "[train][run][errors]") {
  const Finished f;
  auto other = std::make_shared<Sequences>(*f.data);
  std::swap(other->items[0], other->items[1]);
  CHECK_THAT(f.resume_failure<ConfigError>(f.config, other),
             ContainsSubstring("resume: the run was trained on other data"));
  other = std::make_shared<Sequences>(*f.data);
  other->users[3] = "somebody else";
  CHECK_THAT(f.resume_failure<ConfigError>(f.config, other), ContainsSubstring("other data"));
}

TEST_CASE("fit: a metric that does not exist is refused before anything is written", "[train][run][errors]") {
  const TempFolder folder;
  Config config = small_config("meta-ml-1m");
  for (const char* metric : {"", "hr", "hr@", "hr@0", "hr@-1", "hr@10x", "hr@x", "map@10", "ndcg@99999999999999999999",
                             "@10", "accuracy"}) {
    config.train.metric = metric;
    CHECK_THROWS_MATCHES(fit(folder.path("run"), config, small_data()), ConfigError,
                         says(concat("metric must be hr@K, ndcg@K, mrr or loss, got '", metric, "'")));
    CHECK_FALSE(fs::exists(folder.path("run")));
  }
}

TEST_CASE("load_run: a folder without a run, and a run without weights", "[train][run][errors]") {
  const TempFolder folder;
  CHECK_THROWS_AS(load_run(folder.path("nowhere")), IoError);
  const Finished f(true);
  CHECK_NOTHROW(load_run(f.run));
  fs::remove_all(f.run / "best");
  CHECK_THAT(f.load_failure<CheckpointError>(), ContainsSubstring("missing"));
}

TEST_CASE("run: a damaged configuration is a CheckpointError", "[train][run][errors]") {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"{", ""}, {"\"d_model\"", "\"d_mode\""}, {"\"d_model\": 8", "\"d_model\": \"8\""},
           {"\"d_model\": 8", "\"d_model\": -8"}, {"\"layer\": \"meta\"", "\"layer\": \"mata\""},
           {"\"dropout\": 0.2", "\"dropout\": 1.5"}}) {
    const Finished f;
    replace_in(f.run / "config.json", from, to);
    INFO(to);
    CHECK_THAT(f.load_failure<CheckpointError>(), ContainsSubstring("config"));
    CHECK_THAT(f.resume_failure<CheckpointError>(), ContainsSubstring("config"));
  }
  const Finished f;
  overwrite(f.run / "config.json", "");
  CHECK_FALSE(f.load_failure<CheckpointError>().empty());
}

TEST_CASE("load_run: a configuration that is not that of the weights is refused before it takes memory",
          "[train][run][errors]") {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"d_model\": 8", "\"d_model\": 65536"}, {"\"max_seq_len\": 32", "\"max_seq_len\": 4194304"},
           {"\"num_layers\": 2", "\"num_layers\": 4096"}, {"\"temperature\": 0.05", "\"temperature\": 0.5"}}) {
    const Finished f;
    replace_in(f.run / "config.json", from, to);
    INFO(to);
    CHECK_THAT(f.load_failure<CheckpointError>(), ContainsSubstring(from.substr(1, from.find('"', 1) - 1)));
  }
  const Finished f;
  replace_in(f.run / "config.json", concat("\"num_items\": ", f.data->vocabulary.size()), "\"num_items\": 2147483647");
  CHECK_THAT(f.load_failure<CheckpointError>(), ContainsSubstring("num_items"));
}

TEST_CASE("run: a damaged checkpoint is a CheckpointError", "[train][run][errors]") {
  for (const double place : {0.0, 0.1, 0.5, 0.99}) {
    const Finished f;
    const fs::path model = f.run / "last" / "model.safetensors";
    std::string bytes = bytes_in(model);
    char& hit = bytes[static_cast<std::size_t>(place * static_cast<double>(bytes.size()))];
    hit = static_cast<char>(hit ^ 1);
    overwrite(model, bytes);
    CHECK_FALSE(f.load_failure<CheckpointError>().empty());
    CHECK_FALSE(f.resume_failure<CheckpointError>().empty());
  }
  const Finished f;
  for (const auto& entry : fs::directory_iterator(f.run / "last")) {
    if (entry.path().filename() != "model.safetensors") fs::remove(entry.path());
  }
  CHECK_THAT(f.resume_failure<CheckpointError>(), ContainsSubstring("missing"));
  CHECK_NOTHROW(load_run(f.run));  // the optimizer's file is for training only
}

TEST_CASE("run: damaged data is a DataError", "[train][run][errors]") {
  for (const char* name : {"data.json", "sequences.safetensors"}) {
    const Finished f;
    const fs::path file = f.run / "data" / name;
    const std::string bytes = bytes_in(file);
    overwrite(file, bytes.substr(0, bytes.size() / 2));
    CHECK_THAT(f.load_failure<DataError>(), ContainsSubstring(name));
    CHECK_THAT(f.resume_failure<DataError>(), ContainsSubstring(name));
    fs::remove(file);
    CHECK_THAT(f.load_failure<IoError>(), ContainsSubstring(name));
    CHECK_THAT(f.resume_failure<IoError>(), ContainsSubstring(name));
  }
}

TEST_CASE("fit: a line of the log that is no JSON is a DataError with its place", "[train][run][errors]") {
  const Finished f;
  std::ofstream(f.run / "metrics.jsonl", std::ios::app) << "{\"epoch\": }\n";
  CHECK_THAT(f.resume_failure<DataError>(), ContainsSubstring("metrics.jsonl:2:"));
}

TEST_CASE("fit: a folder that cannot be written is an IoError", "[train][run][errors]") {
  const TempFolder folder;
  folder.write("file", "x");
  CHECK_THROWS_AS(fit(folder.path("file"), small_config("meta-ml-1m"), small_data()), IoError);
  CHECK(bytes_in(folder.path("file")) == "x");
}

TEST_CASE("fit: a loss that is not finite leaves the last checkpoint to go on from", "[train][run][errors]") {
  const TempFolder folder;
  Config config = small_config("rechub-0.1");
  config.train.optimizer = OptimizerKind::sgd;
  config.train.learning_rate = 1e8;
  config.train.epochs = 50;
  CHECK_THROWS_MATCHES(fit(folder.path("run"), config, small_data()), NumericError, says("train: epoch "));
  if (has_checkpoint(folder.path("run/last"))) CHECK_NOTHROW(load_checkpoint(folder.path("run/last")));
  CHECK_NOTHROW(load_run_config(folder.path("run")));
}

TEST_CASE("fit: a folder in which another trains is refused and stays as it was", "[train][run][errors]") {
  const Finished finished;
  {
    const FolderLock other(finished.run);
    CHECK_THAT(finished.resume_failure<IoError>(), ContainsSubstring("another process holds the folder"));
  }
  CHECK(finished.resume_failure<IoError>().empty());  // and now it goes on
}
