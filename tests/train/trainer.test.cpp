// SPDX-License-Identifier: MIT
// The trainer: the same bits for any number of threads, resuming anywhere, learning, and failing without damage.
#include <hstu/recommend/baselines.hpp>

#include "small_training.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

Checkpoint trained(const Config& config, const std::shared_ptr<const Sequences>& data, std::int64_t steps) {
  Trainer trainer(config, data);
  for (std::int64_t i = 0; i < steps; ++i) trainer.step();
  return trainer.checkpoint();
}

/// Users of the given lengths; event i of each has item 1 + i and time i.
std::shared_ptr<const Sequences> data_of_lengths(const std::vector<int>& lengths) {
  Ratings ratings;
  for (int item = 1; item <= 5; ++item) ratings.items.add(std::to_string(item));
  for (const int length : lengths) {
    for (int i = 0; i < length; ++i) {
      ratings.user.push_back(static_cast<std::int32_t>(ratings.users.size()));
      ratings.item.push_back(i + 1);
      ratings.rating.push_back(1.0F);
      ratings.timestamp_s.push_back(i);
    }
    ratings.users.push_back(std::to_string(ratings.users.size()));
  }
  return std::make_shared<const Sequences>(make_sequences(ratings));
}

Config last_item_windows() {
  Config config = small_config("rechub-0.1");
  config.train.samples = SampleKind::windows;
  config.train.loss = LossKind::last_item;
  config.train.max_history = 12;
  return config;
}

/// Mean hr@10 of a baseline over the test events, with seen items left out.
template <class Baseline>
double baseline_hit_rate(const Sequences& data) {
  const Baseline baseline({data.offsets, data.items, 1, data.vocabulary.size()});
  RankingMetrics metrics;
  for (const HeldOut& event : leave_last_out(data).test) {
    const auto history = data.items_of(event.user).first(static_cast<std::size_t>(event.history.size()));
    metrics.add(rank_of_target<double>(baseline.scores(history), data.items[static_cast<std::size_t>(event.target)],
                                       history));
  }
  return metrics.hit_rate(10);
}

}  // namespace

TEST_CASE("trainer: the same bits for any number of threads and from run to run", "[train][trainer][property]") {
  const auto data = small_data();
  std::vector<Config> configs;
  for (const std::string_view kind : kKinds) configs.push_back(small_config(kind));
  configs.push_back(last_item_windows());
  configs.push_back(small_config("meta-ml-1m"));
  configs.back().model.similarity = Similarity::mixture;
  configs[2].train.max_grad_norm = 0.5;
  REQUIRE(Trainer(configs[0], data).train_one_epoch().predictions > 4 * kChunkTokens);  // work for the threads
  for (const Config& config : configs) {
    INFO(to_json(config).dump());
    const auto run = [&](int threads) {
      const Threads scope(threads);
      return trained(config, data, 3);
    };
    const Checkpoint expected = run(1);
    for (const int threads : {1, 2, 3, 4, 8}) {
      INFO(threads << " threads");
      REQUIRE(is_same(run(threads), expected));
    }
    Config other = config;
    other.train.seed = 43;
    REQUIRE_FALSE(is_same(trained(other, data, 3), expected));
  }
}

TEST_CASE("trainer: resuming after any step gives the bits of an uninterrupted run", "[train][trainer][property]") {
  const auto data = small_data();
  for (const std::string_view kind : kKinds) {
    Config config = small_config(kind);
    config.train.batch_size = 70;
    config.train.decay = Decay::cosine;
    config.train.warmup_steps = 3;
    Trainer whole(config, data);
    REQUIRE(whole.steps_per_epoch() == 4);
    std::vector<Checkpoint> saved{whole.checkpoint()};
    for (int step = 1; step <= 9; ++step) {
      whole.step();
      saved.push_back(whole.checkpoint());
    }
    for (std::size_t from = 0; from < 9; ++from) {
      INFO(kind << ", after step " << from);
      Trainer resumed(config, data);
      resumed.step();  // somewhere else
      resumed.restore(saved[from]);
      REQUIRE(is_same(resumed.checkpoint(), saved[from]));
      for (std::size_t step = from; step < 9; ++step) resumed.step();
      REQUIRE(is_same(resumed.checkpoint(), saved[9]));
    }
  }
}

TEST_CASE("trainer: an epoch is its steps; a stopped one goes on behind the stop", "[train][trainer][property]") {
  const auto data = small_data();
  Config config = small_config("meta-ml-1m");
  config.train.batch_size = 70;
  Trainer steps(config, data), epochs(config, data), stopped(config, data);
  for (int i = 0; i < 4; ++i) steps.step();
  std::vector<std::int64_t> seen;
  const EpochResult result = epochs.train_one_epoch([&](const Progress& p) {
    CHECK(p.epoch == 1);
    CHECK(p.steps == 4);
    seen.push_back(p.step);
    return true;
  });
  CHECK(seen == std::vector<std::int64_t>{1, 2, 3, 4});
  CHECK(result.epoch == 1);
  CHECK(epochs.finished_epochs() == 1);
  CHECK(result.learning_rate == 1e-3);
  std::int64_t predictions = 0;  // every event but the first of the user, the held-out last, and what is cut off
  for (std::int64_t u = 0; u < data->num_users(); ++u) {
    predictions += std::clamp<std::int64_t>(data->length(u) - 2, 0, 30);
  }
  CHECK(result.predictions == predictions);
  for (const std::int64_t stop : {1, 3, 4}) {
    Trainer trainer(config, data);
    const EpochResult none = trainer.train_one_epoch([&](const Progress& p) { return p.step < stop; });
    CHECK(none.epoch == 0);
    CHECK(trainer.finished_epochs() == 0);
    const EpochResult rest = trainer.train_one_epoch();
    CHECK(rest.epoch == 1);
    CHECK(rest.loss == result.loss);
    CHECK(rest.predictions == predictions);
    CHECK(is_same(trainer.checkpoint(), epochs.checkpoint()));
  }
  CHECK(::is_same(steps.weights(), epochs.weights()));
}

