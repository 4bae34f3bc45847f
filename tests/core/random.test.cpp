// SPDX-License-Identifier: MIT
// Random numbers: published answers, bulk and single draws, uniformity.
#include <set>

#include <hstu/core/random_fill.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

using Words = std::array<std::uint32_t, 4>;

TEST_CASE("philox4x32: the known answers of Random123", "[core][random][golden]") {
  // kat_vectors of the Random123 distribution, lines "philox4x32 10"
  REQUIRE(philox4x32({0, 0, 0, 0}, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  REQUIRE(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff) ==
          Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  REQUIRE(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random: a stream is the words of consecutive counters", "[core][random][property]") {
  const RandomStream stream{.seed = 0x299f31d0a4093822, .step = 0x13198a2e, .site = 0x03707344};
  const std::uint64_t block = 0x85a308d3243f6a88 & 0x3fffffffffffffff;  // 4·block must fit 64 bits
  const Words words = philox4x32({0x243f6a88, static_cast<std::uint32_t>(block >> 32), 0x13198a2e, 0x03707344},
                                 stream.seed);
  for (std::uint64_t lane = 0; lane < 4; ++lane) REQUIRE(stream.bits(4 * block + lane) == words[lane]);
}

TEST_CASE("fill_bits: equals single draws for every start and length", "[core][random][parity]") {
  const RandomStream stream{.seed = 0x123456789abcdef, .step = 3, .site = 9};
  for (const std::uint64_t first : {0ull, 1ull, 2ull, 3ull, 61ull, 0x3fffffff0ull, 0x3ffffffffull}) {
    for (const std::size_t count : {0u, 1u, 3u, 4u, 31u, 32u, 33u, 63u, 255u, 256u, 257u, 288u, 1000u}) {
      std::vector<std::uint32_t> words(count);
      fill_bits(stream, first, words);
      std::vector<std::uint32_t> expected;
      for (std::size_t i = 0; i < count; ++i) expected.push_back(stream.bits(first + i));
      INFO(count << " words from " << first);
      REQUIRE(words == expected);
    }
  }
}

TEST_CASE("random: uniform values fill [0, 1) evenly", "[core][random][property]") {
  const RandomStream stream{.seed = 5};
  constexpr int kCount = 100000;
  std::array<int, 20> bins{};
  for (int i = 0; i < kCount; ++i) {
    const double u = stream.uniform(static_cast<std::uint64_t>(i));
    REQUIRE((u >= 0.0 && u < 1.0));
    ++bins[static_cast<std::size_t>(u * 20)];
  }
  double chi_square = 0.0;
  for (const int bin : bins) chi_square += (bin - kCount / 20.0) * (bin - kCount / 20.0) / (kCount / 20.0);
  REQUIRE(chi_square < 43.8);  // 19 degrees of freedom, 1 in 1000
}

TEST_CASE("random: normal values have the moments of N(0, 1)", "[core][random][property]") {
  const Tensor x = randn({100000}, {.seed = 6}, 1.0, DType::float64);
  const auto v = array<double>(x);
  REQUIRE(std::abs(v.mean()) < 4 / std::sqrt(1e5));
  REQUIRE(std::abs(v.square().mean() - 1.0) < 4 * std::sqrt(2 / 1e5));
  REQUIRE(std::abs(v.cube().mean()) < 4 * std::sqrt(15 / 1e5));
  REQUIRE(v.isFinite().all());
  const Tensor scaled = randn({100000}, {.seed = 6}, 0.02);
  REQUIRE(std::abs(array<float>(scaled)[17] - 0.02 * v[17]) < 1e-8);
}

TEST_CASE("random: below(n) stays below n and reaches every value", "[core][random][property]") {
  const RandomStream stream{.seed = 7};
  std::set<std::uint32_t> seen;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    seen.insert(stream.below(i, 7));
    REQUIRE(stream.below(i, 1) == 0);
  }
  REQUIRE(seen == std::set<std::uint32_t>{0, 1, 2, 3, 4, 5, 6});
}

TEST_CASE("random: streams that differ in seed, step or site differ", "[core][random][property]") {
  std::set<std::uint32_t> firsts;
  for (std::uint32_t i = 0; i < 50; ++i) {
    firsts.insert(RandomStream{.seed = i + 1}.bits(0));
    firsts.insert(RandomStream{.step = i + 1}.bits(0));
    firsts.insert(RandomStream{.site = i + 1}.bits(0));
    firsts.insert(RandomStream{.seed = std::uint64_t{i + 1} << 32}.bits(0));
  }
  REQUIRE(firsts.size() == 200);
}

TEST_CASE("shuffle: a permutation, fixed by its stream", "[core][random][property]") {
  std::vector<int> sorted(101);
  for (std::size_t i = 0; i < sorted.size(); ++i) sorted[i] = static_cast<int>(i);
  std::vector<int> a = sorted, b = sorted, c = sorted;
  shuffle(a, {.seed = 1});
  shuffle(b, {.seed = 1});
  shuffle(c, {.seed = 2});
  REQUIRE(a == b);
  REQUIRE(a != c);
  REQUIRE(a != sorted);
  std::ranges::sort(a);
  REQUIRE(a == sorted);
  std::vector<int> none;
  shuffle(none, {});
  REQUIRE(none.empty());
}
