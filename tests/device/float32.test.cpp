// SPDX-License-Identifier: MIT
// Whole training steps on the device in float32 against the CPU, dropout on.
#include "training.hpp"

namespace hstu {
namespace {
using namespace test;

constexpr Tolerances kFloat32{.loss = 1e-5, .gradient = 1e-4, .parameter = 1e-4};

TEST_CASE("training on the device: a step of each preset as on the CPU", "[device][training][parity]") {
  need_device();
  for (const std::string_view preset : kPresetNames) {
    CAPTURE(preset);
    Config config = device_config(preset);
    config.model.num_layers = 2;
    compare_steps(config, Precision::float32, kFloat32);
  }
}

}  // namespace
}  // namespace hstu
