// SPDX-License-Identifier: MIT
// Evaluation of a model against ranking every event alone by plain loops.
#include <hstu/data/synthetic.hpp>
#include <hstu/metrics/evaluate.hpp>
#include <hstu/recommend/recommender.hpp>

#include "../model/small_models.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

const Sequences& data() {
  static const Sequences sequences = make_sequences(make_synthetic_ratings(
      {.users = 300, .items = 50, .clusters = 5, .min_length = 1, .max_length = 25, .seed = 4}));
  return sequences;
}

HstuModel model_for_data(LayerKind kind, DType dtype = DType::float32) {
  HstuConfig config = tiny_config(kind);
  config.num_items = data().vocabulary.size();
  config.max_seq_len = 20;
  HstuModel model(config, 6, dtype);
  scatter_parameters(model, 0.2);
  return model;
}

struct Expected {
  std::int64_t users = 0;
  double hits_at_10 = 0.0, reciprocal = 0.0, gain_at_10 = 0.0, loss = 0.0;
};

/// One history at a time, ranked by counting.
Expected brute_force(const HstuModel& model, std::span<const HeldOut> events, const EvaluateOptions& options) {
  Expected sum;
  const std::int64_t max_history = options.max_history;
  for (const HeldOut& event : events) {
    const auto n = static_cast<std::size_t>(event.history.size());
    const auto items = data().items_of(event.user).first(n);
    const auto target = static_cast<std::size_t>(data().items[static_cast<std::size_t>(event.target)]);
    const Values scores = score_items(model, items, data().timestamps_of(event.user).first(n),
                                      data().timestamps_s[static_cast<std::size_t>(event.target)], max_history)
                              .to(DType::float64)
                              .to_vector<double>();
    std::int64_t rank = 1;
    double total = 0.0;
    for (std::size_t v = 1; v < scores.size(); ++v) {
      total += std::exp(scores[v]);
      const auto masked = options.mask_shown_only ? items.last(std::min(n, static_cast<std::size_t>(max_history))) : items;
      const bool is_masked = std::ranges::find(masked, static_cast<std::int32_t>(v)) != masked.end();
      if (v != target && (options.keep_seen || !is_masked) && scores[v] >= scores[target]) ++rank;
    }
    ++sum.users;
    sum.loss += std::log(total) - scores[target];
    sum.reciprocal += 1.0 / static_cast<double>(rank);
    if (rank > 10) continue;
    sum.hits_at_10 += 1.0;
    sum.gain_at_10 += 1.0 / std::log2(static_cast<double>(rank) + 1.0);
  }
  return sum;
}

void require_equal(const Evaluation& got, const Expected& expected) {
  const auto n = static_cast<double>(expected.users);
  REQUIRE(got.users() == expected.users);
  CHECK(std::abs(got.ranking.hit_rate(10) - expected.hits_at_10 / n) < 1e-12);
  CHECK(std::abs(got.ranking.ndcg(10) - expected.gain_at_10 / n) < 1e-12);
  CHECK(std::abs(got.ranking.mrr() - expected.reciprocal / n) < 1e-12);
  CHECK(std::abs(got.loss() - expected.loss / n) < 1e-9);
  CHECK(got.top1() == got.ranking.hit_rate(1));
}

}  // namespace

TEST_CASE("evaluate: equals ranking each user alone by brute force", "[metrics][evaluate][parity]") {
  const LeaveLastOut split = leave_last_out(data());
  for (const LayerKind kind : kLayerKinds) {
    const HstuModel model = model_for_data(kind, DType::float64);
    for (const std::int64_t max_history : {1, 7, 20}) {
      for (const EvaluateOptions& options :
           {EvaluateOptions{.max_history = max_history}, EvaluateOptions{.max_history = max_history, .keep_seen = true},
            EvaluateOptions{.max_history = max_history, .mask_shown_only = true}}) {
        INFO(name_of(kind) << ", keep seen " << options.keep_seen << ", mask shown only " << options.mask_shown_only
                           << ", history " << max_history);
        require_equal(evaluate(model, data(), split.test, options), brute_force(model, split.test, options));
        require_equal(evaluate(model, data(), split.validation, options),
                      brute_force(model, split.validation, options));
      }
    }
  }
}

TEST_CASE("evaluate: seen items are candidates only if kept", "[metrics][evaluate][property]") {
  const LeaveLastOut split = leave_last_out(data());
  const HstuModel model = model_for_data(LayerKind::meta);
  const Evaluation masked = evaluate(model, data(), split.test, {.max_history = 20});
  const Evaluation kept = evaluate(model, data(), split.test, {.max_history = 20, .keep_seen = true});
  CHECK(masked.ranking.mrr() > kept.ranking.mrr());
  CHECK(masked.loss() == kept.loss());
}

