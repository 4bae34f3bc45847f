// SPDX-License-Identifier: MIT
// What a ranking trainer leaves to the machine that computes, and how the CPU does it.
#pragma once
#include <numeric>

#include <hstu/optim/clip.hpp>
#include <hstu/train/engine.hpp>
#include <hstu/train/evaluate_ranking.hpp>
#include <hstu/train/gradient_sum.hpp>
#include <hstu/train/make_optimizer.hpp>

namespace hstu {

/// What a step of a ranking model trains on.
struct RankingStepInput {
  std::span<const RankingPass> passes;
  std::int64_t step = 0;  ///< from 0, over all epochs
  double learning_rate = 0.0;
};

/// Trains the parameters of one ranking model; engines differ in rounding only.
class RankingEngine : public EngineState {
 public:
  /// Forward, backward and update; the gradient is that of the mean loss per predicted event.  Throws NumericError, with
  /// parameters unchanged, if the loss is not finite.
  virtual StepLoss step(const RankingStepInput& input) = 0;
  /// As predict_held_out() with the present parameters.
  virtual TaskPredictions predict(bool is_test) const = 0;
};

/// Makes the engine for a model, whose tensors it shares, its data and valid settings, which outlive it.
using MakeRankingEngine = std::function<std::unique_ptr<RankingEngine>(const RankingModel&, const RankingData&,
                                                                       const RankingSettings&)>;

/// Steps over chunks of users, with the same bits for any number of threads, as CpuEngine.
class CpuRankingEngine final : public RankingEngine {
 public:
  CpuRankingEngine(const RankingModel& model, const RankingData& data, const RankingSettings& settings)
      : model_(model), data_(data), settings_(settings), parameters_(model_.parameters()), gradients_(parameters_),
        optimizer_(make_optimizer(settings_.hstu.train, parameters_)) {}

  std::string name() const override { return "cpu"; }

  StepLoss step(const RankingStepInput& input) override {
    constexpr std::int64_t kGroups = 8;
    const auto chunks = chunks_of(input.passes, settings_.ranking);
    std::vector<RankingBatch> batches(chunks.size());
    parallel_for(std::ssize(chunks), [&](std::int64_t c) {
      const auto i = static_cast<std::size_t>(c);
      batches[i] = batch_of(input.passes, chunks[i], *data_.sequences, settings_.ranking);
    });
    StepLoss loss;
    std::int64_t tokens = 0;
    std::vector<std::int64_t> first_token;
    std::vector<double> work;
    for (const RankingBatch& batch : batches) {
      first_token.push_back(tokens);
      tokens += batch.sequence.tokens();
      loss.count += batch.predictions();
      work.push_back(static_cast<double>(batch.sequence.tokens()));
    }
    const auto groups = make_groups(work, kGroups);
    std::vector<double> losses(batches.size(), 0.0);
    gradients_.prepare(groups.size());
    const TrainConfig& train = settings_.hstu.train;
    try {
      parallel_for(std::ssize(groups), [&](std::int64_t g) {
        const IndexRange& group = groups[static_cast<std::size_t>(g)];
        for (auto i = static_cast<std::size_t>(group.begin); i < static_cast<std::size_t>(group.end); ++i) {
          ForwardContext context{.is_training = true,
                                 .seed = train.seed,
                                 .step = static_cast<std::uint32_t>(input.step),
                                 .first_token = first_token[i],
                                 .recompute = train.recompute_activations};
          const Tensor of_chunk = model_.loss(model_(batches[i], data_, context), batches[i], data_);
          losses[i] = of_chunk.item();
          backward(of_chunk, gradients_.group(static_cast<std::size_t>(g)), 1.0 / static_cast<double>(loss.count));
        }
      });
      loss.sum = std::accumulate(losses.begin(), losses.end(), 0.0);
      check<NumericError>(std::isfinite(loss.sum), "the loss is ", loss.sum);
      gradients_.reduce();
      if (train.max_grad_norm > 0) clip_grad_norm(parameters_, train.max_grad_norm);
    } catch (...) {
      gradients_.clear();
      throw;
    }
    optimizer_->step(input.learning_rate);
    return loss;
  }

  TaskPredictions predict(bool is_test) const override { return predict_held_out(model_, data_, settings_, is_test); }

  void write_model() const override {}  // they are the same tensors
  void read_model() override {}
  std::map<std::string, Tensor> optimizer_state() const override { return optimizer_->state(); }
  void load_optimizer_state(const std::map<std::string, Tensor>& state) override { optimizer_->load_state(state); }

 private:
  RankingModel model_;
  const RankingData& data_;
  const RankingSettings& settings_;
  ParameterList parameters_;
  GradientSum gradients_;
  std::unique_ptr<Optimizer> optimizer_;
};

inline std::unique_ptr<RankingEngine> make_cpu_ranking_engine(const RankingModel& model, const RankingData& data,
                                                              const RankingSettings& settings) {
  return std::make_unique<CpuRankingEngine>(model, data, settings);
}

}  // namespace hstu
