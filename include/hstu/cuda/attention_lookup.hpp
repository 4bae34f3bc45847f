// SPDX-License-Identifier: MIT
// What attention on the device looks up: of a model, which rows of the bias tables belong to distances and times; of a
// batch, where users begin, their times, and the tiles of work.
#pragma once
#include <algorithm>
#include <hstu/cuda/elementwise.hpp>
#include <hstu/cuda/operands/attention.hpp>
#include <hstu/ops/attention_pass.hpp>
#include <map>
#include <numeric>
#include <optional>

namespace hstu::cuda {

/// Entries (distances, buckets) sorted by the row of the table that they read.
class TableRows {
 public:
  TableRows() = default;
  TableRows(const Device& device, std::span<const std::int32_t> row_of_entry, std::int64_t num_rows)
      : num_rows_(num_rows) {
    std::vector<std::int32_t> entries(row_of_entry.size()), starts(static_cast<std::size_t>(num_rows) + 1, 0);
    for (const std::int32_t row : row_of_entry) {
      check<ShapeError>(row >= 0 && row < num_rows, "cuda: attention: row ", row, " of a bias table with ", num_rows);
      ++starts[static_cast<std::size_t>(row) + 1];
    }
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    std::iota(entries.begin(), entries.end(), 0);
    std::ranges::stable_sort(entries, {}, [&](std::int32_t e) { return row_of_entry[static_cast<std::size_t>(e)]; });
    entries_ = Buffer<std::int32_t>(device, entries);
    starts_ = Buffer<std::int32_t>(device, starts);
  }

  /// dtable [rows, table_heads] from parts [heads, num_parts, num_entries]; a shared table (table_heads 1) adds heads
  /// up.
  void add_up(Device& device, const float* parts, std::int64_t num_parts, std::int64_t num_entries, std::int64_t heads,
              std::int64_t table_heads, float* dtable) const {
    const std::int64_t per_table = heads / table_heads * num_parts;
    Buffer<float> sums(device, table_heads * num_entries);
    sum_row_groups(device, parts, table_heads, per_table, num_entries, sums.data());
    const TableGradient o{sums.data(),
                          entries_.data(),
                          starts_.data(),
                          dtable,
                          static_cast<std::int32_t>(num_rows_),
                          static_cast<std::int32_t>(table_heads),
                          static_cast<std::int32_t>(num_entries)};
    device.launch(
        {"attention_plain", "table_gradient"},
        {.blocks = detail::divide_up(num_rows_ * table_heads, detail::kRowThreads), .threads = detail::kRowThreads}, o);
  }

 private:
  std::int64_t num_rows_ = 0;
  Buffer<std::int32_t> entries_, starts_;
};

/// Of a model: made once.
class AttentionLookup {
 public:
  /// Without rows (or borders) there is no bias by position (or time).
  AttentionLookup(const Device& device, const DistanceRows& rows, std::int64_t position_table_rows,
                  const TimeBorders* borders, std::int64_t time_table_rows)
      : position_rows_(device, rows), by_position_(device, rows, position_table_rows) {
    if (borders == nullptr) return;
    std::vector<std::int32_t> starts, buckets;
    for (const std::int64_t start : borders->starts()) {  // the others are beyond every difference of int32
      if (start <= std::numeric_limits<std::int32_t>::max()) starts.push_back(static_cast<std::int32_t>(start));
    }
    buckets.resize(starts.size());
    std::iota(buckets.begin(), buckets.end(), 0);
    time_borders_ = Buffer<std::int32_t>(device, starts);
    by_time_ = TableRows(device, buckets, time_table_rows);
  }

  const Buffer<std::int32_t>& position_rows() const { return position_rows_; }
  const Buffer<std::int32_t>& time_borders() const { return time_borders_; }

  /// Gradients of the tables from parts by distance, [heads, num_parts, longest], and by bucket.
  void add_up_positions(Device& device, const float* parts, std::int64_t num_parts, std::int64_t longest,
                        std::int64_t heads, std::int64_t table_heads, float* dtable) const {
    by_position_.add_up(device, parts, num_parts, longest, heads, table_heads, dtable);
  }
  void add_up_times(Device& device, const float* parts, std::int64_t num_parts, std::int64_t heads,
                    std::int64_t table_heads, float* dtable) const {
    by_time_.add_up(device, parts, num_parts, time_borders_.size(), heads, table_heads, dtable);
  }

