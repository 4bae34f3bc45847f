// SPDX-License-Identifier: MIT
// The item table made once per step: the same losses and gradients as without it.
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/reduce.hpp>
#include <hstu/train/objective.hpp>
#include <hstu/train/step_scorer.hpp>
#include <hstu/train/trainer.hpp>

#include <catch2/generators/catch_generators.hpp>

#include "small_training.hpp"

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("step_scorer: gradients are those of the model's own scorer", "[train][step_scorer][parity]") {
  for (const bool is_normalized : {true, false}) {
    HstuConfig config = make_preset("meta-ml-1m").model;
    config.num_items = 12;
    config.d_model = 10;  // not whole packs
    config.l2_scores = is_normalized;
    const HstuModel model(config, 3, DType::float64);
    const Tensor hidden = random_input({4, 10}), targets = Tensor::from(std::vector<std::int32_t>{3, 1, 11, 2});
    const auto loss_of = [&](const Tensor& table) { return cross_entropy(hidden, table, {}, targets, {}); };

    backward(loss_of(model.scorer().table));
    const Tensor expected = grad(model.item_table()).clone();
    zero_grad(model.item_table());

    StepScorer step(model);
    for (int repeat = 0; repeat < 2; ++repeat) {
      step.forward();
      REQUIRE(step.parameters().size() == 1);
      const Tensor& table = step.scorer().table;
      REQUIRE(table.size(1) == 16);
      if (grad(table).defined()) zero_grad(table);
      backward(loss_of(table));
      step.backward();
      require_close(grad(model.item_table()), expected, 1e-12);
      zero_grad(model.item_table());
    }
  }
}

TEST_CASE("step_scorer: gradients of a mixture are those of the model's own scorer", "[train][step_scorer][parity]") {
  const bool l2_scores = GENERATE(false, true);
  HstuConfig config = make_preset("meta-ml-1m").model;
  config.num_items = 12;
  config.d_model = 16;
  config.l2_scores = l2_scores;
  config.similarity = Similarity::mixture;
  const HstuModel model(config, 3, DType::float64);
  const Tensor hidden = random_input({2, 16}), negatives = Tensor::from(std::vector<std::int32_t>{4, 11, 7, 4}, {2, 2});
  const Tensor ids = targets_and_negatives(Tensor::from(std::vector<std::int32_t>{3, 5}), negatives);
  const auto loss_of = [&](const ItemScorer& scorer) {
    return target_softmax(mixture_of_logits(scorer.operands(hidden), ids), ids);
  };
  const ParameterList parameters = model.parameters();
  backward(loss_of(model.row_scorer()));
  std::vector<Tensor> expected;
  for (const NamedParameter& p : parameters) {
    expected.push_back(grad(p.value).defined() ? grad(p.value).clone() : Tensor());
    if (expected.back().defined()) zero_grad(p.value);
  }
  REQUIRE(std::ranges::count_if(expected, &Tensor::defined) == 10);  // the item table and the mixture's own

  StepScorer step(model);
  for (int repeat = 0; repeat < 2; ++repeat) {
    step.forward();
    REQUIRE(step.parameters().size() == 2);
    for (const NamedParameter& p : step.parameters()) {
      if (grad(p.value).defined()) zero_grad(p.value);
    }
    backward(loss_of(step.scorer()));
    step.backward();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (!expected[i].defined()) continue;
      INFO(parameters[i].name);
      require_close(grad(parameters[i].value), expected[i], 1e-12);
      zero_grad(parameters[i].value);
    }
  }
}

TEST_CASE("step_scorer: a table in whole packs that is not normalised is the model's own", "[train][step_scorer][property]") {
  HstuConfig config = make_preset("meta-ml-1m").model;
  config.num_items = 5;
  config.d_model = 16;
  config.l2_scores = false;
  const HstuModel model(config);
  const StepScorer step(model);
  REQUIRE(step.parameters().empty());
  REQUIRE(step.scorer().table.node() == model.item_table().node());
}

TEST_CASE("step_scorer: a gradient that the normalisation makes infinite is found", "[train][step_scorer][errors]") {
  HstuConfig config = make_preset("meta-ml-1m").model;
  config.num_items = 5;
  config.d_model = 10;
  const HstuModel model(config);
  Tensor items = model.item_table();
  items.rows(1, 2).fill_zero();
  StepScorer step(model);
  step.forward();
  const Tensor table = step.scorer().table;
  backward(sum(scale(table, 1e36)));  // times 1/eps = 1e6 in the row of zeros
  REQUIRE_THROWS_MATCHES(step.backward(), NumericError, says("_item_emb.weight is not finite"));
}

TEST_CASE("step_scorer: a trainer made while a NoGrad lives trains all the same", "[train][step_scorer][property]") {
  const Config config = small_config("meta-ml-1m");
  std::optional<NoGrad> no_grad(std::in_place);
  Trainer trainer(config, small_data());
  no_grad.reset();
  Trainer other(config, small_data());
  trainer.step();
  other.step();
  for (const auto& [name, value] : trainer.weights().tensors) {
    INFO(name);
    CHECK(value.to_vector<float>() == other.weights().tensors.at(name).to_vector<float>());
  }
}
