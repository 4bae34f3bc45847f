// SPDX-License-Identifier: MIT
// The losses of loss/ on the tape.
#pragma once
#include <hstu/cuda/cross_entropy.hpp>
#include <hstu/cuda/model.hpp>
#include <hstu/cuda/sampled_softmax.hpp>
#include <hstu/loss/cross_entropy.hpp>
#include <hstu/loss/sampled_softmax.hpp>

namespace hstu::cuda {

/// The tokens that have a loss, and the targets of all.
class LossPositions {
 public:
  LossPositions(Device& device, std::vector<std::int32_t> tokens, std::span<const std::int32_t> targets)
      : tokens_of_host_(std::move(tokens)),
        targets_of_host_(targets.begin(), targets.end()),
        tokens_(device, tokens_of_host_),
        targets_(device, targets_of_host_) {}

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
  static constexpr std::int64_t kPart = 1024;  // positions that a thread treats together

  std::vector<std::int32_t> tokens_of_host_, targets_of_host_;
  Buffer<std::int32_t> tokens_, targets_;
};

namespace detail {

/// Loss [1] by a kernel that wants matrices as float or bfloat16; backward is that of loss·scale.
template <class Element>
Buffer<float> cross_entropy(Tape& tape, const Variable& hidden, const ScoredTable& table, const Weights& bias,
                            const LossPositions& positions, const CrossEntropyOptions& options, float scale) {
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
  tape.record([&tape, hidden, table, bias, scale, o, lse = std::move(lse), packed_hidden = std::move(packed_hidden),
               packed_table = std::move(packed_table)] {
    Buffer<float> dhidden = tape.buffer(hidden->values.size());
    dhidden.fill_zero();  // of the tokens that are no positions
    cross_entropy_backward<Element>(tape.device(),
                                    {o, lse.data(), scale, dhidden.data(), table.weights.gradient, bias.gradient});
    tape.give_gradient(*hidden, std::move(dhidden));
  });
  return loss;
}

}  // namespace detail

/// The sum of cross_entropy() of loss/cross_entropy.hpp, [1]; backward is that of sum·scale, and `positions` must live
/// until then.  The gradients of table and bias are overwritten.
inline Buffer<float> cross_entropy(Tape& tape, const Variable& hidden, const ScoredTable& table, const Weights& bias,
                                   const LossPositions& positions, const CrossEntropyOptions& options, float scale) {
  return tape.products().are_bfloat16()
             ? detail::cross_entropy<Bfloat16>(tape, hidden, table, bias, positions, options, scale)
             : detail::cross_entropy<float>(tape, hidden, table, bias, positions, options, scale);
}

/// The negatives of a batch, its candidates sorted, and what corrects the logits.
struct SampledCandidates {
  SampledCandidates(Device& device, const LossPositions& positions, const Tensor& negatives, std::int64_t items,
                    const SampledLossOptions& options)
      : num_negatives(negatives.size(1)),
        drawn(device, negatives.values<std::int32_t>()),
        sorted(device, positions.candidates(negatives), items) {
    if (!options.log_expected.defined()) return;
    const Tensor rounded = options.log_expected.to(DType::float32);
    log_expected = Buffer<float>(device, rounded.values<float>());
  }

  std::int64_t num_negatives;
  Buffer<std::int32_t> drawn;  ///< [T, num_negatives]
  SortedIds sorted;            ///< negatives and target of each position
  Buffer<float> log_expected;  ///< [items] or empty
};

/// The sum of sampled_softmax() or sampled_binary() of loss/sampled_softmax.hpp, [1]; backward is that of sum·scale.
/// `positions` and `candidates` must live until then.
inline Buffer<float> sampled_loss(Tape& tape, SampledLoss kind, const Variable& hidden, const ScoredTable& table,
                                  const LossPositions& positions, const SampledCandidates& candidates,
                                  double temperature, float scale) {
  const std::int64_t count = positions.tokens().size();
  Buffer<float> weights = tape.buffer(count * (candidates.num_negatives + 1)), losses = tape.buffer(count),
                loss = tape.buffer(1);
  SampledSoftmaxOperands o{};
  o.hidden = hidden->values.data();
  o.table = table.weights.values;
  o.tokens = positions.tokens().data();
  o.targets = positions.targets().data();
  o.negatives = candidates.drawn.data();
  o.log_expected = candidates.log_expected.data();
  o.weights = weights.data();
  o.table_stride = table.weights.cols;
  o.rows = count;
  o.num_negatives = static_cast<std::int32_t>(candidates.num_negatives);
  o.cols = hidden->cols;
  o.is_binary = kind == SampledLoss::binary;
  o.inverse_temperature = static_cast<float>(1.0 / temperature);
  sampled_softmax_forward(tape.device(), {o, losses.data()}, loss.data());
  tape.record([&tape, hidden, table, &candidates, weights = std::move(weights), o, scale] {
    Buffer<float> dhidden = tape.buffer(hidden->values.size());
    dhidden.fill_zero();  // of the tokens that are no positions
    sampled_softmax_backward(tape.device(), {o, dhidden.data(), scale}, candidates.sorted, true,
                             table.weights.gradient);
    tape.give_gradient(*hidden, std::move(dhidden));
  });
  return loss;
}

}  // namespace hstu::cuda
