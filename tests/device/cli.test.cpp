// SPDX-License-Identifier: MIT
// hstu train --device cuda, end to end, against the same on the CPU.
#ifdef HSTU_CLI_PATH
#include "../cli/program.hpp"
#include "training.hpp"

namespace hstu {
namespace {
using namespace test;
using ::operator+;  // joins words

/// Adam's eps as in device_config().
Words train_words(const std::string& run, int epochs, const Words& device) {
  return Words{"train", "--data",  Example::get().data(), "--out", run, "--epochs", std::to_string(epochs), "--json",
               "--set", "eps=1e-4"} +
         kTinyModel + device;
}
const Words kOnGpu{"--device", "cuda", "--precision", "fp32"};

/// Metrics that agree but for the ranks of items whose scores are closer than rounding.
void require_alike(const nlohmann::json& got, const nlohmann::json& expected) {
  for (const char* key : {"loss", "mrr", "ndcg@50"}) {
    const double is = got.at(key), should_be = expected.at(key);
    CAPTURE(key, is, should_be);
    REQUIRE(std::abs(is - should_be) <= 0.01 * should_be);
  }
}

TEST_CASE("hstu train on the device: losses, metrics and weights of the CPU", "[device][cli][parity]") {
  need_device();
  const TempFolder folder;
  const auto expected = run_expecting(0, train_words(folder.path("cpu"), 2, {})).json();
  const auto got = run_expecting(0, train_words(folder.path("gpu"), 2, kOnGpu)).json();
  require_alike(got, expected);
  const double loss = last_logged(folder.path("cpu"), "train_loss");
  CHECK(std::abs(last_logged(folder.path("gpu"), "train_loss").get<double>() - loss) <= 1e-5 * loss);
  CHECK(last_logged(folder.path("gpu"), "device").get<std::string>().starts_with("cuda fp32, "));
  CHECK(last_logged(folder.path("cpu"), "device") == "cpu");
  const Checkpoint cpu = load_checkpoint(folder.path("cpu/last")), gpu = load_checkpoint(folder.path("gpu/last"));
  for (const auto& [name, value] : cpu.weights.tensors) {
    CAPTURE(name);
    const Distance distance(gpu.weights.tensors.at(name), value);
    CHECK(distance.error <= 1e-4 * distance.size);
  }
}

TEST_CASE("hstu train on the device: a resumed run has the weights of an uninterrupted one, in bfloat16 too",
          "[device][cli][property]") {
  need_device();
  const TempFolder folder;
  const Words on_gpu{"--device", "cuda"};
  run_expecting(0, train_words(folder.path("run"), 1, on_gpu));
  run_expecting(0, train_words(folder.path("run"), 2, on_gpu) + Words{"--resume"});
  run_expecting(0, train_words(folder.path("whole"), 2, on_gpu));
  CHECK(last_logged(folder.path("run"), "weights_crc64") == last_logged(folder.path("whole"), "weights_crc64"));
}

TEST_CASE("hstu evaluate on the device: the metrics of the CPU", "[device][cli][parity]") {
  need_device();
  const Words words{"evaluate", "--run", Example::get().run(), "--mask-shown", "--json"};
  const auto expected = run_expecting(0, words).json();
  const auto got = run_expecting(0, words + kOnGpu).json();
  CHECK(got.at("users") == expected.at("users"));
  require_alike(got, expected);
}

TEST_CASE("hstu rank on the device: trains and predicts as on the CPU", "[device][cli][parity]") {
  need_device();
  const TempFolder folder;
  folder.write("config.json", R"({"input": "fused", "actions": {"rating": "number"}, "held_out": 4,
                                  "hstu": {"d_model": 8, "dqk": 4, "dv": 4, "num_layers": 1, "max_history": 30,
                                           "batch_size": 16, "eps": 1e-4}})");
  const auto trained = [&](const std::string& run, const Words& device) {
    return run_expecting(0, Words{"rank", "--data", Example::get().data(), "--config", folder.path("config.json"),
                                  "--epochs", "1", "--out", folder.path(run), "--json"} + device).json();
  };
  const auto expected = trained("cpu", {}), got = trained("gpu", kOnGpu);
  for (const char* key : {"auc", "normalized_entropy"}) {
    const double is = got.at("tasks").at("like").at(key), should_be = expected.at("tasks").at("like").at(key);
    CAPTURE(key, is, should_be);
    CHECK(std::abs(is - should_be) <= 0.01 * should_be);
  }
  CHECK(last_logged(folder.path("gpu"), "device").get<std::string>().starts_with("cuda fp32, "));
  const auto there = run_expecting(0, Words{"rank", "--run", folder.path("cpu"), "--json"} + kOnGpu).json();
  CHECK(std::abs(there.at("tasks").at("rating").at("mse").get<double>() -
                 expected.at("tasks").at("rating").at("mse").get<double>()) < 1e-4);
}

TEST_CASE("hstu train on the device: what has no kernels is a mistake in the command line", "[device][cli][errors]") {
  need_device();
  const TempFolder folder;
  const Words words = train_words(folder.path("run"), 1, {"--device", "cuda", "--set", "optimizer=sgd"});
  CHECK(run_expecting(2, words).err.find("cuda: the optimizer sgd has no kernel") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder.path("run")));
}

}  // namespace
}  // namespace hstu
#endif
