// SPDX-License-Identifier: MIT
// Whole training steps with rounded products against the CPU in float32, dropout on.
#include "training.hpp"

namespace hstu {
namespace {
using namespace test;

/// Products between the input and the loss, and back: of a layer the projections and the two products of attention, the
/// same again in backward, and those of the scores.
std::int64_t products_of(const Config& config) {
  const std::int64_t of_layer = config.model.layer == LayerKind::rechub_0_1 ? 6 : 4;
  return 2 * of_layer * config.model.num_layers + 2;
}

/// Each product errs by at most 2·`rounding` of its size, as each operand is rounded once; to first order the errors of
/// the products on the way to a gradient add up.  Those of the positions' losses are independent, so that they shrink
/// with the root of the number of positions (here over 200) in the mean.
Tolerances rounded_by(double rounding, const Config& config) {
  constexpr double kPositions = 200.0;
  const double gradient = 2.0 * rounding * static_cast<double>(products_of(config));
  return {.loss = gradient / std::sqrt(kPositions), .gradient = gradient, .change = gradient};
}

/// Adam's eps exceeds the gradients, so that an update lr·g/(|g| + eps) errs as the gradient does.
Config rounded_config(std::string_view preset) {
  Config c = device_config(preset);
  c.train.eps = 1.0;
  c.train.learning_rate = 0.1;
  return c;
}

TEST_CASE("training on the device: a step of each preset with bfloat16 products", "[device][training][parity]") {
  need_device();
  for (const std::string_view preset : kPresetNames) {
    CAPTURE(preset);
    const Config config = rounded_config(preset);
    compare_steps(config, Precision::bfloat16, rounded_by(0x1p-9, config));  // 8 bits, rounded to the nearest
  }
}

TEST_CASE("training on the device: a step with tf32 products", "[device][training][parity]") {
  need_device();
  for (const std::string_view preset : {"rechub-0.1", "meta-ml-1m"}) {
    CAPTURE(preset);
    const Config config = rounded_config(preset);
    compare_steps(config, Precision::tf32, rounded_by(0x1p-11, config));  // 11 bits, rounded to the nearest
  }
}

TEST_CASE("training on the device: precisions differ", "[device][training][property]") {
  need_device();
  const auto data = small_data();
  const Config config = with_items_of(device_config("meta-ml-1m"), *data);
  std::vector<double> losses;
  for (const Precision precision : {Precision::bfloat16, Precision::tf32, Precision::float32}) {
    losses.push_back(Training(config, data, cuda::make_engine(precision)).step(0).sum);
  }
  CHECK(losses[0] != losses[1]);
  CHECK(losses[1] != losses[2]);
}

}  // namespace
}  // namespace hstu
