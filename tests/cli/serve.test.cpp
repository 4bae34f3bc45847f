// SPDX-License-Identifier: MIT
#include "cli/program.hpp"

namespace {

/// The lines that the program answers `input` with.
std::vector<nlohmann::json> serve(const std::string& input, const Words& options = {},
                                  const std::string& run = Example::get().run()) {
  const Words words = Words{"serve", "--run", run, "--stdin"} + options;
  const Outcome outcome = Program(words, input).wait();
  INFO("stdin: " << input << "\nstdout: " << outcome.out << "\nstderr: " << outcome.err);
  REQUIRE(outcome.code == 0);
  std::vector<nlohmann::json> answers;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) answers.push_back(nlohmann::json::parse(line));
  return answers;
}

Words answered(const nlohmann::json& answer) {
  Words items;
  for (const auto& entry : answer.at("recommendations")) items.push_back(entry.at("item"));
  return items;
}

}  // namespace

TEST_CASE("serve: answers what recommend answers, for known users and new ones", "[cli][serve][property]") {
  const nlohmann::json known =
      run_expecting(0, {"recommend", "--run", Example::get().run(), "--user", "u1", "--json"}).json();
  const auto answers = serve("{\"user\": \"u1\"}\n"
                             "{\"user\": \"new\", \"events\": [{\"item\": \"i3\", \"timestamp_s\": 0}], \"id\": [7]}\n"
                             "{\"user\": \"new\", \"events\": [{\"item\": \"i4\", \"timestamp_s\": 0}, "
                             "{\"item\": \"i5\", \"timestamp_s\": 0}], \"k\": 5}\n");
  REQUIRE(answers.size() == 3);
  for (std::size_t i = 0; i < 10; ++i) {
    const auto& got = answers[0].at("recommendations")[i];
    CHECK(got.at("item") == known.at("recommendations")[i].at("item"));
    CHECK(std::abs(got.at("score").get<double>() - known.at("recommendations")[i].at("score").get<double>()) < 1e-4);
  }
  CHECK(answers[1].at("id") == nlohmann::json::array({7}));
  const nlohmann::json described =
      run_expecting(0, {"recommend", "--run", Example::get().run(), "--history", "i3|i4|i5", "--top", "5", "--json"})
          .json();
  CHECK(answered(answers[2]) == answered(described));
}

TEST_CASE("serve: a run with a window answers what recommend and generate answer", "[cli][serve][property]") {
  TempFolder folder;
  const Words window = {"--set", "max_attn_len=4", "--set", "min_full_attn_seq_len=2"};
  const std::string run = folder.path("run");
  run_expecting(0,
                Words{"train", "--data", Example::get().data(), "--epochs", "1", "--out", run} + kTinyModel + window);
  const nlohmann::json known = run_expecting(0, {"recommend", "--run", run, "--user", "u1", "--json"}).json();
  const auto answer = serve("{\"user\": \"u1\"}\n", {}, run).at(0);
  CHECK(answered(answer) == answered(known));
  const nlohmann::json greedy =
      run_expecting(0, {"generate", "--run", run, "--user", "u1", "--steps", "1", "--json"}).json();
  CHECK(greedy.at("sequences")[0].at("items")[0].at("item") == answered(known)[0]);
  CHECK(nlohmann::json::parse(bytes_in(run + "/config.json")).at("max_attn_len") == 4);
}

TEST_CASE("serve: a run with hashed items and a sparse table evaluates, recommends and serves",
          "[cli][serve][property]") {
  TempFolder folder;
  const std::string run = folder.path("run");
  const Words sparse = {"--set", "item_table_rows=40", "--set", "item_optimizer=rowwise_adagrad",
                        "--set", "item_learning_rate=0.1", "--json"};
  const Words training = {"train", "--data", Example::get().data(), "--epochs", "2", "--out", run};
  const nlohmann::json trained = run_expecting(0, training + kTinyModel + sparse).json();
  CHECK(trained.at("hr@10") == run_expecting(0, {"evaluate", "--run", run, "--json"}).json().at("hr@10"));
  CHECK(trained.at("parameters").get<int>() == Example::get().metrics.at("parameters").get<int>() - 8 * (51 - 40));
  const nlohmann::json known = run_expecting(0, {"recommend", "--run", run, "--user", "u1", "--json"}).json();
  const auto answer = serve("{\"user\": \"u1\"}\n", {}, run).at(0);
  for (std::size_t i = 0; i < 10; ++i) {  // items in one row tie, so compare scores
    CHECK(std::abs(answer.at("recommendations")[i].at("score").get<double>() -
                   known.at("recommendations")[i].at("score").get<double>()) < 1e-4);
  }
}

