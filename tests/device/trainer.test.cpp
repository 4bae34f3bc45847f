// SPDX-License-Identifier: MIT
// The trainer with the engine of the device: the same bits from run to run, checkpoints, evaluation, errors.
#include "training.hpp"

namespace hstu {
namespace {
using namespace test;

const auto kData = small_data({.users = 60, .items = 80, .clusters = 5, .min_length = 2, .max_length = 40});

Config trainer_config() {
  Config c = device_config("meta-ml-1m");
  c.model.num_layers = 1;
  c.train.batch_size = 15;
  return c;
}

Checkpoint trained(const Config& config, Precision precision, std::int64_t steps) {
  Trainer trainer(config, kData, cuda::make_engine(precision));
  for (std::int64_t i = 0; i < steps; ++i) trainer.step();
  return trainer.checkpoint();
}

TEST_CASE("trainer on the device: the same bits from run to run, and when it goes on from a checkpoint",
          "[device][trainer][property]") {
  need_device();
  const Config config = trainer_config();
  for (const Precision precision : {Precision::bfloat16, Precision::float32}) {
    const Checkpoint whole = trained(config, precision, 3), saved = trained(config, precision, 2);
    CHECK(is_same(trained(config, precision, 3), whole));
    Trainer resumed(config, kData, cuda::make_engine(precision));
    resumed.step();  // somewhere else
    resumed.restore(saved);
    CHECK(is_same(resumed.checkpoint(), saved));
    resumed.step();
    CHECK(is_same(resumed.checkpoint(), whole));
  }
}

TEST_CASE("trainer on the device: checkpoints travel between the CPU and the device", "[device][trainer][property]") {
  need_device();
  const Config config = trainer_config();
  Trainer cpu(config, kData), gpu(config, kData, cuda::make_engine(Precision::float32));
  cpu.step();
  gpu.restore(cpu.checkpoint());
  CHECK(is_same(gpu.checkpoint(), cpu.checkpoint()));
  cpu.step();
  gpu.step();
  const TensorFile expected = cpu.weights(), got = gpu.weights();
  for (const auto& [name, value] : expected.tensors) {
    CAPTURE(name);
    const Distance distance(got.tensors.at(name), value);
    CHECK(distance.error <= 1e-5 * distance.size);
  }
  const Checkpoint saved = gpu.checkpoint();
  cpu.restore(saved);
  CHECK(is_same(cpu.checkpoint(), saved));
}

TEST_CASE("trainer on the device: an optimizer's state that does not fit changes nothing",
          "[device][trainer][errors]") {
  need_device();
  Trainer trainer(trainer_config(), kData, cuda::make_engine(Precision::float32));
  const Checkpoint before = trainer.checkpoint();
  trainer.step();
  const Checkpoint after = trainer.checkpoint();
  Checkpoint damaged = before;
  damaged.optimizer.tensors.erase(damaged.optimizer.tensors.begin());
  CHECK_THROWS_AS(trainer.restore(damaged), CheckpointError);
  CHECK(is_same(trainer.checkpoint(), after));
}

TEST_CASE("trainer on the device: evaluation ranks as the CPU does", "[device][trainer][parity]") {
  need_device();
  for (const std::string_view preset : kKinds) {
    CAPTURE(preset);
    const Config config = device_config(preset);
    const Trainer cpu(config, kData), gpu(config, kData, cuda::make_engine(Precision::float32));
    for (const bool keep_seen : {false, true}) {
      for (const Split split : {Split::validation, Split::test}) {
        const Evaluation expected = cpu.evaluate(split, keep_seen), got = gpu.evaluate(split, keep_seen);
        CHECK(got.users() == expected.users());
        CHECK(std::abs(got.loss() - expected.loss()) <= 1e-5 * expected.loss());
        // Scores of two items may be closer than rounding: a rank or two of 60 may differ by one.
        CHECK(std::abs(got.ranking.mrr() - expected.ranking.mrr()) <= 2e-2);
        CHECK(std::abs(got.ranking.hit_rate(10) - expected.ranking.hit_rate(10)) <= 0.02);
      }
    }
  }
}

TEST_CASE("trainer on the device: a loss that is not finite leaves the parameters alone", "[device][trainer][errors]") {
  need_device();
  Config config = trainer_config();
  config.model.l2_scores = false;
  Trainer trainer(config, kData, cuda::make_engine(Precision::float32));
  trainer.step();
  Checkpoint poisoned = trainer.checkpoint();
  poisoned.weights.tensors.at("_hstu._attention_layers.0._o.bias") =
      Tensor::full({8}, std::numeric_limits<double>::infinity());
  trainer.restore(poisoned);
  CHECK_THROWS_MATCHES(trainer.step(), NumericError, says("train: epoch 1, step 2: the loss is "));
  CHECK(is_same(trainer.checkpoint(), poisoned));
}

TEST_CASE("trainer on the device: what has no kernels is refused by name", "[device][trainer][errors]") {
  need_device();
  const auto refused = [&](const auto& change, const char* says_what) {
    Config config = device_config("meta-ml-1m");
    change(config);
    CHECK_THROWS_MATCHES(Trainer(config, kData, cuda::make_engine(Precision::float32)), ConfigError, says(says_what));
  };
  refused([](Config& c) { c.train.optimizer = OptimizerKind::sgd; }, "cuda: the optimizer sgd");
  refused([](Config& c) { c.train.shared_negatives = true; }, "shared_negatives");
  refused([](Config& c) { c.train.item_optimizer = ItemOptimizerKind::sparse_adam; }, "item_optimizer");
  refused([](Config& c) { c.train.recompute_activations = true; }, "recompute_activations");
  refused([](Config& c) { c.model.item_table_rows = 8; }, "item_table_rows");
  refused([](Config& c) { c.model.similarity = Similarity::mixture; }, "similarity = mixture has no kernels");
}

}  // namespace
}  // namespace hstu
