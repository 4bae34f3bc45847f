// SPDX-License-Identifier: MIT
// Steps on the CPU, over chunks of users, with the same bits for any number of threads.
#pragma once
#include <bit>
#include <numeric>

#include <hstu/optim/clip.hpp>
#include <hstu/train/engine.hpp>
#include <hstu/train/gradient_sum.hpp>
#include <hstu/train/make_optimizer.hpp>
#include <hstu/train/sparse_items.hpp>
#include <hstu/train/step_scorer.hpp>

namespace hstu {

/// What forward and backward of a step run on.
struct StepModel {
  explicit StepModel(const HstuModel& on)
      : model(on), parameters(on.parameters()), scorer(on), gradients(joined(parameters, scorer.parameters())) {}

  HstuModel model;
  ParameterList parameters;
  StepScorer scorer;
  GradientSum gradients;

 private:
  static ParameterList joined(ParameterList all, const ParameterList& more) {
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

/// A step cuts its batch into chunks of users by tokens, and the chunks into groups, whatever the number of threads.
/// A worker runs forward and backward of the whole model on the chunks of a group, one after the other, with
/// single-threaded autograd, into the group's own gradient buffer; buffers are summed in order.
class CpuEngine : public TrainingEngine {
 public:
  CpuEngine(const HstuModel& model, const Config& config)
      : config_(config), model_(model), on_(std::make_unique<StepModel>(model)),
        optimizer_(make_optimizer(config_.train, dense_parameters())) {
    if (config_.train.item_optimizer != ItemOptimizerKind::dense) items_.emplace(model, config_.train);
  }

  std::string name() const override { return "cpu"; }

  StepLoss step(const StepInput& input) override {
    PoolVector<JaggedBatch> batches = make_batches(input);
    PoolVector<std::int64_t> first_token(batches.size(), 0);
    for (std::size_t c = 1; c < batches.size(); ++c) first_token[c] = first_token[c - 1] + batches[c - 1].tokens();
    StepLoss loss;
    for (const JaggedBatch& batch : batches) loss.count += count_losses(batch, config_.train.loss);
    begin_negatives(batches, input);
    if (items_) begin_sparse(batches, first_token, input);
    try {
      loss.sum = forward_and_backward(batches, first_token, input, loss.count);
      check<NumericError>(std::isfinite(loss.sum), "the loss is ", loss.sum);
      on_->gradients.reduce();
      on_->scorer.backward();
      if (config_.train.max_grad_norm > 0) clip_grad_norm(on_->parameters, config_.train.max_grad_norm);
    } catch (const NumericError& error) {
      on_->gradients.clear();
      throw NumericError(error.what() + first_not_finite(batches, first_token, input));
    } catch (...) {
      on_->gradients.clear();
      throw;
    }
    optimizer_->step(input.learning_rate);
    if (items_) items_->step(input.learning_rate);
    return loss;
  }

  Evaluation evaluate(const Sequences& sequences, std::span<const HeldOut> events,
                      const EvaluateOptions& options) const override {
    return hstu::evaluate(model_, sequences, events, options);
  }

  void write_model() const override {}  // they are the same tensors
  void read_model() override {}
  std::map<std::string, Tensor> optimizer_state() const override {
    std::map<std::string, Tensor> all = optimizer_->state();
    if (!items_) return all;
    for (auto& [name, value] : items_->optimizer().state()) all.emplace(kOfItems + name, value);
    return all;
  }
  void load_optimizer_state(const std::map<std::string, Tensor>& state) override {
    std::map<std::string, Tensor> dense, of_items;
    for (const auto& [name, value] : state) {
      const bool is_of_items = items_ && name.starts_with(kOfItems);
      (is_of_items ? of_items : dense).emplace(is_of_items ? name.substr(kOfItems.size()) : name, value);
    }
    const auto before = optimizer_->state();
    optimizer_->load_state(dense);
    try {
      if (items_) items_->optimizer().load_state(of_items);
    } catch (...) {
      optimizer_->load_state(before);
      throw;
    }
  }

 private:
  inline static const std::string kOfItems = "item_table/";

  /// All that optimizer_ updates.
  ParameterList dense_parameters() const {
    ParameterList list = model_.parameters();
    if (config_.train.item_optimizer == ItemOptimizerKind::dense) return list;
    std::erase_if(list, [&](const NamedParameter& p) { return p.value.node() == model_.item_table().node(); });
    return list;
  }

  static PoolVector<JaggedBatch> make_batches(const StepInput& input) {
    const auto chunks = make_chunks(std::ssize(input.samples), [&](std::int64_t i) {
      return input.units.length(input.samples[static_cast<std::size_t>(i)]);
    });
    PoolVector<JaggedBatch> batches(chunks.size());
    parallel_for(std::ssize(chunks), [&](std::int64_t c) {
      const auto i = static_cast<std::size_t>(c);
      batches[i] = input.units.batch(input.samples.subspan(static_cast<std::size_t>(chunks[i].begin),
                                                           static_cast<std::size_t>(chunks[i].size())));
    });
    return batches;
  }

  /// The sum of the losses; the gradients of the mean are left in the groups.
  double forward_and_backward(const PoolVector<JaggedBatch>& batches, const PoolVector<std::int64_t>& first_token,
                              const StepInput& input, std::int64_t count) {
    const PoolVector<IndexRange> groups = groups_of(batches);
    PoolVector<double> losses(batches.size(), 0.0);
    on_->gradients.prepare(groups.size());
    on_->scorer.forward();
    parallel_for(std::ssize(groups), [&](std::int64_t g) {
      const IndexRange& group = groups[static_cast<std::size_t>(g)];
      for (auto i = static_cast<std::size_t>(group.begin); i < static_cast<std::size_t>(group.end); ++i) {
        const Tensor loss = loss_of(batches, i, first_token[i], input);
        losses[i] = loss.item();
        Gradients& into = on_->gradients.group(static_cast<std::size_t>(g));
        if (loss.needs_grad()) backward(loss, into, 1.0 / static_cast<double>(count));
      }
    });
    return std::accumulate(losses.begin(), losses.end(), 0.0);
  }

  Tensor loss_of(const PoolVector<JaggedBatch>& batches, std::size_t i, std::int64_t first_token,
                 const StepInput& input) const {
    ForwardContext context{.is_training = true,
                           .seed = config_.train.seed,
                           .step = static_cast<std::uint32_t>(input.step),
                           .first_token = first_token,
                           .recompute = config_.train.recompute_activations};
    const ItemScorer& scorer = on_->scorer.scorer();
    if (!items_) return training_loss(on_->model, scorer, batches[i], config_.train, input.negatives, context);
    return training_loss(on_->model, scorer, batches[i], config_.train, negatives_[i], log_expected_, context);
  }

  /// Draws the negatives and changes over to a model that has only the rows of this step.
  void begin_sparse(PoolVector<JaggedBatch>& batches, const PoolVector<std::int64_t>& first_token,
                    const StepInput& input) {
    const RandomStream stream = negative_stream(config_.train.seed, static_cast<std::uint32_t>(input.step));
    negatives_.resize(batches.size());
    for (std::size_t i = 0; i < batches.size(); ++i) {
      negatives_[i] = input.negatives.draw(batches[i].tokens(), stream, first_token[i]);
    }
    on_ = std::make_unique<StepModel>(items_->begin_step(batches, negatives_));
    if (corrects_by_frequency(config_.train)) log_expected_ = items_->at_rows(input.negatives.log_expected());
  }

  void begin_negatives(const PoolVector<JaggedBatch>& batches, const StepInput& input) const {
    PoolVector<std::int32_t> targets;
    for (const JaggedBatch& batch : batches) {
      const auto of_batch = batch.targets.values<std::int32_t>();
      targets.insert(targets.end(), of_batch.begin(), of_batch.end());
    }
    input.negatives.begin_step(targets,
                               negative_stream(config_.train.seed, static_cast<std::uint32_t>(input.step)));
  }

  /// "; first in OP: ..." naming the op of the forward pass that made the first NaN or Inf, found by doing it again;
  /// empty if it arose in backward.
  std::string first_not_finite(const PoolVector<JaggedBatch>& batches, const PoolVector<std::int64_t>& first_token,
                               const StepInput& input) {
    const NoGrad no_grad;
    const FiniteCheck finite_check;
    try {
      on_->scorer.forward();
      for (std::size_t i = 0; i < batches.size(); ++i) loss_of(batches, i, first_token[i], input);
    } catch (const NumericError& error) {
      return concat("; first in ", error.what());
    }
    return {};
  }

  /// Groups of chunks of about equal work: a power of two, so that two, four or eight threads share them evenly, and
  /// few, since every group has gradients of all parameters to clear and to add.
  static PoolVector<IndexRange> groups_of(const PoolVector<JaggedBatch>& batches) {
    constexpr std::int64_t kGroupTokens = 1024, kMaxGroups = 16;
    constexpr double kPairsPerToken = 300.0;  // keys whose attention costs what the rest of the model does
    std::int64_t tokens = 0;
    PoolVector<double> work;
    for (const JaggedBatch& batch : batches) {
      tokens += batch.tokens();
      double sum = 0.0;
      const auto offsets = batch.offsets.values<std::int64_t>();
      for (std::size_t b = 0; b + 1 < offsets.size(); ++b) {
        const auto length = static_cast<double>(offsets[b + 1] - offsets[b]);
        sum += length * (kPairsPerToken + length / 2);
      }
      work.push_back(sum);
    }
    const auto count = static_cast<std::uint64_t>(std::clamp<std::int64_t>(tokens / kGroupTokens, 1, kMaxGroups));
    return make_groups(work, static_cast<std::int64_t>(std::bit_floor(count)));
  }

  Config config_;
  HstuModel model_;
  std::unique_ptr<StepModel> on_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<SparseItems> items_;  // unless the item table is trained as the other parameters are
  PoolVector<Tensor> negatives_;      // of a sparse step, chunk by chunk
  Tensor log_expected_;               // of its rows
};

inline std::unique_ptr<TrainingEngine> make_cpu_engine(const HstuModel& model, const Config& config) {
  return std::make_unique<CpuEngine>(model, config);
}

}  // namespace hstu
