// SPDX-License-Identifier: MIT
// What a step trains on: units, their losses, and the step itself against one pass over the whole batch.
#include "small_training.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

std::vector<std::int64_t> all_units(const TrainingUnits& units) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(units.size()));
  std::iota(numbers.begin(), numbers.end(), std::int64_t{0});
  return numbers;
}

Config filled(Config config, const Sequences& data) {
  config.model.num_items = data.vocabulary.size();
  return config;
}

/// The negatives of step 0 on this batch.
NegativeSampler negatives_of(const TrainingUnits& units, const TrainConfig& config, const JaggedBatch& batch) {
  NegativeSampler negatives = make_negative_sampler(config, units.target_counts());
  negatives.begin_step(batch.targets.values<std::int32_t>(), negative_stream(config.seed, 0));
  return negatives;
}

/// Sum of the losses of some units in one pass, as training sees them in step 0.
double loss_of(const HstuModel& model, const TrainingUnits& units, std::span<const std::int64_t> numbers,
               const TrainConfig& config, const NegativeSampler& negatives, std::int64_t first_token) {
  ForwardContext context{.is_training = true, .seed = config.seed, .first_token = first_token};
  return training_loss(model, model.scorer(), units.batch(numbers), config, negatives, context).item();
}

std::vector<Config> every_kind_of_training() {
  std::vector<Config> configs;
  for (const std::string_view kind : kKinds) configs.push_back(small_config(kind));
  configs.push_back(small_config("rechub-0.9"));
  configs.back().train.loss = LossKind::last_item;
  for (const std::string_view kind : {"rechub-0.1", "rechub-0.9"}) {
    configs.push_back(small_config(kind));
    configs.back().train.samples = SampleKind::windows;
    configs.back().train.loss = LossKind::last_item;
    configs.back().train.max_history = 9;
    configs.back().train.batch_size = 400;
  }
  const auto add = [&](LossKind loss, NegativeKind kind, bool is_shared, bool log_q) {
    configs.push_back(small_config("meta-ml-1m"));
    configs.back().train.loss = loss;
    configs.back().train.negatives = kind;
    configs.back().train.shared_negatives = is_shared;
    configs.back().train.log_q = log_q;
  };
  add(LossKind::sampled_softmax, NegativeKind::popularity, false, true);
  add(LossKind::sampled_softmax, NegativeKind::in_batch, true, true);
  add(LossKind::sampled_binary, NegativeKind::uniform, true, false);
  add(LossKind::nce, NegativeKind::in_batch, false, false);
  configs.push_back(small_config("meta-ml-1m"));
  configs.back().train.stochastic_length_alpha = 1.5;
  configs.push_back(small_config("meta-ml-1m"));
  configs.back().train.max_history = 9;
  configs.back().train.whole_history = true;
  for (const std::string_view kind : kKinds) {
    configs.push_back(small_config(kind));
    configs.back().train.recompute_activations = true;
  }
  for (const bool is_shared : {false, true}) {
    configs.push_back(small_config("meta-ml-1m"));
    configs.back().model.similarity = Similarity::mixture;
    configs.back().train.shared_negatives = is_shared;
  }
  return configs;
}

}  // namespace

TEST_CASE("training_events: all but the held-out events", "[train][training_units][property]") {
  const auto data = small_data({.users = 50, .items = 20, .clusters = 2, .min_length = 1, .max_length = 4});
  const LeaveLastOut split = leave_last_out(*data);
  for (std::int64_t user = 0; user < data->num_users(); ++user) {
    const auto u = static_cast<std::size_t>(user);
    CHECK(training_events(*data, user, true) == split.train[u]);
    const std::int64_t kept = data->length(user) < 2 ? data->length(user) : data->length(user) - 1;
    CHECK(training_events(*data, user, false) == EventRange{data->offsets[u], data->offsets[u] + kept});
  }
}

TEST_CASE("training_units: lengths are those of the batches, padding aside", "[train][training_units][property]") {
  const auto data = small_data();
  for (const Config& config : every_kind_of_training()) {
    const TrainingUnits units(data, filled(config, *data));
    for (const std::int64_t unit : {std::int64_t{0}, units.size() / 2, units.size() - 1}) {
      const JaggedBatch batch = units.batch(std::vector{unit});
      CHECK(batch.users() == 1);
      const bool keeps_padding = config.model.layer == LayerKind::rechub_0_1;
      if (config.train.samples == SampleKind::windows && !keeps_padding) CHECK(batch.tokens() <= units.length(unit));
      else CHECK(batch.tokens() == units.length(unit));
    }
    CHECK(units.batch({}).users() == 0);
  }
}

TEST_CASE("count_losses: tokens with a target, or users for the last item", "[train][objective][property]") {
  const std::vector<std::int32_t> tokens{0, 0, 4, 7, 1, 2, 3, 5}, targets{8, 6};
  const JaggedBatch batch = batch_from_windows(tokens, std::vector<std::int64_t>(8), targets, 4, Padding::keep);
  CHECK(count_losses(batch, LossKind::next_item) == 6);
  CHECK(count_losses(batch, LossKind::sampled_softmax) == 6);
  CHECK(count_losses(batch, LossKind::last_item) == 2);
}

