// SPDX-License-Identifier: MIT
// A batch of histories on the device.
#pragma once
#include <optional>

#include <hstu/cuda/attention_lookup.hpp>
#include <hstu/cuda/embedding.hpp>
#include <hstu/model/hstu.hpp>

namespace hstu::cuda {

/// Ids of a lookup, and their places sorted by id where the table is trained.
struct LookupIds {
  LookupIds() = default;
  /// Throws DataError for an id outside of the table.
  LookupIds(Device& device, std::span<const std::int32_t> of_tokens, std::int64_t rows, bool is_training,
            std::int64_t untrained_row)
      : ids(device, of_tokens) {
    for (const std::int32_t id : of_tokens) {
      check<DataError>(id >= 0 && id < rows, "embedding: id ", id, ", expected 0 to ", rows - 1);
    }
    if (is_training) sorted.emplace(device, of_tokens, rows, untrained_row);
  }

  Buffer<std::int32_t> ids;
  std::optional<SortedIds> sorted;
};

/// What the layers and the embedding see of a batch: copied to the device once.
class Batch {
 public:
  /// Throws as HstuModel::hidden does, and DataError if the times of a user are 2³¹ seconds apart.
  Batch(Device& device, const HstuModel& model, const JaggedBatch& batch, bool is_training)
      : tokens_((model.check_batch(batch), batch.tokens())),
        attention_(device, batch.offsets.values<std::int64_t>(), query_times(model, batch), key_times(model, batch),
                   attention_mask(model.config())),
        items_(device, batch.items.values<std::int32_t>(), model.config().num_items, is_training, 0),
        positions_(device, batch.positions.values<std::int32_t>(), model.config().max_seq_len, is_training, -1) {
    if (!model.config().use_time_embedding) return;
    const Tensor buckets = model.age_buckets(batch);
    std::vector<std::int32_t> ages;
    for (const std::int64_t bucket : buckets.values<std::int64_t>()) ages.push_back(static_cast<std::int32_t>(bucket));
    ages_ = LookupIds(device, ages, model.num_age_rows(), is_training, model.padding_age());
  }

  std::int64_t tokens() const { return tokens_; }
  const AttentionBatch& attention() const { return attention_; }
  const LookupIds& items() const { return items_; }
  const LookupIds& positions() const { return positions_; }
  const LookupIds& ages() const { return ages_; }

 private:
  static std::span<const std::int64_t> key_times(const HstuModel& model, const JaggedBatch& batch) {
    return model.config().time_bias == TimeBias::none ? std::span<const std::int64_t>()
                                                      : batch.times_s.values<std::int64_t>();
  }
  static std::span<const std::int64_t> query_times(const HstuModel& model, const JaggedBatch& batch) {
    return model.config().time_bias == TimeBias::query_time ? batch.query_times_s.values<std::int64_t>()
                                                            : key_times(model, batch);
  }

  std::int64_t tokens_;
  AttentionBatch attention_;
  LookupIds items_, positions_, ages_;
};

}  // namespace hstu::cuda
