// SPDX-License-Identifier: MIT
// What an epoch is made of: which events are predicted, and from which.
#include "small_training.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

Config config_for(const Sequences& data, std::int64_t max_history) {
  Config config = small_config("meta-ml-1m");
  config.train.max_history = max_history;
  config.model.num_items = data.vocabulary.size();
  return config;
}

/// Inputs and targets of one unit.
std::pair<std::vector<std::int32_t>, std::vector<std::int32_t>> pass_of(const TrainingUnits& units, std::int64_t unit) {
  const std::int64_t units_of_batch[] = {unit};
  const JaggedBatch batch = units.batch(units_of_batch);
  const auto items = batch.items.values<std::int32_t>(), targets = batch.targets.values<std::int32_t>();
  return {{items.begin(), items.end()}, {targets.begin(), targets.end()}};
}

}  // namespace

TEST_CASE("whole_history: every event but a user's first is predicted once, from those before it",
          "[train][training_units][property]") {
  const auto data = small_data();
  for (const std::int64_t max_history : {1, 2, 7, 30}) {
    Config config = config_for(*data, max_history);
    config.train.whole_history = true;
    const TrainingUnits units(data, config);
    std::int64_t unit = 0;
    for (std::int64_t user = 0; user < data->num_users(); ++user) {
      const EventRange events = training_events(*data, user, false);
      const std::span items = std::span(data->items).subspan(static_cast<std::size_t>(events.begin),
                                                             static_cast<std::size_t>(events.size()));
      std::vector<std::int32_t> inputs, targets;  // of the user's passes, in the order of time
      for (std::size_t predicted = 1; predicted < items.size(); ++unit) {
        const auto [pass_inputs, pass_targets] = pass_of(units, unit);
        REQUIRE(std::ssize(pass_inputs) == units.length(unit));
        REQUIRE(std::ssize(pass_inputs) <= max_history);
        inputs.insert(inputs.begin(), pass_inputs.begin(), pass_inputs.end());
        targets.insert(targets.begin(), pass_targets.begin(), pass_targets.end());
        predicted += pass_targets.size();
      }
      if (items.size() < 2) continue;
      REQUIRE(std::ranges::equal(inputs, items.first(items.size() - 1)));
      REQUIRE(std::ranges::equal(targets, items.subspan(1)));
    }
    CHECK(unit == units.size());
  }
}

TEST_CASE("without whole_history a pass sees the most recent events; histories that fit have one pass either way",
          "[train][training_units]") {
  const auto data = small_data();
  for (const bool whole : {false, true}) {
    Config config = config_for(*data, 30);
    config.train.whole_history = whole;
    const TrainingUnits units(data, config);
    config.train.max_history = 7;
    config.train.whole_history = false;
    const TrainingUnits recent(data, config);
    std::int64_t unit = 0;
    for (std::int64_t user = 0; user < data->num_users(); ++user) {
      const std::int64_t predictions = training_events(*data, user, false).size() - 1;
      if (predictions < 1) continue;
      const auto [inputs, targets] = pass_of(units, unit);
      CHECK(std::ssize(targets) == std::min<std::int64_t>(predictions, 30));
      if (!whole) {
        const auto [last_inputs, last_targets] = pass_of(recent, unit);
        REQUIRE(std::ssize(last_inputs) == std::min<std::int64_t>(predictions, 7));
        CHECK(std::equal(last_inputs.rbegin(), last_inputs.rend(), inputs.rbegin()));
        CHECK(std::equal(last_targets.rbegin(), last_targets.rend(), targets.rbegin()));
      }
      unit += whole && predictions > 30 ? 2 : 1;
    }
    CHECK(unit == units.size());
  }
}

TEST_CASE("target_counts: how often each item is predicted in an epoch", "[train][training_units]") {
  const auto data = small_data();
  for (const bool whole : {false, true}) {
    Config config = config_for(*data, 5);
    config.train.whole_history = whole;
    const TrainingUnits units(data, config);
    std::vector<double> counts(static_cast<std::size_t>(config.model.num_items));
    for (std::int64_t unit = 0; unit < units.size(); ++unit) {
      for (const std::int32_t target : pass_of(units, unit).second) ++counts.at(static_cast<std::size_t>(target));
    }
    CHECK(units.target_counts() == counts);
  }
}
