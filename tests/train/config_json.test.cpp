// SPDX-License-Identifier: MIT
// Configurations as JSON: every field there and back, refusals by name; presets.
#include <set>

#include <hstu/train/config_json.hpp>
#include <hstu/train/presets.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

/// Another value of the same type, for every field.
template <class Field>
void change(Field& field) {
  if constexpr (std::is_same_v<Field, bool>) field = !field;
  else if constexpr (std::is_enum_v<Field>) field = static_cast<Field>((static_cast<std::size_t>(field) + 1) % 2);
  else if constexpr (std::is_same_v<Field, std::string>) field = "mrr";
  else if constexpr (std::is_same_v<Field, double>) field = field / 3.0 + 0.1;  // needs all 17 digits
  else field += 3;
}

std::string failure_of(const char* json) {
  Config config = make_preset("meta-ml-1m");
  const nlohmann::json before = to_json(config);
  try {
    update_from_json(config, nlohmann::json::parse(json), "f.json");
  } catch (const ConfigError& error) {
    CHECK(to_json(config) == before);
    return error.what();
  }
  return "accepted";
}

std::string set_failure_of(const std::string& assignment) {
  Config config;
  const nlohmann::json before = to_json(config);
  try {
    set_field(config, assignment);
  } catch (const ConfigError& error) {
    CHECK(to_json(config) == before);
    return error.what();
  }
  return "accepted";
}

