// SPDX-License-Identifier: MIT
// parse_json and typed access: what is accepted, and a place in every refusal.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>
#include <utility>

#include <hstu/io/json.hpp>

using namespace hstu;
using nlohmann::json;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("json: equals nlohmann's own reading of valid text", "[io][json][parity]") {
  const std::string text = GENERATE(
      as<std::string>(), "{}", "[]", "null", "true", "-0", "1e-400", "18446744073709551615", "18446744073709551616",
      "-9223372036854775808", "0.1", "\"\\u00e9\\ud83d\\ude00 \\n\"", " [ 1 , [ ] , { } ] \n", "\"\"", "\"\\u0000\"",
      R"({"a": {"b": [1, 2.5, {"c": null}], "d": ""}, "e": [[], [{}], "x"], "": false})", "\xEF\xBB\xBF[1]");
  INFO(text);
  CHECK(*parse_json(text, "t") == json::parse(text));
  CHECK(parse_json(text, "t")->dump() == json::parse(text).dump());
}

TEST_CASE("json: bad text is refused with file, line and column", "[io][json][errors]") {
  using namespace std::string_literals;
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {"", "f:1:1: syntax error while parsing value - unexpected end of input"},
      {"{", "f:1:1: syntax error while parsing object key"},
      {"[1,\n 2,\n nul]", "f:3:5: syntax error while parsing value - invalid literal"},
      {"[1] x", "f:1:5: syntax error"},
      {"[1,]", "f:1:4: syntax error"},
      {"{\"a\" 1}", "f:1:7: syntax error"},
      {"{\"a\":1,\n\"a\":2}", "f:2:3: repeated key 'a'"},
      {"{\"a\":{\"b\":1,\"b\":2}}", "repeated key 'b'"},
      {"\"\xff\"", "ill-formed UTF-8"},
      {"\"\xC0\x80\"", "ill-formed UTF-8"},
      {"\"\xED\xA0\x80\"", "ill-formed UTF-8"},
      {"\"\\ud800\"", "f:1:8: syntax error"},
      {"\"a\nb\"", "control character"},
      {"1e400", "f:1:5: number overflow"},
      {"[01]", "f:1:4: syntax error"},
      {"NaN", "f:1:1: syntax error"},
      {"{\"a\":1}\0{"s, "f:1:8: expected JSON text, got a zero byte"},
      {"\0"s, "f:1:1: expected JSON text, got a zero byte"},
      {"// a\n1", "f:1:1: syntax error"},
  }));
  INFO(text);
  CHECK_THROWS_WITH(parse_json(text, "f"), ContainsSubstring(message));
  CHECK_THROWS_AS(parse_json<ConfigError>(text, "f"), ConfigError);
}

