// SPDX-License-Identifier: MIT
// Damaged and hostile safetensors files: a CheckpointError that says what is wrong, never a crash, little memory.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <iostream>
#include <utility>
#include <vector>

#include <hstu/core/random.hpp>

#include "allocations.hpp"
#include "io/files.hpp"
#include "io/tensor_files.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

struct Malformed {
  std::string bytes, message;
};

/// One tensor 'a' whose entry is `entry`, followed by 8 bytes of data.
std::string with_entry(const std::string& entry) { return with_length("{\"a\":" + entry + "}") + std::string(8, 'd'); }
std::string with_shape(const std::string& shape, const std::string& offsets = "[0,8]") {
  return with_entry(R"({"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}");
}
/// Two tensors of 4 bytes with the given offsets and `data` bytes of data.
std::string with_two(const std::string& a, const std::string& b, std::size_t data) {
  return with_length(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)" + a +
                     R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)" + b + "}}") + std::string(data, 'd');
}

const std::string kValid = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";

std::vector<Malformed> lengths() {
  return {
      {"", "expected a safetensors file, got 0 bytes"},
      {"a", "got 1 bytes"},
      {"1234567", "got 7 bytes"},
      {length_prefix(0), "expected a header that starts with {, got ''"},
      {length_prefix(1), "the header needs 1 bytes, the file has 0"},
      {length_prefix(3) + "{}", "the header needs 3 bytes, the file has 2"},
      {length_prefix(1) + "{}", "header:1:1: syntax error"},
      {length_prefix(100'000'000) + "{}", "the header needs 100000000 bytes"},
      {length_prefix(100'000'001) + "{}", "expected a header of at most 100000000 bytes, got 100000001"},
      {length_prefix(std::uint64_t{1} << 63U) + "{}", "got 9223372036854775808"},
      {length_prefix(~std::uint64_t{0}) + "{}", "got 18446744073709551615"},
      {length_prefix(~std::uint64_t{0} - 7) + "{}", "got 18446744073709551608"},
  };
}

std::vector<Malformed> headers() {
  using namespace std::string_literals;
  return {
      {with_length("[]"), "expected a header that starts with {, got '[]'"},
      {with_length(" {}"), "expected a header that starts with {"},
      {with_length("\xEF\xBB\xBF{}"), "expected a header that starts with {"},
      {with_length("null"), "expected a header that starts with {"},
      {with_length("{"), "header:1:1: syntax error"},
      {with_length("{}}"), "header:1:3: syntax error"},
      {with_length("{}\0\0"s), "header:1:3: expected JSON text, got a zero byte"},
      {with_length("{\"\xff\":1}"), "ill-formed UTF-8"},
      {with_length("{\"a\":" + kValid + ",\"a\":" + kValid + "}") + "12345678", "repeated key 'a'"},
      {with_length("{\"__metadata__\":{},\"__metadata__\":{}}"), "repeated key '__metadata__'"},
      {with_length("{\"__metadata__\":{\"k\":\"a\",\"k\":\"b\"}}"), "__metadata__: repeated key 'k'"},
      {with_length("{\"__metadata__\":{\"k\":1}}"), "__metadata__: 'k': expected a string, got 1"},
      {with_length("{\"__metadata__\":{\"k\":null}}"), "expected a string, got null"},
      {with_length("{\"__metadata__\":{\"k\":{}}}"), "expected a string, got an object"},
      {with_length("{\"__metadata__\":{\"k\":[]}}"), "expected a string, got an array"},
      {with_length("{\"__metadata__\":\"x\"}"), "__metadata__: expected an object, got 'x'"},
      {with_length("{\"__metadata__\":[]}"), "__metadata__: expected an object, got an array"},
      {with_length("{\"a\":" + std::string(1'000'000, '[')), "tensor 'a': expected an object, got an array"},
      {with_length("{" + std::string(1'000'000, '{')), "syntax error"},
      {with_length("{}") + "x", "the tensors need 0 bytes, the file has 1"},
  };
}

