// SPDX-License-Identifier: MIT
// What the host prepares for a step on the device: the same for any number of threads.
#include "training.hpp"

namespace hstu {
namespace {
using namespace test;

TEST_CASE("sorted places: those of a stable sort, for any number of threads", "[device][sort][property]") {
  const RandomStream stream{.seed = 5, .step = 0, .site = 1};
  for (const std::int64_t size : {0, 1, 100, 70'000}) {
    for (const std::int64_t rows : {1, 7, 300, 40'000}) {
      CAPTURE(size, rows);
      std::vector<std::int32_t> ids, expected(static_cast<std::size_t>(size));
      for (std::int64_t i = 0; i < size; ++i) {
        ids.push_back(
            static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(rows))));
      }
      std::iota(expected.begin(), expected.end(), 0);
      std::ranges::stable_sort(expected, {}, [&](std::int32_t i) { return ids[static_cast<std::size_t>(i)]; });
      std::erase_if(expected, [&](std::int32_t i) { return ids[static_cast<std::size_t>(i)] == 3; });
      for (const int threads : {1, 2, 5}) {
        const Threads scope(threads);
        const cuda::SortedPlaces sorted = cuda::sort_places(ids, rows, 3);
        REQUIRE(sorted.places == expected);
        REQUIRE(sorted.starts.size() == sorted.ids.size() + 1);
        REQUIRE(std::ranges::adjacent_find(sorted.ids, std::ranges::greater_equal()) == sorted.ids.end());
        bool all_right = sorted.starts.back() == std::ssize(expected);
        for (std::size_t s = 0; s < sorted.ids.size(); ++s) {
          for (std::int32_t i = sorted.starts[s]; i < sorted.starts[s + 1]; ++i) {
            all_right &= ids[static_cast<std::size_t>(sorted.places[static_cast<std::size_t>(i)])] == sorted.ids[s];
          }
        }
        REQUIRE(all_right);
      }
    }
  }
  const Threads scope(4);
  REQUIRE_THROWS_MATCHES(cuda::sort_places(std::vector<std::int32_t>{0, 1, 5}, 5, -1), DataError,
                         says("id 5 of place 2, expected 0 to 4"));
  REQUIRE_THROWS_AS(cuda::sort_places(std::vector<std::int32_t>{0, -1}, 5, -1), DataError);
}

TEST_CASE("negatives of a whole batch: what the chunks of the CPU draw, for any number of threads",
          "[device][negatives][property]") {
  const RandomStream stream{.seed = 5, .step = 2, .site = kSiteNegatives};
  for (const NegativeKind kind : {NegativeKind::uniform, NegativeKind::popularity, NegativeKind::in_batch}) {
    NegativeSampler sampler({.kind = kind, .count = 6}, std::vector<double>(50, 2.0));
    for (const std::vector<std::int32_t>& targets : {std::vector<std::int32_t>{3, 0, 7, 7, 49}, {}}) {
      sampler.begin_step(targets, stream);
      for (const std::int64_t tokens : {0, 1, 511, 1500}) {
        const Tensor expected = sampler.draw(tokens, stream, 0);
        for (const int threads : {1, 3}) {
          const Threads scope(threads);
          const Tensor got = cuda::draw_negatives(sampler, tokens, stream);
          REQUIRE(got.numel() == expected.numel());
          REQUIRE(std::ranges::equal(got.values<std::int32_t>(), expected.values<std::int32_t>()));
        }
      }
    }
  }
}

}  // namespace
}  // namespace hstu