TEST_CASE("json: depth is bounded, length is not", "[io][json][errors]") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK_NOTHROW(parse_json(nested(64), "f"));
  CHECK_THROWS_WITH(parse_json(nested(65), "f"), "f:1:65: more than 64 nested brackets");
  CHECK_THROWS_WITH(parse_json(std::string(1'000'000, '['), "f"), "f:1:65: more than 64 nested brackets");
  std::string objects;
  for (int i = 0; i < 100; ++i) objects += "{\"a\":";
  CHECK_THROWS_WITH(parse_json(objects, "f"), ContainsSubstring("more than 64 nested brackets"));
  std::string flat = "[0";
  for (int i = 1; i < 100'000; ++i) flat += ",[" + std::to_string(i) + "]";
  CHECK(parse_json(flat + "]", "f")->size() == 100'000);
}

TEST_CASE("json: messages stay short and printable", "[io][json][errors]") {
  try {
    parse_json("{\"" + std::string(5000, '\x7f') + "\":1,\"" + std::string(5000, '\x7f') + "\":2}", "f");
    FAIL("expected an error");
  } catch (const DataError& error) {
    CHECK(std::string(error.what()).size() < 400);
    CHECK_THAT(error.what(), ContainsSubstring("\\x7f") && ContainsSubstring("...'"));
  }
}

TEST_CASE("json: what readers of events are told, and refuse, is placed", "[io][json][errors]") {
  struct Numbers : JsonEvents {
    std::int64_t sum = 0;
    bool null() override { throw DataError("expected a number"); }
    bool boolean(bool) override { return null(); }
    bool number_integer(std::int64_t value) override { return number_unsigned(static_cast<std::uint64_t>(value)); }
    bool number_unsigned(std::uint64_t value) override { return sum += static_cast<std::int64_t>(value), true; }
    bool number_float(double, const std::string&) override { return null(); }
    bool string(std::string&) override { return null(); }
    bool start_object(std::size_t) override { return null(); }
    bool key(std::string&) override { return null(); }
    bool end_object() override { return null(); }
    bool start_array(std::size_t) override { return true; }
    bool end_array() override { return true; }
  } numbers;
  read_json("[1, 2, -5, [7]]", "f", numbers);
  CHECK(numbers.sum == 5);
  CHECK_THROWS_WITH(read_json("[1,\n null]", "f", numbers), "f:2:5: expected a number");
  CHECK_THROWS_WITH(read_json("[1,\n {}]", "f", numbers, 7), ContainsSubstring("f:8:2: expected a number"));
  CHECK_THROWS_AS(read_json<CheckpointError>("true", "f", numbers), CheckpointError);
  CHECK_THROWS_WITH(read_json("[1 2]", "f", numbers), ContainsSubstring("f:1:5: syntax error"));
  json::binary_t bytes;
  CHECK_THROWS_AS(numbers.binary(bytes), DataError);
  try {
    [[maybe_unused]] const json value = json::parse("{");
  } catch (const json::exception& error) {
    CHECK_THROWS_WITH(numbers.parse_error(1, "{", error), ContainsSubstring("syntax error"));
  }
  CHECK_THROWS_WITH(json_to<int>(json("x"), "here"), ContainsSubstring("here: expected an integer"));
}

TEST_CASE("json: typed values", "[io][json]") {
  const json object = *parse_json(R"({"b": true, "s": "x", "i": -5, "u": 18446744073709551615, "f": 2.5, "v": [1, 2],
                                    "names": ["a", "b"], "none": null, "e": []})", "f");
  CHECK(required<bool>(object, "b", "f"));
  CHECK(required<std::string>(object, "s", "f") == "x");
  CHECK(required<int>(object, "i", "f") == -5);
  CHECK(required<std::int8_t>(object, "i", "f") == -5);
  CHECK(required<std::uint64_t>(object, "u", "f") == std::numeric_limits<std::uint64_t>::max());
  CHECK(required<double>(object, "f", "f") == 2.5);
  CHECK(required<float>(object, "i", "f") == -5.0F);
  CHECK(required<std::vector<std::int64_t>>(object, "v", "f") == std::vector<std::int64_t>{1, 2});
  CHECK(required<std::vector<std::string>>(object, "names", "f") == std::vector<std::string>{"a", "b"});
  CHECK(required<std::vector<double>>(object, "e", "f").empty());
  CHECK(required_value(object, "none", "f").is_null());
  CHECK(json_elements(object["names"], "f").size() == 2);
}

TEST_CASE("json: typed access names origin, key, expected and found", "[io][json][errors]") {
  const json object = *parse_json(R"({"b": 1, "s": 1, "i": 4.7, "n": -1, "u": 4294967296, "t": "12", "v": [1, "x"],
                                    "o": {"a": 1}, "big": 18446744073709551616, "null": null})", "f");
  CHECK_THROWS_WITH(required<bool>(object, "b", "f"), "f: b: expected true or false, got 1");
  CHECK_THROWS_WITH(required<std::string>(object, "s", "f"), "f: s: expected a string, got 1");
  CHECK_THROWS_WITH(required<int>(object, "i", "f"),
                    "f: i: expected an integer from -2147483648 to 2147483647, got 4.7");
  CHECK_THROWS_WITH(required<std::uint8_t>(object, "n", "f"), "f: n: expected an integer from 0 to 255, got -1");
  CHECK_THROWS_AS(required<std::uint64_t>(object, "n", "f"), DataError);
  CHECK_THROWS_AS(required<int>(object, "u", "f"), DataError);
  CHECK_THROWS_AS(required<std::uint64_t>(object, "big", "f"), DataError);
  CHECK_THROWS_AS(required<double>(object, "null", "f"), DataError);
  CHECK_THROWS_WITH(required<double>(object, "t", "f"), "f: t: expected a number, got the string '12'");
  CHECK_THROWS_WITH(required<std::vector<int>>(object, "v", "f"), ContainsSubstring("f: v[1]: expected an integer"));
  CHECK_THROWS_WITH(required<std::vector<int>>(object, "o", "f"), "f: o: expected an array, got an object of 1");
  CHECK_THROWS_WITH(json_elements(object["o"], "f: o"), "f: o: expected an array, got an object of 1");
  CHECK_THROWS_AS(json_elements<ConfigError>(object["t"], "f"), ConfigError);
  CHECK_THROWS_WITH(required_value(object, "x", "f"), "f: expected the key 'x', found none");
  CHECK_THROWS_WITH(required<int>(object, "x", "f"), "f: expected the key 'x', found none");
  CHECK_THROWS_WITH(required<int>(json(3), "x", "f"), "f: expected an object with the key 'x', got 3");
  CHECK_THROWS_AS((required<int, CheckpointError>(object, "x", "f")), CheckpointError);
}
