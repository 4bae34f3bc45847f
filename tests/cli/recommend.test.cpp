// SPDX-License-Identifier: MIT
#include "cli/program.hpp"

namespace {

nlohmann::json recommend(const Words& words) {
  return run_expecting(0, Words{"recommend", "--run", Example::get().run(), "--json"} + words).json();
}

/// Item ids of one of the lists, in their order.
Words items_in(const nlohmann::json& list) {
  Words items;
  for (const auto& entry : list) items.push_back(entry.at("item"));
  return items;
}

}  // namespace

TEST_CASE("recommend: ranks unseen items for a known user", "[cli][recommend][property]") {
  const nlohmann::json result = recommend({"--user", "u1", "--top", "5"});
  REQUIRE(result.at("recommendations").size() == 5);
  REQUIRE(result.at("history").size() == std::min<std::size_t>(10, result.at("history_length")));
  const Words history = items_in(result.at("history"));
  double last_score = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < 5; ++i) {
    const auto& entry = result.at("recommendations")[i];
    CHECK(entry.at("rank") == i + 1);
    CHECK(entry.at("score") <= last_score);
    last_score = entry.at("score");
    CHECK(std::ranges::find(history, entry.at("item").get<std::string>()) == history.end());
  }
}

TEST_CASE("recommend: --history and --item are two ways to say the same", "[cli][recommend][property]") {
  const nlohmann::json a = recommend({"--history", "i3|i4|i5"});
  CHECK(a == recommend({"--item", "i3", "--item", "i4", "--item", "i5"}));
  CHECK(items_in(a.at("history")) == Words{"i3", "i4", "i5"});
  CHECK(a.at("recommendations").size() == 10);
}

TEST_CASE("recommend: fewer candidates than asked for give fewer, kept ones give all", "[cli][recommend][property]") {
  CHECK(recommend({"--history", "i3|i4", "--top", "1000"}).at("recommendations").size() == 48);
  CHECK(recommend({"--history", "i3|i4", "--top", "1000", "--keep-seen"}).at("recommendations").size() == 50);
}

TEST_CASE("recommend: --at cuts the history at the time of the request", "[cli][recommend][property]") {
  const nlohmann::json all = recommend({"--user", "u1"});
  const auto last = all.at("history").back().at("timestamp_s").get<std::int64_t>();
  const nlohmann::json before = recommend({"--user", "u1", "--at", std::to_string(last - 1)});
  CHECK(before.at("history_length") < all.at("history_length"));
  CHECK(recommend({"--user", "u1", "--at", std::to_string(last)}) == all);
  run_expecting(3, {"recommend", "--run", Example::get().run(), "--user", "u1", "--at", "0"});
}

TEST_CASE("recommend: a history longer than the model's table is cut", "[cli][recommend][property]") {
  std::string ids = "i1";
  for (int i = 0; i < 20'000; ++i) ids += i % 2 == 0 ? "|i2" : "|i1";
  CHECK(recommend({"--history", ids}).at("history_length") == 20'001);
}

TEST_CASE("recommend: titles are shown with their ids", "[cli][recommend][property]") {
  const TempFolder folder;
  std::string ratings, titles = "1::The First::x\n2::Un \xe9l\xe9phant::x\n";
  for (const char* user : {"a", "b", "c"}) {
    for (const char* item : {"1", "2", "3", "4", "5", "6"}) {
      ratings += std::string(user) + "::" + item + "::5::" + item + "\n";
    }
  }
  run_expecting(0, {"prepare", "--ratings", folder.write("ratings.dat", ratings), "--titles",
                    folder.write("movies.dat", titles), "--out", folder.path("data")});
  run_expecting(0, Words{"train", "--data", folder.path("data"), "--epochs", "1", "--out", folder.path("run")} +
                       kTinyModel);
  const std::string out = run_expecting(0, {"recommend", "--run", folder.path("run"), "--history", "1|2"}).out;
  CHECK(out.find("The First  [1]") != std::string::npos);
  CHECK(out.find("Un \xc3\xa9l\xc3\xa9phant  [2]") != std::string::npos);
  CHECK(out.find("recommended (score)") != std::string::npos);
}

TEST_CASE("recommend: unknown users and items end with code 3", "[cli][recommend][errors]") {
  const Words start = {"recommend", "--run", Example::get().run()};
  CHECK(run_expecting(3, start + Words{"--user", "nobody"}).err.find("nobody") != std::string::npos);
  CHECK(run_expecting(3, start + Words{"--history", "i1|i99"}).err.find("i99") != std::string::npos);
  run_expecting(3, start + Words{"--history", "i1|"});
  run_expecting(3, start + Words{"--item", "i1|i2"});
  run_expecting(4, {"recommend", "--run", "/nowhere", "--user", "u1"});
}
