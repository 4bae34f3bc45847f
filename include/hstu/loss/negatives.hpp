// SPDX-License-Identifier: MIT
// Negative items for sampled_softmax.
#pragma once
#include <array>
#include <limits>

#include <hstu/core/random_fill.hpp>
#include <hstu/core/tensor.hpp>

namespace hstu {

/// int32 [T, R], uniform over the item ids 1 … V−1, with replacement; the target may be among them.
/// Draw (t, r) is number (first_token + t)·R + r of `stream`: a batch cut into chunks of tokens gets the same negatives
/// as the whole batch, if each chunk passes the index of its first token.
/// Source: Meta's research code, LocalNegativesSampler, draws uniformly over all items.
inline Tensor sample_negatives(std::int64_t num_tokens, std::int64_t num_negatives, std::int64_t num_items,
                               const RandomStream& stream, std::int64_t first_token = 0) {
  check<ShapeError>(num_tokens >= 0 && num_negatives >= 0 && first_token >= 0,
                    "sample_negatives: sizes must not be negative, got ", num_tokens, " tokens from ", first_token,
                    " on, ", num_negatives, " negatives");
  check<ShapeError>(num_items >= 2 && num_items <= std::numeric_limits<std::int32_t>::max(),
                    "sample_negatives: expected a table of 2 to 2^31 - 1 rows, the padding row included, got ",
                    num_items);
  Tensor negatives({num_tokens, num_negatives}, DType::int32);
  const auto candidates = static_cast<std::uint64_t>(num_items - 1);
  auto values = negatives.mutable_values<std::int32_t>();
  std::array<std::uint32_t, 1024> words;
  auto index = static_cast<std::uint64_t>(checked_mul(first_token, num_negatives));
  while (!values.empty()) {
    const std::size_t count = std::min(values.size(), words.size());
    fill_bits(stream, index, std::span(words).first(count));
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<std::int32_t>((words[i] * candidates) >> 32) + 1;
    values = values.subspan(count);
    index += count;
  }
  return negatives;
}

}  // namespace hstu
