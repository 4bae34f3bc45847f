// SPDX-License-Identifier: MIT
// The trainer when numbers go wrong or a checkpoint does not fit: a typed error, and nothing has changed.
#include "small_training.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

/// Puts `value` into the first weight of the parameter `name`.
void plant(Trainer& trainer, const std::string& name, float value) {
  for (const NamedParameter& p : trainer.model().parameters()) {
    if (p.name != name) continue;
    Tensor weights = p.value;
    *weights.mutable_data<float>() = value;
    return;
  }
  FAIL("no parameter " << name);
}

/// Refuses `saved` with a message that says `part`, and goes on as if it had never been asked.
void require_refused(const Config& config, const std::shared_ptr<const Sequences>& data, const Checkpoint& saved,
                     const std::string& part) {
  INFO(part);
  Trainer trainer(config, data), untouched(config, data);
  for (Trainer* t : {&trainer, &untouched}) t->step();
  REQUIRE_THROWS_MATCHES(trainer.restore(saved), CheckpointError, says(part));
  REQUIRE(is_same(trainer.checkpoint(), untouched.checkpoint()));
  trainer.step();
  untouched.step();
  REQUIRE(is_same(trainer.checkpoint(), untouched.checkpoint()));
}

}  // namespace

TEST_CASE("trainer: a NaN weight is an error that names epoch and step and changes nothing",
          "[train][trainer][errors]") {
  const auto data = small_data();
  const std::pair<std::string_view, const char*> places[] = {{"rechub-0.1", "hstu_block.layers.1.ffn.0.bias"},
                                                             {"rechub-0.9", "hstu_block.layers.0.norm_in.weight"},
                                                             {"meta-ml-1m", "_hstu._attention_layers.0._uvqk"}};
  for (const auto& [kind, name] : places) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      INFO(kind << ": " << bad);
      Trainer trainer(small_config(kind), data);
      trainer.train_one_epoch();
      trainer.step();
      const Checkpoint healthy = trainer.checkpoint();
      plant(trainer, name, bad);
      const Checkpoint before = trainer.checkpoint();
      REQUIRE_THROWS_MATCHES(trainer.step(), NumericError, says("train: epoch 2, step 2: "));
      REQUIRE(is_same(trainer.checkpoint(), before));
      REQUIRE_THROWS_AS(trainer.evaluate(Split::test), NumericError);
      trainer.restore(healthy);  // no rest of the failed step is left in a buffer
      trainer.step();
      Trainer other(small_config(kind), data);
      other.restore(healthy);
      other.step();
      REQUIRE(is_same(trainer.checkpoint(), other.checkpoint()));
    }
  }
}

TEST_CASE("trainer: a NaN or an infinity in any parameter is found in its step, with the op that met it",
          "[train][trainer][errors]") {
  const auto data = small_data();
  int found = 0;
  for (const std::string_view kind : kKinds) {
    Trainer trainer(small_config(kind), data);
    const Checkpoint healthy = trainer.checkpoint();
    for (const NamedParameter& p : trainer.model().parameters()) {
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        INFO(kind << ": " << p.name << " is " << bad);
        Tensor weights = p.value;
        weights.copy_from(Tensor::full(weights.shape(), bad));
        REQUIRE_THROWS_MATCHES(trainer.step(), NumericError, says("train: epoch 1, step 1: ") && says("; first in "));
        trainer.restore(healthy);
        ++found;
      }
    }
    trainer.step();
  }
  std::cout << "figure: " << found << " injected NaN and infinities in parameters found in their step\n";
}

TEST_CASE("trainer: a learning rate that blows up ends in an error, not in NaN weights", "[train][trainer][errors]") {
  const auto data = small_data();
  for (const std::string_view kind : kKinds) {
    INFO(kind);
    Config config = small_config(kind);
    config.train.learning_rate = 9e8;
    config.train.optimizer = OptimizerKind::sgd;
    config.model.l2_scores = false;
    Trainer trainer(config, data);
    const auto train = [&] {
      for (int step = 0; step < 200; ++step) trainer.step();
    };
    REQUIRE_THROWS_MATCHES(train(), NumericError, says("train: epoch "));
    const Checkpoint left = trainer.checkpoint();
    for (const auto& [name, tensor] : left.weights.tensors) {
      INFO(name);
      REQUIRE(std::ranges::none_of(tensor.values<float>(), [](float w) { return std::isnan(w); }));
    }
  }
}