template <class Change>
std::string refusal(const Change& change_config) {
  Config config = make_preset("meta-ml-1m");
  config.model.num_items = 9;
  change_config(config);
  try {
    validate(config);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

using Catch::Matchers::ContainsSubstring;

}  // namespace

TEST_CASE("config_json: every field comes back from its text", "[train][config_json][property]") {
  Config config;
  std::set<std::string> names;
  detail::visit_fields(config, [&](const char* name, auto& field) {
    change(field);
    names.insert(name);
  });
  config.train.seed = std::numeric_limits<std::uint64_t>::max();
  const nlohmann::json json = to_json(config);
  CHECK(json.size() == names.size());  // no two fields share a name
  const nlohmann::json initial = to_json(Config{});
  for (const auto& [name, value] : initial.items()) CHECK(json.at(name) != value);
  Config back;
  update_from_json(back, nlohmann::json::parse(json.dump()), "test");
  CHECK(to_json(back) == json);
}

TEST_CASE("config_json: all fields of the structs are listed", "[train][config_json][property]") {
  // A field that is added without a name here would be lost by every run: the sum of sizes moves with it.
  std::size_t bytes = 0, count = 0;
  Config config;
  detail::visit_fields(config, [&]<class Field>(const char*, Field&) {
    bytes += sizeof(Field);
    ++count;
  });
  CHECK(count == to_json(config).size());
  CHECK(sizeof(Config) >= bytes);
  CHECK(sizeof(Config) < bytes + 8 * 10);  // padding between small fields
}

TEST_CASE("config_json: names of choices come back", "[train][config_json][property]") {
  const std::pair<const char*, std::vector<const char*>> choices[] = {
      {"layer", {"rechub-0.1", "rechub-0.9", "meta"}},
      {"position_bias", {"none", "linear", "signed_distance", "directional_log"}},
      {"time_bias", {"none", "own_time", "query_time"}},
      {"time_function", {"sqrt", "log"}},
      {"time_unit", {"seconds", "minutes"}},
      {"init", {"xavier_uniform", "truncated_normal"}},
      {"loss", {"sampled_softmax", "next_item", "last_item", "sampled_binary", "nce"}},
      {"negatives", {"uniform", "popularity", "in_batch"}},
      {"optimizer", {"sgd", "adam", "adamw"}},
      {"samples", {"users", "windows"}},
      {"decay", {"constant", "cosine"}}};
  for (const auto& [field, names] : choices) {
    for (const char* name : names) {
      Config config;
      set_field(config, concat(field, "=", name));
      CHECK(to_json(config).at(field) == name);
      CHECK_THAT(set_failure_of(concat(field, "=other")), ContainsSubstring(name));
    }
  }
  Config config;
  set_field(config, "layer=rechub-0.9");
  CHECK(config.model.layer == LayerKind::rechub_0_9);
}

TEST_CASE("config_json: unknown fields and wrong kinds are refused and change nothing",
          "[train][config_json][errors]") {
  CHECK_THAT(failure_of(R"({"d_model": 8, "d_mode": 8})"), ContainsSubstring("f.json: no field is called 'd_mode'"));
  CHECK_THAT(failure_of(R"({"dropout": 0.5, "d_model": 8.5})"),
             ContainsSubstring("f.json: d_model: expected an integer") && ContainsSubstring("got 8.5"));
  CHECK_THAT(failure_of(R"({"d_model": "8"})"), ContainsSubstring("d_model: expected an integer"));
  CHECK_THAT(failure_of(R"({"d_model": 1e30})"), ContainsSubstring("d_model: expected an integer"));
  CHECK_THAT(failure_of(R"({"seed": -1})"), ContainsSubstring("seed: expected an integer from 0"));
  CHECK_THAT(failure_of(R"({"validate": 1})"), ContainsSubstring("validate: expected true or false"));
  CHECK_THAT(failure_of(R"({"metric": 10})"), ContainsSubstring("metric: expected a string"));
  CHECK_THAT(failure_of(R"({"dropout": null})"), ContainsSubstring("dropout: expected a number"));
  CHECK_THAT(failure_of(R"({"layer": 1})"), ContainsSubstring("layer: expected a string"));
  CHECK_THAT(failure_of(R"({"layer": "rechub"})"),
             ContainsSubstring("layer: expected one of rechub-0.1, rechub-0.9, meta, got 'rechub'"));
  CHECK_THAT(failure_of("[1]"), ContainsSubstring("f.json: expected a JSON object"));
  CHECK(failure_of("{}") == "accepted");
}

TEST_CASE("set_field: numbers, words and quoted words", "[train][config_json][property]") {
  Config config;
  for (const char* assignment : {"d_model=64", "dropout=1e-1", "concat_ua=true", "metric=hr@10", "layer=\"meta\"",
                                 "seed=18446744073709551615", "learning_rate=2"}) {
    set_field(config, assignment);
  }
  CHECK(config.model.d_model == 64);
  CHECK(config.model.dropout == 0.1);
  CHECK(config.model.concat_ua);
  CHECK(config.train.metric == "hr@10");
  CHECK(config.train.seed == std::numeric_limits<std::uint64_t>::max());
  CHECK(config.train.learning_rate == 2.0);
  set_field(config, "metric=a=b");
  CHECK(config.train.metric == "a=b");
}

TEST_CASE("set_field: what is no assignment of a field is refused", "[train][config_json][errors]") {
  CHECK_THAT(set_failure_of("d_model"), ContainsSubstring("expected key=value, got 'd_model'"));
  CHECK_THAT(set_failure_of("=3"), ContainsSubstring("expected key=value"));
  CHECK_THAT(set_failure_of(""), ContainsSubstring("expected key=value"));
  CHECK_THAT(set_failure_of("width=3"), ContainsSubstring("set: no field is called 'width'"));
  CHECK_THAT(set_failure_of("d_model="), ContainsSubstring("d_model: expected an integer"));
  CHECK_THAT(set_failure_of("d_model=3 4"), ContainsSubstring("d_model: expected an integer"));
  CHECK_THAT(set_failure_of("dropout=nan"), ContainsSubstring("dropout: expected a number"));
  CHECK_THAT(set_failure_of("concat_ua=yes"), ContainsSubstring("concat_ua: expected true or false"));
}

TEST_CASE("presets: each is a valid configuration once the items are known", "[train][presets][property]") {
  for (const std::string_view name : kPresetNames) {
    INFO(name);
    Config config = make_preset(name);
    CHECK(config.model.num_items == 0);
    CHECK_THROWS_MATCHES(validate(config), ConfigError, says("num_items"));
    config.model.num_items = 3707;
    CHECK_NOTHROW(validate(config));
    const bool is_own = name == "ml-1m" || name == "complete-journey";
    CHECK(config.train.batch_size == (name == "ml-1m" ? 64 : is_own ? 32 : 128));
    CHECK(config.train.learning_rate == (is_own ? 3e-3 : 1e-3));
    CHECK(config.train.beta2 == 0.98);
    CHECK(config.model.dropout == 0.2);
  }
  CHECK(make_preset("meta-ml-1m-large").model.num_layers == 8);
  CHECK(make_preset("meta-ml-1m-large").model.dqk == 25);
  CHECK_THROWS_MATCHES(make_preset("meta"), ConfigError, says("meta-ml-1m-large, ml-1m, complete-journey"));
}

TEST_CASE("config: training options that contradict are refused by name", "[train][config_json][errors]") {
  CHECK(refusal([](Config&) {}) == "accepted");
  for (const char* field : {"num_negatives", "max_history", "batch_size", "epochs"}) {
    for (const char* bad : {"0", "-5", "3000000000"}) {
      CHECK_THAT(refusal([&](Config& c) { set_field(c, concat(field, "=", bad)); }),
                 ContainsSubstring(concat("config: ", field, " must be in [1, 2147483648], got ", bad)));
    }
  }
  for (const char* field : {"learning_rate", "weight_decay", "max_grad_norm", "min_learning_rate", "warmup_steps",
                            "patience", "test_every"}) {
    CHECK_THAT(refusal([&](Config& c) { set_field(c, concat(field, "=-1")); }), ContainsSubstring(field));
  }
  CHECK_THAT(refusal([](Config& c) { c.train.learning_rate = std::nan(""); }), ContainsSubstring("learning_rate"));
  CHECK_THAT(refusal([](Config& c) { c.train.min_learning_rate = 0.5; }), ContainsSubstring("is above learning_rate"));
  CHECK_THAT(refusal([](Config& c) { c.train.patience = 2; }), ContainsSubstring("patience needs validate"));
  CHECK_THAT(refusal([](Config& c) { c.train.samples = SampleKind::windows; }), ContainsSubstring("samples = windows"));
  CHECK_THAT(refusal([](Config& c) { c.train.loss = LossKind::nce, c.train.log_q = true; }),
             ContainsSubstring("log_q belongs to loss = sampled_softmax"));
  CHECK_THAT(refusal([](Config& c) { c.train.loss = LossKind::next_item, c.train.shared_negatives = true; }),
             ContainsSubstring("belong to losses that have negatives"));
  for (const double alpha : {1.0, 2.1, std::nan("")}) {
    CHECK_THAT(refusal([&](Config& c) { c.train.stochastic_length_alpha = alpha; }),
               ContainsSubstring("stochastic_length_alpha must be in (1, 2]"));
  }
  CHECK_THAT(refusal([](Config& c) { c.model.max_attn_len = -1; }), ContainsSubstring("max_attn_len must be in [0"));
  CHECK_THAT(refusal([](Config& c) { c.model.min_full_attn_seq_len = 5; }),
             ContainsSubstring("min_full_attn_seq_len needs a window"));
  CHECK_THAT(refusal([](Config& c) { c.model.item_table_rows = 1; }), ContainsSubstring("item_table_rows must be"));
  CHECK_THAT(refusal([](Config& c) { c.model.item_table_rows = 9, c.train.log_q = true; }),
             ContainsSubstring("item_table_rows does not go with log_q"));
  CHECK_THAT(refusal([](Config& c) { c.train.item_learning_rate = 0.1; }), ContainsSubstring("item_learning_rate needs"));
  CHECK_THAT(refusal([](Config& c) {
               c.train.loss = LossKind::next_item, c.train.item_optimizer = ItemOptimizerKind::sparse_adam;
             }),
             ContainsSubstring("item_optimizer other than dense needs a loss that has negatives"));
  CHECK_THAT(refusal([](Config& c) { c.train.max_history = 212; }), ContainsSubstring("max_history 212 exceeds"));
  CHECK_THAT(refusal([](Config& c) { c.model.tie_embeddings = false; }), ContainsSubstring("tie_embeddings"));
  CHECK_THAT(refusal([](Config& c) { c.model.use_output_bias = true; }), ContainsSubstring("use_output_bias"));
}
