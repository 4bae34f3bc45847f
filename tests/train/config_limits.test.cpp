// SPDX-License-Identifier: MIT
// Values of a configuration at their bounds and one beyond.
#include <hstu/train/ranking_settings.hpp>

#include "small_training.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

Config valid_config() {
  Config config = make_preset("meta-ml-1m");
  config.model.num_items = 100;
  return config;
}

template <class Change>
void check_refused(const Change& change, const std::string& part) {
  Config config = valid_config();
  change(config);
  CHECK_THROWS_MATCHES(validate(config), ConfigError, says(part));
}

}  // namespace

TEST_CASE("config: a size of the model is refused one beyond its bound and accepted at it", "[train][config][errors]") {
  CHECK_NOTHROW(validate(valid_config()));
  struct Bound {
    const char* name;
    std::int64_t HstuConfig::* field;
    std::int64_t most;
  };
  for (const Bound& bound : {Bound{"num_items", &HstuConfig::num_items, std::int64_t{1} << 31},
                             Bound{"d_model", &HstuConfig::d_model, 1 << 16},
                             Bound{"num_heads", &HstuConfig::num_heads, 1 << 10},
                             Bound{"dqk", &HstuConfig::dqk, 1 << 14}, Bound{"dv", &HstuConfig::dv, 1 << 14},
                             Bound{"num_layers", &HstuConfig::num_layers, 1 << 12},
                             Bound{"max_seq_len", &HstuConfig::max_seq_len, 1 << 22},
                             Bound{"num_position_buckets", &HstuConfig::num_position_buckets, 1 << 20},
                             Bound{"mixture_part_width", &HstuConfig::mixture_part_width, 1 << 12},
                             Bound{"num_time_buckets", &HstuConfig::num_time_buckets, (1 << 16) - 1}}) {
    INFO(bound.name);
    Config config = valid_config();
    config.model.*bound.field = bound.most;
    CHECK_NOTHROW(validate(config));
    for (const std::int64_t bad : {bound.most + 1, std::int64_t{0}, std::int64_t{-1}}) {
      check_refused([&](Config& c) { c.model.*bound.field = bad; },
                    concat("config: ", bound.name, " must be in [1, ", bound.most, "], got ", bad));
    }
  }
}

TEST_CASE("config: numbers and combinations that are no model or training are named", "[train][config][errors]") {
  for (const double bad : {-0.1, 1.0, std::nan("")}) {
    check_refused([&](Config& c) { c.model.dropout = bad; }, "dropout must be in [0, 1)");
  }
  for (const double bad : {0.0, -1.0, 1e6, std::nan("")}) {
    check_refused([&](Config& c) { c.model.temperature = bad; }, "temperature must be positive");
  }
  check_refused([](Config& c) { c.model.time_divisor = kLargestTimeDivisor * 1.01; }, "time_divisor must be in");
  check_refused([](Config& c) { c.model.time_divisor = kLeastTimeDivisor / 1.01; }, "time_divisor must be in");
  check_refused([](Config& c) { c.model.layer_norm_eps = 0; }, "must be positive, got 0 and");
  check_refused([](Config& c) { c.model.l2_eps = 0; }, "layer_norm_eps and l2_eps must be positive");
  check_refused([](Config& c) { c.model.layer = LayerKind::rechub_0_9, c.model.concat_ua = true; },
                "concat_ua belongs");
  check_refused([](Config& c) { c.model.layer = LayerKind::rechub_0_1; }, "has no time bias");
  check_refused([](Config& c) { c.model.mixture_query_parts = 257; }, "mixture_query_parts must be in [1, 256]");
  check_refused([](Config& c) { c.model.mixture_item_parts = 0; }, "mixture_item_parts must be in [1, 256]");
  check_refused([](Config& c) { c.model.mixture_query_parts = 17, c.model.mixture_item_parts = 16; },
                "must be at most 256, got 17 · 16");
  check_refused([](Config& c) { c.model.similarity = Similarity::mixture, c.train.log_q = true; },
                "similarity = mixture needs loss = sampled_softmax and log_q = false");
  for (const LossKind loss : {LossKind::next_item, LossKind::sampled_binary, LossKind::nce}) {
    check_refused([&](Config& c) { c.model.similarity = Similarity::mixture, c.train.loss = loss; },
                  "similarity = mixture needs loss");
  }
  check_refused([](Config& c) { c.model.similarity = Similarity::mixture, c.model.tie_embeddings = false; },
                "similarity = mixture needs tie_embeddings = true");
  check_refused([](Config& c) { c.train.weight_decay = 1e9; }, "weight_decay must be in [0, 1e9)");
  check_refused(
      [](Config& c) {
        c.train.loss = LossKind::next_item;
        c.train.samples = SampleKind::windows;
        c.train.stochastic_length_alpha = 1.5;
      },
      "stochastic_length_alpha below 2 needs samples = users");
  check_refused(
      [](Config& c) {
        c.train.loss = LossKind::next_item;
        c.train.samples = SampleKind::windows;
        c.train.whole_history = true;
      },
      "whole_history needs samples = users");
  check_refused([](Config& c) { c.train.loss = LossKind::next_item, c.train.negatives = NegativeKind::popularity; },
                "negatives and shared_negatives belong");
}

TEST_CASE("ranking settings: widths, weights and thresholds out of range are named", "[train][ranking][errors]") {
  const auto refused = [](const auto& change, const std::string& part) {
    RankingSettings settings = dlrm_hstu_settings();
    CHECK_NOTHROW(validate(settings));
    change(settings);
    CHECK_THROWS_MATCHES(validate(settings), ConfigError, says(part));
  };
  const double inf = std::numeric_limits<double>::infinity();
  for (const std::int64_t bad : {0, (1 << 16) + 1}) {
    refused([&](RankingSettings& s) { s.ranking.head_width = bad; }, concat("[1, 65536], got ", bad));
  }
  for (const double bad : {0.0, -1.0, inf}) {
    refused([&](RankingSettings& s) { s.ranking.tasks.at(0).weight = bad; }, "needs a positive weight");
  }
  refused([&](RankingSettings& s) { s.ranking.tasks.at(0).threshold = inf; }, "a finite threshold");
  refused([](RankingSettings& s) { s.ranking.tasks.clear(); }, "must name at least one column");
}
