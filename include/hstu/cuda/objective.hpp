// SPDX-License-Identifier: MIT
// The training loss of a batch on the device: train/objective.hpp.
#pragma once
#include <hstu/cuda/cross_entropy.hpp>
#include <hstu/cuda/model.hpp>
#include <hstu/cuda/sampled_softmax.hpp>
#include <hstu/train/objective.hpp>

namespace hstu::cuda {

/// The tokens that have a loss, and the targets of all.
class LossPositions {
 public:
  LossPositions(Device& device, std::vector<std::int32_t> tokens, std::span<const std::int32_t> targets)
      : tokens_of_host_(std::move(tokens)),
        targets_of_host_(targets.begin(), targets.end()),
        tokens_(device, tokens_of_host_),
        targets_(device, targets_of_host_) {}

  /// Those of a batch that count for `loss`.
  LossPositions(Device& device, const JaggedBatch& batch, LossKind loss)
      : LossPositions(device, counted(batch, loss), batch.targets.values<std::int32_t>()) {}

  const Buffer<std::int32_t>& tokens() const { return tokens_; }    ///< [positions]
  const Buffer<std::int32_t>& targets() const { return targets_; }  ///< [T]

  /// The negatives of each position, of [T, R], and then its target.
  std::vector<std::int32_t> candidates(const Tensor& negatives) const {
    const auto own = static_cast<std::size_t>(negatives.size(1));
    const auto drawn = negatives.values<std::int32_t>();
    std::vector<std::int32_t> all(tokens_of_host_.size() * (own + 1));
    parallel_for(detail::divide_up(std::ssize(tokens_of_host_), kPart), [&](std::int64_t part) {
      const auto first = static_cast<std::size_t>(part * kPart);
      for (std::size_t i = first; i < std::min(first + kPart, tokens_of_host_.size()); ++i) {
        const auto t = static_cast<std::size_t>(tokens_of_host_[i]);
        std::ranges::copy(drawn.subspan(t * own, own), all.begin() + static_cast<std::ptrdiff_t>(i * (own + 1)));
        all[i * (own + 1) + own] = targets_of_host_[t];
      }
    });
    return all;
  }

 private:
  static std::vector<std::int32_t> counted(const JaggedBatch& batch, LossKind loss) {
    const auto targets = batch.targets.values<std::int32_t>();
    std::vector<std::int32_t> tokens;
    const auto add = [&](std::int64_t token) {
      if (targets[static_cast<std::size_t>(token)] != 0) tokens.push_back(static_cast<std::int32_t>(token));
    };
    if (loss == LossKind::last_item) {
      for (const std::int64_t token : last_tokens(batch)) add(token);
    } else {
      for (std::int64_t token = 0; token < batch.tokens(); ++token) add(token);
    }
    return tokens;
  }

  static constexpr std::int64_t kPart = 1024;  // positions that a thread treats together

