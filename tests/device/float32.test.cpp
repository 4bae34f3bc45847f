// SPDX-License-Identifier: MIT
// Whole training steps on the device in float32 against the CPU, dropout on.
#include "training.hpp"

namespace hstu {
namespace {
using namespace test;

// The updates of Adam magnify errors of small gradients, by up to |g| / eps.
constexpr Tolerances kFloat32{.loss = 1e-5, .gradient = 1e-5, .change = 1e-3, .each = 1e-4};

TEST_CASE("training on the device: a step of each preset as on the CPU", "[device][training][parity]") {
  need_device();
  for (const std::string_view preset : kPresetNames) {
    CAPTURE(preset);
    compare_steps(device_config(preset), Precision::float32, kFloat32);
  }
}

TEST_CASE("training on the device: losses, biases, optimizers and samples that no preset has",
          "[device][training][parity]") {
  need_device();
  Config last = device_config("rechub-0.1");  // padding in the windows
  last.train.samples = SampleKind::windows;
  last.train.loss = LossKind::last_item;
  last.train.max_history = 12;
  last.train.optimizer = OptimizerKind::adam;
  Config plain = device_config("rechub-0.9");
  plain.model.position_bias = PositionBias::none;
  plain.model.time_bias = TimeBias::none;
  plain.model.l2_scores = false;
  plain.model.temperature = 1.0;
  plain.model.dropout = 0.0;
  plain.train.max_grad_norm = 0.5;
  Config in_batch = device_config("meta-ml-1m");
  in_batch.train.negatives = NegativeKind::in_batch;
  in_batch.model.position_bias = PositionBias::directional_log;
  in_batch.model.l2_scores = false;
  in_batch.train.log_q = true;
  Config binary = device_config("meta-ml-1m");
  binary.train.loss = LossKind::nce;
  binary.train.negatives = NegativeKind::popularity;
  binary.model.num_layers = 1;
  Config window = device_config("meta-ml-1m");
  window.model.max_attn_len = 3;
  window.model.min_full_attn_seq_len = 2;
  Config joined = device_config("meta-ml-1m");
  joined.model.concat_ua = true;
  for (const Config& config : {last, plain, in_batch, binary, window, joined}) {
    CAPTURE(to_json(config).dump());
    compare_steps(config, Precision::float32, kFloat32);
  }
}

}  // namespace
}  // namespace hstu
