// SPDX-License-Identifier: MIT
#include <set>

#include "cli/program.hpp"

namespace {

nlohmann::json generate(const Words& words) {
  return run_expecting(0, Words{"generate", "--run", Example::get().run(), "--json"} + words).json();
}

Words items_of(const nlohmann::json& sequence) {
  Words items;
  for (const auto& item : sequence.at("items")) items.push_back(item.at("item"));
  return items;
}

/// Data that lack the last four events of every user, and a run on them.
struct Shortened {
  TempFolder folder;
  std::string data = folder.path("data"), run = folder.path("run");
  Shortened() {
    run_expecting(0, {"prepare", "--synthetic", "--users", "60", "--items", "50", "--drop-last", "4", "--out", data});
    run_expecting(0, Words{"train", "--data", data, "--epochs", "1", "--out", run} + kTinyModel);
  }
};

}  // namespace

TEST_CASE("generate: the greedy sequence begins with the best recommendation", "[cli][generate][property]") {
  const nlohmann::json best =
      run_expecting(0, {"recommend", "--run", Example::get().run(), "--user", "u1", "--top", "1", "--json"}).json();
  const nlohmann::json greedy = generate({"--user", "u1", "--steps", "4"});
  REQUIRE(greedy.at("sequences").size() == 1);
  const Words items = items_of(greedy.at("sequences")[0]);
  REQUIRE(items.size() == 4);
  CHECK(items[0] == best.at("recommendations")[0].at("item"));
  CHECK(std::set<std::string>(items.begin(), items.end()).size() == 4);
  CHECK(greedy.at("sequences")[0].at("log_probability") < 0.0);
}

TEST_CASE("generate: beams come best first; the time of future events is an option", "[cli][generate][property]") {
  const nlohmann::json beams = generate({"--user", "u1", "--steps", "3", "--beam", "6"});
  REQUIRE(beams.at("sequences").size() == 6);
  double last = 0.0;
  for (const auto& sequence : beams.at("sequences")) {
    CHECK(sequence.at("log_probability") <= (last == 0.0 ? 0.0 : last));
    last = sequence.at("log_probability");
  }
  CHECK(generate({"--user", "u1", "--gap", "0", "--steps", "3", "--beam", "6"}) == beams);
  const nlohmann::json apart = generate({"--user", "u1", "--gap", "9000000", "--steps", "3", "--beam", "6"});
  CHECK(apart != beams);
  CHECK(generate({"--user", "u1", "--gap", "median", "--steps", "3", "--beam", "6"}).at("sequences").size() == 6);
  CHECK(run_expecting(0, {"generate", "--run", Example::get().run(), "--user", "u1"}).out.starts_with("ln P = -"));
}

TEST_CASE("generate: samples are fixed by their seed", "[cli][generate][property]") {
  const Words draw = {"--user",        "u2", "--steps", "2",  "--sample", "5",
                      "--temperature", "2",  "--top-k", "20", "--top-p",  "0.9"};
  const nlohmann::json drawn = generate(draw);
  REQUIRE(drawn.at("sequences").size() == 5);
  CHECK(generate(draw) == drawn);
  CHECK(generate(draw + Words{"--seed", "2"}) != drawn);
  CHECK(items_of(generate({"--user", "u2", "--sample", "1", "--top-k", "1"}).at("sequences")[0]) ==
        items_of(generate({"--user", "u2"}).at("sequences")[0]));
}

TEST_CASE("generate: more steps than items, unknown users and a beam that is too wide are refused",
          "[cli][generate][errors]") {
  const std::string run = Example::get().run();
  run_expecting(3, {"generate", "--run", run, "--user", "u1", "--steps", "51"});
  run_expecting(3, {"generate", "--run", run, "--user", "nobody"});
  run_expecting(2, {"generate", "--run", run, "--user", "u1", "--beam", "51"});
  run_expecting(2, {"generate", "--run", run, "--user", "u1", "--steps", "1", "--beam", "50"});  // some items are seen
  run_expecting(3, {"generate", "--run", run, "--user", "u1", "--gap", "253402300799"});
  run_expecting(3, {"generate", "--run", run, "--tails", "/nowhere"});
  run_expecting(3, {"generate", "--run", run, "--tails", Example::get().data()});  // nothing comes after
}

TEST_CASE("generate: --tails ranks every step", "[cli][generate][property]") {
  const Shortened shortened;
  const Words tails = {"generate", "--run", shortened.run, "--tails", Example::get().data(), "--json"};
  const nlohmann::json greedy = run_expecting(0, tails + Words{"--steps", "4"}).json();
  REQUIRE(greedy.at("steps").size() == 4);
  CHECK(greedy.at("users") == 60);
  for (const auto& step : greedy.at("steps")) {
    CHECK(step.at("hr@50") == 1.0);
    CHECK(step.at("ndcg@10") <= step.at("hr@10"));
  }
  CHECK(run_expecting(0, tails + Words{"--steps", "4", "--beam", "3", "--gap", "median"}).json().at("beam") == 3);
  run_expecting(3, tails + Words{"--steps", "5"});
}