  std::vector<std::int32_t> tokens_of_host_, targets_of_host_;
  Buffer<std::int32_t> tokens_, targets_;
};

namespace detail {

/// Loss [1] by a kernel that wants matrices as float or bfloat16; backward is that of loss·scale.
template <class Element>
Buffer<float> cross_entropy(Tape& tape, const Variable& hidden, const ScoredTable& table, const Weights& bias,
                            LossPositions positions, const CrossEntropyOptions& options, float scale) {
  CrossEntropyForward<Element> forward{};
  CrossEntropyOperands<Element>& o = forward.of;
  o.bias = bias.values;
  o.tokens = positions.tokens().data();
  o.targets = positions.targets().data();
  o.positions = static_cast<std::int32_t>(positions.tokens().size());
  o.items = static_cast<std::int32_t>(table.weights.rows);
  o.width = hidden->cols;
  o.excluded_item = static_cast<std::int32_t>(options.excluded_item);
  o.inverse_temperature = static_cast<float>(1.0 / options.temperature);
  PackedRows packed_hidden, packed_table;
  if constexpr (std::is_same_v<Element, float>) {
    o.hidden = hidden->values.data();
    o.table = table.weights.values;
    o.hidden_stride = o.table_stride = o.width;
  } else {
    Device& device = tape.device();
    packed_hidden =
        pack_rows(device, hidden->values.data(), o.positions, o.width, 1, o.width, positions.tokens().data());
    packed_table = pack_rows(device, table.weights.values, table.weights.rows, o.width, 1, o.width);
    o.hidden = packed_hidden.bits.data();
    o.table = packed_table.bits.data();
    o.hidden_stride = packed_hidden.stride;
    o.table_stride = packed_table.stride;
  }
  Buffer<float> lse = tape.buffer(o.positions), loss = tape.buffer(1);
  forward.lse = lse.data();
  cross_entropy_forward(tape.device(), forward, loss.data());
  tape.record([&tape, hidden, table, bias, positions = std::move(positions), scale, o, lse = std::move(lse),
               packed_hidden = std::move(packed_hidden), packed_table = std::move(packed_table)] {
    Buffer<float> dhidden = tape.buffer(hidden->values.size());
    dhidden.fill_zero();  // of the tokens that are no positions
    cross_entropy_backward<Element>(tape.device(),
                                    {o, lse.data(), scale, dhidden.data(), table.weights.gradient, bias.gradient});
    tape.give_gradient(*hidden, std::move(dhidden));
  });
  return loss;
}

}  // namespace detail

/// The sum of cross_entropy() of loss/cross_entropy.hpp, [1]; backward is that of sum·scale.  The gradients of table
/// and bias are overwritten.
inline Buffer<float> cross_entropy(Tape& tape, const Variable& hidden, const ScoredTable& table, const Weights& bias,
                                   LossPositions positions, const CrossEntropyOptions& options, float scale) {
  return tape.products().are_bfloat16()
             ? detail::cross_entropy<Bfloat16>(tape, hidden, table, bias, std::move(positions), options, scale)
             : detail::cross_entropy<float>(tape, hidden, table, bias, std::move(positions), options, scale);
}

/// The sum of sampled_softmax() or sampled_binary() of loss/sampled_softmax.hpp with negatives [T, R], [1]; backward is
/// that of sum·scale.
inline Buffer<float> sampled_loss(Tape& tape, SampledLoss kind, const Variable& hidden, const ScoredTable& table,
                                  LossPositions positions, const Tensor& negatives, const SampledLossOptions& options,
                                  float scale) {
  const std::int64_t count = positions.tokens().size(), own = negatives.size(1);
  Buffer<std::int32_t> drawn(tape.device(), negatives.values<std::int32_t>());
  SortedIds candidates(tape.device(), positions.candidates(negatives), table.weights.rows);
  const Tensor expected = options.log_expected.defined() ? options.log_expected.to(DType::float32) : Tensor::zeros({0});
  Buffer<float> log_expected(tape.device(), expected.values<float>());
  Buffer<float> weights = tape.buffer(count * (own + 1)), losses = tape.buffer(count), loss = tape.buffer(1);
  SampledSoftmaxOperands o{};
  o.hidden = hidden->values.data();
  o.table = table.weights.values;
  o.tokens = positions.tokens().data();
  o.targets = positions.targets().data();
  o.negatives = drawn.data();
  o.log_expected = log_expected.data();
  o.weights = weights.data();
  o.table_stride = table.weights.cols;
  o.rows = count;
  o.num_negatives = static_cast<std::int32_t>(own);
  o.cols = hidden->cols;
  o.is_binary = kind == SampledLoss::binary;
  o.inverse_temperature = static_cast<float>(1.0 / options.temperature);
  sampled_softmax_forward(tape.device(), {o, losses.data()}, loss.data());
  tape.record([&tape, hidden, table, positions = std::move(positions), drawn = std::move(drawn),
               candidates = std::move(candidates), weights = std::move(weights), o, scale] {
    Buffer<float> dhidden = tape.buffer(hidden->values.size());
    dhidden.fill_zero();  // of the tokens that are no positions
    sampled_softmax_backward(tape.device(), {o, dhidden.data(), scale}, candidates, true, table.weights.gradient);
    tape.give_gradient(*hidden, std::move(dhidden));
  });
  return loss;
}

/// Throws ConfigError for a loss or an optimizer without kernels.
inline void check_has_kernels(const TrainConfig& config) {
  check<ConfigError>(config.optimizer != OptimizerKind::sgd, "cuda: the optimizer sgd has no kernel");
  check<ConfigError>(config.item_optimizer == ItemOptimizerKind::dense,
                     "cuda: an item_optimizer other than dense has no kernels");
  check<ConfigError>(!config.recompute_activations, "cuda: recompute_activations has no kernels");
  check<ConfigError>(!config.shared_negatives, "cuda: shared_negatives have no kernels");
}

/// What sampler.draw() gives for a whole batch, on all threads: a draw is a function of its token.
inline Tensor draw_negatives(const NegativeSampler& sampler, std::int64_t tokens, const RandomStream& stream) {
  constexpr std::int64_t kPart = 512;
  std::vector<Tensor> parts(static_cast<std::size_t>(detail::divide_up(tokens, kPart)));
  parallel_for(std::ssize(parts), [&](std::int64_t i) {
    parts[static_cast<std::size_t>(i)] = sampler.draw(std::min(kPart, tokens - i * kPart), stream, i * kPart);
  });
  const std::int64_t own = parts.empty() ? 0 : parts.front().size(1);
  Tensor all({tokens, own}, DType::int32);
  parallel_for(std::ssize(parts), [&](std::int64_t i) {
    all.rows(i * kPart, std::min((i + 1) * kPart, tokens)).copy_from(parts[static_cast<std::size_t>(i)]);
  });
  return all;
}

/// The sum that training_loss() of train/objective.hpp gives, [1]; backward is that of sum·scale.
inline Buffer<float> training_loss(Tape& tape, const Model& model, const Variable& hidden, const JaggedBatch& batch,
                                   const TrainConfig& config, const NegativeSampler& negatives,
                                   const ForwardContext& context, float scale) {
  const ScoredTable table = model.scored_table(tape);
  const HstuConfig& c = model.config();
  LossPositions positions(tape.device(), batch, config.loss);
  if (has_negatives(config.loss)) {
    const Tensor drawn = draw_negatives(negatives, batch.tokens(), negative_stream(context.seed, context.step));
    return sampled_loss(tape, sampled_kind(config), hidden, table, std::move(positions), drawn,
                        sampled_options(config, c, negatives), scale);
  }
  return cross_entropy(tape, hidden, table, model.output_bias(), std::move(positions), cross_entropy_options(c), scale);
}

}  // namespace hstu::cuda
