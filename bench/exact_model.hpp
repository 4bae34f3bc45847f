// SPDX-License-Identifier: MIT
// A model in float64, to check the one in float32 by.
#pragma once
#include <hstu/model/hstu.hpp>

namespace hstu::bench {

/// The same model with the same parameters, in float64.
inline HstuModel exact_copy(const HstuModel& model) {
  HstuModel copy(model.config(), 0, DType::float64);
  const ParameterList from = model.parameters(), to = copy.parameters();
  for (std::size_t i = 0; i < from.size(); ++i) {
    Tensor value = to[i].value;
    value.copy_from(from[i].value.to(DType::float64));
  }
  return copy;
}

}  // namespace hstu::bench
