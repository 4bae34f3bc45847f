// SPDX-License-Identifier: MIT
// Ranks and lists on the device against those of the CPU: equal, ties included.
#include <limits>

#include <hstu/cuda/ranking.hpp>
#include <hstu/metrics/ranking.hpp>
#include <hstu/recommend/top_k.hpp>

#include "on_device.hpp"

namespace hstu {
namespace {
using namespace test;

struct Rows {
  std::int64_t rows, items;
  std::vector<float> scores;
  std::vector<std::int32_t> targets, excluded;
  std::vector<std::int64_t> offsets{0};

  /// Scores of few different values, so that ties are common.
  Rows(std::int64_t num_rows, std::int64_t num_items) : rows(num_rows), items(num_items) {
    const RandomStream stream{.seed = 5, .step = 0, .site = static_cast<std::uint32_t>(items)};
    std::uint64_t next = 0;
    const auto below = [&](std::int64_t n) {
      return static_cast<std::int32_t>(stream.below(next++, static_cast<std::uint32_t>(n)));
    };
    for (std::int64_t i = 0; i < rows * items; ++i) scores.push_back(0.5f * static_cast<float>(below(60) - 30));
    for (std::int64_t r = 0; r < rows; ++r) {
      targets.push_back(1 + below(items - 1));
      for (std::int64_t i = 0; i < items / 3; ++i) excluded.push_back(below(items));
      if (r % 2 == 1) excluded.push_back(targets.back());
      offsets.push_back(std::ssize(excluded));
    }
  }
  std::span<const float> scores_of(std::int64_t r) const {
    return std::span(scores).subspan(static_cast<std::size_t>(r * items), static_cast<std::size_t>(items));
  }
  std::span<const std::int32_t> excluded_of(std::int64_t r) const {
    const auto at = static_cast<std::size_t>(r);
    return std::span(excluded).subspan(static_cast<std::size_t>(offsets[at]),
                                       static_cast<std::size_t>(offsets[at + 1] - offsets[at]));
  }
};

TEST_CASE("ranks of targets on the device", "[cuda][ranking][parity]") {
  for (const std::int64_t items : {2, 3, 33, 256, 257, 1000}) {
    CAPTURE(items);
    const Rows data(7, items);
    Buffer<float> scores(device(), data.scores);
    const Buffer<std::int32_t> targets(device(), data.targets), excluded(device(), data.excluded);
    const Buffer<std::int64_t> offsets(device(), data.offsets);
    Buffer<std::int32_t> ranks(device(), data.rows);
    const auto V = static_cast<std::int32_t>(items);
    cuda::exclude_items(device(), {scores.data(), excluded.data(), offsets.data(), targets.data(), data.rows, V});
    cuda::rank_targets(device(), {scores.data(), targets.data(), ranks.data(), data.rows, V});
    const auto got = ranks.to_vector();
    for (std::int64_t r = 0; r < data.rows; ++r) {
      const auto at = static_cast<std::size_t>(r);
      REQUIRE(got[at] == rank_of_target(data.scores_of(r), data.targets[at], data.excluded_of(r)));
    }
  }
}

TEST_CASE("top k on the device: lists of the CPU, ties by id", "[cuda][ranking][parity]") {
  for (const std::int64_t items : {1, 2, 33, 257, 1500}) {
    for (const std::int32_t k : {1, 10, 200, 1024}) {
      CAPTURE(items, k);
      if (items == 1 && k > 1) continue;
      const Rows data(3, std::max<std::int64_t>(items, 2));
      const auto V = static_cast<std::int32_t>(data.items);
      Buffer<float> scores(device(), data.scores);
      const Buffer<std::int32_t> excluded(device(), data.excluded);
      const Buffer<std::int64_t> offsets(device(), data.offsets);
      Buffer<std::int32_t> best(device(), data.rows * k), counts(device(), data.rows);
      Buffer<float> best_scores(device(), data.rows * k);
      cuda::exclude_items(device(), {scores.data(), excluded.data(), offsets.data(), nullptr, data.rows, V});
      cuda::top_k(device(), {scores.data(), best.data(), best_scores.data(), counts.data(), data.rows, V, k});
      const auto got = best.to_vector();
      const auto got_scores = best_scores.to_vector();
      const auto got_counts = counts.to_vector();
      for (std::int64_t r = 0; r < data.rows; ++r) {
        const auto expected = top_k(data.scores_of(r), k, data.excluded_of(r));
        REQUIRE(got_counts[static_cast<std::size_t>(r)] == std::ssize(expected));
        std::int64_t wrong = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
          const std::size_t at = static_cast<std::size_t>(r * k) + i;
          const ScoredItem is{got[at], static_cast<double>(got_scores[at])};
          wrong += is == expected[i] ? 0 : 1;
        }
        REQUIRE(wrong == 0);
      }
    }
  }
}

TEST_CASE("ranking on the device: a score that is not finite shows; k out of range is refused",
          "[cuda][ranking][errors]") {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> values(2 * 300, 1.0f);
    values[599] = bad;
    Buffer<float> scores(device(), values), best_scores(device(), 8);
    const Buffer<std::int32_t> targets(device(), std::vector<std::int32_t>{4, 4});
    Buffer<std::int32_t> ranks(device(), 2), best(device(), 8), counts(device(), 2);
    cuda::rank_targets(device(), {scores.data(), targets.data(), ranks.data(), 2, 300});
    REQUIRE(ranks.to_vector() == std::vector<std::int32_t>{299, 0});
    cuda::top_k(device(), {scores.data(), best.data(), best_scores.data(), counts.data(), 2, 300, 4});
    REQUIRE(counts.to_vector() == std::vector<std::int32_t>{4, -1});
  }
  cuda::TopK o{};
  o.k = 1025;
  REQUIRE_THROWS_MATCHES(cuda::top_k(device(), o), ConfigError, says("k must be in [1, 1024], got 1025"));
}

}  // namespace
}  // namespace hstu
