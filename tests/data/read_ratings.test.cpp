// SPDX-License-Identifier: MIT
// read_ratings: the four formats, their recognition, and what is accepted.
#include <hstu/data/read_ratings.hpp>

#include <limits>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "temp_file.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

Ratings read(std::string_view name, std::string_view bytes, RatingsFormat format = RatingsFormat::automatic,
             const ReadOptions& options = {}) {
  const TempFile file(name, bytes);
  return read_ratings(file.path(), format, options);
}

/// The table that every format below holds: users b, a, b; items 10, x, 10.
void check_table(const Ratings& ratings) {
  CHECK(ratings.users == std::vector<std::string>{"b", "a"});
  CHECK(ratings.items.names() == std::vector<std::string>{"10", "x"});
  CHECK(ratings.user == std::vector<std::int32_t>{0, 1, 0});
  CHECK(ratings.item == std::vector<std::int32_t>{1, 2, 1});
  CHECK(ratings.rating == std::vector<float>{5.0F, 0.5F, -1.0F});
  CHECK(ratings.timestamp_s == std::vector<std::int64_t>{978300760, 0, 978300759});
  CHECK_NOTHROW(check_ratings(ratings));
}

constexpr std::string_view kInter =
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "b\t10\t5\t978300760\na\tx\t0.5\t0\nb\t10\t-1\t978300759\n";
constexpr std::string_view kDat = "b::10::5::978300760\na::x::.5::0\nb::10::-1::978300759\n";
constexpr std::string_view kUData = "b\t10\t5\t978300760\na\tx\t0.5\t0\nb\t10\t-1\t978300759\n";
constexpr std::string_view kCsv = "userId,movieId,rating,timestamp\nb,10,5.0,978300760\na,x,0.5,0\nb,10,-1,978300759\n";

}  // namespace

TEST_CASE("read_ratings: all formats give the same table, named or recognised", "[data][read_ratings][parity]") {
  using enum RatingsFormat;
  const std::vector<std::pair<RatingsFormat, std::string_view>> files = {
      {inter, kInter}, {movielens_dat, kDat}, {u_data, kUData}, {csv, kCsv}};
  for (const auto& [format, bytes] : files) {
    CAPTURE(name_of(format));
    check_table(read("no_hint", bytes));
    check_table(read("no_hint", bytes, format));
    check_table(read("x.csv", bytes, format));
    CHECK(detect_ratings_format("no_hint", bytes.substr(0, bytes.find('\n'))) == format);
  }
}

TEST_CASE("read_ratings: columns are found by name, others are ignored", "[data][read_ratings][property]") {
  check_table(read("f.inter",
                   "timestamp:float\tlabel:float\titem_id:token\trating:float\tseq:token_seq\tuser_id:token\n"
                   "978300760\t1\t10\t5\tp q\tb\n0\t\tx\t0.5\t\ta\n978300759\t1\t10\t-1\tr\tb\n"));
  check_table(read("f.csv",
                   "timestamp,note,item_id,rating,user_id\n978300760,\"a, \"\"b\"\"\",10,5,b\n0,,\"x\",0.5,\"a\"\n"
                   "978300759,\"\",10,-1,b\n"));
}

TEST_CASE("read_ratings: without a rating column every event counts one", "[data][read_ratings][property]") {
  const Ratings inter = read("f", "user_id:token\titem_id:token\ttimestamp:float\nu\ti\t7\n");
  CHECK(inter.rating == std::vector<float>{1.0F});
  CHECK(inter.timestamp_s == std::vector<std::int64_t>{7});
  CHECK(read("f", "user_id,item_id,timestamp\nu,i,7\n").rating == std::vector<float>{1.0F});
}

TEST_CASE("read_ratings: ratings are accepted up to the largest float", "[data][read_ratings][property]") {
  const auto rating_of = [](const std::string& text) {
    return read("f", "user_id,item_id,rating,timestamp\nu,i," + text + ",7\n").rating.at(0);
  };
  CHECK(rating_of("3.4028234663852886e38") == std::numeric_limits<float>::max());
  CHECK(rating_of("-3.4028234663852886e38") == std::numeric_limits<float>::lowest());
  CHECK_THROWS_MATCHES(rating_of("3.4028234663852889e38"), DataError, MessageMatches(ContainsSubstring("rating")));
}

