// SPDX-License-Identifier: MIT
// Training and predictions of a ranking model on the GPU: what train/ranking_engine.hpp does on the CPU.
#pragma once
#include <hstu/cuda/device_optimizer.hpp>
#include <hstu/cuda/objective.hpp>
#include <hstu/cuda/ranking_model.hpp>
#include <hstu/train/ranking_engine.hpp>

namespace hstu::cuda {

/// Parameters, gradients and the optimizer's state stay on the device.  A batch goes there once, and the host waits once
/// in a step, for the loss.  Dropout is that of the CPU.  The same bits in every run, on every GPU of one architecture.
class DeviceRankingEngine final : public RankingEngine {
 public:
  /// Throws DeviceError without a GPU, ConfigError for what has no kernels.
  DeviceRankingEngine(const RankingModel& model, const RankingData& data, const RankingSettings& settings,
                      Precision precision)
      : data_(data),
        settings_((check_has_kernels(settings.hstu.train), settings)),
        products_(device_, blas_, precision),
        model_(device_, model, data),
        optimizer_(device_, model_.parameters(), settings.hstu.train) {}

  std::string name() const override { return concat("cuda ", name_of(products_.precision()), ", ", device_.name()); }

  StepLoss step(const RankingStepInput& input) override {
    const RankingBatch batch = batch_of(input.passes, {0, std::ssize(input.passes)}, *data_.sequences,
                                        settings_.ranking);
    const RankingInputs inputs(device_, model_.on_host(), data_, batch, true);
    const TrainConfig& train = settings_.hstu.train;
    ForwardContext context{.is_training = true, .seed = train.seed, .step = static_cast<std::uint32_t>(input.step)};
    model_.parameters().clear_gradients();
    Tape tape(device_, products_, Tape::Mode::training);
    const Variable outputs = model_(tape, inputs, context);
    const double scale = 1.0 / static_cast<double>(batch.predictions());
    const Buffer<float> sum = model_.loss(tape, outputs, inputs, static_cast<float>(scale));
    tape.backward();
    optimizer_.clip();
    const StepLoss loss{static_cast<double>(sum.to_vector()[0]), batch.predictions()};  // the host waits here
    check<NumericError>(std::isfinite(loss.sum), "the loss is ", loss.sum);
    optimizer_.step(input.learning_rate);
    is_host_current_ = false;
    return loss;
  }

  TaskPredictions predict(bool is_test) const override {
    constexpr std::int64_t kTokens = 32768;
    const std::vector<RankingPass> passes = held_out_passes(*data_.sequences, settings_, is_test);
    TaskPredictions all(settings_.ranking.tasks.size());
    for (std::size_t first = 0; first < passes.size();) {
      std::size_t last = first;
      for (std::int64_t tokens = 0; last < passes.size(); ++last) {
        tokens += RankingBatchBuilder::length(settings_.ranking.input, std::ssize(settings_.ranking.user_features),
                                              passes[last].events.size());
        if (tokens > kTokens && last > first) break;
      }
      const auto some = std::span(passes).subspan(first, last - first);
      const RankingBatch batch = batch_of(some, {0, std::ssize(some)}, *data_.sequences, settings_.ranking);
      const RankingInputs inputs(device_, model_.on_host(), data_, batch, false);
      Tape tape(device_, products_, Tape::Mode::inference);
      ForwardContext context;
      const Variable outputs = model_(tape, inputs, context);
      hstu::detail::add_predictions(Tensor::from(outputs->values.to_vector(), {outputs->rows, outputs->cols}), batch,
                                    model_.on_host(), data_, all);
      first = last;
    }
    return all;
  }

  void write_model() const override {
    if (!is_host_current_) model_.parameters().download();
    is_host_current_ = true;
  }
  void read_model() override {
    model_.parameters().upload();
    is_host_current_ = true;
  }
  std::map<std::string, Tensor> optimizer_state() const override { return optimizer_.state(); }
  void load_optimizer_state(const std::map<std::string, Tensor>& state) override { optimizer_.load_state(state); }

  /// Gradients of the last step, in the order of RankingModel::parameters().
  std::vector<Tensor> gradients() const { return model_.parameters().download_gradients(); }

 private:
  const RankingData& data_;
  const RankingSettings& settings_;
  mutable Device device_;
  mutable Blas blas_{device_};
  mutable Products products_;
  RankingModelOps model_;
  DeviceOptimizer optimizer_;
  mutable bool is_host_current_ = true;
};

/// For RankingTrainer and fit_ranking().
inline MakeRankingEngine make_ranking_engine(Precision precision) {
  return [precision](const RankingModel& model, const RankingData& data, const RankingSettings& settings) {
    return std::make_unique<DeviceRankingEngine>(model, data, settings, precision);
  };
}

}  // namespace hstu::cuda
