// SPDX-License-Identifier: MIT
// Training and evaluation on the GPU: what train/cpu_engine.hpp does on the CPU.
#pragma once
#include <hstu/cuda/device_optimizer.hpp>
#include <hstu/cuda/evaluate.hpp>
#include <hstu/cuda/objective.hpp>
#include <hstu/train/engine.hpp>

namespace hstu::cuda {

/// Parameters, gradients and the optimizer's state stay on the device, in float32.  A batch goes there once, while the
/// device works on the one before, and the host waits once in a step, for the loss.  Samples, negatives and dropout are
/// those of the CPU.  The same bits in every run, on every GPU of one architecture.
class Engine final : public TrainingEngine {
 public:
  /// Throws DeviceError without a GPU, ConfigError for what has no kernels.
  Engine(const HstuModel& model, const Config& config, Precision precision)
      : config_((check_has_kernels(config.train), config)),
        evaluator_(model, precision),
        optimizer_(evaluator_.device(), parameters(), config.train) {}

  /// "cuda bf16, NVIDIA H100"
  std::string name() const override {
    return concat("cuda ", name_of(evaluator_.products().precision()), ", ", evaluator_.device().name());
  }

  StepLoss step(const StepInput& input) override {
    if (!prepared_ || !prepared_->is_for(input.step, input.samples)) prepare(input, input.samples, input.step);
    const std::unique_ptr<Prepared> now = std::move(prepared_);
    const Buffer<float> sum = forward_and_backward(*now);
    if (!input.next.empty()) prepare(input, input.next, input.step + 1);  // while the device works

    const StepLoss loss{static_cast<double>(sum.to_vector()[0]), now->loss.count()};  // the host waits here
    check<NumericError>(std::isfinite(loss.sum), "the loss is ", loss.sum);
    optimizer_.step(input.learning_rate);
    is_host_current_ = false;
    return loss;
  }

  Evaluation evaluate(const Sequences& sequences, std::span<const HeldOut> events,
                      const EvaluateOptions& options) const override {
    return evaluator_.evaluate(sequences, events, options);
  }

  void write_model() const override {
    if (!is_host_current_) parameters().download();
    is_host_current_ = true;
  }
  void read_model() override {
    parameters().upload();
    is_host_current_ = true;
  }

  std::map<std::string, Tensor> optimizer_state() const override { return optimizer_.state(); }
  void load_optimizer_state(const std::map<std::string, Tensor>& state) override { optimizer_.load_state(state); }

  /// Gradients of the last step, in the order of HstuModel::parameters().
  std::vector<Tensor> gradients() const { return parameters().download_gradients(); }

 private:
  /// A batch on the device.
  struct Prepared {
    Prepared(Device& device, const HstuModel& model, const Config& config, const StepInput& input,
             std::span<const std::int64_t> samples_of_step, std::int64_t step_of_batch, const JaggedBatch& of_host)
        : step(step_of_batch),
          samples(samples_of_step.begin(), samples_of_step.end()),
          batch(device, model, of_host, true),
          loss(device, of_host, config, input.negatives,
               negative_stream(config.train.seed, static_cast<std::uint32_t>(step))) {}

    bool is_for(std::int64_t other_step, std::span<const std::int64_t> others) const {
      return step == other_step && std::ranges::equal(samples, others);
    }

    std::int64_t step;
    std::vector<std::int64_t> samples;
    Batch batch;
    LossBatch loss;
  };

  void prepare(const StepInput& input, std::span<const std::int64_t> samples, std::int64_t step) {
    const JaggedBatch batch = input.units.batch(samples);
    input.negatives.begin_step(batch.targets.values<std::int32_t>(),
                               negative_stream(config_.train.seed, static_cast<std::uint32_t>(step)));
    prepared_ = std::make_unique<Prepared>(evaluator_.device(), evaluator_.model().on_host(), config_, input, samples,
                                           step, batch);
  }

  /// Starts everything up to the norm of the gradients; the sum of the losses, [1].
  Buffer<float> forward_and_backward(const Prepared& p) {
    Model& model = evaluator_.model();
    ForwardContext context{.is_training = true, .seed = config_.train.seed, .step = static_cast<std::uint32_t>(p.step)};
    const double scale = p.loss.count() == 0 ? 0.0 : 1.0 / static_cast<double>(p.loss.count());
    model.parameters().clear_gradients();
    Tape tape(evaluator_.device(), evaluator_.products(), Tape::Mode::training);
    const Variable hidden = model.hidden(tape, p.batch, context);
    Buffer<float> sum = p.loss.sum(tape, model, hidden, config_.train, static_cast<float>(scale));
    tape.backward();
    optimizer_.clip();
    return sum;
  }

  Parameters& parameters() { return evaluator_.model().parameters(); }
  const Parameters& parameters() const { return evaluator_.model().parameters(); }

  Config config_;
  Evaluator evaluator_;
  DeviceOptimizer optimizer_;
  std::unique_ptr<Prepared> prepared_;  // the next batch, if the last step was told of it
  mutable bool is_host_current_ = true;
};

/// For Trainer and fit().
inline MakeEngine make_engine(Precision precision) {
  return [precision](const HstuModel& model, const Config& config) {
    return std::make_unique<Engine>(model, config, precision);
  };
}

}  // namespace hstu::cuda
