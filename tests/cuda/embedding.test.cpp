// SPDX-License-Identifier: MIT
// Lookups of rows and the gradients of their tables against the ops of the CPU in float64.
#include <hstu/cuda/elementwise.hpp>
#include <hstu/cuda/embedding.hpp>
#include <hstu/ops/dropout.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/embedding.hpp>

#include "on_device.hpp"

namespace hstu {
namespace {
using namespace test;

std::vector<std::int32_t> draw_ids(std::int64_t count, std::uint32_t rows, std::uint32_t site) {
  std::vector<std::int32_t> ids;
  const RandomStream stream{.seed = 1, .step = 0, .site = site};
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t id = stream.below(static_cast<std::uint64_t>(i), rows);
    ids.push_back(static_cast<std::int32_t>(id * id / rows));  // low ids more often, as in real data
  }
  return ids;
}

TEST_CASE("embedding on the device: items and positions in one pass, gradients by sorted ids",
          "[cuda][embedding][parity]") {
  for (const std::int64_t tokens : {0, 1, 31, 33, 200}) {
    for (const std::int64_t cols : {16, 25, 50, 64, 130}) {
      CAPTURE(tokens, cols);
      constexpr std::int64_t kItems = 40, kPositions = 20;
      const Tensor items = rounded_parameter(random_input({kItems, cols}, 1)),
                   positions = rounded_parameter(random_input({kPositions, cols}, 2));
      const Tensor dy = random_input({tokens, cols}, 3).to(DType::float32);
      const auto item_ids = draw_ids(tokens, kItems, 1), position_ids = draw_ids(tokens, kPositions, 2);
      const RandomStream stream{.seed = 9, .step = 1, .site = 2};
      const auto got = same_twice([&] {
        const Buffer<float> table(upload(items)), second(upload(positions)), grad(upload(dy));
        const Buffer<std::int32_t> ids(device(), item_ids), places(device(), position_ids);
        Buffer<float> y(device(), dy.numel()), masked(device(), dy.numel());
        Buffer<float> ditems(device(), items.numel()), dpositions(device(), positions.numel());
        const auto mask = cuda::dropout_mask(0.2, stream, 4, cols);
        const auto width = static_cast<std::int32_t>(cols);
        if (tokens > 0) {
          cuda::embedding_forward(device(),
                                  {{{table.data(), ids.data(), 5.0f}, {second.data(), places.data(), 1.0f}, {}},
                                   y.data(),
                                   tokens,
                                   width,
                                   mask});
          cuda::dropout(device(), {grad.data(), nullptr, masked.data(), dy.numel(), mask});
        }
        ditems.fill_zero();
        dpositions.fill_zero();
        const cuda::SortedIds by_item(device(), item_ids, kItems, 0), by_position(device(), position_ids, kPositions);
        by_item.sum(device(), {.values = masked.data(), .cols = width, .scale = 5.0f}, ditems.data());
        for (int half = 0; half < 2; ++half) {
          by_position.sum(device(), {.values = masked.data(), .cols = width, .scale = 0.5f, .accumulates = true},
                          dpositions.data());
        }
        return std::vector{download(y, dy.shape()), download(ditems, items.shape()),
                           download(dpositions, positions.shape())};
      });
      const Tensor y = dropout(
          scale(embedding(items, Tensor::from(item_ids), 0), 5.0) + embedding(positions, Tensor::from(position_ids)),
          0.2, stream, 4);
      backward_from(y, dy.to(DType::float64));
      require_near(got[0], y, 1e-6);
      require_near(got[1], grad(items), 2e-6);
      require_near(got[2], grad(positions), 2e-6);
    }
  }
}

TEST_CASE("sums by sorted ids: coefficients, and several places per row", "[cuda][embedding][parity]") {
  constexpr std::int64_t kRows = 30, kGroup = 5, kCols = 50, kItems = 17;
  const Tensor values = random_input({kRows, kCols}, 4).to(DType::float32),
               weights = random_input({kRows, kGroup}, 5).to(DType::float32);
  const auto ids = draw_ids(kRows * kGroup, kItems, 3);
  const auto got = same_twice([&] {
    const Buffer<float> x(upload(values)), w(upload(weights));
    Buffer<float> sums(device(), kItems * kCols);
    sums.fill_zero();
    cuda::SortedIds(device(), ids, kItems)
        .sum(device(), {.values = x.data(), .coefficients = w.data(), .cols = kCols, .group = kGroup, .scale = 2.0f},
             sums.data());
    return std::vector{download(sums, {kItems, kCols})};
  });
  Values expected(kItems * kCols, 0.0);
  for (std::size_t place = 0; place < ids.size(); ++place) {
    for (std::size_t c = 0; c < kCols; ++c) {
      expected[static_cast<std::size_t>(ids[place]) * kCols + c] +=
          2.0 * static_cast<double>(weights.data<float>()[place]) *
          static_cast<double>(values.data<float>()[place / kGroup * kCols + c]);
    }
  }
  require_close(got[0], expected, 1e-5);
}

TEST_CASE("sorted ids: an id outside of the table is refused", "[cuda][embedding][errors]") {
  const std::vector<std::int32_t> ids{1, 5, 2};
  REQUIRE_THROWS_MATCHES(cuda::SortedIds(device(), ids, 5), DataError, says("id 5 of place 1, expected 0 to 4"));
}

}  // namespace
}  // namespace hstu
