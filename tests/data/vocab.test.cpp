// SPDX-License-Identifier: MIT
// Vocabulary and VocabMask.
#include <hstu/data/vocab.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

TEST_CASE("vocabulary: ids follow the order of first add, behind padding", "[data][vocab][property]") {
  Vocabulary items;
  CHECK(items.size() == 1);
  CHECK(items.add("b") == 1);
  CHECK(items.add("a") == 2);
  CHECK(items.add("b") == 1);
  CHECK(items.size() == 3);
  CHECK(items.num_names() == 2);
  CHECK(items.encode("a") == 2);
  CHECK(items.decode(1) == "b");
  CHECK(items.decode(0) == "[PAD]");
  CHECK_FALSE(items.find("[PAD]").has_value());
}

TEST_CASE("vocabulary: an unknown row moves real ids up by one and takes unknown names", "[data][vocab][property]") {
  Vocabulary items(true);
  CHECK(items.size() == 2);
  CHECK(items.add("x") == 2);
  CHECK(items.encode("never seen") == Vocabulary::kUnknown);
  CHECK(items.decode(1) == "[UNK]");
  CHECK_FALSE(items.find("never seen").has_value());
}

TEST_CASE("vocabulary: names survive the way out and back", "[data][vocab][property]") {
  for (const bool with_unknown : {false, true}) {
    Vocabulary items(with_unknown);
    for (const char* name : {"Ödipussi (1988)", " ", "[PAD]", "a|b", "a"}) items.add(name);
    const Vocabulary again = Vocabulary::from_names(items.names(), with_unknown);
    CHECK(again == items);
    for (std::int32_t id = items.first_id(); id < items.size(); ++id) CHECK(again.encode(items.decode(id)) == id);
    CHECK_FALSE(again == Vocabulary::from_names(items.names(), !with_unknown));
  }
}

TEST_CASE("vocabulary: a copy is independent of the original", "[data][vocab][property]") {
  Vocabulary items;
  for (int i = 0; i < 1000; ++i) items.add("item " + std::to_string(i));
  Vocabulary copy = items;
  copy.add("one more");
  CHECK(items.size() == 1001);
  CHECK_FALSE(items.find("one more").has_value());
  CHECK(copy.encode("item 999") == 1000);
}

TEST_CASE("vocabulary: bad names and ids are errors that show them", "[data][vocab][errors]") {
  Vocabulary items;
  items.add("known");
  CHECK_THROWS_MATCHES(items.encode("un\nknown"), DataError, MessageMatches(ContainsSubstring("«un\\x0aknown»")));
  CHECK_THROWS_MATCHES(items.add(""), DataError, MessageMatches(ContainsSubstring("empty")));
  CHECK_THROWS_MATCHES(items.decode(2), DataError, MessageMatches(ContainsSubstring("[0, 2), got 2")));
  CHECK_THROWS_AS(items.decode(-1), DataError);
  const std::vector<std::string> twice = {"a", "b", "a"};
  CHECK_THROWS_MATCHES(Vocabulary::from_names(twice), DataError, MessageMatches(ContainsSubstring("«a» twice")));
  const std::vector<std::string> empty_name = {"a", ""};
  CHECK_THROWS_AS(Vocabulary::from_names(empty_name), DataError);
}

TEST_CASE("vocab mask: fixed and row ids become -infinity, the rest stays", "[data][vocab][property]") {
  const std::vector<std::int32_t> invalid = {0, 4};
  const VocabMask mask(6, invalid);
  std::vector<float> scores = {1, 2, 3, 4, 5, 6};
  const std::vector<std::int32_t> history = {0, 0, 2, 2};
  mask.apply(std::span<float>(scores), history);
  const float masked = -std::numeric_limits<float>::infinity();
  CHECK(scores == std::vector<float>{masked, 2, masked, 4, masked, 6});

  std::vector<double> wide = {1, -1e300, 3};
  VocabMask(3).apply(std::span<double>(wide));
  CHECK(std::isinf(wide[0]));
  CHECK(wide[1] == -1e300);
  CHECK(wide[0] < wide[1]);
}

TEST_CASE("vocab mask: ids and rows that do not fit are errors and change nothing", "[data][vocab][errors]") {
  const std::vector<std::int32_t> too_high = {3};
  const std::vector<std::int32_t> negative = {1, -1};
  CHECK_THROWS_MATCHES(VocabMask(3, too_high), DataError, MessageMatches(ContainsSubstring("[0, 3), got 3")));
  CHECK_THROWS_AS(VocabMask(-1), DataError);
  CHECK_THROWS_AS(VocabMask(0), DataError);
  const VocabMask mask(3);
  std::vector<float> scores = {1, 2, 3};
  CHECK_THROWS_MATCHES(mask.apply(std::span<float>(scores), negative), DataError,
                       MessageMatches(ContainsSubstring("got -1")));
  CHECK(scores == std::vector<float>{1, 2, 3});
  std::vector<float> short_row = {1, 2};
  CHECK_THROWS_AS(mask.apply(std::span<float>(short_row)), ShapeError);
}
