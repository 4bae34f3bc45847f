// SPDX-License-Identifier: MIT
// The three models: gradients of every parameter, causality, independence of users, dropout, errors.
#include <numeric>

#include "small_models.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

/// Gradcheck of the scores of every token by every parameter.
void require_gradients(const HstuConfig& config) {
  const HstuModel model(config, 3, DType::float64);
  scatter_parameters(model);
  std::vector<Tensor> parameters;
  for (const NamedParameter& p : model.parameters()) parameters.push_back(p.value);
  // No ages below 5 s: bucket 0 is the padding row of torch-rechub 0.1.0's time embedding, which gets no gradient.
  const JaggedBatch batch = batch_of({{{3, 0}, {1, 20}, {6, 25}, {2, 400}}, kHistories[1]});
  const GradcheckResult result = gradcheck(
      [&](const std::vector<Tensor>&) {
        ForwardContext context;
        return model.scores(model.hidden(batch, context));
      },
      parameters);
  INFO(result.message);
  REQUIRE(result.ok);
  for (const NamedParameter& p : model.parameters()) {
    INFO(p.name);
    REQUIRE(grad(p.value).defined());
    REQUIRE(std::ranges::any_of(grad(p.value).values<double>(), [](double g) { return g != 0.0; }));
  }
}

Tensor rows_of(const Tensor& x, std::int64_t first, std::int64_t last) { return x.rows(first, last); }

/// Hidden states in training with dropout 0.5, of tokens that begin at `first_token` of a step.
Tensor trained_hidden(const HstuModel& model, const std::vector<History>& histories, std::int64_t first_token,
                      std::uint32_t step = 0) {
  ForwardContext context{.is_training = true, .seed = 5, .step = step, .first_token = first_token};
  return model.hidden(batch_of(histories), context);
}

}  // namespace

TEST_CASE("model: under a window events out of reach change nothing, but for the last rows",
          "[model][hstu][property]") {
  for (const LayerKind kind : kLayerKinds) {
    HstuConfig config = tiny_config(kind);
    config.num_layers = 1;
    config.max_attn_len = 2;
    config.min_full_attn_seq_len = 1;
    require_gradients(config);
    const HstuModel model(config, 3, DType::float64);
    scatter_parameters(model);
    History changed = kHistories[2];
    const Tensor before = hidden_of(model, {changed});
    changed[0].item = 6;
    const Tensor after = hidden_of(model, {changed});
    const bool expected[] = {true, true, true, false, false, true};
    for (std::int64_t row = 0; row < 6; ++row) {
      CAPTURE(name_of(kind), row);
      CHECK((rows_of(before, row, row + 1).to_vector<double>() != rows_of(after, row, row + 1).to_vector<double>()) ==
            expected[row]);
    }
  }
}

TEST_CASE("model: gradients of every parameter match finite differences, for every layer and bias",
          "[model][hstu][gradcheck]") {
  for (const LayerKind kind : kLayerKinds) {
    for (const PositionBias position : {PositionBias::none, PositionBias::linear, PositionBias::signed_distance,
                                        PositionBias::directional_log}) {
      for (const TimeBias time : {TimeBias::none, TimeBias::own_time, TimeBias::query_time}) {
        if (kind == LayerKind::rechub_0_1 && time != TimeBias::none) continue;
        INFO(name_of(kind) << ", position bias " << static_cast<int>(position) << ", time bias "
                           << static_cast<int>(time));
        HstuConfig config = tiny_config(kind);
        config.position_bias = position;
        config.time_bias = time;
        require_gradients(config);
      }
    }
  }
}

TEST_CASE("model: gradients match for each way to embed and to score", "[model][hstu][gradcheck]") {
  for (const LayerKind kind : kLayerKinds) {
    for (const bool flag : {false, true}) {
      INFO(name_of(kind) << ", " << flag);
      HstuConfig config = tiny_config(kind);
      config.num_layers = 1;
      config.use_time_embedding = flag;
      config.tie_embeddings = flag;
      config.l2_scores = !flag;
      config.use_output_bias = true;
      config.scale_input_embedding = !flag;
      config.concat_ua = flag && kind == LayerKind::meta;
      config.time_function = flag ? TimeFunction::sqrt : TimeFunction::log;
      require_gradients(config);
    }
  }
}

TEST_CASE("model: a user's hidden states do not depend on its batch mates", "[model][hstu][property]") {
  for (const LayerKind kind : kLayerKinds) {
    INFO(name_of(kind));
    const HstuModel model(tiny_config(kind), 1, DType::float64);
    scatter_parameters(model);
    const Tensor together = hidden_of(model, kHistories);
    const Tensor turned = hidden_of(model, {kHistories[2], kHistories[0], kHistories[1]});
    std::int64_t first = 0;
    for (const History& history : kHistories) {
      const std::int64_t last = first + std::ssize(history);
      require_close(hidden_of(model, {history}), rows_of(together, first, last), 1e-13);
      const std::int64_t at = (first + 6) % together.size(0);
      require_close(rows_of(turned, at, at + std::ssize(history)), rows_of(together, first, last), 1e-13);
      first = last;
    }
  }
}

