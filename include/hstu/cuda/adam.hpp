// SPDX-License-Identifier: MIT
// Adam, AdamW and gradient clipping on the device: optim/adam.hpp and optim/clip.hpp for all parameters at once.
#pragma once
#include <hstu/cuda/operands/adam.hpp>
#include <hstu/cuda/rows.hpp>
#include <hstu/optim/adam.hpp>

namespace hstu::cuda {

/// A parameter on the device with its gradient.
struct DeviceParameter {
  float* weights;
  const float* gradient;
  std::int64_t size;
};

/// Adam or AdamW with state on the device.
class AdamState {
 public:
  AdamState(Device& device, const std::vector<DeviceParameter>& parameters, const AdamOptions& options,
            bool is_decoupled)
      : device_(device),
        options_(options),
        is_decoupled_(is_decoupled),
        m_(device, total(parameters)),
        v_(device, m_.size()),
        clip_(device, 2) {
    m_.fill_zero();
    v_.fill_zero();
    std::vector<AdamPiece> pieces;
    std::int64_t first = 0;
    for (const DeviceParameter& p : parameters) {
      for (std::int64_t i = 0; i < p.size; i += kPiece) {
        pieces.push_back({p.weights + i, p.gradient + i, m_.data() + first + i, v_.data() + first + i,
                          std::min(kPiece, p.size - i)});
      }
      first += p.size;
    }
    pieces_ = Buffer<AdamPiece>(device, pieces);
    squares_ = Buffer<float>(device, pieces_.size());
  }

  /// What a step adds to the weights depends on besides gradients and weights.
  struct State {
    std::int64_t num_steps = 0;
    std::vector<float> m, v;  ///< parameter after parameter
  };
  State state() const { return {num_steps_, m_.to_vector(), v_.to_vector()}; }
  /// Throws ShapeError, with nothing changed, unless both vectors have the sizes of the parameters.
  void load(const State& state) {
    check<ShapeError>(state.m.size() == state.v.size(), "cuda: adam: ", state.m.size(), " first moments and ",
                      state.v.size(), " second ones");
    m_.copy_from(state.m);
    v_.copy_from(state.v);
    num_steps_ = state.num_steps;
  }

  /// As clip_grad_norm() would, but the factor is applied by the next step; a norm that is NaN or Inf makes it do
  /// nothing. Waits for nothing; norm() tells the norm.
  void clip(double max_norm) {
    launch("sum_squares", pieces_.size(), SumSquares{pieces_.data(), squares_.data()});
    launch("clip_factor", 1,
           ClipFactor{squares_.data(), clip_.data(), static_cast<std::int32_t>(squares_.size()),
                      static_cast<float>(max_norm)});
    is_clipped_ = true;
  }
  /// The norm of the gradients at the last clip().
  double norm() const { return static_cast<double>(clip_.to_vector()[0]); }

  void step(double learning_rate) {
    ++num_steps_;
    const double t = static_cast<double>(num_steps_);
    AdamStep o{};
    o.pieces = pieces_.data();
    o.gradient_factor = is_clipped_ ? clip_.data() + 1 : nullptr;
    o.blend1 = static_cast<float>(1.0 - options_.beta1);
    o.beta2 = static_cast<float>(options_.beta2);
    o.blend2 = static_cast<float>(1.0 - options_.beta2);
    o.l2_decay = is_decoupled_ ? 0.0f : static_cast<float>(options_.weight_decay);
    o.weight_factor = is_decoupled_ ? static_cast<float>(1.0 - learning_rate * options_.weight_decay) : 1.0f;
    o.step_size = static_cast<float>(learning_rate / (1.0 - std::pow(options_.beta1, t)));
    o.correction = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(options_.beta2, t)));
    o.eps = static_cast<float>(options_.eps);
    launch("adam_step", pieces_.size(), o);
    is_clipped_ = false;
  }

 private:
  static constexpr std::int64_t kPiece = 4096;

  static std::int64_t total(const std::vector<DeviceParameter>& parameters) {
    std::int64_t sum = 0;
    for (const DeviceParameter& p : parameters) sum += p.size;
    return sum;
  }
  template <class Operands>
  void launch(const char* function, std::int64_t blocks, const Operands& o) {
    constexpr std::int64_t kThreads = 256;
    device_.launch({"adam", function}, {.blocks = blocks, .threads = kThreads}, o);
  }

  Device& device_;
  AdamOptions options_;
  bool is_decoupled_;
  bool is_clipped_ = false;
  std::int64_t num_steps_ = 0;
  Buffer<float> m_, v_, clip_, squares_;
  Buffer<AdamPiece> pieces_;
};

}  // namespace hstu::cuda
