// SPDX-License-Identifier: MIT
// safetensors: what is written is read back, in the layout that the format asks for.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <limits>

#include <hstu/io/safetensors.hpp>

#include "io/files.hpp"
#include "io/tensor_files.hpp"

using namespace hstu;
using Catch::Matchers::ContainsSubstring;

namespace {

TensorFile make_rich_file() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  TensorFile file;
  file.metadata = {{"config", R"({"d": 50})"}, {"", ""}, {"größe", "\"\n\\\x01"}};
  file.tensors["float"] = Tensor::from<float>({1.5F, -0.0F, std::nanf(""), 1e-45F, 3e38F, -7.0F}, {2, 3});
  file.tensors["double"] = Tensor::from<double>({kInfinity, -kInfinity, 5e-324}, {1, 3, 1});
  file.tensors["int"] = Tensor::from<std::int32_t>({-1, std::numeric_limits<std::int32_t>::min(), 7});
  file.tensors["long"] = Tensor::from<std::int64_t>({std::numeric_limits<std::int64_t>::min()}, {1, 1, 1, 1, 1, 1});
  file.tensors["scalar"] = Tensor::full({}, 2.0);
  file.tensors["empty"] = Tensor::zeros({0, 4});
  file.tensors["also empty"] = Tensor::zeros({3, 0, 2}, DType::int64);
  file.tensors["名前/\"quoted\"\n"] = Tensor::from<float>({4.0F});
  file.tensors[""] = Tensor::from<float>({5.0F});
  return file;
}

}  // namespace

TEST_CASE("safetensors: every dtype, rank, name and value comes back bit by bit", "[io][safetensors]") {
  const TempFolder folder;
  const TensorFile file = make_rich_file();
  save_safetensors(folder.path("a"), file);
  CHECK(is_same(load_safetensors(folder.path("a")), file));
  CHECK(bytes_in(folder.path("a")) == serialize_safetensors(file));
  CHECK(names_in(folder.path()) == std::vector<std::string>{"a"});
}

TEST_CASE("safetensors: no tensors, no metadata", "[io][safetensors]") {
  const std::string bytes = serialize_safetensors({});
  CHECK(bytes == std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  CHECK(is_same(parse_safetensors(bytes, "f"), {}));
  CHECK(is_same(parse_safetensors(std::string("\x02\0\0\0\0\0\0\0{}", 10), "f"), {}));
}

TEST_CASE("safetensors: header and data are laid out as documented", "[io][safetensors][golden]") {
  TensorFile file;
  file.metadata["k"] = "v";
  file.tensors["b"] = Tensor::from<float>({1.0F});
  file.tensors["a"] = Tensor::from<std::int32_t>({2, 3});
  file.tensors["z"] = Tensor::from<double>({4.0});
  const std::string header = R"({"__metadata__":{"k":"v"},"a":{"data_offsets":[8,16],"dtype":"I32","shape":[2]},)"
                             R"("b":{"data_offsets":[16,20],"dtype":"F32","shape":[1]},)"
                             R"("z":{"data_offsets":[0,8],"dtype":"F64","shape":[1]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  using namespace std::string_literals;
  const std::string data = "\0\0\0\0\0\0\x10\x40"s + "\2\0\0\0\3\0\0\0"s + "\0\0\x80\x3f"s;
  CHECK(serialize_safetensors(file) == with_length(padded) + data);
}

TEST_CASE("safetensors: the same content gives the same bytes", "[io][safetensors][property]") {
  const TensorFile file = make_rich_file();
  const std::string bytes = serialize_safetensors(file);
  CHECK(serialize_safetensors(make_rich_file()) == bytes);
  CHECK(serialize_safetensors(parse_safetensors(bytes, "f")) == bytes);
}

TEST_CASE("safetensors: a view writes its own rows only", "[io][safetensors]") {
  TensorFile file;
  file.tensors["rows"] = Tensor::from<float>({0, 1, 2, 3, 4, 5}, {3, 2}).rows(1, 2);
  const TensorFile read = parse_safetensors(serialize_safetensors(file), "f");
  CHECK(read.tensors.at("rows").to_vector<float>() == std::vector<float>{2, 3});
}

TEST_CASE("safetensors: other writers' order and white space are read", "[io][safetensors]") {
  const std::string header = "{\n\"a\" : {\"shape\":[ 1 ], \"data_offsets\":[4,8], \"dtype\":\"F32\"},"
                             "\"b\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}";
  const TensorFile file = parse_safetensors(with_length(header) + std::string("\7\0\0\0\0\0\x80\x3f", 8), "f");
  CHECK(file.tensors.at("a").item() == 1.0);
  CHECK(file.tensors.at("b").item() == 7.0);
}

TEST_CASE("safetensors: what cannot be stored is refused", "[io][safetensors][errors]") {
  const TempFolder folder;
  const std::string path = folder.write("a", "old");
  const auto fails = [&](const TensorFile& file, const std::string& message) {
    CHECK_THAT(message_of<CheckpointError>([&] { save_safetensors(path, file); }), ContainsSubstring(message));
  };
  fails({.tensors = {{"x", Tensor()}}, .metadata = {}}, "tensor 'x': expected data, got an undefined tensor");
  fails({.tensors = {{"__metadata__", Tensor::zeros({1})}}, .metadata = {}}, "this name is taken by the format");
  fails({.tensors = {{"\xff", Tensor::zeros({1})}}, .metadata = {}}, "names and metadata must be UTF-8");
  fails({.tensors = {}, .metadata = {{"k", "\xff"}}}, "names and metadata must be UTF-8");
  fails({.tensors = {}, .metadata = {{"k", std::string(100'000'001, 'x')}}}, "header of at most 100000000 bytes");
  CHECK(bytes_in(path) == "old");
}

TEST_CASE("safetensors: a file that cannot be read is an IoError", "[io][safetensors][errors]") {
  const TempFolder folder;
  CHECK_THROWS_AS(load_safetensors(folder.path("missing")), IoError);
  CHECK_THROWS_AS(load_safetensors(folder.path()), IoError);
  save_safetensors(folder.path("a"), make_rich_file());
  CHECK_THROWS_WITH(load_safetensors(folder.path("a"), 100), ContainsSubstring("expected at most 100 bytes"));
}
