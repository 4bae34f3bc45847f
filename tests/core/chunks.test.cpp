// SPDX-License-Identifier: MIT
// Work cut into chunks and pieces: every index once, in order, by sizes only.
#include <catch2/catch_test_macros.hpp>

#include <hstu/core/chunks.hpp>

using namespace hstu;

TEST_CASE("make_chunks: ranges follow one another and hold at most kChunkTokens", "[core][chunks][property]") {
  const std::vector<std::int64_t> lengths{0, 1023, 1, 1, 5000, 3, 0, 1024, 1024, 7};
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
  CHECK(chunks.front().end == 3);  // 0 + 1023 + 1 fill one chunk exactly
}

TEST_CASE("make_chunks: nothing gives no chunk", "[core][chunks][property]") {
  CHECK(make_chunks(0, [](std::int64_t) { return std::int64_t{1}; }).empty());
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
