// SPDX-License-Identifier: MIT
// Logs with actions, as KuaiRand's: from the file through filter and order to the prepared folder.
#include <hstu/data/filter.hpp>
#include <hstu/data/prepared.hpp>
#include <hstu/data/read_ratings.hpp>

#include "../check_op.hpp"
#include "temp_file.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

constexpr const char* kLog =
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,long_view,play_time_ms\n"
    "7,a,20220408,1200,1649390400999,1,0,1,20500\n"
    "9,b,20220408,1201,1649390460000,0,0,0,0\n"
    "7,c,20220408,1159,1649390399000,1,1,0,999.5\n"
    "7,b,20220409,1200,1649476800000,0,0,0,10\n";

Ratings read_log(const std::string& text, std::vector<std::string> columns) {
  const TempFile file("log_standard.csv", text);
  return read_ratings(file.path(), RatingsFormat::automatic, {.columns = std::move(columns)});
}

}  // namespace

TEST_CASE("event columns: actions follow their events", "[data][event_columns][property]") {
  const Ratings log = read_log(kLog, {"is_click", "play_time_ms"});
  CHECK(log.rating == std::vector<float>{1, 1, 1, 1});
  CHECK(log.timestamp_s == std::vector<std::int64_t>{1649390400, 1649390460, 1649390399, 1649476800});
  CHECK(log.columns[0] == EventColumn{"is_click", {1, 0, 1, 0}});
  CHECK(log.columns[1] == EventColumn{"play_time_ms", {20500, 0, 999.5f, 10}});

  const Sequences all = make_sequences(log);
  CHECK(all.columns[1].values == std::vector<float>{999.5f, 20500, 10, 0});
  const Sequences kept = make_sequences(filter_ratings(log, {.min_user_count = 2}));
  CHECK(kept.columns[0] == EventColumn{"is_click", {1, 1, 0}});

  const TempFolder folder;
  save_sequences(folder.path("prepared"), all);
  const Sequences loaded = load_sequences(folder.path("prepared"));
  CHECK(loaded.columns == all.columns);
  CHECK(std::ranges::equal(loaded.column("is_click"), all.columns[0].values));
  CHECK(std::ranges::equal(loaded.column("rating"), all.ratings));
  CHECK_THROWS_MATCHES(loaded.column("is_hate"), DataError,
                       says("among rating, is_click, play_time_ms, got «is_hate»"));
}

TEST_CASE("event columns: what is missing or no number is refused with its place", "[data][event_columns][errors]") {
  CHECK_THROWS_MATCHES(read_log(kLog, {"is_hate"}), DataError,
                       says("csv:1:1: expected a header with the column «is_hate»"));
  std::string broken = kLog;
  broken.replace(broken.find(",999.5"), 6, ",none");
  CHECK_THROWS_MATCHES(read_log(broken, {"play_time_ms"}), DataError,
                       says("csv:4:39: expected a finite number, got «none»"));
  const TempFile dat("ratings.dat", "1::2::3::4\n");
  CHECK_THROWS_MATCHES(read_ratings(dat.path(), RatingsFormat::automatic, {.columns = {"is_click"}}), DataError,
                       says("expected a format with a header for further columns, got dat"));
  Sequences sequences = make_sequences(read_log(kLog, {"is_click"}));
  sequences.columns.push_back(sequences.columns[0]);
  CHECK_THROWS_MATCHES(check_sequences(sequences), DataError, says("distinct column names, got «is_click» twice"));
  sequences.columns[1] = {"other", {1, 2}};
  CHECK_THROWS_MATCHES(check_sequences(sequences), DataError, says("columns of 4 events, got 2 of «other»"));
  sequences.columns[1].values = {0, 1, std::nanf(""), 2};
  CHECK_THROWS_MATCHES(check_sequences(sequences), DataError,
                       says("finite numbers in the column «other», got another at event 2"));
}