std::vector<Malformed> entries() {
  return {
      {with_entry("1"), "tensor 'a': expected an object, got 1"},
      {with_entry("true"), "tensor 'a': expected an object, got true"},
      {with_entry("{}"), "tensor 'a': expected the key 'dtype', found none"},
      {with_entry(R"({"dtype":"F32","data_offsets":[0,8]})"), "expected the key 'shape', found none"},
      {with_entry(R"({"dtype":"F32","shape":[2]})"), "expected the key 'data_offsets', found none"},
      {with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})"), "unknown key 'x'"},
      {with_entry(R"({"dtype":"F32","dtype":"F32"})"), "repeated key 'dtype'"},
      {with_entry(R"({"shape":[2],"shape":[2]})"), "repeated key 'shape'"},
      {with_entry(R"({"shape":[],"shape":[2]})"), "repeated key 'shape'"},
      {with_entry(R"({"data_offsets":[0,8],"data_offsets":[0,8]})"), "repeated key 'data_offsets'"},
      {with_entry(R"({"dtype":"BF16","shape":[4],"data_offsets":[0,8]})"), "'F32', 'F64', 'I32' or 'I64', got 'BF16'"},
      {with_entry(R"({"dtype":"f32","shape":[2],"data_offsets":[0,8]})"), "got 'f32'"},
      {with_entry(R"({"dtype":"","shape":[2],"data_offsets":[0,8]})"), "got ''"},
      {with_entry(R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})"), "got 7"},
      {with_entry(R"({"dtype":["F32"],"shape":[2],"data_offsets":[0,8]})"), "got an array"},
      {with_entry(R"({"dtype":"F64","shape":[2],"data_offsets":[0,8]})"), "expected 16 bytes for F64[2], got 8"},
      {with_shape("2"), "tensor 'a': 'shape': expected an array, got 2"},
      {with_shape("{}"), "expected an array, got an object"},
      {with_shape("[-2]"), "shape: expected at most 6 sizes from 0 to 2^63-1, got -2"},
      {with_shape("[2.0]"), "got 2.0"},
      {with_shape("[\"2\"]"), "got '2'"},
      {with_shape("[null]"), "got null"},
      {with_shape("[[2]]"), "got an array"},
      {with_shape("[9223372036854775808]"), "got 9223372036854775808"},
      {with_shape("[1e2]"), "got 1e2"},
      {with_shape("[1,1,1,1,1,1,2]"), "expected at most 6 sizes"},
      {with_shape("[]"), "expected 4 bytes for F32[], got 8"},
      {with_shape("[1]"), "expected 4 bytes for F32[1], got 8"},
      {with_shape("[0]"), "expected 0 bytes for F32[0], got 8"},
  };
}

std::vector<Malformed> extents() {
  return {
      {with_shape("[4294967296,4294967296]", "[0,0]"), "exceeds 64 bits"},  // product wraps to 0
      {with_shape("[4294967296,4294967296,2]"), "exceeds 64 bits"},
      {with_shape("[9223372036854775807]"), "exceeds 64 bits"},  // times 4 bytes wraps to -4
      {with_shape("[4611686018427387905]", "[0,4]"), "exceeds 64 bits"},  // times 4 bytes wraps to 4
      {with_shape("[4294967296,4294967296,0]", "[0,0]"), "exceeds 64 bits"},  // no bytes, but strides overflow
      {with_shape("[2]", "[0,9]"), "expected 8 bytes for F32[2], got 9"},
      {with_shape("[2]", "[8,0]"), "data_offsets go backwards, from 8 to 0"},
      {with_shape("[2]", "[0]"), "expected [begin, end], got 1 numbers"},
      {with_shape("[2]", "[]"), "expected [begin, end], got 0 numbers"},
      {with_shape("[2]", "[0,8,8]"), "data_offsets: expected two numbers from 0 to 2^64-1, got 8"},
      {with_shape("[2]", "[-8,0]"), "got -8"},
      {with_shape("[2]", "[0,8.0]"), "got 8.0"},
      {with_shape("[2]", "[0,18446744073709551616]"), "got 18446744073709551616"},
      {with_shape("[2]", "\"0,8\""), "expected an array, got '0,8'"},
      {with_shape("[2]", "[1,9]"), "tensor 'a': expected to begin at 0, got 1"},
      {with_shape("[2]", "[18446744073709551608,18446744073709551615]"), "expected 8 bytes for F32[2], got 7"},
      {with_shape("[4]", "[0,16]"), "the tensors need 16 bytes, the file has 8"},
      {with_shape("[1]", "[0,4]"), "the tensors need 4 bytes, the file has 8"},
      {with_shape("[1000000000000]", "[0,4000000000000]"), "the tensors need 4000000000000 bytes, the file has 8"},
      {with_two("[0,4]", "[0,4]", 4), "tensor 'b': expected to begin at 4, got 0"},
      {with_two("[0,4]", "[2,6]", 6), "expected to begin at 4, got 2"},
      {with_two("[0,4]", "[5,9]", 9), "expected to begin at 4, got 5"},
      {with_two("[4,8]", "[8,12]", 12), "expected to begin at 0, got 4"},
      {with_two("[0,4]", "[4,8]", 7), "the tensors need 8 bytes, the file has 7"},
      {with_two("[0,4]", "[4,8]", 9), "the tensors need 8 bytes, the file has 9"},
  };
}

/// Parses `bytes`; no request for memory may exceed twice their number, but for what a message takes.
TensorFile parse_in_bounds(std::string_view bytes, const std::string& origin) {
  constexpr std::size_t kMessageBytes = 1024;
  const test::AllocationWatch watch;
  const auto check_bound = [&] {
    if (watch.largest() > 2 * bytes.size() + kMessageBytes) {
      throw std::length_error(concat(bytes.size(), " bytes asked for ", watch.largest()));
    }
  };
  try {
    TensorFile file = parse_safetensors(bytes, origin);
    check_bound();
    return file;
  } catch (const CheckpointError&) {
    check_bound();
    throw;
  }
}

