// SPDX-License-Identifier: MIT
// Ranked items for one history.
#pragma once
#include <hstu/data/batcher.hpp>
#include <hstu/model/hstu.hpp>
#include <hstu/ops/reshape.hpp>
#include <hstu/recommend/top_k.hpp>

namespace hstu {

struct RecommendOptions {
  std::int64_t count = 10;
  std::int64_t max_history = 200;  ///< the model sees the most recent events only
  bool keep_seen = false;          ///< items of the history may be recommended again
};

/// Scores of all items, [V], for a user who asks at `query_time_s`.  items, timestamps_s: the user's events in order.
/// Throws DataError for an empty history, an item outside of the model's table, or times that do not ascend.
inline Tensor score_items(const HstuModel& model, std::span<const std::int32_t> items,
                          std::span<const std::int64_t> timestamps_s, std::int64_t query_time_s,
                          std::int64_t max_history = 200) {
  check<DataError>(std::ranges::is_sorted(timestamps_s), "recommend: the times of the history do not ascend");
  const NoGrad no_grad;
  JaggedBatchBuilder builder;
  add_history(builder, items, timestamps_s, query_time_s, 0, max_history);
  const JaggedBatch batch = builder.build();
  ForwardContext context;
  const Tensor last = gather_rows(model.hidden(batch, context), Tensor::from(last_tokens(batch)));
  return model.scores(last).reshaped({model.config().num_items});
}

/// The best items, best first; padding and, unless kept, items of the history are left out.
inline std::vector<ScoredItem> recommend(const HstuModel& model, std::span<const std::int32_t> items,
                                         std::span<const std::int64_t> timestamps_s, std::int64_t query_time_s,
                                         const RecommendOptions& options = {}) {
  const Tensor scores = score_items(model, items, timestamps_s, query_time_s, options.max_history);
  const auto excluded = options.keep_seen ? std::span<const std::int32_t>() : items;
  return dispatch_floating("recommend", scores.dtype(), [&]<class Scalar>(Scalar) {
    return top_k<Scalar>(scores.values<Scalar>(), options.count, excluded);
  });
}

}  // namespace hstu
