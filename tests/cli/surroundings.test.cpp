// SPDX-License-Identifier: MIT
// Odd paths, other locales and time zones, no terminal: the program does the same everywhere.
#include <cstdlib>

#include "cli/program.hpp"

namespace {

/// Variables of the environment for one scope.
class Environment {
 public:
  explicit Environment(std::vector<std::pair<const char*, const char*>> values) : values_(std::move(values)) {
    for (const auto& [name, value] : values_) {
      const char* before = std::getenv(name);
      before_.emplace_back(before == nullptr ? "" : before);
      ::setenv(name, value, 1);
    }
  }
  ~Environment() {
    for (std::size_t i = 0; i < values_.size(); ++i) ::setenv(values_[i].first, before_[i].c_str(), 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::vector<std::pair<const char*, const char*>> values_;
  std::vector<std::string> before_;
};

/// Output of every verb on a ratings file in `folder`, the folder's own name taken out.
std::string outputs(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const std::string ratings = folder / "ratings.csv", data = folder / "data", run = folder / "run";
  {
    std::ofstream file(ratings);
    file << "userId,movieId,rating,timestamp\n";
    for (int i = 0; i < 90; ++i)
      file << "u" << i % 9 << ",i" << i * i % 17 << "," << i % 10 << ".5," << 1000000 * i << "\n";
  }
  std::string text;
  const auto add = [&](const Words& words) {
    const Outcome outcome = run_expecting(0, words);
    text += outcome.out;
    if (words[0] != "train") text += outcome.err;  // there it holds times
  };
  add({"prepare", "--ratings", ratings, "--out", data});
  nlohmann::json report = run_expecting(0, {"prepare", "--ratings", ratings, "--out", data + "-json", "--json"}).json();
  if (report.at("source") == ratings) report.erase("source");  // only if it is right
  text += report.dump();
  const nlohmann::json metrics =
      run_expecting(0, Words{"train", "--data", data, "--out", run, "--epochs", "2", "--json"} + kTinyModel).json();
  text += metrics.at("ndcg@10").dump() + metrics.at("loss").dump();
  add({"recommend", "--run", run, "--user", "u1", "--json"});
  add({"recommend", "--run", run, "--user", "u2", "--at", "90000000"});
  add({"recommend", "--run", run, "--item", "i4"});
  run_expecting(0, {"inspect", run + "/last"});  // it shows times
  const nlohmann::json inspected = run_expecting(0, {"evaluate", "--run", run, "--json"}).json();
  text += inspected.at("mrr").dump();
  for (std::size_t at = 0; (at = text.find(folder.string(), at)) != std::string::npos;)
    text.erase(at, folder.string().size());
  return text;
}

}  // namespace

TEST_CASE("surroundings: paths with spaces, quotes, dashes, other scripts and great length", "[cli][surroundings]") {
  const TempFolder folder;
  const std::string expected = outputs(folder.path("plain"));
  for (const std::string& name : {std::string("two words"), std::string("-x"), std::string("a'b\"c$d;e"),
                                  std::string("größe 名前 😀"), std::string(200, 'n'), std::string("*?[a]")}) {
    INFO(name);
    CHECK(outputs(folder.path(name)) == expected);
  }
  std::filesystem::path deep = folder.path();
  for (int i = 0; i < 30; ++i) deep /= std::string(100, 'd');
  CHECK(outputs(deep) == expected);
}

TEST_CASE("surroundings: a line feed or an escape in a path does not reach the terminal", "[cli][surroundings]") {
  const TempFolder folder;
  for (const std::string& name : {std::string("line\nfeed"), std::string("escape\x1b[31m"), std::string("\xff\xfe")}) {
    std::filesystem::create_directories(folder.path(name));
    const std::string ratings =
        folder.write(name + "/ratings.csv", "userId,movieId,rating,timestamp\nu,i,5,1\nu,i,5\n");
    const Outcome outcome = run_expecting(3, {"prepare", "--ratings", ratings, "--out", folder.path("out")});
    CHECK(outcome.err.find("ratings.csv:3:6: ") != std::string::npos);
    CHECK(std::ranges::none_of(outcome.err, [](char c) { return c == '\x1b' || c == '\xff'; }));
  }
}

TEST_CASE("surroundings: locale, time zone and terminal change nothing", "[cli][surroundings]") {
  const TempFolder folder;
  const std::string expected = outputs(folder.path("plain"));
  int number = 0;
  for (const char* locale : {"C", "de_DE.UTF-8", "tr_TR.UTF-8", "nonsense"}) {
    const Environment environment(
        {{"LC_ALL", locale}, {"LANG", locale}, {"TZ", "Pacific/Kiritimati"}, {"TERM", "dumb"}});
    INFO(locale);
    CHECK(outputs(folder.path("f" + std::to_string(number++))) == expected);
  }
}