TEST_CASE("read_ratings: CRLF, byte order mark and a missing final newline are accepted",
          "[data][read_ratings][property]") {
  for (const std::string_view format : {kInter, kDat, kUData, kCsv}) {
    std::string crlf;
    for (const char c : format) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
    check_table(read("f", crlf));
    check_table(read("f", "\xEF\xBB\xBF" + std::string(format)));
    check_table(read("f", format.substr(0, format.size() - 1)));
    check_table(read("f", crlf.substr(0, crlf.size() - 1)));
  }
}

TEST_CASE("read_ratings: ids are text and keep every character", "[data][read_ratings][property]") {
  const Ratings ratings = read("f.inter",
                               "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
                               "01\tAmélie: a \"tale\", 2001\t4\t1\n1\t映画 \t4\t2\n");
  CHECK(ratings.users == std::vector<std::string>{"01", "1"});
  CHECK(ratings.items.names() == std::vector<std::string>{"Amélie: a \"tale\", 2001", "映画 "});
}

TEST_CASE("read_ratings: whole timestamps may be written as decimal numbers", "[data][read_ratings][property]") {
  const Ratings ratings = read("f", "u::i::1::978300760.0\nu::i::1::9.7830076e8\nu::i::1::253402300799\n");
  CHECK(ratings.timestamp_s == std::vector<std::int64_t>{978300760, 978300760, 253402300799});
  const ReadOptions milliseconds{.timestamp_unit = TimestampUnit::milliseconds};
  CHECK(read("f", "u::i::1::978300760999\n", RatingsFormat::automatic, milliseconds).timestamp_s.front() == 978300760);
}

TEST_CASE("read_ratings: many lines cross the read buffer unharmed", "[data][read_ratings][property]") {
  std::string bytes;
  constexpr int kRows = 30000;  // about 1.2 MB: several buffers
  for (int row = 0; row < kRows; ++row) {
    bytes +=
        concat("user ", row % 7, "::", std::string(static_cast<std::size_t>(row % 31), 'x'), row, "::3::", row, "\n");
  }
  const Ratings ratings = read("ratings.dat", bytes);
  REQUIRE(ratings.size() == kRows);
  bool equal = true;
  for (int row = 0; row < kRows; ++row) {
    const auto i = static_cast<std::size_t>(row);
    equal &= ratings.timestamp_s[i] == row && ratings.user[i] == row % 7 && ratings.item[i] == row + 1;
    equal &= ratings.items.decode(row + 1) == std::string(i % 31, 'x') + std::to_string(row);
  }
  CHECK(equal);
}

TEST_CASE("formats: names go both ways, unknown ones are refused", "[data][formats][errors]") {
  using enum RatingsFormat;
  for (const RatingsFormat format : {automatic, inter, movielens_dat, u_data, csv}) {
    CHECK(parse_ratings_format(name_of(format)) == format);
  }
  CHECK_THROWS_MATCHES(parse_ratings_format("CSV"), ConfigError, MessageMatches(ContainsSubstring("«CSV»")));
}

TEST_CASE("formats: the name decides where the line does not", "[data][formats][property]") {
  CHECK(detect_ratings_format("dir/ratings.dat", "1") == RatingsFormat::movielens_dat);
  CHECK(detect_ratings_format("u.data", "") == RatingsFormat::u_data);
  CHECK(detect_ratings_format("ratings.csv", "userId") == RatingsFormat::csv);
  CHECK(detect_ratings_format("ml.inter", "a,b,c,d") == RatingsFormat::inter);
  CHECK_THROWS_MATCHES(
      detect_ratings_format("notes.txt", "dear reader"), DataError,
      MessageMatches(ContainsSubstring("notes.txt:1:1: expected ratings") && ContainsSubstring("«dear reader»")));
}
