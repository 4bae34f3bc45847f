// SPDX-License-Identifier: MIT
// Full ranking of held-out events on the device: metrics/evaluate.hpp.
#pragma once
#include <hstu/cuda/losses.hpp>
#include <hstu/cuda/ranking.hpp>
#include <hstu/metrics/evaluate.hpp>

namespace hstu::cuda {

namespace detail {

/// Some held-out events as a batch, with what must not be ranked.
struct HeldOutBatch {
  JaggedBatch batch;
  std::vector<std::int32_t> last_tokens, targets, excluded;
  std::vector<std::int64_t> excluded_offsets{0};

  HeldOutBatch(const Sequences& sequences, std::span<const HeldOut> events, const EvaluateOptions& options) {
    JaggedBatchBuilder builder;
    for (const HeldOut& event : events) {
      const auto history_of = [&](const auto& column) {
        return std::span(column).subspan(static_cast<std::size_t>(event.history.begin),
                                         static_cast<std::size_t>(event.history.size()));
      };
      const auto target = static_cast<std::size_t>(event.target);
      const auto items = history_of(sequences.items);
      add_history(builder, items, history_of(sequences.timestamps_s), sequences.timestamps_s[target],
                  sequences.items[target], options.max_history);
      last_tokens.push_back(static_cast<std::int32_t>(builder.tokens() - 1));
      targets.push_back(sequences.items[target]);
      const auto seen = options.seen(items);
      excluded.insert(excluded.end(), seen.begin(), seen.end());
      excluded_offsets.push_back(std::ssize(excluded));
    }
    batch = builder.build();
  }
};

/// Hidden states in the precision of `products`, scores of these in that of `scoring`.
inline Evaluation evaluate_batch(Device& device, Products& products, Products& scoring, const Model& model,
                                 const HeldOutBatch& held_out) {
  const std::int64_t users = std::ssize(held_out.targets);
  const auto items = static_cast<std::int32_t>(model.config().num_items);
  Tape tape(device, products, Tape::Mode::inference), scores_tape(device, scoring, Tape::Mode::inference);
  ForwardContext context;
  const Batch on_device(device, model.on_host(), held_out.batch, false);
  const Variable hidden = model.hidden(tape, on_device, context);
  const LookupIds last_tokens(device, held_out.last_tokens, hidden->rows, false, -1);
  const Variable last = sum_of_rows(tape, {{last_tokens, as_table(tape, hidden), 1.0f}});

  const ScoredTable table = model.scored_table(scores_tape);
  std::vector<std::int32_t> all_users(held_out.targets.size());
  std::iota(all_users.begin(), all_users.end(), 0);
  const CrossEntropyOptions options{.temperature = model.config().temperature, .excluded_item = 0};
  const LossPositions positions(device, std::move(all_users), held_out.targets);
  const Buffer<float> loss = cross_entropy(scores_tape, last, table, model.output_bias(), positions, options, 0.0f);
  const Variable scores = linear(scores_tape, last, {table.weights, model.output_bias()});
  const Buffer<std::int32_t> targets(device, held_out.targets), excluded(device, held_out.excluded);
  const Buffer<std::int64_t> offsets(device, held_out.excluded_offsets);
  Buffer<std::int32_t> ranks(device, users);
  exclude_items(device, {scores->values.data(), excluded.data(), offsets.data(), targets.data(), users, items});
  rank_targets(device, {scores->values.data(), targets.data(), ranks.data(), users, items});

  Evaluation result;
  result.loss_sum = static_cast<double>(loss.to_vector()[0]);
  check<NumericError>(std::isfinite(result.loss_sum), "evaluate: the loss is ", result.loss_sum);
  for (const std::int32_t rank : ranks.to_vector()) {
    check<NumericError>(rank > 0, "evaluate: the score of a candidate is not finite");
    result.ranking.add(rank);
  }
  return result;
}

}  // namespace detail

/// A model on the first GPU, in one precision.
class Evaluator {
 public:
  /// Throws DeviceError without a GPU, ConfigError for what has no kernels.
  Evaluator(const HstuModel& model, Precision precision)
      : products_(device_, blas_, precision), scoring_(device_, blas_, Precision::float32), model_(device_, model) {}

  Device& device() const { return device_; }
  Products& products() const { return products_; }
  Model& model() { return model_; }
  const Model& model() const { return model_; }

  /// As hstu::evaluate(), by the parameters on the device.  Scores are float32 products, whatever the precision.
  Evaluation evaluate(const Sequences& sequences, std::span<const HeldOut> events,
                      const EvaluateOptions& options = {}) const {
    constexpr std::int64_t kTokens = 32768, kUsers = 256, kScores = 1 << 27;
    const std::int64_t most_users = std::clamp(kScores / model_.config().num_items, std::int64_t{1}, kUsers);
    Evaluation all;
    for (std::size_t first = 0; first < events.size();) {
      std::size_t last = first;
      for (std::int64_t tokens = 0; last < events.size() && static_cast<std::int64_t>(last - first) < most_users;
           ++last) {
        tokens += std::min(events[last].history.size(), options.max_history);
        if (tokens > kTokens && last > first) break;
      }
      const detail::HeldOutBatch held_out(sequences, events.subspan(first, last - first), options);
      const Evaluation part = detail::evaluate_batch(device_, products_, scoring_, model_, held_out);
      all.ranking.merge(part.ranking);
      all.loss_sum += part.loss_sum;
      first = last;
    }
    return all;
  }

 private:
  mutable Device device_;
  mutable Blas blas_{device_};
  mutable Products products_, scoring_;
  Model model_;
};

}  // namespace hstu::cuda
