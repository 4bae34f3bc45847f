// SPDX-License-Identifier: MIT
// Work cut into parts for parallel_for: by sizes only, never by the number of threads, so that bits do not depend on it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>

#include <hstu/core/pool.hpp>

namespace hstu {

/// Indices [begin, end).
struct IndexRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t size() const { return end - begin; }
  friend bool operator==(const IndexRange&, const IndexRange&) = default;
};

/// Tokens in one chunk of sequences: the activations of a chunk stay in the cache of its core.
inline constexpr std::int64_t kChunkTokens = 256;

/// Cuts the sequences [0, count) into ranges of at most kChunkTokens tokens, a longer sequence being one by itself.
template <class LengthOf>
PoolVector<IndexRange> make_chunks(std::int64_t count, const LengthOf& length_of) {
  PoolVector<IndexRange> chunks;
  std::int64_t tokens = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t length = length_of(i);
    if (chunks.empty() || tokens + length > kChunkTokens) {
      chunks.push_back({i, i});
      tokens = 0;
    }
    tokens += length;
    chunks.back().end = i + 1;
  }
  return chunks;
}

/// Cuts the indices of `weights` into `count` ranges of about equal weight, in order; some may be empty.
inline PoolVector<IndexRange> make_groups(std::span<const double> weights, std::int64_t count) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  PoolVector<IndexRange> groups;
  double sum = 0.0;
  std::int64_t at = 0;
  for (std::int64_t g = 1; g <= count; ++g) {
    const std::int64_t begin = at;
    const double end = total * static_cast<double>(g) / static_cast<double>(count);
    // An element belongs to the group that its middle lies in.
    while (at < std::ssize(weights) && (g == count || sum + weights[static_cast<std::size_t>(at)] / 2 <= end)) {
      sum += weights[static_cast<std::size_t>(at++)];
    }
    groups.push_back({begin, at});
  }
  return groups;
}

/// Elements [first, first + count) of array number `array`.
struct Piece {
  std::size_t array;
  std::int64_t first;
  std::int64_t count;
};

/// Elements in one piece: four float32 arrays of it fit into a core's L2 cache.
inline constexpr std::int64_t kPieceElements = 8192;

/// Cuts arrays of the given sizes into pieces.
inline PoolVector<Piece> make_pieces(std::span<const std::int64_t> sizes) {
  PoolVector<Piece> pieces;
  for (std::size_t array = 0; array < sizes.size(); ++array) {
    for (std::int64_t first = 0; first < sizes[array]; first += kPieceElements) {
      pieces.push_back({array, first, std::min(kPieceElements, sizes[array] - first)});
    }
  }
  return pieces;
}

}  // namespace hstu