TEST_CASE("training_loss: the last item's loss is its share of the next items' loss", "[train][objective][parity]") {
  const auto data = small_data();
  Config config = filled(small_config("rechub-0.9"), *data);
  const HstuModel model(config.model, 1, DType::float64);
  const TrainingUnits units(data, config);
  const JaggedBatch batch = units.batch(std::vector<std::int64_t>{3});
  JaggedBatch only_last = batch;
  only_last.targets = batch.targets.clone();
  const auto all_but_last = static_cast<std::size_t>(batch.tokens() - 1);
  std::ranges::fill(only_last.targets.mutable_values<std::int32_t>().first(all_but_last), 0);
  ForwardContext first, second;
  const NegativeSampler unused = negatives_of(units, config.train, batch);
  const double by_targets = training_loss(model, model.scorer(), only_last, config.train, unused, first).item();
  config.train.loss = LossKind::last_item;
  const double by_kind = training_loss(model, model.scorer(), batch, config.train, unused, second).item();
  CHECK(by_kind > 0.0);
  CHECK(std::abs(by_kind - by_targets) < 1e-9 * by_kind);
}

TEST_CASE("training_loss: of a mixture it is a softmax over the scores of target and negatives",
          "[train][objective][parity]") {
  const auto data = small_data();
  Config config = filled(small_config("meta-ml-1m"), *data);
  config.model.similarity = Similarity::mixture;
  const HstuModel model(config.model, 1, DType::float64);
  const TrainingUnits units(data, config);
  const JaggedBatch batch = units.batch(std::vector<std::int64_t>{3, 4});
  ForwardContext context, again;
  const Tensor scores = model.scores(model.hidden(batch, again));
  const Tensor negatives = Tensor::from(std::vector<std::int32_t>{5, 1, 5, 7}), targets = batch.targets;
  double expected = 0.0;
  for (std::int64_t t = 0; t < batch.tokens(); ++t) {
    const std::int32_t target = targets.data<std::int32_t>()[t];
    if (target == 0) continue;
    const auto of = [&](std::int32_t item) { return std::exp(scores.data<double>()[t * scores.size(1) + item]); };
    double sum = of(target);
    for (const std::int32_t item : negatives.values<std::int32_t>()) sum += item == target ? 0.0 : of(item);
    expected -= std::log(of(target) / sum);
  }
  const double loss =
      training_loss(model, model.row_scorer(), batch, config.train, negatives, {}, context).item();
  CHECK(std::abs(loss - expected) < 1e-9 * expected);
}

TEST_CASE("training_loss: chunks sum up to the whole batch, dropout and negatives included",
          "[train][objective][property]") {
  const auto data = small_data();
  for (const Config& plain : every_kind_of_training()) {
    const Config config = filled(plain, *data);
    INFO(to_json(config).dump());
    const HstuModel model(config.model, 1, DType::float64);
    const TrainingUnits units(data, config);
    const auto numbers = all_units(units);
    const std::span<const std::int64_t> some = std::span(numbers).first(24), head = some.first(7),
                                        tail = some.subspan(7);
    const NegativeSampler negatives = negatives_of(units, config.train, units.batch(some));
    const double whole = loss_of(model, units, some, config.train, negatives, 0);
    const std::int64_t cut = units.batch(head).tokens();
    const double of_head = loss_of(model, units, head, config.train, negatives, 0);
    const double of_tail = loss_of(model, units, tail, config.train, negatives, cut);
    CHECK(std::abs(of_head + of_tail - whole) < 1e-9 * whole);
    const double elsewhere = loss_of(model, units, tail, config.train, negatives, 0);
    CHECK(std::abs(elsewhere - of_tail) > 1e-6 * whole);  // the place matters
  }
}

TEST_CASE("trainer: a step is one optimizer step on the mean loss of its whole batch", "[train][trainer][parity]") {
  const auto data = small_data();
  for (Config config : every_kind_of_training()) {
    INFO(to_json(config).dump());
    config.train.optimizer = OptimizerKind::sgd;  // Adam turns rounding into whole steps
    config.train.learning_rate = 0.1;
    Trainer trainer(config, data);
    trainer.step();

    const HstuModel model(trainer.config().model, config.train.seed);
    const ParameterList parameters = model.parameters();
    const TrainingUnits units(data, trainer.config());
    auto order = all_units(units);
    shuffle(order, RandomStream{.seed = config.train.seed, .step = 0, .site = kSiteUserOrder});
    order.resize(std::min(order.size(), static_cast<std::size_t>(config.train.batch_size)));
    const JaggedBatch batch = units.batch(order);
    ForwardContext context{.is_training = true, .seed = config.train.seed};
    const NegativeSampler negatives = negatives_of(units, config.train, batch);
    const Tensor loss = training_loss(model, model.scorer(), batch, trainer.config().train, negatives, context);
    Gradients gradients;
    backward(loss, gradients, 1.0 / static_cast<double>(count_losses(batch, config.train.loss)));
    CHECK(trainer.checkpoint().state->at("loss_count") == count_losses(batch, config.train.loss));
    const double trained_loss = trainer.checkpoint().state->at("loss_sum").get<double>();
    CHECK(std::abs(trained_loss - loss.item()) < 1e-4 * loss.item());
    const TensorFile trained = trainer.weights();
    for (const NamedParameter& p : parameters) {
      INFO(p.name);
      Values expected = p.value.to(DType::float64).to_vector<double>();
      const auto dw = gradients.of(p.value).values<float>();
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] -= 0.1 * static_cast<double>(dw[i]);
      require_close(trained.tensors.at(p.name), expected, 1e-5);
    }
  }
}
