// SPDX-License-Identifier: MIT
// A model on held-out events: rank of the true item among all items, and its cross-entropy.
#pragma once
#include <cmath>
#include <vector>

#include <hstu/core/chunks.hpp>
#include <hstu/core/parallel.hpp>
#include <hstu/data/batcher.hpp>
#include <hstu/metrics/ranking.hpp>
#include <hstu/model/hstu.hpp>
#include <hstu/ops/reshape.hpp>

namespace hstu {

struct EvaluateOptions {
  std::int64_t max_history = 200;  ///< the model sees the most recent events only
  bool keep_seen = false;          ///< rank against items of the user's history too
  bool mask_shown_only = false;    ///< leave out the events shown to the model, not the whole history (Meta's protocol)

  /// Items of a history that are no candidates.
  std::span<const std::int32_t> seen(std::span<const std::int32_t> history) const {
    if (keep_seen) return {};
    return mask_shown_only ? history.last(std::min(history.size(), static_cast<std::size_t>(max_history))) : history;
  }
};

struct Evaluation {
  RankingMetrics ranking;
  double loss_sum = 0.0;  ///< Σ −log softmax(scores over all items but padding)[target]

  std::int64_t users() const { return ranking.count(); }
  double loss() const { return users() == 0 ? 0.0 : loss_sum / static_cast<double>(users()); }
  /// hr@1: share of users whose next item has the highest score.
  double top1() const { return ranking.hit_rate(1); }
};

namespace detail {

/// −log softmax(scores)[target] over the items 1 … V−1.
template <class Scalar>
double negative_log_likelihood(std::span<const Scalar> scores, std::int32_t target) {
  const Scalar largest = *std::max_element(scores.begin() + 1, scores.end());
  double sum = 0.0;
  for (const Scalar score : scores.subspan(1)) sum += std::exp(static_cast<double>(score - largest));
  return std::log(sum) + static_cast<double>(largest) - static_cast<double>(scores[static_cast<std::size_t>(target)]);
}

}  // namespace detail

/// Ranks every held-out event among all items; items of the user's history are no candidates unless kept.
/// The request time is that of the event to predict.  Runs on all threads; the result does not depend on their number.
/// Throws NumericError if a score is not finite, DataError if an item is not in the model's table.
inline Evaluation evaluate(const HstuModel& model, const Sequences& sequences, std::span<const HeldOut> events,
                           const EvaluateOptions& options = {}) {
  const auto length_of = [&](std::int64_t i) {
    return std::min(events[static_cast<std::size_t>(i)].history.size(), options.max_history);
  };
  const auto chunks = make_chunks(std::ssize(events), length_of);
  std::vector<Evaluation> parts(chunks.size());
  const ItemScorer scorer = [&] {
    const NoGrad no_grad;
    return model.scorer();
  }();
  parallel_for(std::ssize(chunks), [&](std::int64_t c) {
    const NoGrad no_grad;  // of this worker
    const IndexRange& chunk = chunks[static_cast<std::size_t>(c)];
    const auto held_out = events.subspan(static_cast<std::size_t>(chunk.begin), static_cast<std::size_t>(chunk.size()));
    const auto history_of = [&](const auto& column, const HeldOut& event) {
      return std::span(column).subspan(static_cast<std::size_t>(event.history.begin),
                                       static_cast<std::size_t>(event.history.size()));
    };
    JaggedBatchBuilder builder;
    for (const HeldOut& event : held_out) {
      const auto target = static_cast<std::size_t>(event.target);
      add_history(builder, history_of(sequences.items, event), history_of(sequences.timestamps_s, event),
                  sequences.timestamps_s[target], sequences.items[target], options.max_history);
    }
    const JaggedBatch batch = builder.build();
    ForwardContext context;
    const Tensor scores = scorer(gather_rows(model.hidden(batch, context), Tensor::from(last_tokens(batch))));
    dispatch_floating("evaluate", scores.dtype(), [&]<class Scalar>(Scalar) {
      const auto V = static_cast<std::size_t>(scores.size(1));
      for (std::size_t u = 0; u < held_out.size(); ++u) {
        const auto row = scores.values<Scalar>().subspan(u * V, V);
        const std::int32_t target = sequences.items[static_cast<std::size_t>(held_out[u].target)];
        Evaluation& part = parts[static_cast<std::size_t>(c)];
        part.ranking.add(rank_of_target(row, target, options.seen(history_of(sequences.items, held_out[u]))));
        const double loss = detail::negative_log_likelihood(row, target);
        check<NumericError>(std::isfinite(loss), "evaluate: the loss of user ", held_out[u].user, " is ", loss);
        part.loss_sum += loss;
      }
    });
  });
  Evaluation all;
  for (const Evaluation& part : parts) {
    all.ranking.merge(part.ranking);
    all.loss_sum += part.loss_sum;
  }
  return all;
}

}  // namespace hstu