TEST_CASE("model: an event changes no hidden state before it, and its own", "[model][hstu][property]") {
  for (const LayerKind kind : kLayerKinds) {
    const HstuModel model(tiny_config(kind), 1, DType::float64);
    scatter_parameters(model);
    const Tensor before = hidden_of(model, kHistories);
    for (std::size_t t = 1; t < kHistories[2].size(); ++t) {
      INFO(name_of(kind) << ", event " << t);
      auto changed = kHistories;
      changed[2][t].item = 7 - changed[2][t].item;
      const Tensor after = hidden_of(model, changed);
      const auto token = 5 + static_cast<std::int64_t>(t);
      REQUIRE(rows_of(after, 0, token).to_vector<double>() == rows_of(before, 0, token).to_vector<double>());
      for (std::int64_t later = token; later < after.size(0); ++later) {
        REQUIRE(rows_of(after, later, later + 1).to_vector<double>() !=
                rows_of(before, later, later + 1).to_vector<double>());
      }
    }
  }
}

TEST_CASE("model: scores are hidden states against the scorer's table", "[model][hstu][parity]") {
  for (const LayerKind kind : kLayerKinds) {
    INFO(name_of(kind));
    const HstuModel model(tiny_config(kind), 2, DType::float64);
    scatter_parameters(model);
    const Tensor hidden = hidden_of(model, kHistories), scores = model.scores(hidden);
    const ItemScorer scorer = model.scorer();
    CHECK(scorer.temperature == 0.5);
    Values expected;
    for (std::int64_t t = 0; t < hidden.size(0); ++t) {
      for (std::int64_t v = 0; v < 7; ++v) {
        double sum = scorer.bias.defined() ? scorer.bias.data<double>()[v] : 0.0;
        for (std::int64_t d = 0; d < 4; ++d) {
          sum += hidden.data<double>()[t * 4 + d] * scorer.table.data<double>()[v * 4 + d];
        }
        expected.push_back(sum / 0.5);
      }
    }
    require_close(scores, expected, 1e-12);
    if (kind == LayerKind::rechub_0_1) continue;
    for (std::int64_t t = 0; t < hidden.size(0); ++t) {  // L2-normalised
      const auto row = rows_of(hidden, t, t + 1).to_vector<double>();
      CHECK(std::abs(std::inner_product(row.begin(), row.end(), row.begin(), 0.0) - 1.0) < 1e-9);
    }
  }
}

TEST_CASE("model: float32 agrees with float64", "[model][hstu][parity]") {
  for (const LayerKind kind : kLayerKinds) {
    INFO(name_of(kind));
    const HstuModel narrow(tiny_config(kind), 4), wide(tiny_config(kind), 4, DType::float64);
    require_close(hidden_of(narrow, kHistories), hidden_of(wide, kHistories), 2e-5);
  }
}

TEST_CASE("model: dropout acts in training only", "[model][hstu][property]") {
  for (const LayerKind kind : kLayerKinds) {
    INFO(name_of(kind));
    HstuConfig config = tiny_config(kind);
    const HstuModel plain(config, 1, DType::float64);
    config.dropout = 0.5;
    const HstuModel model(config, 1, DType::float64);
    const auto still = hidden_of(model, kHistories).to_vector<double>();
    CHECK(still == hidden_of(plain, kHistories).to_vector<double>());
    const auto trained = trained_hidden(model, kHistories, 0).to_vector<double>();
    CHECK(trained != still);
    CHECK(trained == trained_hidden(model, kHistories, 0).to_vector<double>());
    CHECK(trained != trained_hidden(model, kHistories, 0, 1).to_vector<double>());
  }
}

TEST_CASE("model: chunks of a batch draw the dropout of the whole batch", "[model][hstu][property]") {
  for (const LayerKind kind : kLayerKinds) {
    INFO(name_of(kind));
    HstuConfig config = tiny_config(kind);
    config.dropout = 0.5;
    const HstuModel model(config, 1, DType::float64);
    scatter_parameters(model);
    const Tensor whole = trained_hidden(model, kHistories, 0);
    require_close(trained_hidden(model, {kHistories[0]}, 0), rows_of(whole, 0, 4), 1e-13);
    require_close(trained_hidden(model, {kHistories[1], kHistories[2]}, 4), rows_of(whole, 4, 11), 1e-13);
    CHECK(trained_hidden(model, {kHistories[2]}, 0).to_vector<double>() !=
          rows_of(whole, 5, 11).to_vector<double>());  // the place in the step matters
  }
}

TEST_CASE("model: no users, and users without events", "[model][hstu][property]") {
  for (const LayerKind kind : kLayerKinds) {
    const HstuModel model(tiny_config(kind));
    CHECK(hidden_of(model, {}).shape() == Shape{0, 4});
    CHECK(model.scores(hidden_of(model, {{}, {}})).shape() == Shape{0, 7});
    CHECK(hidden_of(model, {{}, kHistories[1], {}}).shape() == Shape{1, 4});
  }
}