TEST_CASE("serve: a run with keep_seen ranks and recommends what the user has met, and says so",
          "[cli][serve][property]") {
  TempFolder folder;
  const std::string run = folder.path("run");
  const nlohmann::json trained =
      run_expecting(0, Words{"train", "--data", Example::get().data(), "--epochs", "1", "--out", run, "--json", "--set",
                             "keep_seen=true", "--set", "validate=true"} +
                           kTinyModel)
          .json();
  CHECK(trained.at("keep_seen") == true);
  const nlohmann::json again = run_expecting(0, {"evaluate", "--run", run, "--json"}).json();
  CHECK(again.at("keep_seen") == true);
  CHECK(again.at("mrr") == trained.at("mrr"));
  CHECK(run_expecting(0, {"evaluate", "--run", run, "--mask-shown", "--json"}).json().at("mrr") != trained.at("mrr"));
  const nlohmann::json known =
      run_expecting(0, {"recommend", "--run", run, "--user", "u1", "--top", "99", "--json"}).json();
  CHECK(known.at("recommendations").size() == 50);
  const auto answers = serve("{\"user\": \"u1\", \"k\": 99}\n"
                             "{\"user\": \"u1\", \"k\": 99, \"keep_seen\": false}\n", {}, run);
  CHECK(answered(answers[0]).size() == 50);
  CHECK(answered(answers[1]).size() < 50);
  CHECK(run_expecting(0, {"generate", "--run", run, "--user", "u1", "--steps", "50", "--json"})
            .json().at("sequences")[0].at("items").size() == 50);
}

TEST_CASE("serve: filters", "[cli][serve][property]") {
  const auto answers = serve("{\"user\": \"a\", \"events\": [{\"item\": \"i3\", \"timestamp_s\": 5}], \"k\": 1000}\n"
                             "{\"user\": \"a\", \"k\": 1000, \"keep_seen\": true, \"at\": 9}\n"
                             "{\"user\": \"a\", \"exclude\": [\"i4\"], \"only\": [\"i3\", \"i4\", \"i5\"]}\n"
                             "{\"user\": \"a\", \"only\": []}\n");
  REQUIRE(answers.size() == 4);
  CHECK(answered(answers[0]).size() == 49);
  CHECK(answered(answers[1]).size() == 50);
  CHECK(answered(answers[2]) == Words{"i5"});
  CHECK(answered(answers[3]).empty());
}

TEST_CASE("serve: bad lines are answered by errors, and the next ones as if they had not been",
          "[cli][serve][errors]") {
  const std::string good = "{\"user\": \"a\", \"events\": [{\"item\": \"i3\", \"timestamp_s\": 5}]}\n";
  const std::vector<std::string> bad = {
      "nonsense", "[]", "{}", "{\"user\": 3}", "{\"user\": \"nobody\"}", "{\"user\": \"a\", \"k\": -1}",
      "{\"user\": \"a\", \"k\": 1.5}", "{\"user\": \"a\", \"hello\": 1}", "{\"user\": \"a\", \"user\": \"b\"}",
      "{\"user\": \"a\", \"events\": [{\"item\": \"i99999\", \"timestamp_s\": 6}]}",
      "{\"user\": \"a\", \"events\": [{\"item\": \"i3\", \"timestamp_s\": 4}]}",
      "{\"user\": \"a\", \"events\": [{\"item\": \"i3\", \"timestamp_s\": 9}, {\"item\": \"i3\", \"timestamp_s\": 8}]}",
      "{\"user\": \"a\", \"events\": [{\"item\": \"i3\"}]}", "{\"user\": \"a\", \"events\": 5}",
      "{\"user\": \"a\", \"events\": [{\"item\": \"i3\", \"timestamp_s\": 99999999999999999}]}",
      "{\"user\": \"a\", \"at\": 1}", "{\"user\": \"a\", \"only\": [\"no\"]}", "{\"user\": \"\xff\"}",
      std::string(200, '['), "{\"user\": \"" + std::string((1 << 20) + 5, 'x') + "\"}", std::string("\0\0", 2)};
  std::string input = good;
  for (const std::string& line : bad) input += line + "\n";
  input += "\n  \r\n{\"user\": \"a\"}";
  const auto answers = serve(input);
  REQUIRE(answers.size() == bad.size() + 2);
  for (std::size_t i = 0; i < bad.size(); ++i) {
    INFO(bad[i].substr(0, 100));
    CHECK(answers[i + 1].at("error").get<std::string>().size() > 5);
    CHECK(answers[i + 1].at("line") == i + 2);
  }
  CHECK(answers.back() == answers.front());
}

TEST_CASE("serve: a pool with room for one user gives the same answers", "[cli][serve][property]") {
  std::string input;
  for (int round = 0; round < 3; ++round) {
    for (const char* user : {"u1", "u2", "u3"}) input += std::string("{\"user\": \"") + user + "\"}\n";
  }
  const auto roomy = serve(input);
  CHECK(serve(input, {"--pool-mb", "1", "--page", "64"}) == roomy);
  CHECK(serve(input, {"--kept-events", "5"}).size() == 9);
}

TEST_CASE("serve: options that cannot be obeyed are named", "[cli][serve][errors]") {
  run_expecting(2, {"serve", "--run", Example::get().run()});
  run_expecting(2, {"serve", "--run", Example::get().run(), "--stdin", "--page", "48"});
  run_expecting(2, {"serve", "--run", Example::get().run(), "--stdin", "--kept-events", "21"});
  run_expecting(4, {"serve", "--run", "/nowhere", "--stdin"});
}
