// SPDX-License-Identifier: MIT
// save_sequences and load_sequences: the way out and back, and everything that can be wrong with a prepared folder.
#include <hstu/data/prepared.hpp>

#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/data/synthetic.hpp>

#include "make_ratings.hpp"
#include "temp_file.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

void check_equal(const Sequences& a, const Sequences& b) {
  CHECK(a.offsets == b.offsets);
  CHECK(a.items == b.items);
  CHECK(a.ratings == b.ratings);
  CHECK(a.timestamps_s == b.timestamps_s);
  CHECK(a.users == b.users);
  CHECK(a.vocabulary == b.vocabulary);
  CHECK(a.ties == b.ties);
  CHECK(a.tie_seed == b.tie_seed);
  CHECK(a.source == b.source);
  CHECK(a.filters == b.filters);
}

/// Users a: x, y, z at 1, 1, 5; b: x, z at 0, 9.
Sequences small() {
  return make_sequences(
      make_ratings({{"a", "x", 1}, {"a", "y", 1, 2.5F}, {"a", "z", 5}, {"b", "x", 0}, {"b", "z", 9}}));
}

std::string read_text(const std::string& path) {
  return read_file(path, 1U << 20U);
}

void check_load_error(const TempFolder& folder, const std::string& file, const std::string& part) {
  CAPTURE(file, part);
  CHECK_THROWS_MATCHES(load_sequences(folder.path()), DataError,
                       MessageMatches(ContainsSubstring(folder.path(file)) && ContainsSubstring(part)));
}

/// Saves small(), changes data.json by `edit`, and expects `part` in the message.
void check_bad_description(const std::function<void(nlohmann::json&)>& edit, const std::string& part,
                           const std::string& file = "data.json") {
  const TempFolder folder;
  save_sequences(folder.path(), small());
  nlohmann::json json = nlohmann::json::parse(read_text(folder.path("data.json")));
  edit(json);
  folder.write("data.json", json.dump());
  check_load_error(folder, file, part);
}

/// The same for the columns, with a checksum that fits.
void check_bad_columns(const std::function<void(std::map<std::string, Tensor>&)>& edit, const std::string& part) {
  const TempFolder folder;
  save_sequences(folder.path(), small());
  TensorFile file = load_safetensors(folder.path("sequences.safetensors"));
  edit(file.tensors);
  const std::string bytes = serialize_safetensors(file);
  folder.write("sequences.safetensors", bytes);
  nlohmann::json json = nlohmann::json::parse(read_text(folder.path("data.json")));
  json["columns_crc64"] = crc64(bytes);
  folder.write("data.json", json.dump());
  check_load_error(folder, "sequences.safetensors", part);
}

template <class Scalar>
Tensor column(std::vector<Scalar> values) {
  return Tensor::from(values);
}

}  // namespace

TEST_CASE("prepared: sequences come back as they were", "[data][prepared][property]") {
  const TempFolder folder;
  const std::string path = folder.path("new/deep folder");
  Ratings ratings = filter_ratings(make_synthetic_ratings({.users = 40, .items = 60, .max_length = 30}),
                                   {.min_user_count = 2, .min_item_count = 3, .min_rating = 1.1F});
  ratings.source = "dir/Amélie\n\"quoted\".csv";
  Sequences sequences = make_sequences(ratings, TieRule::random, std::numeric_limits<std::uint64_t>::max());
  save_sequences(path, sequences);
  check_equal(load_sequences(path), sequences);

  save_sequences(path, small());  // over the old one
  check_equal(load_sequences(path), small());
  sequences.vocabulary = Vocabulary::from_names(sequences.vocabulary.names(), true);
  for (std::int32_t& item : sequences.items) ++item;
  save_sequences(path, sequences);
  check_equal(load_sequences(path), sequences);
  save_sequences(path, Sequences{});
  check_equal(load_sequences(path), Sequences{});
}

