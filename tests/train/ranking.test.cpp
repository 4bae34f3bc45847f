// SPDX-License-Identifier: MIT
// Ranking: tokens and what they may see, gradients, settings, same bits for any number of threads.
#include <map>

#include "small_ranking.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

/// Outputs for all events of user 2, by the event's number.
std::map<std::int64_t, std::vector<double>> outputs_of(const RankingSettings& settings, const RankingData& data) {
  HstuConfig config = settings.hstu.model;
  config.num_items = data.sequences->vocabulary.size();
  const RankingModel model(config, settings.ranking, data, data.labels, 3, DType::float64);
  RankingBatchBuilder builder(*data.sequences, settings.ranking.input, std::ssize(settings.ranking.user_features));
  builder.add(2, {6, 15}, 6);
  const RankingBatch batch = builder.build();
  ForwardContext context;
  const Values values = model(batch, data, context).to_vector<double>();
  std::map<std::int64_t, std::vector<double>> outputs;
  for (std::size_t i = 0; i < batch.predicted_events.size(); ++i) {
    outputs[batch.predicted_events[i]] = {values[2 * i], values[2 * i + 1]};
  }
  return outputs;
}

std::string ranking_failure_of(const std::string& json) {
  RankingSettings settings = dlrm_hstu_settings();
  try {
    update_from_json(settings, nlohmann::json::parse(json), "r.json");
    validate(settings);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

using Catch::Matchers::ContainsSubstring;

}  // namespace

TEST_CASE("ranking batch: tokens in order, each event predicted where it may be", "[train][ranking][property]") {
  const auto sequences = three_users();
  RankingBatchBuilder interleaved(*sequences, ActionInput::interleaved, 1);
  interleaved.add(0, {0, 3}, 1);
  interleaved.add(1, {5, 6}, 5);
  const RankingBatch a = interleaved.build();
  CHECK(a.sequence.offsets.to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 6, 8});
  CHECK(a.items == std::vector<std::int64_t>{1, 4, 7, 2});
  CHECK(a.action_events == std::vector<std::int64_t>{0, 1});
  // rows: items 0-3, actions 4-5, context 6-7;  tokens: context item action item action item | context item
  CHECK(a.order.to_vector<std::int64_t>() == std::vector<std::int64_t>{6, 0, 4, 1, 5, 2, 7, 3});
  CHECK(a.predicted_events == std::vector<std::int64_t>{1, 2, 5});
  CHECK(a.predicted_at.to_vector<std::int64_t>() == std::vector<std::int64_t>{3, 5, 7});
  CHECK(a.sequence.times_s.to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{1000, 1000, 1000, 1060, 1060, 1240, 1000, 1000});

  RankingBatchBuilder fused(*sequences, ActionInput::fused, 2);
  fused.add(0, {0, 3}, 0);
  const RankingBatch b = fused.build();
  CHECK(b.items.empty());
  CHECK(b.predicted_items == std::vector<std::int64_t>{1, 4, 7});
  CHECK(b.order.to_vector<std::int64_t>() == std::vector<std::int64_t>{2, 3, 0, 1});
  CHECK(b.predicted_at.to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 2, 3});
  CHECK(b.sequence.query_times_s.to_vector<std::int64_t>() == std::vector<std::int64_t>{1000, 1000, 1060, 1240});
  CHECK(RankingBatchBuilder::length(ActionInput::interleaved, 1, 3) == 6);
  CHECK(RankingBatchBuilder::length(ActionInput::fused, 2, 3) == 4);
  CHECK_THROWS_MATCHES(fused.add(0, {2, 2}, 0), DataError, says("expected events of user 0"));
}

TEST_CASE("ranking: a prediction sees its item and what came before, not its own action or later events",
          "[train][ranking][property]") {
  for (const Variant& v : kVariants) {
    CAPTURE(v.input == ActionInput::fused, v.has_context);
    const RankingSettings settings = small_settings(v.input, v.has_context);
    const auto before = outputs_of(settings, data_of(three_users(), settings));
    CHECK(before.size() == (v.input == ActionInput::fused && !v.has_context ? 8 : 9));
    constexpr std::int64_t kChanged = 10;
    for (const bool is_action : {false, true}) {
      Sequences changed = *three_users();
      if (is_action) changed.ratings[kChanged] = changed.ratings[kChanged] == 5.0f ? 1.0f : 5.0f;
      else changed.items[kChanged] = changed.items[kChanged] % 7 + 1;
      RankingData data = data_of(std::make_shared<const Sequences>(changed), settings);
      const RankingData plain = data_of(three_users(), settings);
      data.labels = plain.labels;  // the head's bias comes from them
      for (std::size_t f = 0; f < data.actions.size(); ++f) {  // only the changed event's action differs
        const FeatureColumn other = data.actions[f];
        data.actions[f] = plain.actions[f];
        if (!other.numbers.empty()) data.actions[f].numbers[kChanged] = other.numbers[kChanged];
        else data.actions[f].categories[kChanged] = other.categories[kChanged];
      }
      const auto after = outputs_of(settings, data);
      for (const auto& [event, values] : before) {
        CAPTURE(event, is_action);
        const bool may_differ = is_action ? event > kChanged : event >= kChanged;
        CHECK((after.at(event) != values) == may_differ);
      }
    }
  }
}

