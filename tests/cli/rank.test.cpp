// SPDX-License-Identifier: MIT
#include "cli/program.hpp"

namespace {

const Words kTinyRanking = {"--set", "d_model=8", "--set", "dqk=4",         "--set",     "dv=4",     "--set", "num_layers=1",
                            "--set", "max_history=30", "--set", "batch_size=16", "--threads", "2"};

/// A ranking run with a feature of the users, made once per process.
struct RankingExample {
  TempFolder folder;
  std::string users = folder.path("users.csv"), config = folder.path("config.json"), run = folder.path("run");
  nlohmann::json metrics;

  static const RankingExample& get() {
    static const RankingExample instance;
    return instance;
  }
  Words training() const {
    return Words{"rank", "--data", Example::get().data(), "--config", config, "--user-features", users} + kTinyRanking;
  }

 private:
  RankingExample() {
    std::string table = "user_id,age\n";
    for (int user = 1; user <= 60; ++user) {
      table += "u" + std::to_string(user) + "," + std::to_string(18 + user % 40) + "\n";
    }
    folder.write("users.csv", table);
    folder.write("config.json", R"({"input": "fused", "user_features": {"age": "number"}, "held_out": 4})");
    metrics = run_expecting(0, training() + Words{"--epochs", "2", "--out", run, "--json"}).json();
  }
};

}  // namespace

TEST_CASE("rank: trains, reports every task, and reports the same of the finished run", "[cli][rank][property]") {
  const RankingExample& example = RankingExample::get();
  CHECK(example.metrics.at("tasks").at("like").at("auc").get<double>() > 0.0);
  const auto events = example.metrics.at("tasks").at("rating").at("events").get<int>();
  CHECK((events > 100 && events <= 60 * 4 && example.metrics.at("tasks").at("like").at("events") == events));
  CHECK(example.metrics.at("split") == "test");
  CHECK(run_expecting(0, {"rank", "--run", example.run, "--json"}).json() == example.metrics);
  CHECK(run_expecting(0, {"rank", "--run", example.run, "--split", "val", "--json"}).json() != example.metrics);
  CHECK(run_expecting(0, {"rank", "--run", example.run}).out.find("normalized_entropy") != std::string::npos);
  CHECK(run_expecting(0, {"inspect", example.run}).out.find("user_features") != std::string::npos);
}

TEST_CASE("rank: epochs added by --resume give the run that had them at once", "[cli][rank][property]") {
  const RankingExample& example = RankingExample::get();
  TempFolder folder;
  const std::string run = folder.path("run");
  run_expecting(0, example.training() + Words{"--epochs", "1", "--out", run});
  const nlohmann::json resumed =
      run_expecting(0, {"rank", "--resume", "--out", run, "--epochs", "2", "--threads", "1", "--json"}).json();
  CHECK(resumed == example.metrics);
  CHECK(last_logged(run, "weights_crc64") == last_logged(example.run, "weights_crc64"));
}

TEST_CASE("rank: candidates are ordered by a task, and each gets what it gets alone", "[cli][rank][property]") {
  const std::string run = RankingExample::get().run;
  const nlohmann::json all = run_expecting(0, {"rank", "--run", run, "--user", "u1", "--top", "5", "--json"}).json();
  REQUIRE(all.at("candidates").size() == 5);
  CHECK(all.at("task") == "like");
  double last = 1.0;
  for (const auto& candidate : all.at("candidates")) {
    const auto like = candidate.at("predicted").at("like").get<double>();
    CHECK((like <= last && like >= 0.0));
    last = like;
    const nlohmann::json alone =
        run_expecting(0, {"rank", "--run", run, "--user", "u1", "--candidates", candidate.at("item"), "--json"}).json();
    CHECK(std::abs(alone.at("candidates")[0].at("predicted").at("like").get<double>() - like) < 1e-6);
  }
  const nlohmann::json two = run_expecting(0, {"rank", "--run", run, "--user", "u1", "--candidates", "i3|i4", "--task",
                                               "rating", "--json"}).json();
  CHECK(two.at("candidates").size() == 2);
  CHECK(two.at("candidates")[0].at("predicted").at("rating") >= two.at("candidates")[1].at("predicted").at("rating"));
}

TEST_CASE("rank: what cannot be obeyed is named", "[cli][rank][errors]") {
  const RankingExample& example = RankingExample::get();
  const std::string run = example.run, data = Example::get().data();
  TempFolder folder;
  const std::string out = folder.path("out");
  run_expecting(2, {"rank"});
  run_expecting(2, {"rank", "--data", data});
  run_expecting(2, {"rank", "--out", out});
  run_expecting(2, example.training() + Words{"--out", run});
  run_expecting(2, {"rank", "--data", data, "--out", out, "--config", example.config});
  run_expecting(2, {"rank", "--data", data, "--out", out, "--user-features", example.users});
  run_expecting(2, {"rank", "--data", data, "--out", out, "--config", folder.path("no.json")});
  run_expecting(2, {"rank", "--data", data, "--out", out, "--set", "depth=3"});
  run_expecting(2, {"rank", "--resume", "--out", run, "--data", data});
  run_expecting(2, {"rank", "--run", run, "--candidates", "i3"});
  run_expecting(2, {"rank", "--run", run, "--user", "u1", "--task", "buy"});
  run_expecting(2, {"rank", "--run", run, "--epochs", "3"});
  run_expecting(2, {"rank", "--run", run, "--split", "all"});
  run_expecting(2, {"rank", "--data", data, "--out", out, "--user", "u1"});
  run_expecting(3, {"rank", "--data", folder.path("nothing"), "--out", out});
  folder.write("config.json", R"({"tasks": [{"name": "x", "column": "clicks", "kind": "binary"}]})");
  run_expecting(3, {"rank", "--data", data, "--out", out, "--config", folder.path("config.json")});
  run_expecting(3, {"rank", "--run", run, "--user", "nobody"});
  run_expecting(3, {"rank", "--run", run, "--user", "u1", "--candidates", "i3|i999"});
  run_expecting(4, {"rank", "--run", Example::get().run()});
  run_expecting(4, {"recommend", "--run", run, "--user", "u1"});
  run_expecting(4, {"rank", "--run", folder.path("nothing")});
  CHECK(!std::filesystem::exists(out));
}
