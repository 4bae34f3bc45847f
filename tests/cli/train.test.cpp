// SPDX-License-Identifier: MIT
#include <csignal>

#include "cli/program.hpp"

namespace {

Words train_words(const std::string& run, int epochs) {
  return Words{"train", "--data", Example::get().data(), "--out", run, "--epochs", std::to_string(epochs), "--json"} +
         kTinyModel;
}

/// Waits until the log differs from `before`, ten seconds at most.
void wait_for_more_lines(const std::string& run, const std::string& before) {
  for (int i = 0; i < 2000 && bytes_in(run + "/metrics.jsonl") == before; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace

TEST_CASE("train: prints every metric as JSON and writes a run", "[cli][train][property]") {
  const Example& example = Example::get();
  for (const char* key : {"hr@10", "ndcg@10", "hr@50", "ndcg@50", "hr@200", "ndcg@200", "mrr", "loss", "users", "items",
                          "parameters", "epochs", "train_seconds", "tokens_per_second", "seed"}) {
    INFO(key);
    REQUIRE(example.metrics.at(key).is_number());
  }
  CHECK(example.metrics.at("preset") == "meta-ml-1m");
  CHECK(example.metrics.at("ties") == "file");
  CHECK(example.metrics.at("split") == "test");
  CHECK(example.metrics.at("epochs") == 2);
  CHECK(example.metrics.at("users") == 60);
  CHECK(example.metrics.at("items") == 50);
  CHECK(example.metrics.at("hr@200") == 1.0);
  CHECK(names_in(example.run()) == Words{"config.json", "data", "last", "metrics.jsonl"});
}

TEST_CASE("train: a resumed run has the weights of an uninterrupted one", "[cli][train][property]") {
  const TempFolder folder;
  run_expecting(0, train_words(folder.path("run"), 1));
  const nlohmann::json resumed = run_expecting(0, train_words(folder.path("run"), 2) + Words{"--resume"}).json();
  CHECK(last_logged(folder.path("run"), "weights_crc64") == last_logged(Example::get().run(), "weights_crc64"));
  for (const char* key : {"hr@10", "ndcg@10", "mrr", "loss", "epochs"}) {
    CHECK(resumed.at(key) == Example::get().metrics.at(key));
  }
}

TEST_CASE("train: --resume needs no data and no preset, and starts anew without a run", "[cli][train][property]") {
  const TempFolder folder;
  run_expecting(0, train_words(folder.path("run"), 1) + Words{"--resume"});
  run_expecting(0, {"train", "--out", folder.path("run"), "--resume", "--epochs", "2"});
  CHECK(last_logged(folder.path("run"), "weights_crc64") == last_logged(Example::get().run(), "weights_crc64"));
}

TEST_CASE("train: the number of threads does not change the weights", "[cli][train][property]") {
  const TempFolder folder;
  Words words = train_words(folder.path("run"), 2);
  words.pop_back();
  run_expecting(0, words + Words{"1"});
  CHECK(last_logged(folder.path("run"), "weights_crc64") == last_logged(Example::get().run(), "weights_crc64"));
}

TEST_CASE("train: a signal saves the run, and it goes on bit for bit", "[cli][train][property]") {
  const TempFolder folder;
  const std::string run = folder.path("run");
  for (const int signal : {SIGINT, SIGTERM}) {
    Program program(train_words(run, 100'000) + Words{"--resume"});
    wait_for_more_lines(run, bytes_in(run + "/metrics.jsonl"));
    program.send(signal);
    const Outcome outcome = program.wait();
    INFO(outcome.err);
    REQUIRE(outcome.code == 128 + signal);
    REQUIRE(outcome.out.empty());
    REQUIRE(outcome.err.find("interrupted and saved") != std::string::npos);
  }
  const int epochs = last_logged(run, "epoch").get<int>() + 1;
  run_expecting(0, train_words(run, epochs) + Words{"--resume"});
  run_expecting(0, train_words(folder.path("whole"), epochs));
  CHECK(last_logged(run, "weights_crc64") == last_logged(folder.path("whole"), "weights_crc64"));
}

TEST_CASE("train: the second process in a folder is refused, the first goes on", "[cli][train][errors]") {
  const TempFolder folder;
  const std::string run = folder.path("run");
  Program first(train_words(run, 100'000));
  wait_for_more_lines(run, "");
  const Outcome second = run_expecting(1, train_words(run, 100'000) + Words{"--resume"});
  CHECK(second.err.find("another process holds the folder") != std::string::npos);
  wait_for_more_lines(run, bytes_in(run + "/metrics.jsonl"));
  first.send(SIGTERM);
  CHECK(first.wait().code == 128 + SIGTERM);
  run_expecting(0, {"inspect", run});
}

TEST_CASE("train: the second signal, though of the other kind, ends the process at once", "[cli][train][errors]") {
#if defined(__SANITIZE_THREAD__)
  SKIP("ThreadSanitizer hands a signal over when the step ends, so that the second one meets the handler too");
#endif
  const TempFolder folder;
  const std::string run = folder.path("run");
  // One step of many seconds.
  Program program({"train", "--data", Example::get().data(), "--out", run, "--preset", "meta-ml-1m", "--set",
                   "d_model=2048", "--set", "dqk=1024", "--set", "dv=1024", "--set", "num_layers=4"});
  for (int i = 0; i < 2000 && !std::filesystem::exists(run + "/metrics.jsonl"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  program.send(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  program.send(SIGTERM);
  CHECK(program.wait().code == 1000 + SIGTERM);
  CHECK_FALSE(std::filesystem::exists(run + "/last"));
}

TEST_CASE("train: an existing run is refused and stays as it was", "[cli][train][errors]") {
  const Example& example = Example::get();
  const std::string before = bytes_in(example.run() + "/last/model.safetensors");
  CHECK(run_expecting(2, train_words(example.run(), 3)).err.find("--resume") != std::string::npos);
  run_expecting(2, train_words(example.run(), 3) + Words{"--resume", "--set", "dropout=0.5"});
  run_expecting(2, train_words(example.run(), 3) + Words{"--resume", "--seed", "5"});
  const TempFolder folder;
  run_expecting(0, {"prepare", "--synthetic", "--users", "60", "--items", "50", "--seed", "2", "--out",
                    folder.path("other")});
  run_expecting(2, {"train", "--out", example.run(), "--resume", "--data", folder.path("other")});
  CHECK(bytes_in(example.run() + "/last/model.safetensors") == before);
}

TEST_CASE("train: options win over --set, --set over --config, --config over the preset", "[cli][train][property]") {
  const TempFolder folder;
  const std::string config = folder.write("config.json", R"({"learning_rate": 0.5, "dropout": 0.25, "epochs": 9})");
  run_expecting(0, train_words(folder.path("run"), 1) +
                       Words{"--config", config, "--set", "learning_rate=0.002", "--set", "seed=3", "--seed", "4"});
  const auto written = nlohmann::json::parse(bytes_in(folder.path("run/config.json")));
  CHECK(written.at("learning_rate") == 0.002);
  CHECK(written.at("dropout") == 0.25);
  CHECK(written.at("epochs") == 1);
  CHECK(written.at("seed") == 4);
  CHECK(written.at("temperature") == 0.05);
}

TEST_CASE("train: validation keeps the best epoch, and lines go to stderr", "[cli][train][property]") {
  const TempFolder folder;
  const Outcome outcome = run_expecting(0, train_words(folder.path("run"), 3) + Words{"--set", "validate=true"});
  CHECK(outcome.err.find("epoch 3/3") != std::string::npos);
  CHECK(outcome.err.find("val_ndcg@10") != std::string::npos);
  CHECK(outcome.err.find('\r') == std::string::npos);
  CHECK(std::filesystem::exists(folder.path("run/best/model.safetensors")));
  CHECK(outcome.json().at("weights_of_epoch") <= 3);
}

TEST_CASE("train: bad data, damaged checkpoints and diverging losses have their codes", "[cli][train][errors]") {
  const TempFolder folder;
  const Words rest = Words{"--out", folder.path("run")} + kTinyModel;
  run_expecting(3, Words{"train", "--data", folder.path("missing")} + rest);
  const std::string ratings = folder.write("ratings.dat", "u1::a::5::1\nu2::b::5::1\n");
  run_expecting(0, {"prepare", "--ratings", ratings, "--out", folder.path("short")});
  const Outcome too_short = run_expecting(3, Words{"train", "--data", folder.path("short")} + rest);
  CHECK(too_short.err.find("no user has") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder.path("run")));

  const Outcome diverged =
      run_program(train_words(folder.path("run"), 50) +
                  Words{"--set", "learning_rate=1e8", "--set", "optimizer=sgd", "--set", "l2_scores=false", "--set",
                        "temperature=0.001"});
  CHECK(diverged.code == 1);
  CHECK(diverged.err.find("hstu train: ") != std::string::npos);

  run_expecting(0, train_words(folder.path("damaged"), 1));
  std::filesystem::resize_file(folder.path("damaged/last/model.safetensors"), 1000);
  run_expecting(4, train_words(folder.path("damaged"), 2) + Words{"--resume"});
}

TEST_CASE("train: a device that is not there, or no device at all, is said in one line", "[cli][train][errors]") {
  const TempFolder folder;
  const Words words = train_words(folder.path("run"), 1);
  ::setenv("CUDA_VISIBLE_DEVICES", "", 1);  // hides the GPU of a machine that has one
  const Outcome none = run_expecting(1, words + Words{"--device", "cuda"});
  ::unsetenv("CUDA_VISIBLE_DEVICES");
  INFO(none.err);
  CHECK(none.err.find("hstu train: cu") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder.path("run")));
  CHECK(run_expecting(2, words + Words{"--device", "gpu"}).err.find("expected cpu or cuda") != std::string::npos);
  CHECK(run_expecting(2, words + Words{"--precision", "bf16"}).err.find("needs --device cuda") != std::string::npos);
}