/// A small file with every kind of entry.
std::string make_small() {
  TensorFile file;
  file.metadata["config"] = R"({"d":2})";
  file.tensors["w"] = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  file.tensors["d"] = Tensor::from<double>({0.5});
  file.tensors["n"] = Tensor::from<std::int64_t>({7, 8});
  file.tensors["e"] = Tensor::zeros({0, 3}, DType::int32);
  return serialize_safetensors(file);
}

}  // namespace

TEST_CASE("safetensors: each rule broken once is a CheckpointError that names it", "[io][safetensors][errors]") {
  std::size_t count = 0;
  for (const auto& group : {lengths(), headers(), entries(), extents()}) {
    for (const Malformed& file : group) {
      INFO("file " << count++ << ": " << file.bytes.substr(0, 200));
      const std::string message = message_of<CheckpointError>([&] { parse_in_bounds(file.bytes, "dir/f"); });
      CHECK_THAT(message, StartsWith("dir/f: ") && ContainsSubstring(file.message));
    }
  }
  CHECK(count >= 80);
  std::cout << "figure: " << count << " tensor files with one rule broken refused\n";
  CHECK_NOTHROW(parse_safetensors(with_shape("[2]"), "f"));  // the frames above are right where the part is right
  CHECK_NOTHROW(parse_safetensors(with_two("[0,4]", "[4,8]", 8), "f"));
  CHECK_NOTHROW(parse_safetensors(with_two("[4,8]", "[0,4]", 8), "f"));
}

TEST_CASE("safetensors: a reader that believes a count is caught by the bound on memory",
          "[io][safetensors][property]") {
  const test::AllocationWatch watch;
  const std::string bytes = length_prefix(5'000'000) + "{}";
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  const std::string believed(static_cast<std::size_t>(header_bytes), ' ');
  CHECK(watch.largest() > 2 * bytes.size() + 1024);
}

TEST_CASE("safetensors: an error from a file names the file", "[io][safetensors][errors]") {
  const TempFile file("model.safetensors", with_two("[0,4]", "[5,9]", 9));
  CHECK_THROWS_WITH(load_safetensors(file.path()), StartsWith(file.path() + ": "));
}

TEST_CASE("safetensors: every truncation is a CheckpointError", "[io][safetensors][errors]") {
  const std::string whole = make_small();
  REQUIRE_NOTHROW(parse_safetensors(whole, "f"));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    REQUIRE_THROWS_AS(parse_in_bounds(std::string_view(whole).substr(0, length), "f"), CheckpointError);
  }
  REQUIRE_THROWS_AS(parse_safetensors(whole + '\0', "f"), CheckpointError);
  std::cout << "figure: " << whole.size() << " truncations of a tensor file refused\n";
}

TEST_CASE("safetensors: every flipped bit is a CheckpointError or another valid file", "[io][safetensors][errors]") {
  std::string bytes = make_small();
  const std::string before = bytes;
  std::size_t refused = 0, accepted = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] = static_cast<char>(before[i] ^ (1 << bit));
      try {
        const TensorFile file = parse_in_bounds(bytes, "f");
        const TensorFile again = parse_safetensors(serialize_safetensors(file), "f");
        REQUIRE(is_same(file, again));
        ++accepted;  // a flip in a name, in the metadata or in the data
      } catch (const CheckpointError&) {
        ++refused;
      }
      bytes[i] = before[i];
    }
  }
  CHECK(refused + accepted == 8 * before.size());
  CHECK(refused > accepted);
  std::cout << "figure: " << refused + accepted << " flipped bits of a tensor file refused or another valid file\n";
}

TEST_CASE("safetensors: random damage is a CheckpointError or another valid file", "[io][safetensors][errors]") {
  const std::string before = make_small();
  const std::string alphabet = "{}[]\",:0189-.eEnul\\_ \x00\xff";
  const RandomStream stream{.seed = 20261124};
  std::uint64_t draw = 0;
  const auto below = [&](std::size_t n) { return std::size_t{stream.below(draw++, static_cast<std::uint32_t>(n))}; };
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = before;
    for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
      const std::size_t at = below(bytes.size());
      switch (below(3)) {
        case 0: bytes[at] = alphabet[below(alphabet.size())]; break;
        case 1: bytes.erase(at, 1 + below(8)); break;
        default: bytes.insert(at, bytes.substr(below(bytes.size()), below(16)));
      }
      if (bytes.empty()) break;
    }
    try {
      parse_in_bounds(bytes, "f");
    } catch (const CheckpointError&) {
    }
  }
  SUCCEED("20000 damaged files, no crash");
}

TEST_CASE("safetensors: a hundred thousand names are read", "[io][safetensors]") {
  std::string header = "{\"__metadata__\":{}";
  for (int i = 0; i < 100'000; ++i) {
    header += ",\"" + std::to_string(i) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  CHECK(parse_safetensors(with_length(header + "}"), "f").tensors.size() == 100'000);
}