TEST_CASE("evaluate: the same bits for any number of threads", "[metrics][evaluate][property]") {
  const LeaveLastOut split = leave_last_out(data());
  REQUIRE(data().num_events() > 3 * kChunkTokens);  // work for the threads
  for (const LayerKind kind : kLayerKinds) {
    const HstuModel model = model_for_data(kind);
    const int before = num_threads();
    std::vector<Evaluation> all;
    for (const int threads : {1, 2, 3, 8}) {
      set_num_threads(threads);
      all.push_back(evaluate(model, data(), split.test, {.max_history = 20}));
    }
    set_num_threads(before);
    for (const Evaluation& evaluation : all) {
      CHECK(evaluation.loss_sum == all[0].loss_sum);
      CHECK(evaluation.ranking.mrr() == all[0].ranking.mrr());
      CHECK(evaluation.ranking.ndcg(10) == all[0].ranking.ndcg(10));
    }
  }
}

TEST_CASE("evaluate: a model that scores all items alike scores nothing", "[metrics][evaluate][property]") {
  HstuConfig config = tiny_config(LayerKind::rechub_0_1);
  config.num_items = data().vocabulary.size();
  config.max_seq_len = 20;
  const HstuModel model(config);
  for (const NamedParameter& p : model.parameters()) {
    Tensor values = p.value;
    if (p.name.starts_with("output_projection")) values.fill_zero();
  }
  const LeaveLastOut split = leave_last_out(data());
  const Evaluation evaluation = evaluate(model, data(), split.test, {.max_history = 20});
  CHECK(evaluation.ranking.hit_rate(10) == 0.0);
  CHECK(evaluation.ranking.mrr() < 1.0 / 24.0);  // last of 25 items or more
  CHECK(std::abs(evaluation.loss() - std::log(50.0)) < 1e-6);
}

TEST_CASE("evaluate: no events give zeros", "[metrics][evaluate][property]") {
  const Evaluation none = evaluate(model_for_data(LayerKind::meta), data(), {});
  CHECK(none.users() == 0);
  CHECK(none.loss() == 0.0);
  CHECK(none.top1() == 0.0);
}

TEST_CASE("evaluate: a weight that is not a number is an error, never a rank", "[metrics][evaluate][errors]") {
  const LeaveLastOut split = leave_last_out(data());
  for (const LayerKind kind : kLayerKinds) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (const NamedParameter& p : model_for_data(kind).parameters()) {
        if (p.name.find("rel_") != std::string::npos || p.name.find("rab") != std::string::npos) continue;
        INFO(name_of(kind) << ": " << bad << " in " << p.name);
        const HstuModel model = model_for_data(kind);
        for (const NamedParameter& q : model.parameters()) {
          Tensor values = q.value;
          if (q.name != p.name) continue;
          std::ranges::fill(values.mutable_values<float>(), bad);
        }
        CHECK_THROWS_AS(evaluate(model, data(), split.test, {.max_history = 20}), NumericError);
      }
    }
  }
}

TEST_CASE("evaluate: a NaN in the row of a seen item is an error too", "[metrics][evaluate][errors]") {
  const LeaveLastOut split = leave_last_out(data());
  const HstuModel model = model_for_data(LayerKind::rechub_0_1);
  const HeldOut& event = split.test.front();
  for (const NamedParameter& p : model.parameters()) {
    if (p.name != "output_projection.bias") continue;
    Tensor bias = p.value;
    const std::int32_t seen = data().items_of(event.user)[0];
    bias.mutable_data<float>()[seen] = std::numeric_limits<float>::quiet_NaN();
  }
  CHECK_THROWS_AS(evaluate(model, data(), std::span(&event, 1), {.max_history = 20}), NumericError);
}

TEST_CASE("evaluate: data that does not fit the model is refused", "[metrics][evaluate][errors]") {
  const LeaveLastOut split = leave_last_out(data());
  HstuConfig config = tiny_config(LayerKind::meta);
  config.max_seq_len = 20;
  CHECK_THROWS_AS(evaluate(HstuModel(config), data(), split.test, {.max_history = 20}), DataError);  // 7 items
  CHECK_THROWS_MATCHES(evaluate(model_for_data(LayerKind::meta), data(), split.test, {.max_history = 30}), DataError,
                       says("max_seq_len 20"));
  CHECK_THROWS_MATCHES(evaluate(model_for_data(LayerKind::meta), data(), split.test, {.max_history = 0}), ConfigError,
                       says("max_history"));
}
