// SPDX-License-Identifier: MIT
// What a kernel needs to draw the dropout masks of core/random.hpp.
#pragma once
#include <cstdint>

namespace hstu::cuda {

/// The counter of RandomStream.
struct RandomKey {
  std::uint64_t seed;
  std::uint32_t step;
  std::uint32_t site;
};

/// Element i is kept, and multiplied by `scale`, if word first_index + i is at least `threshold`; 0 keeps all.
struct DropoutMask {
  RandomKey key;
  std::uint64_t first_index;
  std::uint32_t threshold;
  float scale;
};

/// y = dropout(x) + residual, elementwise.
struct Dropout {
  const float* x;
  const float* residual;  ///< null: none
  float* y;
  std::int64_t count;
  DropoutMask mask;
};

}  // namespace hstu::cuda
