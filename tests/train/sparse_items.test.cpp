// SPDX-License-Identifier: MIT
// Training that touches only the rows of the item table that a step needs, against training of the whole table.
#include "small_training.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

Config sparse_config(ItemOptimizerKind kind) {
  Config config = small_config("meta-ml-1m");
  config.train.batch_size = 70;
  config.train.item_optimizer = kind;
  return config;
}

double largest_change(const Tensor& a, const Tensor& b) {
  double largest = 0.0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(a.numel()); ++i) {
    largest = std::max(largest, static_cast<double>(std::abs(a.values<float>()[i] - b.values<float>()[i])));
  }
  return largest;
}

}  // namespace

TEST_CASE("sparse items: the first step has the dense loss, and the dense update of the rows it touches",
          "[train][sparse_items][parity]") {
  const auto data = small_data();
  const auto check = [&](const auto& change) {
    Config sparse = sparse_config(ItemOptimizerKind::sparse_adam), dense = sparse;
    dense.train.item_optimizer = ItemOptimizerKind::dense;
    for (Config* config : {&sparse, &dense}) {
      config->train.optimizer = OptimizerKind::adam;
      config->train.beta2 = 0.0;  // both put eps at one place then
      config->train.eps = 1e-2;
      change(*config);
    }
    Trainer a(sparse, data), b(dense, data);
    const Tensor before = a.model().item_table().clone();
    const double loss = a.step().loss;
    CHECK(std::abs(loss - b.step().loss) < 1e-5 * loss);
    const ParameterList of_a = a.model().parameters(), of_b = b.model().parameters();
    for (std::size_t i = 0; i < of_a.size(); ++i) {
      INFO(of_a[i].name);
      CHECK(largest_change(of_a[i].value, of_b[i].value) < 2e-6);
    }
    CHECK(largest_change(a.model().item_table(), before) > 1e-5);
  };
  check([](Config&) {});
  check([](Config& c) { c.train.shared_negatives = true; });
  check([](Config& c) { c.train.negatives = NegativeKind::in_batch; });
  check([](Config& c) { c.train.negatives = NegativeKind::popularity, c.train.log_q = true; });
  check([](Config& c) { c.train.loss = LossKind::nce, c.train.negatives = NegativeKind::popularity; });
  check([](Config& c) { c.train.loss = LossKind::sampled_binary, c.train.max_grad_norm = 0.1; });
  check([](Config& c) { c.model.item_table_rows = 40; });
  check([](Config& c) { c.model.l2_scores = false, c.model.d_model = 5; });
  check([](Config& c) { c.model.similarity = Similarity::mixture; });
}

TEST_CASE("sparse items: a checkpoint goes on with the same bits, for any number of threads",
          "[train][sparse_items][property]") {
  const auto data = small_data();
  for (const ItemOptimizerKind kind : {ItemOptimizerKind::rowwise_adagrad, ItemOptimizerKind::sparse_adam}) {
    Config config = sparse_config(kind);
    config.train.item_learning_rate = 0.05;
    const Threads one(1);
    Trainer whole(config, data), first(config, data);
    const double first_loss = whole.train_one_epoch().loss;
    CHECK(whole.train_one_epoch().loss < first_loss);
    for (int i = 0; i < 3; ++i) first.step();
    const Checkpoint saved = first.checkpoint();
    CHECK(std::ranges::any_of(saved.optimizer.tensors, [](const auto& e) { return e.first.starts_with("item_table/"); }));
    const Threads three(3);
    Trainer second(config, data);
    second.restore(saved);
    while (second.finished_epochs() < 2) second.train_one_epoch();
    CHECK(is_same(second.checkpoint(), whole.checkpoint()));

    Trainer untouched(config, data);
    const Checkpoint before = untouched.checkpoint();
    Checkpoint bad = saved;
    bad.optimizer.tensors.erase(std::ranges::find_if(bad.optimizer.tensors, [](const auto& e) {
      return e.first.starts_with("item_table/");
    }));
    CHECK_THROWS_MATCHES(untouched.restore(bad), CheckpointError, says("item optimizer state"));
    CHECK(is_same(untouched.checkpoint(), before));
  }
}

TEST_CASE("sparse items: rows that no step touched stay as they were", "[train][sparse_items][property]") {
  Ratings ratings = make_synthetic_ratings({.users = 30, .items = 40, .clusters = 2, .min_length = 4, .max_length = 9});
  for (int i = 0; i < 3000; ++i) ratings.items.add(concat("never met ", i));
  const auto data = std::make_shared<const Sequences>(make_sequences(ratings));
  Config config = sparse_config(ItemOptimizerKind::rowwise_adagrad);
  config.train.shared_negatives = true;
  Trainer trainer(config, data);
  const Tensor before = trainer.model().item_table().clone();
  trainer.step();
  const Tensor after = trainer.model().item_table();
  std::int64_t changed = 0;
  for (std::int64_t row = 0; row < after.size(0); ++row) {
    changed += after.rows(row, row + 1).to_vector<float>() != before.rows(row, row + 1).to_vector<float>();
  }
  CHECK((changed > 10 && changed <= 40 + config.train.num_negatives));
  CHECK(after.rows(0, 1).to_vector<float>() == before.rows(0, 1).to_vector<float>());
}