TEST_CASE("trainer: learns what follows what", "[train][trainer][property]") {
  const auto data = small_data({.users = 300, .items = 100, .clusters = 5, .min_length = 10, .max_length = 40});
  const double popularity = baseline_hit_rate<PopularityBaseline>(*data);
  const double markov = baseline_hit_rate<MarkovBaseline>(*data);
  for (const std::string_view kind : kKinds) {
    Config config = small_config(kind);
    config.model.d_model = 24;
    config.model.dqk = config.model.dv = 12;
    config.train.learning_rate = 1e-2;
    config.train.batch_size = 32;
    config.train.num_negatives = 32;
    Trainer trainer(config, data);
    const Evaluation before = trainer.evaluate(Split::test);
    const double first = trainer.train_one_epoch().loss;
    EpochResult last;
    for (int epoch = 2; epoch <= 8; ++epoch) last = trainer.train_one_epoch();
    const Evaluation after = trainer.evaluate(Split::test);
    INFO(kind << ": loss " << first << " to " << last.loss << ", hr@10 " << before.ranking.hit_rate(10) << " to "
              << after.ranking.hit_rate(10) << "; popularity " << popularity << ", markov " << markov);
    CHECK(last.loss < 0.8 * first);
    CHECK(after.loss() < before.loss());
    CHECK(after.ranking.hit_rate(10) > 1.5 * popularity);
    CHECK(after.ranking.hit_rate(10) > 0.95 * markov);
  }
}

TEST_CASE("trainer: windows of the last item train too", "[train][trainer][property]") {
  const auto data = small_data({.users = 40, .items = 40, .clusters = 2, .min_length = 6, .max_length = 12});
  for (const std::string_view kind : {"rechub-0.1", "rechub-0.9"}) {
    Config config = small_config(kind);
    config.train.samples = SampleKind::windows;
    config.train.max_history = 10;
    config.train.learning_rate = 1e-2;
    for (const LossKind loss : {LossKind::last_item, LossKind::next_item}) {
      config.train.loss = loss;
      Trainer trainer(config, data);
      const EpochResult first = trainer.train_one_epoch();
      std::int64_t windows = 0;
      for (std::int64_t u = 0; u < data->num_users(); ++u) windows += data->length(u) - 2;
      if (loss == LossKind::last_item) CHECK(first.predictions == windows);
      else CHECK(first.predictions > windows);
      for (int epoch = 0; epoch < 3; ++epoch) trainer.train_one_epoch();
      CHECK(trainer.train_one_epoch().loss < first.loss);
    }
  }
}

TEST_CASE("trainer: held-out events are not trained on", "[train][trainer][property]") {
  const auto data = small_data();
  for (const bool validates : {false, true}) {
    Config config = small_config("meta-ml-1m");
    config.train.validate = validates;
    auto other = std::make_shared<Sequences>(*data);  // other items where training must not look
    for (std::int64_t u = 0; u < other->num_users(); ++u) {
      const auto end = static_cast<std::size_t>(other->offsets[static_cast<std::size_t>(u) + 1]);
      for (std::size_t i = 1; i <= (validates && other->length(u) >= 3 ? 2 : 1); ++i) other->items[end - i] = 1;
    }
    CHECK(is_same(trained(config, data, 3), trained(config, other, 3)));
    CHECK(Trainer(config, data).evaluate(Split::validation).users() ==
          std::ssize(leave_last_out(*data).validation));
  }
}

TEST_CASE("trainer: users of 0, 1 and 2 events have nothing to train on", "[train][trainer][errors]") {
  Config config = small_config("meta-ml-1m");
  CHECK_THROWS_MATCHES(Trainer(config, data_of_lengths({1, 2, 0, 1})), DataError, says("no user has two events"));
  CHECK_THROWS_MATCHES(Trainer(config, data_of_lengths({})), DataError, says("no user has two events"));
  Trainer trainer(config, data_of_lengths({1, 2, 0, 3, 5}));
  CHECK(trainer.train_one_epoch().predictions == 1 + 3);
  CHECK(trainer.evaluate(Split::test).users() == 3);
  config.train.validate = true;
  CHECK_THROWS_AS(Trainer(config, data_of_lengths({1, 2, 0, 3})), DataError);
}

TEST_CASE("trainer: num_items must be that of the data", "[train][trainer][errors]") {
  Config config = small_config("meta-ml-1m");
  CHECK(Trainer(config, data_of_lengths({5})).config().model.num_items == 6);
  config.model.num_items = 7;
  CHECK_THROWS_MATCHES(Trainer(config, data_of_lengths({5})), ConfigError, says("num_items is 7, the data has 6"));
}