 private:
  Buffer<std::int32_t> position_rows_, time_borders_;
  TableRows by_position_, by_time_;
};

/// Of a batch: made once for all layers.
class AttentionBatch {
 public:
  /// offsets [users + 1] from 0 to T; times [T], or none for models without a bias by time.
  /// Throws DataError if the times of a user are more than 2³¹ − 1 seconds apart.
  AttentionBatch(const Device& device, std::span<const std::int64_t> offsets,
                 std::span<const std::int64_t> query_times_s, std::span<const std::int64_t> key_times_s)
      : device_(device), bounds_(offsets.begin(), offsets.end()) {
    bounds_on_device_ = Buffer<std::int32_t>(device, bounds_);
    for (std::size_t b = 0; b + 1 < bounds_.size(); ++b) longest_ = std::max(longest_, bounds_[b + 1] - bounds_[b]);
    if (key_times_s.empty()) return;
    query_times_ = Buffer<std::int32_t>(device, relative(query_times_s, key_times_s, query_times_s));
    key_times_ = Buffer<std::int32_t>(device, relative(query_times_s, key_times_s, key_times_s));
  }

  std::int64_t tokens() const { return bounds_.back(); }
  std::int64_t longest() const { return longest_; }

  /// Every run of `rows` places of every user, the ones with most work (last in their user) first.
  const Buffer<AttentionTile>& tiles(std::int64_t rows) const {
    Buffer<AttentionTile>& tiles = tiles_[rows];
    if (tiles.size() > 0 || tokens() == 0) return tiles;
    std::vector<AttentionTile> list;
    for (std::size_t b = 0; b + 1 < bounds_.size(); ++b) {
      for (std::int32_t first = 0; first < bounds_[b + 1] - bounds_[b]; first += static_cast<std::int32_t>(rows)) {
        list.push_back({static_cast<std::int32_t>(b), first});
      }
    }
    std::ranges::stable_sort(list, std::greater<>(), &AttentionTile::first);
    return tiles = Buffer<AttentionTile>(device_, list);
  }

  /// Operands with everything but matrices and tables.
  template <class Element>
  AttentionOperands<Element> operands(const AttentionLookup& lookup, const AttentionOptions& options, std::int64_t dqk,
                                      std::int64_t dv) const {
    check<ConfigError>(options.is_causal(), "cuda: attention: no kernel for masks, targets or attn_scale");
    AttentionOperands<Element> o{};
    o.bounds = bounds_on_device_.data();
    o.bias.position_rows = lookup.position_rows().data();
    o.bias.time_borders = lookup.time_borders().data();
    o.bias.buckets = static_cast<std::int32_t>(lookup.time_borders().size());
    o.bias.query_times = query_times_.data();
    o.bias.key_times = key_times_.data();
    const DropoutMask mask = dropout_mask(options.dropout, options.stream, 0, 0);
    o.dropout_key = mask.key;
    o.dropout_first_row = options.first_row;
    o.dropout_threshold = mask.threshold;
    o.dropout_scale = mask.scale;
    o.heads = static_cast<std::int32_t>(options.num_heads);
    o.dqk = static_cast<std::int32_t>(dqk);
    o.dv = static_cast<std::int32_t>(dv);
    o.is_softmax = options.kind == AttentionKind::softmax;
    o.alpha = static_cast<float>(options.alpha);
    o.inverse_normalizer = static_cast<float>(1.0 / options.normalizer);
    return o;
  }

 private:
  /// `times` after the earliest of both lists, user by user.
  std::vector<std::int32_t> relative(std::span<const std::int64_t> queries, std::span<const std::int64_t> keys,
                                     std::span<const std::int64_t> times) const {
    check<ShapeError>(std::ssize(queries) == tokens() && std::ssize(keys) == tokens(),
                      "cuda: attention: ", queries.size(), " query times and ", keys.size(), " key times of ", tokens(),
                      " tokens");
    std::vector<std::int32_t> result;
    for (std::size_t b = 0; b + 1 < bounds_.size(); ++b) {
      const auto first = static_cast<std::size_t>(bounds_[b]), last = static_cast<std::size_t>(bounds_[b + 1]);
      if (first == last) continue;
      const auto of_queries = std::ranges::minmax(queries.subspan(first, last - first));
      const auto of_keys = std::ranges::minmax(keys.subspan(first, last - first));
      const std::int64_t least = std::min(of_queries.min, of_keys.min), most = std::max(of_queries.max, of_keys.max);
      const auto span = static_cast<std::uint64_t>(most) - static_cast<std::uint64_t>(least);
      check<DataError>(span <= std::uint64_t{std::numeric_limits<std::int32_t>::max()},
                       "cuda: attention: the times of user ", b, " of the batch span ", span,
                       " seconds, expected less than 2^31");
      for (std::size_t i = first; i < last; ++i) result.push_back(static_cast<std::int32_t>(times[i] - least));
    }
    return result;
  }

  const Device& device_;
  std::vector<std::int32_t> bounds_;
  std::int32_t longest_ = 0;
  Buffer<std::int32_t> bounds_on_device_, query_times_, key_times_;
  mutable std::map<std::int64_t, Buffer<AttentionTile>> tiles_;
};

}  // namespace hstu::cuda
