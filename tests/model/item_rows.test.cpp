// SPDX-License-Identifier: MIT
// Items hashed into a table of fixed size: rows, collisions, and a model on them against one with the rows written out.
#include <set>

#include <hstu/recommend/item_scores.hpp>

#include "small_models.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("item_rows: rows in range, as many as chance predicts", "[model][item_rows][property]") {
  constexpr std::int64_t kItems = 100'000, kRows = 20'001;
  const ItemRows rows(kItems, kRows);
  CHECK(rows.size() == kRows);
  CHECK(rows.row_of(0) == 0);
  std::vector<double> counts(kRows);
  for (std::int64_t item = 1; item < kItems; ++item) {
    REQUIRE((rows.row_of(item) >= 1 && rows.row_of(item) < kRows));
    ++counts[static_cast<std::size_t>(rows.row_of(item))];
  }
  const double used = static_cast<double>(kRows - std::ranges::count(counts, 0.0));
  const double expected = (kRows - 1) * -std::expm1((kItems - 1) * std::log1p(-1.0 / (kRows - 1)));
  CHECK(std::abs(used - expected) < 0.005 * expected);
  double chi = 0.0;  // against an even spread: kRows degrees of freedom, 200 their standard deviation
  const double mean = static_cast<double>(kItems - 1) / (kRows - 1);
  for (std::size_t row = 1; row < counts.size(); ++row) chi += (counts[row] - mean) * (counts[row] - mean) / mean;
  CHECK(std::abs(chi - kRows) < 5 * 200.0);

  const Tensor items = Tensor::from(std::vector<std::int64_t>{5, 0, 7}, {3, 1});
  CHECK(rows.of(items).shape() == Shape{3, 1});
  CHECK(rows.of(items).values<std::int32_t>()[2] == rows.row_of(7));
  CHECK(ItemRows(10, 0).of(items).data<std::int64_t>() == items.data<std::int64_t>());
  CHECK(rows.of_all().numel() == kItems);
  CHECK_THROWS_MATCHES(rows.of(Tensor::from(std::vector<std::int32_t>{kItems})), DataError, says("item 100000"));
  CHECK_THROWS_AS(rows.of(Tensor::from(std::vector<std::int32_t>{-1})), DataError);
}

TEST_CASE("model: hashed items score as in a table with their rows written out, and tie in one row",
          "[model][item_rows][parity]") {
  for (const auto& [l2_scores, similarity] :
       {std::pair(true, Similarity::dot), {false, Similarity::dot}, {true, Similarity::mixture}}) {
    HstuConfig config = tiny_config(LayerKind::meta);
    config.similarity = similarity;
    config.num_items = 30;
    config.item_table_rows = 5;
    config.l2_scores = l2_scores;
    const HstuModel hashed(config, 3, DType::float64);
    scatter_parameters(hashed);
    CHECK(hashed.item_table().shape() == Shape{5, 4});
    config.item_table_rows = 0;
    const HstuModel written(config, 4, DType::float64);
    const ParameterList from = hashed.parameters(), to = written.parameters();
    for (std::size_t i = 0; i < from.size(); ++i) {
      Tensor value = to[i].value;
      value.copy_from(i == 0 ? embedding(from[i].value, hashed.rows().of_all()).detach() : from[i].value);
    }
    const std::vector<History> histories = {{{3, 0}, {17, 20}, {26, 20}, {2, 400}}, {{29, 90}}};
    const Tensor hidden = hidden_of(hashed, histories);
    CHECK(hidden.to_vector<double>() == hidden_of(written, histories).to_vector<double>());
    const Tensor scores = hashed.scores(hidden);
    CHECK(scores.to_vector<double>() == written.scores(hidden).to_vector<double>());
    require_close(ItemScores(hashed)(hidden.detach()), scores.to_vector<double>(), 1e-12);
    for (std::int64_t a = 1; a < 30; ++a) {
      for (std::int64_t b = 1; b < 30; ++b) {
        if (hashed.rows().row_of(a) != hashed.rows().row_of(b)) continue;
        CHECK(scores.data<double>()[a] == scores.data<double>()[b]);
      }
    }
  }
}

TEST_CASE("model: gradients of a hashed table match finite differences", "[model][item_rows][gradcheck]") {
  HstuConfig config = tiny_config(LayerKind::meta);
  config.num_items = 9;
  config.item_table_rows = 4;
  const HstuModel model(config, 3, DType::float64);
  scatter_parameters(model);
  const JaggedBatch batch = batch_of({{{3, 0}, {8, 20}, {6, 25}}, {{5, 90}}});
  const auto result = gradcheck(
      [&](const std::vector<Tensor>&) {
        ForwardContext context;
        return model.scores(model.hidden(batch, context));
      },
      {model.item_table()});
  INFO(result.message);
  CHECK(result.ok);
}
