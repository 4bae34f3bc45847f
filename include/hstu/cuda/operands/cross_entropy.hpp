// SPDX-License-Identifier: MIT
// Operands of kernels/cross_entropy_*.cu: loss/cross_entropy.hpp.
#pragma once
#include <cstdint>

namespace hstu::cuda {

/// Position i of the loss is token tokens[i]; its logits are (hidden·tableᵀ + bias)·inverse_temperature.
/// Element: float, or bfloat16 bits (std::uint16_t) packed by pack_heads to a multiple of 16 columns, with hidden rows in
/// the order of `tokens`.
template <class Element>
struct CrossEntropyOperands {
  const Element* hidden;        ///< float: [T, width]; bfloat16: [positions, width]; rows hidden_stride apart
  const Element* table;         ///< [items, width], rows table_stride apart
  const float* bias;            ///< [items]; null: none
  const std::int32_t* tokens;   ///< [positions]
  const std::int32_t* targets;  ///< [T]
  std::int64_t hidden_stride;
  std::int64_t table_stride;
  std::int32_t positions;
  std::int32_t items;
  std::int32_t width;
  std::int32_t excluded_item;  ///< not in the softmax; −1: none
  float inverse_temperature;
};

template <class Element>
struct CrossEntropyForward {
  CrossEntropyOperands<Element> of;
  float* lse;         ///< [positions]
  float* loss_parts;  ///< [blocks]: sums of losses
};

/// Gradients of scale·Σ loss: of hidden on the rows of `tokens`, of table and bias everywhere.
template <class Element>
struct CrossEntropyBackward {
  CrossEntropyOperands<Element> of;
  const float* lse;
  float scale;
  float* dhidden;  ///< [T, width]
  float* dtable;   ///< [items, width]
  float* dbias;    ///< [items]; null: not wanted
};

}  // namespace hstu::cuda
