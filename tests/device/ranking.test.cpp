// SPDX-License-Identifier: MIT
// Ranking models on the device against the CPU: steps, predictions, checkpoints, the verb hstu rank.
#include <hstu/cuda/ranking_engine.hpp>

#include "../train/small_ranking.hpp"
#include "training.hpp"

namespace hstu {
namespace {
using namespace test;

RankingSettings ranking_settings(const Variant& variant) {
  RankingSettings s = small_settings(variant.input, variant.has_context);
  s.ranking.item_features = {{"kind", FeatureKind::category}, {"size", FeatureKind::number}};
  s.hstu.model.scale_input_embedding = variant.has_context;
  s.hstu.train.eps = 1e-4;  // as in device_config()
  s.hstu.train.batch_size = 15;
  return s;
}

RankingData ranking_data(const RankingSettings& settings) {
  static const auto sequences = small_data({.users = 40, .items = 80, .clusters = 3, .min_length = 2, .max_length = 40});
  return data_of(sequences, settings);
}

/// An engine with a model of its own.
struct RankingTraining {
  RankingTraining(const RankingSettings& of, const MakeRankingEngine& make)
      : settings(with_items(of)), data(ranking_data(settings)), passes(training_passes(*data.sequences, settings)),
        model(settings.hstu.model, settings.ranking, data, data.labels, 3) {
    for (std::uint32_t site = 100; const NamedParameter& p : model.parameters()) {
      Tensor values = p.value;
      add_in_place(values, random_input(values.shape(), site++, 0.1).to(DType::float32));
    }
    engine = make(model, data, settings);
  }
  static RankingSettings with_items(RankingSettings s) {
    s.hstu.model.num_items = ranking_data(s).sequences->vocabulary.size();
    return s;
  }
  StepLoss step(std::int64_t number) {
    const std::int64_t size = settings.hstu.train.batch_size;
    const auto some = std::span(passes).subspan(static_cast<std::size_t>(number * size), static_cast<std::size_t>(size));
    const StepLoss loss = engine->step({some, number, settings.hstu.train.learning_rate});
    engine->write_model();
    return loss;
  }

  RankingSettings settings;
  RankingData data;
  std::vector<RankingPass> passes;
  RankingModel model;
  std::unique_ptr<RankingEngine> engine;
};

void compare_ranking(const RankingSettings& settings, Precision precision, const Tolerances& tolerances) {
  RankingTraining cpu(settings, make_cpu_ranking_engine), gpu(settings, cuda::make_ranking_engine(precision));
  const auto& engine = dynamic_cast<const cuda::DeviceRankingEngine&>(*gpu.engine);
  const ParameterList of_cpu = cpu.model.parameters(), of_gpu = gpu.model.parameters();
  std::vector<Tensor> initial;
  for (const NamedParameter& p : of_cpu) initial.push_back(p.value.clone());
  for (std::int64_t step = 0; step < 2; ++step) {
    CAPTURE(step);
    const StepLoss expected = cpu.step(step), got = gpu.step(step);
    REQUIRE(got.count == expected.count);
    CAPTURE(got.sum, expected.sum);
    REQUIRE(std::abs(got.sum - expected.sum) <= tolerances.loss * std::abs(expected.sum));
    compare_parameters(of_cpu, of_gpu, initial, engine.gradients(), tolerances);
  }
}

TEST_CASE("ranking on the device: steps as on the CPU, for every kind of tokens", "[device][ranking][parity]") {
  need_device();
  for (const Variant& variant : kVariants) {
    CAPTURE(static_cast<int>(variant.input), variant.has_context);
    compare_ranking(ranking_settings(variant), Precision::float32,
                    {.loss = 1e-5, .gradient = 1e-5, .change = 1e-3, .each = 1e-4});
  }
}

TEST_CASE("ranking on the device: steps with bfloat16 products", "[device][ranking][parity]") {
  need_device();
  RankingSettings settings = ranking_settings({ActionInput::fused, true});
  settings.hstu.train.eps = 1.0;  // an update errs as the gradient does
  settings.hstu.train.learning_rate = 0.1;
  const double products = 2.0 * 4.0 * static_cast<double>(settings.hstu.model.num_layers) + 4.0;
  const double rounding = 2.0 * 0x1p-9 * products;  // as in rounded.test.cpp
  compare_ranking(settings, Precision::bfloat16, {.loss = rounding, .gradient = rounding, .change = rounding});
}

Checkpoint trained_ranking(const RankingSettings& settings, int epochs) {
  RankingTrainer trainer(settings, ranking_data(settings), cuda::make_ranking_engine(Precision::bfloat16));
  for (int epoch = 0; epoch < epochs; ++epoch) trainer.train_one_epoch();
  return trainer.checkpoint();
}

TEST_CASE("ranking on the device: the same bits from run to run and when resumed; predictions of the CPU",
          "[device][ranking][property]") {
  need_device();
  RankingSettings settings = ranking_settings({ActionInput::interleaved, true});
  settings.ranking.actions = {{"rating", FeatureKind::category}};
  const Checkpoint saved = trained_ranking(settings, 1), whole = trained_ranking(settings, 2);
  RankingTrainer resumed(settings, ranking_data(settings), cuda::make_ranking_engine(Precision::bfloat16));
  resumed.train_one_epoch();  // the same again
  CHECK(is_same(resumed.checkpoint(), saved));
  resumed.train_one_epoch();
  resumed.restore(saved);
  CHECK(is_same(resumed.checkpoint(), saved));
  resumed.train_one_epoch();
  CHECK(is_same(resumed.checkpoint(), whole));
  CHECK(resumed.engine_name().starts_with("cuda bf16, "));

  RankingTrainer cpu(settings, ranking_data(settings)),
      gpu(settings, ranking_data(settings), cuda::make_ranking_engine(Precision::float32));
  cpu.restore(whole);
  gpu.restore(whole);
  for (const bool is_test : {false, true}) {
    const TaskPredictions expected = cpu.predict(is_test), got = gpu.predict(is_test);
    REQUIRE(got.size() == expected.size());
    for (std::size_t k = 0; k < got.size(); ++k) {
      REQUIRE(got[k].size() == expected[k].size());
      REQUIRE(!got[k].empty());
      for (std::size_t i = 0; i < got[k].size(); ++i) {
        CHECK(got[k][i].user == expected[k][i].user);
        CHECK(got[k][i].label == expected[k][i].label);
        CHECK(std::abs(got[k][i].predicted - expected[k][i].predicted) <= 1e-5);
      }
    }
  }
}

TEST_CASE("ranking on the device: what has no kernels is refused, and what is not finite is found",
          "[device][ranking][errors]") {
  need_device();
  RankingSettings settings = ranking_settings({ActionInput::interleaved, false});
  settings.ranking.actions = {{"rating", FeatureKind::category}};
  settings.hstu.train.recompute_activations = true;
  const auto make = [&] {
    RankingTrainer(settings, ranking_data(settings), cuda::make_ranking_engine(Precision::float32));
  };
  CHECK_THROWS_MATCHES(make(), ConfigError, says("cuda: recompute_activations has no kernels"));
  settings.hstu.train.recompute_activations = false;
  RankingTraining training(settings, cuda::make_ranking_engine(Precision::float32));
  Tensor bias = training.model.parameters().back().value;
  bias.mutable_values<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  training.engine->read_model();
  CHECK_THROWS_MATCHES(training.step(0), NumericError, says("the loss is nan"));
}

}  // namespace
}  // namespace hstu
