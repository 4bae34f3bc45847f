// SPDX-License-Identifier: MIT
// Training and evaluation on the GPU: what train/cpu_engine.hpp does on the CPU.
#pragma once
#include <limits>

#include <hstu/cuda/evaluate.hpp>
#include <hstu/cuda/objective.hpp>
#include <hstu/train/engine.hpp>
#include <hstu/train/make_optimizer.hpp>

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
        adam_(evaluator_.device(), parameters().for_optimizer(), adam_options(config.train),
              config.train.optimizer == OptimizerKind::adamw) {}

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
    if (!std::isfinite(adam_.norm())) throw_not_finite();
    adam_.step(input.learning_rate);
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

  std::map<std::string, Tensor> optimizer_state() const override {
    auto state = optimizer_of_host()->state();
    const AdamState::State on_device = adam_.state();
    state.at("step").mutable_data<std::int64_t>()[0] = on_device.num_steps;
    std::int64_t first = 0;
    for (const NamedParameter& p : parameters().of_host()) {
      const auto take = [&](const char* slot, const std::vector<float>& from) {
        std::copy_n(from.begin() + first, p.value.numel(), state.at(slot + p.name).mutable_data<float>());
      };
      take(kFirstMoments, on_device.m);
      take(kSecondMoments, on_device.v);
      first += p.value.numel();
    }
    return state;
  }
  void load_optimizer_state(const std::map<std::string, Tensor>& state) override {
    optimizer_of_host()->load_state(state);  // refuses what does not fit
    AdamState::State for_device{.num_steps = state.at("step").data<std::int64_t>()[0], .m = {}, .v = {}};
    for (const NamedParameter& p : parameters().of_host()) {
      const auto append = [&](const char* slot, std::vector<float>& to) {
        const auto values = state.at(slot + p.name).values<float>();
        to.insert(to.end(), values.begin(), values.end());
      };
      append(kFirstMoments, for_device.m);
      append(kSecondMoments, for_device.v);
    }
    adam_.load(for_device);
  }

  /// Gradients of the last step, in the order of HstuModel::parameters().
  std::vector<Tensor> gradients() const { return parameters().download_gradients(); }

 private:
  static constexpr const char *kFirstMoments = "exp_avg.", *kSecondMoments = "exp_avg_sq.";

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
    constexpr double kNever = std::numeric_limits<double>::infinity();
    adam_.clip(config_.train.max_grad_norm > 0 ? config_.train.max_grad_norm : kNever);
    return sum;
  }

  Parameters& parameters() { return evaluator_.model().parameters(); }
  const Parameters& parameters() const { return evaluator_.model().parameters(); }
  static AdamOptions adam_options(const TrainConfig& c) {
    return {.beta1 = c.beta1, .beta2 = c.beta2, .eps = c.eps, .weight_decay = c.weight_decay};
  }
  /// Knows names and shapes of the state.
  std::unique_ptr<Optimizer> optimizer_of_host() const { return make_optimizer(config_.train, parameters().of_host()); }
  [[noreturn]] void throw_not_finite() const {
    const std::vector<Tensor> all = gradients();
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto values = all[i].values<float>();
      check<NumericError>(std::ranges::all_of(values, [](float x) { return std::isfinite(x); }), "the gradient of ",
                          parameters().of_host()[i].name, " is not finite");
    }
    throw NumericError("the norm of the gradients exceeds float32");
  }

  Config config_;
  Evaluator evaluator_;
  AdamState adam_;
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
