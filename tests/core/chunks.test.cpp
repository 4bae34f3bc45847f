// SPDX-License-Identifier: MIT
// Work cut into chunks and pieces: every index once, in order, by sizes only.
#include <catch2/catch_test_macros.hpp>

#include <hstu/core/chunks.hpp>

using namespace hstu;

TEST_CASE("make_chunks: ranges follow one another and hold at most kChunkTokens", "[core][chunks][property]") {
  const std::vector<std::int64_t> lengths{0, kChunkTokens - 1, 1, 1, 5000, 3, 0, kChunkTokens, kChunkTokens, 7};
  const auto length_of = [&](std::int64_t i) { return lengths[static_cast<std::size_t>(i)]; };
  const auto chunks = make_chunks(std::ssize(lengths), length_of);
  std::int64_t next = 0;
  for (const IndexRange& chunk : chunks) {
    REQUIRE(chunk.begin == next);
    REQUIRE(chunk.size() >= 1);
    next = chunk.end;
    std::int64_t tokens = 0;
    for (std::int64_t i = chunk.begin; i < chunk.end; ++i) tokens += length_of(i);
    CHECK((tokens <= kChunkTokens || chunk.size() == 1));
  }
  CHECK(next == std::ssize(lengths));
  CHECK(chunks.front().end == 3);  // the first three fill one chunk exactly
}

TEST_CASE("make_chunks: nothing gives no chunk", "[core][chunks][property]") {
  CHECK(make_chunks(0, [](std::int64_t) { return std::int64_t{1}; }).empty());
}

TEST_CASE("make_groups: every index once, in order, with about equal weights", "[core][chunks][property]") {
  const std::vector<double> weights{5, 1, 1, 1, 1, 1, 2, 2, 2, 4, 3, 1};  // 24
  for (const std::int64_t count : {1, 2, 3, 4, 8, 30}) {
    const auto groups = make_groups(weights, count);
    REQUIRE(std::ssize(groups) == count);
    std::int64_t next = 0;
    for (const IndexRange& group : groups) {
      REQUIRE(group.begin == next);
      next = group.end;
      double sum = 0;
      for (std::int64_t i = group.begin; i < group.end; ++i) sum += weights[static_cast<std::size_t>(i)];
      CHECK(std::abs(sum - 24.0 / static_cast<double>(count)) <= 5.0);  // the largest weight
    }
    CHECK(next == std::ssize(weights));
  }
  CHECK(make_groups({}, 2) == PoolVector<IndexRange>{{0, 0}, {0, 0}});
}

TEST_CASE("make_pieces: each element of each array once, empty arrays left out", "[core][chunks][property]") {
  const std::vector<std::int64_t> sizes{0, 1, kPieceElements, kPieceElements + 1, 0};
  const auto pieces = make_pieces(sizes);
  REQUIRE(pieces.size() == 4);
  std::vector<std::int64_t> covered(sizes.size(), 0);
  for (const Piece& piece : pieces) {
    CHECK(piece.first == covered[piece.array]);
    CHECK(piece.count >= 1);
    CHECK(piece.count <= kPieceElements);
    covered[piece.array] += piece.count;
  }
  CHECK(covered == sizes);
}
