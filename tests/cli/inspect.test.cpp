// SPDX-License-Identifier: MIT
#include <hstu/io/safetensors.hpp>

#include "cli/program.hpp"

TEST_CASE("inspect: a run shows its tensors, data, configuration and log", "[cli][inspect][property]") {
  const std::string out = run_expecting(0, {"inspect", Example::get().run()}).out;
  for (const char* part : {"config.json: JSON", "data/data.json: JSON", "data/sequences.safetensors: safetensors",
                           "last/model.safetensors: safetensors", "_embedding_module._item_emb.weight",
                           "float32[51, 8]", "metrics.jsonl: JSON lines, 2", "hstu-sequences"}) {
    INFO(part);
    CHECK(out.find(part) != std::string::npos);
  }
}

TEST_CASE("inspect: counts values that are no numbers", "[cli][inspect][property]") {
  const TempFolder folder;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  hstu::TensorFile file;
  file.tensors.emplace("x", hstu::Tensor::from(std::vector<float>{1, nan, 3, nan}));
  file.tensors.emplace("empty", hstu::Tensor::zeros({0, 4}));
  file.metadata.emplace("made\nby", "a test");
  hstu::save_safetensors(folder.path("x.safetensors"), file);
  const std::string out = run_expecting(0, {"inspect", folder.path("x.safetensors")}).out;
  CHECK(out.find("min 1  max 3  mean 2  NaN 2") != std::string::npos);
  CHECK(out.find("float32[0, 4]  NaN 0") != std::string::npos);
  CHECK(out.find("made?by  a test") != std::string::npos);
}

TEST_CASE("inspect: every cut and every flipped byte of a file is an answer or an error", "[cli][inspect][errors]") {
  const TempFolder folder;
  hstu::TensorFile file;
  file.tensors.emplace("x", hstu::Tensor::from(std::vector<std::int32_t>{1, 2, 3}));
  const std::string bytes = hstu::serialize_safetensors(file);
  for (std::size_t i = 0; i < bytes.size(); i += 7) {
    const std::string cut = folder.write("x.safetensors", bytes.substr(0, i));
    run_expecting(4, {"inspect", cut});
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x11);
    const int code = run_program({"inspect", folder.write("x.safetensors", flipped)}).code;
    REQUIRE((code == 0 || code == 4));
  }
}

TEST_CASE("inspect: broken files end with code 3 or 4", "[cli][inspect][errors]") {
  const TempFolder folder;
  run_expecting(3, {"inspect", folder.path("missing")});
  run_expecting(3, {"inspect", folder.path()});
  run_expecting(3, {"inspect", "/dev/zero"});
  run_expecting(3, {"inspect", folder.write("text", "hello")});
  run_expecting(3, {"inspect", folder.write("a.json", "{\"a\": 1")});
  run_expecting(3, {"inspect", folder.write("a.jsonl", "{\"a\": 1}\n{\n")});
  run_expecting(4, {"inspect", folder.write("a.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff{")});
  run_expecting(0, {"inspect", folder.write("b.json", "[1, 2]")});
  run_expecting(0, {"inspect", folder.write("b.jsonl", "")});
  std::filesystem::copy(Example::get().run() + "/last", folder.path("last"));
  std::string model = bytes_in(folder.path("last/model.safetensors"));
  model.back() = static_cast<char>(model.back() ^ 1);
  CHECK(run_expecting(4, {"inspect", folder.write("last/model.safetensors", model)}).err.find("checksum") !=
        std::string::npos);
}