TEST_CASE("prepared: the same sequences give the same bytes", "[data][prepared][property]") {
  const TempFolder first;
  const TempFolder second;
  save_sequences(first.path(), small());
  save_sequences(second.path(), small());
  for (const char* name : {"data.json", "sequences.safetensors"}) {
    CHECK(read_text(first.path(name)) == read_text(second.path(name)));
  }
}

TEST_CASE("prepared: titles come back", "[data][prepared][property]") {
  const TempFolder folder;
  Sequences sequences = small();
  sequences.titles = {"X", "Amélie", "\"quoted\""};
  save_sequences(folder.path(), sequences);
  CHECK(load_sequences(folder.path()).titles == sequences.titles);
}

TEST_CASE("prepared: contradicting sequences are not saved", "[data][prepared][errors]") {
  const TempFolder folder;
  const auto refuses = [&](const std::function<void(Sequences&)>& edit, const std::string& part) {
    Sequences sequences = small();
    edit(sequences);
    CHECK_THROWS_MATCHES(save_sequences(folder.path(), sequences), DataError, MessageMatches(ContainsSubstring(part)));
  };
  refuses([](Sequences& s) { s.items[4] = 4; }, "items in [1, 4), got 4 at event 1 of user 1");
  refuses([](Sequences& s) { s.items[0] = 0; }, "items in [1, 4), got 0");
  refuses([](Sequences& s) { s.timestamps_s[1] = 0; }, "times in order");
  refuses([](Sequences& s) { s.timestamps_s[0] = -1; }, "times in order");
  refuses([](Sequences& s) { s.ratings[0] = std::numeric_limits<float>::quiet_NaN(); }, "finite ratings");
  refuses([](Sequences& s) { s.ratings.pop_back(); }, "columns of 5 events");
  refuses([](Sequences& s) { s.users[1] = "a"; }, "distinct user names, got «a» twice");
  refuses([](Sequences& s) { s.users[1] = "\xFF"; }, "UTF-8");
  refuses([](Sequences& s) { s.users.pop_back(); }, "2 user names, got 1");
  refuses([](Sequences& s) { s.offsets = {}; }, "offsets to begin with 0, got none");
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("prepared: a description that contradicts is an error naming file and fact", "[data][prepared][errors]") {
  using Json = nlohmann::json;
  check_bad_description([](Json& j) { j["format"] = "zip"; }, "expected format hstu-sequences, got «zip»");
  check_bad_description([](Json& j) { j["version"] = 2; }, "expected version 1, got 2");
  check_bad_description([](Json& j) { j["ties"]["rule"] = "stable"; }, "«stable»");
  check_bad_description([](Json& j) { j["ties"] = 3; }, "rule");
  check_bad_description([](Json& j) { j["ties"]["seed"] = -1; }, "seed");
  check_bad_description([](Json& j) { j["filters"]["min_rating"] = "x"; }, "min_rating");
  check_bad_description([](Json& j) { j["items"].push_back("x"); }, "«x» twice");
  check_bad_description([](Json& j) { j["items"].push_back(7); }, "items[3]");
  check_bad_description([](Json& j) { j["items"].push_back("w"); }, "expected 3 items, found 4");
  check_bad_description([](Json& j) { j["items"].erase(2); }, "items in [1, 3), got 3", "sequences.safetensors");
  check_bad_description([](Json& j) { j["users"].erase(0); }, "2 user names, got 1", "sequences.safetensors");
  check_bad_description([](Json& j) { j["counts"]["events"] = 6; }, "expected 6 events, found 5");
  check_bad_description([](Json& j) { j["counts"]["users"] = 1; }, "expected 1 users, found 2");
  check_bad_description([](Json& j) { j["columns_crc64"] = 1; }, "expected the checksum 1 that",
                        "sequences.safetensors");
  check_bad_description([](Json& j) { j = Json::array(); }, "format");
  for (const char* key :
       {"format", "version", "source", "ties", "filters", "counts", "columns_crc64", "has_unknown", "users", "items"}) {
    check_bad_description([&](Json& j) { j.erase(key); }, key);
  }
}

TEST_CASE("prepared: columns that contradict are an error naming file and fact", "[data][prepared][errors]") {
  using Tensors = std::map<std::string, Tensor>;
  check_bad_columns([](Tensors& t) { t["items"] = column<std::int32_t>({1, 2, 4, 1, 3}); }, "items in [1, 4), got 4");
  check_bad_columns([](Tensors& t) { t["items"] = column<std::int64_t>({1, 2, 3, 1, 3}); }, "expected items as int32");
  check_bad_columns([](Tensors& t) { t["offsets"] = column<std::int64_t>({0, 6, 5}); }, "ascending offsets");
  check_bad_columns(
      [](Tensors& t) {
        t["offsets"] = column<std::int64_t>({-1, 3, 5});
      },
      "offsets to begin with 0, got -1");
  check_bad_columns([](Tensors& t) { t["offsets"] = column<std::int64_t>({0, 3, 6}); }, "offsets to end at");
  check_bad_columns([](Tensors& t) { t["offsets"] = Tensor(Shape{0}, DType::int64); }, "got none");
  check_bad_columns([](Tensors& t) { t["offsets"] = t["offsets"].reshaped({3, 1}); }, "of rank 1");
  check_bad_columns(
      [](Tensors& t) {
        t["timestamps_s"] = column<std::int64_t>({1, 1, 5, 9, 0});
      },
      "got 0 at event 1 of user 1");
  check_bad_columns([](Tensors& t) { t["ratings"] = column<float>({1, 1}); }, "got 2 ratings");
  check_bad_columns([](Tensors& t) { t.erase("ratings"); }, "expected 4 tensors, got 3");
  check_bad_columns([](Tensors& t) { t["more"] = t["items"]; }, "expected 4 tensors, got 5");
}

TEST_CASE("prepared: every cut and every flipped bit of both files is noticed", "[data][prepared][errors]") {
  const TempFolder folder;
  save_sequences(folder.path(), small());
  const std::string columns = read_text(folder.path("sequences.safetensors"));
  for (std::size_t length = 0; length < columns.size(); ++length) {
    folder.write("sequences.safetensors", std::string_view(columns).substr(0, length));
    CHECK_THROWS_AS(load_sequences(folder.path()), DataError);
  }
  for (std::size_t bit = 0; bit < columns.size() * 8; ++bit) {
    std::string flipped = columns;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    folder.write("sequences.safetensors", flipped);
    CHECK_THROWS_AS(load_sequences(folder.path()), DataError);
  }
  folder.write("sequences.safetensors", columns);
  const std::string description = read_text(folder.path("data.json"));
  for (std::size_t length = 0; length + 1 < description.size(); ++length) {  // without the final newline it is whole
    folder.write("data.json", std::string_view(description).substr(0, length));
    if (length + 2 < description.size() || description[length] != '\n')
      CHECK_THROWS_AS(load_sequences(folder.path()), DataError);
  }
  folder.write("data.json", description);
  check_equal(load_sequences(folder.path()), small());
}

TEST_CASE("prepared: missing files and folders that cannot be made are input errors", "[data][prepared][errors]") {
  const TempFolder folder;
  CHECK_THROWS_MATCHES(load_sequences(folder.path("missing")), IoError, MessageMatches(ContainsSubstring("data.json")));
  save_sequences(folder.path(), small());
  std::filesystem::remove(folder.path("sequences.safetensors"));
  CHECK_THROWS_MATCHES(load_sequences(folder.path()), IoError,
                       MessageMatches(ContainsSubstring("sequences.safetensors")));
  folder.write("file", "");
  CHECK_THROWS_AS(save_sequences(folder.path("file"), small()), IoError);
  CHECK_THROWS_AS(save_sequences(folder.path("file/below"), small()), IoError);
}
