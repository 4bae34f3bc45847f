// SPDX-License-Identifier: MIT
// The compiled kernels inside the library hstu::cuda: one fat binary for each file of kernels/.
#pragma once
#include <span>
#include <string_view>

namespace hstu::cuda {

struct KernelImage {
  std::string_view file;  ///< "layer_norm" for kernels/layer_norm.cu
  const void* data;       ///< what cuModuleLoadData takes
};

/// Defined by the library hstu::cuda (cmake/kernels.cmake writes it).
std::span<const KernelImage> kernel_images();

}  // namespace hstu::cuda
