// SPDX-License-Identifier: MIT
#include "cli/program.hpp"

TEST_CASE("evaluate: gives what train gave, and all its keys", "[cli][evaluate][property]") {
  const Example& example = Example::get();
  const nlohmann::json result = run_expecting(0, {"evaluate", "--run", example.run(), "--json"}).json();
  for (const auto& [key, value] : example.metrics.items()) {
    if (key == "preset") continue;
    INFO(key);
    CHECK(result.at(key) == value);
  }
  CHECK(result.at("keep_seen") == false);
  CHECK_FALSE(result.contains("trained_on_target"));
}

TEST_CASE("evaluate: keeping seen items makes the ranking harder", "[cli][evaluate][property]") {
  const Example& example = Example::get();
  const nlohmann::json kept = run_expecting(0, {"evaluate", "--run", example.run(), "--keep-seen", "--json"}).json();
  CHECK(kept.at("keep_seen") == true);
  CHECK(kept.at("mrr") <= example.metrics.at("mrr"));
}

TEST_CASE("evaluate: masking only what the model saw leaves more candidates", "[cli][evaluate][property]") {
  const Example& example = Example::get();
  const nlohmann::json shown = run_expecting(0, {"evaluate", "--run", example.run(), "--mask-shown", "--json"}).json();
  CHECK(shown.at("mask_shown") == true);
  CHECK(shown.at("mrr") <= example.metrics.at("mrr"));
  CHECK(run_expecting(2, {"evaluate", "--run", example.run(), "--mask-shown", "--keep-seen"})
            .err.find("--mask-shown") != std::string::npos);
}

TEST_CASE("evaluate: says when the split was trained on", "[cli][evaluate][property]") {
  const Outcome outcome = run_expecting(0, {"evaluate", "--run", Example::get().run(), "--split", "val", "--json"});
  CHECK(outcome.json().at("trained_on_target") == true);
  CHECK(outcome.json().at("split") == "val");
  CHECK(outcome.err.find("trained on") != std::string::npos);
}

TEST_CASE("evaluate: baselines count by hand on a small example", "[cli][evaluate][property]") {
  const TempFolder folder;
  // Popularity without the last events: b 3, a 2, c 1, d 1.  Markov: behind b came c and d.
  const std::string ratings = folder.write("ratings.dat",
                                           "u1::a::1::1\nu1::b::1::2\nu1::c::1::3\nu1::d::1::4\n"
                                           "u2::a::1::1\nu2::b::1::2\nu2::c::1::3\n"
                                           "u3::b::1::1\nu3::d::1::2\nu3::a::1::3\n");
  run_expecting(0, {"prepare", "--ratings", ratings, "--out", folder.path("data")});
  const auto evaluate = [&](const char* baseline) {
    return run_expecting(0, {"evaluate", "--data", folder.path("data"), "--baseline", baseline, "--json"}).json();
  };
  const nlohmann::json popularity = evaluate("popularity");
  CHECK(popularity.at("users") == 3);
  CHECK(popularity.at("baseline") == "popularity");
  // u1: d is the only candidate; u2: c and d tie, so c is second; u3: a leads c.
  CHECK(popularity.at("hr@1") == 2.0 / 3.0);
  CHECK(popularity.at("mrr") == (1.0 + 0.5 + 1.0) / 3.0);
  CHECK(popularity.at("loss").is_null());
  CHECK(evaluate("markov").at("hr@10") == 1.0);
}

TEST_CASE("evaluate: prints a table without --json", "[cli][evaluate][property]") {
  const std::string out = run_expecting(0, {"evaluate", "--run", Example::get().run()}).out;
  CHECK(out.find("NDCG") != std::string::npos);
  CHECK(out.find("MRR") != std::string::npos);
}

TEST_CASE("evaluate: missing and damaged runs end with code 4, data with 3", "[cli][evaluate][errors]") {
  const TempFolder folder;
  run_expecting(4, {"evaluate", "--run", folder.path("missing")});
  run_expecting(3, {"evaluate", "--data", folder.path("missing"), "--baseline", "markov"});
  const auto damaged = [&](const char* file, const std::string& bytes) {
    const std::string run = folder.path("run");
    std::filesystem::remove_all(run);
    std::filesystem::copy(Example::get().run(), run, std::filesystem::copy_options::recursive);
    folder.write(std::string("run/") + file, bytes);
    return run;
  };
  run_expecting(4, {"evaluate", "--run", damaged("config.json", "{")});
  run_expecting(4, {"evaluate", "--run", damaged("config.json", R"({"no_such_field": 1})")});
  run_expecting(4, {"evaluate", "--run", damaged("last/model.safetensors", "")});
  run_expecting(3, {"evaluate", "--run", damaged("data/data.json", "[]")});
  run_expecting(3, {"evaluate", "--run", damaged("data/sequences.safetensors", "x")});
}