TEST_CASE("ranking: gradients of all parameters match finite differences", "[train][ranking][gradcheck]") {
  for (const Variant& v : kVariants) {
    RankingSettings settings = small_settings(v.input, v.has_context);
    settings.hstu.model.num_layers = 1;
    const RankingData data = data_of(three_users(), settings);
    HstuConfig config = settings.hstu.model;
    config.num_items = data.sequences->vocabulary.size();
    const RankingModel model(config, settings.ranking, data, data.labels, 3, DType::float64);
    RankingBatchBuilder builder(*data.sequences, v.input, std::ssize(settings.ranking.user_features));
    builder.add(0, {0, 4}, 1);
    builder.add(2, {6, 9}, 6);
    const RankingBatch batch = builder.build();
    std::vector<Tensor> inputs;
    for (const NamedParameter& p : model.parameters()) inputs.push_back(p.value);
    const auto result = gradcheck(
        [&](const std::vector<Tensor>&) {
          ForwardContext context;
          return model.loss(model(batch, data, context), batch, data);
        },
        inputs);
    INFO(result.message);
    CHECK(result.ok);
  }
}

TEST_CASE("ranking: same bits for any number of threads, and it learns", "[train][ranking][property]") {
  const auto sequences = small_data();
  for (const Variant& v : kVariants) {
    RankingSettings settings = small_settings(v.input, v.has_context);
    settings.hstu.train.learning_rate = 3e-3;
    const auto run = [&](int threads) {
      const Threads setting(threads);
      RankingTrainer trainer(settings, data_of(sequences, settings));
      const double first = trainer.train_one_epoch().value();
      const double second = trainer.train_one_epoch().value();
      CHECK(second < first);
      std::vector<double> values{first, second};
      for (const auto& task : trainer.predict(true)) {
        for (const Prediction& p : task) values.push_back(p.predicted);
      }
      return values;
    };
    const auto serial = run(1);
    CHECK(serial.size() > 200);
    CHECK(run(3) == serial);
  }
}

TEST_CASE("ranking: held-out events are the last ones and predicted once", "[train][ranking][property]") {
  const auto sequences = three_users();
  const RankingSplit split = ranking_split(*sequences, 2, 2);
  CHECK((split.begin == 6 && split.train_end == 11 && split.validation_end == 13 && split.end == 15));
  const RankingSplit few = ranking_split(*sequences, 1, 2);
  CHECK((few.train_end == 6 && few.end == 6));
  const RankingSettings settings = small_settings(ActionInput::interleaved, true);
  const RankingTrainer trainer(settings, data_of(sequences, settings));
  const auto test = trainer.predict(true);
  REQUIRE(test.size() == 2);
  CHECK(test[1].size() == 3);  // one of user a, two of user c
  CHECK(test[1][2].user == 2);
  CHECK(test[1][2].label == static_cast<double>(sequences->ratings[14]));
  CHECK(trainer.predict(false)[0].size() == 3);
}

TEST_CASE("ranking settings: JSON names inputs and tasks", "[train][ranking][property]") {
  RankingSettings s = dlrm_hstu_settings();
  update_from_json(s, nlohmann::json::parse(R"({"input": "fused", "held_out": 5, "head_width": 8,
      "actions": {"is_click": "category"}, "user_features": {"age": "number"},
      "tasks": [{"name": "click", "column": "is_click", "kind": "binary"},
                {"name": "watched", "column": "play_time_ms", "kind": "regression", "weight": 0.1}],
      "hstu": {"d_model": 32, "epochs": 3}})"),
                   "r.json");
  CHECK(s.ranking.input == ActionInput::fused);
  CHECK(s.ranking.actions[0].name == "is_click");
  CHECK(s.ranking.user_features[0].kind == FeatureKind::number);
  CHECK(s.ranking.tasks[1].weight == 0.1);
  CHECK(s.ranking.tasks[0].threshold == 0.5);
  CHECK(s.hstu.model.d_model == 32);
  CHECK(s.held_out == 5);
  CHECK_NOTHROW(validate(s));
}

TEST_CASE("ranking settings: mistakes are named", "[train][ranking][errors]") {
  CHECK_THAT(ranking_failure_of(R"({"inputs": "fused"})"), ContainsSubstring("r.json: no field is called 'inputs'"));
  CHECK_THAT(ranking_failure_of(R"({"input": "mixed"})"), ContainsSubstring("interleaved, fused"));
  CHECK_THAT(ranking_failure_of(R"({"actions": {"rating": "word"}})"), ContainsSubstring("category, number"));
  CHECK_THAT(ranking_failure_of(R"({"tasks": [{"name": "x", "kind": "binary"}]})"),
             ContainsSubstring("expected the key"));
  CHECK_THAT(ranking_failure_of(R"({"tasks": [{"name": "x", "column": "rating", "kind": "binary", "wait": 1}]})"),
             ContainsSubstring("no field is called 'wait'"));
  CHECK_THAT(ranking_failure_of(R"({"tasks": []})"), ContainsSubstring("at least one column each"));
  CHECK_THAT(ranking_failure_of(R"({"hstu": {"max_history": 300, "max_seq_len": 400}})"),
             ContainsSubstring("makes 599 tokens"));
  CHECK_THAT(ranking_failure_of(R"({"held_out": 0})"), ContainsSubstring("held_out"));
  CHECK_THAT(ranking_failure_of(R"({"hstu": {"depth": 1}})"), ContainsSubstring("no field is called 'depth'"));
  RankingConfig ranking = dlrm_hstu_settings().ranking;
  ranking.tasks[0].column = "is_click";
  CHECK_THROWS_MATCHES(make_ranking_data(three_users(), ranking), DataError, says("expected a column among rating"));
  ranking = dlrm_hstu_settings().ranking;
  ranking.user_features = {{"age", FeatureKind::number}};
  CHECK_THROWS_MATCHES(make_ranking_data(three_users(), ranking), DataError,
                       says("expected 1 user and 0 item features"));
}
