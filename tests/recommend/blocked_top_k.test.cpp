// SPDX-License-Identifier: MIT
// The best items in blocks against those of all scores.
#include <hstu/recommend/blocked_top_k.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("blocked_top_k: what top_k gives for all scores", "[recommend][top_k][parity]") {
  for (const std::int64_t items : {1, 2, 40, 4096, 4097, 9001}) {
    for (const std::int64_t k : {0, 1, 7, 100}) {
      CAPTURE(items, k);
      // whole numbers: products are exact, and many scores are equal
      const auto whole = [](Tensor x) {
        for (double& v : x.mutable_values<double>()) v = std::round(v);
        return x;
      };
      const Tensor queries = whole(random_input({3, 5}, 1)), table = whole(random_input({items, 5}, 2));
      std::vector<std::vector<std::int32_t>> excluded(3);
      for (std::int32_t i = 0; i < std::min<std::int32_t>(50, static_cast<std::int32_t>(items)); ++i) {
        excluded[1].push_back(static_cast<std::int32_t>(items) - 1 - i);
        excluded[1].push_back(0);
      }
      const auto best = blocked_top_k<double>(queries, table, k, excluded);
      REQUIRE(best.size() == 3);
      for (std::int64_t i = 0; i < 3; ++i) {
        Values scores(static_cast<std::size_t>(items));
        for (std::int64_t v = 0; v < items; ++v) {
          for (std::int64_t d = 0; d < 5; ++d) {
            scores[static_cast<std::size_t>(v)] += queries.data<double>()[i * 5 + d] * table.data<double>()[v * 5 + d];
          }
        }
        const auto u = static_cast<std::size_t>(i);
        CHECK(best[u] == top_k<double>(scores, k, excluded[u]));
      }
    }
  }
}

TEST_CASE("blocked_top_k: errors", "[recommend][top_k][errors]") {
  const Tensor queries = randn({1, 2}, {});
  Tensor table = randn({9, 2}, {});
  CHECK_THROWS_MATCHES(blocked_top_k<float>(queries, table, -1, {{}}), ConfigError, says("k must not be negative"));
  CHECK_THROWS_MATCHES(blocked_top_k<float>(queries, table, 1, {}), ShapeError, says("expected 1 lists"));
  CHECK_THROWS_MATCHES(blocked_top_k<float>(queries, table, 1, {{9}}), DataError, says("from 0 to 8, got 9"));
  CHECK_THROWS_MATCHES(blocked_top_k<float>(queries, table, 1, {{3, -1}}), DataError, says("from 0 to 8, got -1"));
  CHECK_THROWS_AS(blocked_top_k<float>(randn({2}, {}), table, 1, {{}}), ShapeError);
  CHECK_THROWS_AS(blocked_top_k<float>(queries, randn({9}, {}), 1, {{}}), ShapeError);
  CHECK_THROWS_MATCHES(blocked_top_k<float>(queries, randn({9, 1}, {}), 1, {{}}), ShapeError, says("or wider"));
  table.mutable_data<float>()[2 * 5] = std::nanf("");
  CHECK_THROWS_MATCHES(blocked_top_k<float>(queries, table, 1, {{}}), NumericError, says("score of item 5 is"));
}