TEST_CASE("trainer: a checkpoint that does not fit is refused and changes nothing", "[train][trainer][errors]") {
  const auto data = small_data();
  const Config config = small_config("meta-ml-1m");
  Trainer source(config, data);
  for (int i = 0; i < 3; ++i) source.step();
  const Checkpoint good = source.checkpoint();

  Config wide = config;
  wide.model.d_model = 12;
  require_refused(config, data, Trainer(wide, data).checkpoint(), "must be float32");
  require_refused(config, data, Trainer(small_config("rechub-0.9"), data).checkpoint(), "weights: the model has");
  Config deep = config;
  deep.model.num_layers = 3;
  require_refused(config, data, Trainer(deep, data).checkpoint(), "parameters, the file");
  Config sgd = config;
  sgd.train.optimizer = OptimizerKind::sgd;
  require_refused(config, data, Trainer(sgd, data).checkpoint(), "optimizer state");

  Checkpoint bad = good;
  auto entry = bad.weights.tensors.extract("_hstu._attention_layers.0._uvqk");
  entry.key() = "other";
  bad.weights.tensors.insert(std::move(entry));
  require_refused(config, data, bad, "has no parameter _hstu._attention_layers.0._uvqk");
  bad = good;
  bad.weights.tensors.begin()->second = bad.weights.tensors.begin()->second.to(DType::float64);
  require_refused(config, data, bad, "must be float32");
  bad = good;
  bad.optimizer.tensors.erase("step");
  require_refused(config, data, bad, "optimizer state: no entry step");
  bad = good;
  bad.optimizer.tensors.clear();
  require_refused(config, data, bad, "optimizer state");
}

TEST_CASE("load_weights: weights that do not fit are refused and change nothing", "[train][trainer][errors]") {
  const auto data = small_data();
  const Trainer source(small_config("meta-ml-1m"), data), other(small_config("rechub-0.9"), data);
  const std::string before = detail::weights_checksum(other.model());
  CHECK_THROWS_MATCHES(load_weights(other.model().parameters(), source.weights()), CheckpointError, says("weights: "));
  CHECK_THROWS_MATCHES(load_weights(other.model().parameters(), {}), CheckpointError, says("the file 0"));
  CHECK(detail::weights_checksum(other.model()) == before);
}

TEST_CASE("trainer: data without a single prediction is an error", "[train][training_units][errors]") {
  Ratings ratings;
  ratings.source = "test";
  ratings.users = {"a"};
  for (const char* item : {"x", "y"}) {
    ratings.user.push_back(0);
    ratings.item.push_back(static_cast<std::int32_t>(ratings.items.add(item)));
    ratings.rating.push_back(1.0F);
    ratings.timestamp_s.push_back(1);
  }
  const auto data = std::make_shared<const Sequences>(make_sequences(ratings));
  Config config = small_config("meta-ml-1m");
  config.model.num_items = data->vocabulary.size();
  CHECK_THROWS_MATCHES(TrainingUnits(data, config), DataError, says("no user has two events to train on"));
  CHECK_THROWS_AS(Trainer(config, data), DataError);
}

TEST_CASE("trainer: a state that contradicts itself is refused and changes nothing", "[train][trainer][errors]") {
  const auto data = small_data();
  const Config config = small_config("meta-ml-1m");
  Trainer source(config, data);
  for (int i = 0; i < 3; ++i) source.step();
  REQUIRE(source.steps_per_epoch() == 2);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const std::pair<const char*, nlohmann::json> changes[] = {
      {"epoch", -1}, {"epoch", huge}, {"epoch", 7},  {"batch", -1},      {"batch", 2},      {"batch", huge},
      {"step", 4},   {"step", -1},    {"step", 3.5}, {"loss_count", -1}, {"loss_sum", "x"}, {"seconds", nullptr}};
  for (const auto& [key, value] : changes) {
    Checkpoint bad = source.checkpoint();
    (*bad.state)[key] = value;
    require_refused(config, data, bad, "state");
  }
  for (const char* key : {"epoch", "batch", "step", "loss_sum", "loss_count", "seconds"}) {
    Checkpoint bad = source.checkpoint();
    bad.state->erase(key);
    require_refused(config, data, bad, concat("state: expected the key '", key, "'"));
  }
  Checkpoint bad = source.checkpoint();
  *bad.state = nlohmann::json::array();
  require_refused(config, data, bad, "expected an object");
}
