// SPDX-License-Identifier: MIT
// Operands of kernels/ranking.cu.  Scores are [rows, items]; item 0 is padding and no candidate.
#pragma once
#include <cstdint>

namespace hstu::cuda {

/// The score of an excluded item, below every score that counts.
constexpr float kExcludedScore = -3.402823466e38f;

/// scores[r, item] = kExcludedScore for the excluded items of row r, but not for its target.
struct ExcludeItems {
  float* scores;
  const std::int32_t* excluded;  ///< of all rows, one after the other
  const std::int64_t* offsets;   ///< [rows + 1] into `excluded`
  const std::int32_t* targets;   ///< [rows]; null: none
  std::int64_t rows;
  std::int32_t items;
};

/// ranks[r] = 1 + number of other candidates with at least the target's score; 0 if a candidate's score is NaN or Inf.
struct RankTargets {
  const float* scores;
  const std::int32_t* targets;
  std::int32_t* ranks;
  std::int64_t rows;
  std::int32_t items;
};

/// The k best candidates of each row, best first, lower ids first among equals; missing ones get item 0.
struct TopK {
  static constexpr int kMaxK = 1024;
  const float* scores;
  std::int32_t* best_items;  ///< [rows, k]
  float* best_scores;        ///< [rows, k]
  std::int32_t* counts;      ///< [rows]: how many there are; −1 if a candidate's score is NaN or Inf
  std::int64_t rows;
  std::int32_t items;
  std::int32_t k;
  std::int32_t is_staged = 0;  ///< shared memory holds a row, which is read several times
};

}  // namespace hstu::cuda
