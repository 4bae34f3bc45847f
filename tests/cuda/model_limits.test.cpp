// SPDX-License-Identifier: MIT
// Models, batches and trainings that have no kernels are refused by name.
#include <hstu/cuda/objective.hpp>

#include "model/small_models.hpp"
#include "on_device.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("training on the device: what has no kernel is refused", "[cuda][training][errors]") {
  const auto refused = [](const auto& change, const std::string& part) {
    TrainConfig config;
    config.loss = LossKind::sampled_softmax;
    config.optimizer = OptimizerKind::adam;
    CHECK_NOTHROW(cuda::check_has_kernels(config));
    change(config);
    CHECK_THROWS_MATCHES(cuda::check_has_kernels(config), ConfigError, says(part));
  };
  refused([](TrainConfig& c) { c.optimizer = OptimizerKind::sgd; }, "the optimizer sgd has no kernel");
  refused([](TrainConfig& c) { c.recompute_activations = true; }, "recompute_activations has no kernels");
  refused([](TrainConfig& c) { c.shared_negatives = true; }, "shared_negatives have no kernels");
}

TEST_CASE("models on the device: types, layers, ids and masks that do not fit are refused", "[cuda][model][errors]") {
  HstuConfig config = tiny_config(LayerKind::meta);
  const HstuModel in_doubles(config, 1, DType::float64);
  CHECK_THROWS_MATCHES(cuda::Parameters(device(), in_doubles.parameters()), ShapeError,
                       says("must be float32, got float64"));

  HstuConfig hashed = tiny_config(LayerKind::meta);
  hashed.item_table_rows = 4;
  const HstuModel hashing(hashed, 1, DType::float32);
  CHECK_THROWS_MATCHES(cuda::Model(device(), hashing), ConfigError, says("hashed items"));
  HstuConfig mixed = tiny_config(LayerKind::meta);
  mixed.similarity = Similarity::mixture;
  const HstuModel mixing(mixed, 1, DType::float32);
  CHECK_THROWS_MATCHES(cuda::Model(device(), mixing), ConfigError, says("similarity = mixture has no kernels"));

  for (const std::int32_t id : {-1, 5}) {
    CHECK_THROWS_MATCHES(cuda::LookupIds(device(), std::vector<std::int32_t>{0, id}, 5, false, -1), DataError,
                         says(concat("id ", id, ", expected 0 to 4")));
  }
  AttentionMask rule;
  rule.max_attn_len = -1;
  CHECK_THROWS_AS(cuda::DeviceMask(device(), {0, 3}, rule, {}), ConfigError);
  CHECK_THROWS_AS(cuda::DeviceMask(device(), {0, 3}, {}, Tensor::from(std::vector<std::int64_t>{4})), ShapeError);
}
