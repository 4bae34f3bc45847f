// SPDX-License-Identifier: MIT
// Rows scaled to length 1 on the device: ops/l2_normalize.hpp.
#pragma once
#include <hstu/cuda/operands/l2_normalize.hpp>
#include <hstu/cuda/rows.hpp>

namespace hstu::cuda {

/// Up to 1024 columns.
inline void l2_normalize_forward(Device& device, const L2NormalizeForward& o) {
  detail::launch_rows(device, "l2_normalize", "l2_normalize_forward", o);
}
inline void l2_normalize_backward(Device& device, const L2NormalizeBackward& o) {
  detail::launch_rows(device, "l2_normalize", "l2_normalize_backward", o);
}

}  // namespace hstu::cuda
