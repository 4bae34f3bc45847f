// SPDX-License-Identifier: MIT
// Names of parameters, sizes, and what a model refuses: configurations and batches.
#include "small_models.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

std::vector<std::string> names_of(const HstuConfig& config) {
  std::vector<std::string> names;
  for (const NamedParameter& p : HstuModel(config).parameters()) names.push_back(p.name);
  return names;
}

Shape shape_of(const HstuModel& model, const std::string& name) {
  for (const NamedParameter& p : model.parameters()) {
    if (p.name == name) return p.value.shape();
  }
  FAIL("no parameter " << name);
  return {};
}

HstuConfig one_layer(LayerKind kind) {
  HstuConfig config = tiny_config(kind);
  config.num_layers = 1;
  return config;
}

template <class Change>
std::string refusal(LayerKind kind, const Change& change) {
  HstuConfig config = tiny_config(kind);
  change(config);
  try {
    validate(config);
  } catch (const ConfigError& error) {
    CHECK_THROWS_AS(HstuModel(config), ConfigError);
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("model: the parameters of torch-rechub 0.1.0 by name", "[model][parameters][golden]") {
  CHECK(names_of(one_layer(LayerKind::rechub_0_1)) ==
        std::vector<std::string>{
            "token_embedding.weight", "position_embedding.weight", "time_embedding.weight",
            "hstu_block.layers.0.proj1.weight", "hstu_block.layers.0.proj1.bias", "hstu_block.layers.0.proj2.weight",
            "hstu_block.layers.0.proj2.bias", "hstu_block.layers.0.ffn.0.weight", "hstu_block.layers.0.ffn.0.bias",
            "hstu_block.layers.0.ffn.3.weight", "hstu_block.layers.0.ffn.3.bias", "hstu_block.layers.0.norm1.weight",
            "hstu_block.layers.0.norm1.bias", "hstu_block.layers.0.norm2.weight", "hstu_block.layers.0.norm2.bias",
            "rel_pos_bias.rel_pos_bias_table", "output_projection.weight", "output_projection.bias"});
}

TEST_CASE("model: the parameters of torch-rechub 0.9.0 by name", "[model][parameters][golden]") {
  HstuConfig config = one_layer(LayerKind::rechub_0_9);
  config.use_output_bias = true;
  CHECK(names_of(config) ==
        std::vector<std::string>{
            "token_embedding.weight", "position_embedding.weight", "hstu_block.layers.0.norm_in.weight",
            "hstu_block.layers.0.norm_in.bias", "hstu_block.layers.0.proj1.weight", "hstu_block.layers.0.proj1.bias",
            "hstu_block.layers.0.rab.pos_w", "hstu_block.layers.0.rab.ts_w", "hstu_block.layers.0.norm_attn.weight",
            "hstu_block.layers.0.norm_attn.bias", "hstu_block.layers.0.proj2.weight",
            "hstu_block.layers.0.proj2.bias", "output_bias"});
}

TEST_CASE("model: the parameters of Meta's research code by name", "[model][parameters][golden]") {
  const std::string layer = "_hstu._attention_layers.0.";
  CHECK(names_of(one_layer(LayerKind::meta)) ==
        std::vector<std::string>{"_embedding_module._item_emb.weight", "_input_features_preproc._pos_emb.weight",
                                 layer + "_uvqk", layer + "_rel_attn_bias._pos_w", layer + "_rel_attn_bias._ts_w",
                                 layer + "_o.weight", layer + "_o.bias"});
}

TEST_CASE("model: shapes of the tables follow the configuration", "[model][parameters][property]") {
  const HstuModel seed(tiny_config(LayerKind::rechub_0_1)), paper(tiny_config(LayerKind::rechub_0_9)),
      meta(tiny_config(LayerKind::meta));
  CHECK(shape_of(seed, "rel_pos_bias.rel_pos_bias_table") == Shape{5, 2});
  CHECK(shape_of(seed, "time_embedding.weight") == Shape{10, 4});
  CHECK(shape_of(seed, "hstu_block.layers.1.proj1.weight") == Shape{20, 4});
  CHECK(shape_of(seed, "hstu_block.layers.1.ffn.0.weight") == Shape{16, 4});
  CHECK(shape_of(paper, "hstu_block.layers.1.rab.pos_w") == Shape{11, 2});
  CHECK(shape_of(paper, "hstu_block.layers.1.rab.ts_w") == Shape{10, 2});
  CHECK(shape_of(meta, "_hstu._attention_layers.1._uvqk") == Shape{4, 20});
  CHECK(shape_of(meta, "_hstu._attention_layers.1._rel_attn_bias._pos_w") == Shape{11});
  CHECK(shape_of(meta, "_hstu._attention_layers.1._rel_attn_bias._ts_w") == Shape{10});
  HstuConfig wide = tiny_config(LayerKind::meta);
  wide.concat_ua = true;
  CHECK(shape_of(HstuModel(wide), "_hstu._attention_layers.0._o.weight") == Shape{4, 12});
}

TEST_CASE("model: names are distinct, and the seed decides the values", "[model][parameters][property]") {
  for (const LayerKind kind : kLayerKinds) {
    auto names = names_of(tiny_config(kind));
    std::ranges::sort(names);
    CHECK(std::ranges::adjacent_find(names) == names.end());
    const HstuModel a(tiny_config(kind), 1), b(tiny_config(kind), 1), c(tiny_config(kind), 2);
    CHECK(a.item_table().to_vector<float>() == b.item_table().to_vector<float>());
    CHECK(a.item_table().to_vector<float>() != c.item_table().to_vector<float>());
  }
}

TEST_CASE("config: what is no model is refused by the name of the field", "[model][config][errors]") {
  using Catch::Matchers::ContainsSubstring;
  using Field = std::int64_t HstuConfig::*;
  const std::pair<const char*, Field> sizes[] = {{"num_items", &HstuConfig::num_items},
                                                 {"d_model", &HstuConfig::d_model},
                                                 {"num_heads", &HstuConfig::num_heads},
                                                 {"dqk", &HstuConfig::dqk},
                                                 {"dv", &HstuConfig::dv},
                                                 {"num_layers", &HstuConfig::num_layers},
                                                 {"max_seq_len", &HstuConfig::max_seq_len},
                                                 {"num_position_buckets", &HstuConfig::num_position_buckets},
                                                 {"num_time_buckets", &HstuConfig::num_time_buckets}};
  for (const auto& [name, field] : sizes) {
    for (const std::int64_t bad : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 40}) {
      CHECK_THAT(refusal(LayerKind::meta, [bad, at = field](HstuConfig& c) { c.*at = bad; }),
                 ContainsSubstring(concat("config: ", name, " must be in [1, ")) &&
                     ContainsSubstring(concat("got ", bad)));
    }
  }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {-0.1, 1.0, nan}) {
    CHECK_THAT(refusal(LayerKind::meta, [&](HstuConfig& c) { c.dropout = bad; }), ContainsSubstring("dropout"));
  }
  for (const double bad : {0.0, -1.0, nan, 1e7}) {
    CHECK_THAT(refusal(LayerKind::meta, [&](HstuConfig& c) { c.temperature = bad; }), ContainsSubstring("temperature"));
  }
  for (const double bad : {0.0, 1e-300, 1e300, nan}) {
    CHECK_THAT(refusal(LayerKind::meta, [&](HstuConfig& c) { c.time_divisor = bad; }),
               ContainsSubstring("time_divisor"));
  }
  for (const double bad : {0.0, nan}) {
    CHECK_THAT(refusal(LayerKind::meta, [&](HstuConfig& c) { c.layer_norm_eps = bad; }), ContainsSubstring("eps"));
    CHECK_THAT(refusal(LayerKind::meta, [&](HstuConfig& c) { c.l2_eps = bad; }), ContainsSubstring("eps"));
  }
  CHECK_THAT(refusal(LayerKind::rechub_0_9, [](HstuConfig& c) { c.concat_ua = true; }), ContainsSubstring("concat_ua"));
  CHECK_THAT(refusal(LayerKind::rechub_0_1, [](HstuConfig& c) { c.time_bias = TimeBias::own_time; }),
             ContainsSubstring("time_bias"));
}

