// SPDX-License-Identifier: MIT
// JsonLines: what is written is there at once; what comes after a checkpoint can be cut off.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <limits>

#include <hstu/io/jsonl_log.hpp>

#include "io/files.hpp"

using namespace hstu;
using nlohmann::json;

namespace {
bool is_before_epoch_3(const json& line) { return required<int>(line, "epoch", "log") < 3; }
}  // namespace

TEST_CASE("jsonl_log: each line is in the file when write returns", "[io][jsonl_log]") {
  const TempFolder folder;
  const std::string path = folder.path("metrics.jsonl");
  JsonLines log(path);
  CHECK(bytes_in(path).empty());
  log.write({{"epoch", 1}, {"loss", 0.5}});
  CHECK(bytes_in(path) == "{\"epoch\":1,\"loss\":0.5}\n");
  JsonLines(path).write({{"text", "a\nb"}, {"loss", std::numeric_limits<double>::quiet_NaN()}});
  CHECK(bytes_in(path) == "{\"epoch\":1,\"loss\":0.5}\n{\"loss\":null,\"text\":\"a\\nb\"}\n");
  log.write({{"bytes", "\xff"}});  // not UTF-8: replaced, so that the log stays readable
  log.sync();
  CHECK(bytes_in(path).ends_with("{\"bytes\":\"\xEF\xBF\xBD\"}\n"));
}

TEST_CASE("jsonl_log: a resumed log equals an uninterrupted one", "[io][jsonl_log][property]") {
  const TempFolder folder;
  const std::string path = folder.path("a.jsonl"), other = folder.path("b.jsonl");
  for (int epoch = 0; epoch < 5; ++epoch) JsonLines(path).write({{"epoch", epoch}});
  {
    JsonLines log(other);
    for (int epoch = 0; epoch < 4; ++epoch) log.write({{"epoch", epoch}});
  }
  std::ofstream(other, std::ios::app) << "{\"epoch\":4";  // killed in a write, two epochs after the checkpoint
  JsonLines::keep_lines(other, is_before_epoch_3);
  CHECK(bytes_in(other) == "{\"epoch\":0}\n{\"epoch\":1}\n{\"epoch\":2}\n");
  for (int epoch = 3; epoch < 5; ++epoch) JsonLines(other).write({{"epoch", epoch}});
  CHECK(bytes_in(other) == bytes_in(path));
}

TEST_CASE("jsonl_log: keeping lines of odd files", "[io][jsonl_log]") {
  const TempFolder folder;
  const auto after = [&](std::string_view text) {
    const std::string path = folder.write("log", text);
    JsonLines::keep_lines(path, is_before_epoch_3);
    return bytes_in(path);
  };
  CHECK(after("").empty());
  CHECK(after("{\"epo").empty());
  CHECK(after("{\"epoch\":1}").empty());  // a line without its end may be torn
  CHECK(after("{\"epoch\": 1 }\n{\"epoch\":7}\n") == "{\"epoch\": 1 }\n");
  JsonLines::keep_lines(folder.path("missing"), is_before_epoch_3);
  CHECK_FALSE(std::filesystem::exists(folder.path("missing")));
}

TEST_CASE("jsonl_log: errors name file and line, and change nothing", "[io][jsonl_log][errors]") {
  const TempFolder folder;
  const std::string text = "{\"epoch\":1}\nnonsense\n{\"epoch\":5}\n";
  const std::string path = folder.write("log", text);
  CHECK_THROWS_WITH(JsonLines::keep_lines(path, is_before_epoch_3),
                    Catch::Matchers::StartsWith(path + ":2:2: syntax error"));
  CHECK(bytes_in(path) == text);
  CHECK_THROWS_AS(JsonLines(folder.path()), IoError);
  CHECK_THROWS_AS(JsonLines(folder.path("no/log")), IoError);
  JsonLines full("/dev/full");
  CHECK_THROWS_WITH(full.write({{"epoch", 1}}), "/dev/full: write: No space left on device");
}
