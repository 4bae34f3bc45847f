// SPDX-License-Identifier: MIT
// A user's program with the kernels: finds them, with or without a GPU.
#include <hstu/cuda/device.hpp>
#include <iostream>

int main() {
  std::cout << hstu::cuda::kernel_images().size() << " files of kernels, " << hstu::cuda::device_count()
            << " devices\n";
  return hstu::cuda::kernel_images().empty() ? 1 : 0;
}