TEST_CASE("model: a sequence longer than max_seq_len is an error that names both lengths", "[model][hstu][errors]") {
  for (const LayerKind kind : kLayerKinds) {
    const HstuModel model(tiny_config(kind));
    CHECK_NOTHROW(hidden_of(model, {History(6, {1, 5})}));
    CHECK_THROWS_MATCHES(hidden_of(model, {History(2, {1, 5}), History(7, {1, 5})}), DataError,
                         says("user 1 of the batch has 7 tokens, the model has max_seq_len 6"));
  }
}

TEST_CASE("model: an item outside of the table is an error that names it", "[model][hstu][errors]") {
  for (const LayerKind kind : kLayerKinds) {
    const HstuModel model(tiny_config(kind));
    for (const std::int32_t item : {-1, 7, 1 << 30}) {
      CHECK_THROWS_MATCHES(hidden_of(model, {{{1, 0}, {item, 5}}}), DataError,
                           says(concat("must be in [0, 7), got ", item)));
    }
  }
}

TEST_CASE("model: batches whose columns do not fit are refused", "[model][hstu][errors]") {
  const HstuModel model(tiny_config(LayerKind::meta));
  const auto hidden = [&](const JaggedBatch& batch) {
    ForwardContext context;
    return model.hidden(batch, context);
  };
  for (const std::vector<std::int64_t>& offsets :
       std::vector<std::vector<std::int64_t>>{{}, {0}, {0, 10}, {1, 11}, {0, 8, 4, 11}, {0, -2, 11}, {-2, 11}}) {
    JaggedBatch batch = batch_of(kHistories);
    batch.offsets = Tensor::from(offsets);
    CHECK_THROWS_MATCHES(hidden(batch), ShapeError, says("offsets of a batch must ascend from 0"));
  }
  for (const std::int32_t position : {-1, 6}) {
    JaggedBatch batch = batch_of(kHistories);
    batch.positions.mutable_data<std::int32_t>()[3] = position;
    CHECK_THROWS_MATCHES(hidden(batch), DataError, says(concat("position ", position)));
  }
  CHECK_NOTHROW(model.check_batch(batch_of(kHistories)));
  CHECK_THROWS_MATCHES(model.check_batch(batch_of(kHistories), Tensor::from(std::vector<std::int32_t>{0})), ShapeError,
                       says("num_targets must be int64"));
  CHECK_THROWS_AS(model.check_batch(batch_of(kHistories), Tensor::from(std::vector<std::int64_t>{})), ShapeError);
  JaggedBatch batch = batch_of(kHistories);
  batch.positions = Tensor::from(std::vector<std::int32_t>{0});
  CHECK_THROWS_MATCHES(hidden(batch), ShapeError, says("11 tokens has 1 positions"));
  batch = batch_of(kHistories);
  batch.times_s = Tensor::from(std::vector<std::int64_t>{0, 1});
  CHECK_THROWS_AS(hidden(batch), ShapeError);
}
