// SPDX-License-Identifier: MIT
// Parameters of the relative bias, and the lookups that a batch shares between layers.
#pragma once
#include <memory>

#include <hstu/data/batch.hpp>
#include <hstu/model/config.hpp>
#include <hstu/nn/init.hpp>
#include <hstu/ops/relative_bias.hpp>

namespace hstu {

/// What the model knows about distances and time differences: made once.
class BiasLookup {
 public:
  explicit BiasLookup(const HstuConfig& config) : time_bias_(config.time_bias) {
    DistanceRows rows;
    switch (config.position_bias) {
      case PositionBias::none: break;
      case PositionBias::linear:
        rows = linear_distance_rows(config.max_seq_len, config.num_position_buckets);
        break;
      case PositionBias::signed_distance:
        rows = signed_distance_rows(config.max_seq_len);
        break;
      case PositionBias::directional_log:
        rows = directional_log_distance_rows(config.max_seq_len, config.num_position_buckets, config.max_seq_len);
        break;
    }
    position_rows_ = std::make_shared<const DistanceRows>(std::move(rows));
    if (time_bias_ != TimeBias::none) {
      borders_ = std::make_shared<const TimeBorders>(TimeBucketOptions{.function = config.time_function,
                                                                       .unit = config.time_unit,
                                                                       .divisor = config.time_divisor,
                                                                       .max_bucket = config.num_time_buckets});
    }
  }

  /// The bias of a batch without tables: each layer adds its own.
  RelativeBias of(const JaggedBatch& batch) const {
    RelativeBias bias;
    bias.position_rows = position_rows_;
    if (borders_) {
      const Tensor& queries = time_bias_ == TimeBias::query_time ? batch.query_times_s : batch.times_s;
      bias.time_panels = detail::make_shared_pooled<const TimePanels>(batch.offsets, queries, batch.times_s, *borders_);
    }
    return bias;
  }

  const std::shared_ptr<const DistanceRows>& position_rows() const { return position_rows_; }
  /// Null without a time bias.
  const std::shared_ptr<const TimeBorders>& time_borders() const { return borders_; }

 private:
  TimeBias time_bias_;
  std::shared_ptr<const DistanceRows> position_rows_;
  std::shared_ptr<const TimeBorders> borders_;
};

/// Rows of the position table of a config; 0 for none.
inline std::int64_t num_position_rows(const HstuConfig& config) {
  switch (config.position_bias) {
    case PositionBias::none: return 0;
    case PositionBias::signed_distance: return 2 * config.max_seq_len - 1;
    default: return config.num_position_buckets;
  }
}

/// The tables of one layer under the names of its family; undefined where the config has none.
struct BiasTables {
  Tensor position;
  Tensor time;

  /// `bias` with these tables.
  RelativeBias in(RelativeBias bias) const {
    bias.position_table = position;
    bias.time_table = time;
    return bias;
  }
  void list(const std::string& position_name, const std::string& time_name, ParameterList& into) const {
    if (position.defined()) into.push_back({position_name, position});
    if (time.defined()) into.push_back({time_name, time});
  }
};

}  // namespace hstu
