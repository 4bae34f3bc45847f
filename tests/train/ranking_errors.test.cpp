// SPDX-License-Identifier: MIT
// Ranking: models and trainings that cannot be.
#include <hstu/train/ranking_run.hpp>

#include "../io/files.hpp"
#include "small_training.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

RankingSettings settings_of_ratings() {
  RankingSettings settings = dlrm_hstu_settings();
  settings.ranking.actions = {{"rating", FeatureKind::category}};
  settings.ranking.item_features = {};
  settings.ranking.user_features = {};
  return settings;
}

std::shared_ptr<const Sequences> one_event() {
  Ratings ratings;
  ratings.source = "test";
  ratings.users = {"a"};
  ratings.items.add("x");
  ratings.user = {0};
  ratings.item = {1};
  ratings.rating = {1.0F};
  ratings.timestamp_s = {1};
  return std::make_shared<const Sequences>(make_sequences(ratings));
}

}  // namespace

TEST_CASE("ranking: a model without tasks or actions, and a training without events, are errors",
          "[train][ranking][errors]") {
  const auto sequences = small_data();
  const RankingSettings settings = settings_of_ratings();
  const RankingData data = make_ranking_data(sequences, settings.ranking);
  HstuConfig config = settings.hstu.model;
  config.num_items = sequences->vocabulary.size();
  const auto model_of = [&](const RankingConfig& ranking, const RankingData& of) {
    return RankingModel(config, ranking, of, of.labels, 1);
  };
  RankingConfig no_tasks = settings.ranking;
  no_tasks.tasks.clear();
  CHECK_THROWS_MATCHES(model_of(no_tasks, data), ConfigError, says("expected at least one task"));
  RankingData no_actions = data;
  no_actions.actions.clear();
  CHECK_THROWS_MATCHES(model_of(settings.ranking, no_actions), ConfigError, says("at least one action column"));

  RankingSettings fused = settings;  // predicts from the second event on
  fused.ranking.input = ActionInput::fused;
  CHECK_THROWS_MATCHES(RankingTrainer(fused, make_ranking_data(one_event(), settings.ranking)), DataError,
                       says("no user has events to train on"));
  CHECK_THROWS_AS(training_passes(*one_event(), fused), DataError);
  CHECK(training_passes(*one_event(), settings).size() == 1);
  RankingSettings bad = settings;
  bad.held_out = 0;
  CHECK_THROWS_MATCHES(RankingTrainer(bad, data), ConfigError, says("held_out"));
}

TEST_CASE("ranking: candidates without anything to predict from, and folders without a run, are errors",
          "[train][ranking][errors]") {
  const auto sequences = one_event();
  const std::vector<std::int32_t> candidates = {1};
  RankingBatchBuilder fused(*sequences, ActionInput::fused, 0);
  CHECK_THROWS_MATCHES(fused.add_candidates(0, {0, 0}, candidates, 5), DataError,
                       says("user 0 has neither events nor features"));
  RankingBatchBuilder interleaved(*sequences, ActionInput::interleaved, 0);
  CHECK_NOTHROW(interleaved.add_candidates(0, {0, 0}, candidates, 5));

  const TempFolder folder;
  CHECK_THROWS_AS(load_ranking_settings(folder.path("none")), IoError);
  CHECK_THROWS_AS(load_ranking_data(folder.path("none"), settings_of_ratings().ranking), IoError);
  folder.write("config.json", "{}");
  CHECK_THROWS_MATCHES(load_ranking_settings(folder.path()), CheckpointError,
                       says("expected settings of a ranking run"));
}
