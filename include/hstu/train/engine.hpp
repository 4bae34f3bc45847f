// SPDX-License-Identifier: MIT
// What a trainer leaves to the machine that computes: a step, an evaluation, the optimizer's state.
#pragma once
#include <functional>
#include <map>
#include <memory>

#include <hstu/metrics/evaluate.hpp>
#include <hstu/train/objective.hpp>
#include <hstu/train/training_units.hpp>

namespace hstu {

/// What a step trains on.
struct StepInput {
  const TrainingUnits& units;
  std::span<const std::int64_t> samples;  ///< of `units`
  std::span<const std::int64_t> next;     ///< those of the step behind it, in the same epoch; an engine may prepare them
  NegativeSampler& negatives;
  std::int64_t step = 0;  ///< from 0, over all epochs
  double learning_rate = 0.0;
};

struct StepLoss {
  double sum = 0.0;
  std::int64_t count = 0;  ///< of losses in the sum
};

/// What trainers of every kind ask of the machine that holds their parameters.
class EngineState {
 public:
  virtual ~EngineState() = default;

  /// Of machine and precision, for the log.
  virtual std::string name() const = 0;

  /// Brings the tensors of the model up to date with the parameters that the engine trains.
  virtual void write_model() const = 0;
  /// Takes over what the tensors of the model hold now.
  virtual void read_model() = 0;

  /// As Optimizer::state().
  virtual std::map<std::string, Tensor> optimizer_state() const = 0;
  /// As Optimizer::load_state().
  virtual void load_optimizer_state(const std::map<std::string, Tensor>& state) = 0;
};

/// Trains the parameters of one model.  All that is random is a function of (seed, step, place in the batch), so that
/// engines differ in rounding only.
class TrainingEngine : public EngineState {
 public:
  /// Forward, backward and update on one batch; the gradient is that of the mean loss.  Throws NumericError, with
  /// parameters unchanged, if the loss or a gradient is not finite.
  virtual StepLoss step(const StepInput& input) = 0;

  /// As hstu::evaluate() with the present parameters.
  virtual Evaluation evaluate(const Sequences& sequences, std::span<const HeldOut> events,
                              const EvaluateOptions& options) const = 0;
};

/// Makes the engine for a model, whose tensors it shares, and a valid configuration.
using MakeEngine = std::function<std::unique_ptr<TrainingEngine>(const HstuModel&, const Config&)>;

}  // namespace hstu
