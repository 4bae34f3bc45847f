// SPDX-License-Identifier: MIT
// Recommendations: the ranking of the scores, without padding and history.
#include <hstu/recommend/recommender.hpp>

#include "../model/small_models.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

using Ids = std::vector<std::int32_t>;
using Longs = std::vector<std::int64_t>;

const Ids kItems{3, 1, 3, 6};
const Longs kTimes{0, 20, 20, 400};
constexpr std::int64_t kNow = 500;

HstuModel model_of(LayerKind kind, DType dtype = DType::float32) {
  HstuModel model(tiny_config(kind), 8, dtype);
  scatter_parameters(model);
  return model;
}

Ids items_in(const std::vector<ScoredItem>& ranked) {
  Ids items;
  for (const ScoredItem& entry : ranked) items.push_back(entry.item);
  return items;
}

}  // namespace

TEST_CASE("score_items: the scores of the last token of the history", "[recommend][recommender][parity]") {
  for (const LayerKind kind : kLayerKinds) {
    INFO(name_of(kind));
    const HstuModel model = model_of(kind, DType::float64);
    const Tensor scores = score_items(model, kItems, kTimes, 450, 6);
    REQUIRE(scores.shape() == Shape{7});
    const Tensor hidden = hidden_of(model, {{{3, 0}, {1, 20}, {3, 20}, {6, 400}}});  // asked 50 s after its last event
    require_close(scores, model.scores(hidden).rows(3, 4).reshaped({7}), 1e-13);
    CHECK_FALSE(scores.needs_grad());
  }
}

TEST_CASE("score_items: depends on the time of asking where the model sees it", "[recommend][recommender][property]") {
  const HstuModel model = model_of(LayerKind::meta, DType::float64);
  const Values soon = score_items(model, kItems, kTimes, 401, 6).to_vector<double>();
  CHECK(score_items(model, kItems, kTimes, 401 + 86400, 6).to_vector<double>() != soon);
}

TEST_CASE("score_items: only the most recent events count", "[recommend][recommender][property]") {
  for (const LayerKind kind : kLayerKinds) {
    const HstuModel model = model_of(kind, DType::float64);
    const Values cut = score_items(model, kItems, kTimes, kNow, 2).to_vector<double>();
    CHECK(cut == score_items(model, Ids{3, 6}, Longs{20, 400}, kNow, 2).to_vector<double>());
    CHECK(cut == score_items(model, Ids{5, 3, 6}, Longs{7, 20, 400}, kNow, 2).to_vector<double>());
    CHECK(cut != score_items(model, kItems, kTimes, kNow, 4).to_vector<double>());
  }
}

TEST_CASE("recommend: the items of the scores, best first, without padding and history",
          "[recommend][recommender][parity]") {
  for (const LayerKind kind : kLayerKinds) {
    INFO(name_of(kind));
    const HstuModel model = model_of(kind);
    const auto scores = score_items(model, kItems, kTimes, kNow, 6).to_vector<float>();
    Ids expected{2, 4, 5};
    const auto is_better = [&](std::int32_t a, std::int32_t b) {
      return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    };
    std::ranges::sort(expected, is_better);
    const RecommendOptions options{.count = 10, .max_history = 6};  // fewer candidates than asked for
    const auto ranked = recommend(model, kItems, kTimes, kNow, options);
    CHECK(items_in(ranked) == expected);
    for (const ScoredItem& entry : ranked) CHECK(entry.score == scores[static_cast<std::size_t>(entry.item)]);
    CHECK(items_in(recommend(model, kItems, kTimes, kNow, {.count = 2, .max_history = 6})) ==
          Ids{expected[0], expected[1]});
    CHECK(recommend(model, kItems, kTimes, kNow, {.count = 0, .max_history = 6}).empty());

    Ids all{1, 2, 3, 4, 5, 6};
    std::ranges::sort(all, is_better);
    CHECK(items_in(recommend(model, kItems, kTimes, kNow, {.count = 10, .max_history = 6, .keep_seen = true})) == all);
  }
}

TEST_CASE("recommend: events beyond max_history are not recommended again either",
          "[recommend][recommender][property]") {
  Ids items = items_in(recommend(model_of(LayerKind::meta), kItems, kTimes, kNow, {.count = 10, .max_history = 1}));
  std::ranges::sort(items);
  CHECK(items == Ids{2, 4, 5});
}

TEST_CASE("recommend: a history of all items leaves nothing", "[recommend][recommender][property]") {
  const Ids all{1, 2, 3, 4, 5, 6};
  CHECK(recommend(model_of(LayerKind::rechub_0_9), all, Longs(6, 5), 9, {.count = 3, .max_history = 6}).empty());
}

TEST_CASE("recommend: histories that are none are refused", "[recommend][recommender][errors]") {
  const HstuModel model = model_of(LayerKind::meta);
  const RecommendOptions options{.max_history = 6};
  const auto ask = [&](const Ids& items, const Longs& times, std::int64_t now = kNow) {
    return recommend(model, items, times, now, options);
  };
  CHECK_THROWS_MATCHES(ask({}, {}), DataError, says("at least one event"));
  CHECK_THROWS_MATCHES(ask({1, 2}, {5}), DataError, says("got 2 items and 1 times"));
  CHECK_THROWS_MATCHES(ask({1, 2}, {5, 4}), DataError, says("do not ascend"));
  CHECK_THROWS_MATCHES(ask({1, 7}, {4, 5}), DataError, says("got 7"));
  CHECK_THROWS_MATCHES(ask({1, -1}, {4, 5}), DataError, says("got -1"));
  CHECK_THROWS_MATCHES(score_items(model, Ids{1, 2}, Longs{5, 4}, kNow, 6), DataError, says("do not ascend"));
  const std::int64_t least = std::numeric_limits<std::int64_t>::min(), most = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS_MATCHES(ask({1, 2}, {least, most}), DataError, says("out of range"));
  CHECK_THROWS_MATCHES(ask({1}, {5}, most), DataError, says("out of range"));
  CHECK_THROWS_MATCHES(recommend(model, kItems, kTimes, kNow, {.count = -1, .max_history = 6}), ConfigError,
                       says("k must not be negative"));
  CHECK_THROWS_MATCHES(recommend(model, Ids(7, 1), Longs(7, 5), kNow, {}), DataError, says("has 7 tokens"));
}
