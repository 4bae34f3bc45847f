// SPDX-License-Identifier: MIT
// What attention on the device looks up: of a model, which rows of the bias tables belong to distances and times; of a
// batch, where users begin, their times, and the tiles of work.
#pragma once
#include <algorithm>
#include <functional>
#include <hstu/cuda/attention_mask.hpp>
#include <hstu/cuda/elementwise.hpp>
#include <hstu/cuda/time_cells.hpp>
#include <map>
#include <numeric>

namespace hstu::cuda {

/// Sums over parts of a batch: [heads, count] rows, `stride` apart.
struct TableParts {
  const float* data;
  std::int64_t count;
  std::int64_t stride;
};

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

  /// dtable [rows, table_heads] from parts; a shared table (table_heads 1) adds heads up.
  void add_up(Device& device, const TableParts& parts, std::int64_t num_entries, std::int64_t heads,
              std::int64_t table_heads, float* dtable) const {
    Buffer<float> sums(device, table_heads * num_entries);
    sum_row_groups(device, parts.data, parts.stride, table_heads, heads / table_heads * parts.count, num_entries,
                   sums.data());
    const TableGradient o{sums.data(),
                          entries_.data(),
                          starts_.data(),
                          dtable,
                          static_cast<std::int32_t>(num_rows_),
                          static_cast<std::int32_t>(table_heads),
                          static_cast<std::int32_t>(num_entries)};
    device.launch(
        {"attention_tables", "table_gradient"},
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
    const TimeCells cells(starts);
    time_cells_ = Buffer<TimeCell>(device, cells.cells);
    bias_.time_borders = time_borders_.data();
    bias_.buckets = static_cast<std::int32_t>(starts.size());
    bias_.time_cells = time_cells_.data();
    bias_.num_time_cells = static_cast<std::int32_t>(cells.cells.size());
    bias_.time_cell_shift = cells.shift;
    bias_.has_crowded_cells = cells.has_crowded;
  }

  /// What kernels look up; biases and times are missing.
  const AttentionBias& bias() const { return bias_; }
  const Buffer<std::int32_t>& position_rows() const { return position_rows_; }

  /// Gradients of the tables from parts by distance, up to the longest history, and by bucket.
  void add_up_positions(Device& device, const TableParts& parts, std::int64_t longest, std::int64_t heads,
                        std::int64_t table_heads, float* dtable) const {
    by_position_.add_up(device, parts, longest, heads, table_heads, dtable);
  }
  void add_up_times(Device& device, const TableParts& parts, std::int64_t heads, std::int64_t table_heads,
                    float* dtable) const {
    by_time_.add_up(device, parts, time_borders_.size(), heads, table_heads, dtable);
  }

 private:
  Buffer<std::int32_t> position_rows_, time_borders_;
  Buffer<TimeCell> time_cells_;
  AttentionBias bias_{};
  TableRows by_position_, by_time_;
};

/// Of a batch: made once for all layers.
class AttentionBatch {
 public:
  /// offsets [users + 1] from 0 to T; times [T], or none for models without a bias by time; mask and num_targets as in
  /// AttentionOptions.  Throws DataError if the times of a user are more than 2³¹ − 1 seconds apart, and as
  /// hstu_attention does if the mask does not fit.
  AttentionBatch(const Device& device, std::span<const std::int64_t> offsets,
                 std::span<const std::int64_t> query_times_s, std::span<const std::int64_t> key_times_s,
                 const AttentionMask& mask = {}, const Tensor& num_targets = {})
      : device_(device), bounds_(offsets.begin(), offsets.end()), mask_(device, bounds_, mask, num_targets) {
    for (std::size_t b = 0; b + 1 < bounds_.size(); ++b) {
      longest_ = std::max(longest_, bounds_[b + 1] - bounds_[b]);
      spans_.resize(static_cast<std::size_t>(bounds_[b + 1]), {bounds_[b], bounds_[b + 1]});
    }
    spans_on_device_ = Buffer<TokenSpan>(device, spans_);
    if (key_times_s.empty()) return;
    query_times_ = Buffer<std::int32_t>(device, relative(query_times_s, key_times_s, query_times_s));
    key_times_ = Buffer<std::int32_t>(device, relative(query_times_s, key_times_s, key_times_s));
  }

  std::int64_t tokens() const { return bounds_.back(); }
  std::int64_t longest() const { return longest_; }
  const DeviceMask& mask() const { return mask_; }

  /// The first tokens of runs of work; those with most work first, so that no block begins a long one last.
  enum class Tiles {
    of_users,    ///< 16 places of one user
    of_queries,  ///< 64 tokens of the batch: work grows with the keys before
    of_keys,     ///< 64 tokens of the batch: work grows with the queries behind
  };
  const Buffer<std::int32_t>& tiles(Tiles kind) const {
    Buffer<std::int32_t>& tiles = tiles_[kind];
    if (tiles.size() > 0 || tokens() == 0) return tiles;
    constexpr std::int32_t kUserRows = 16, kTokenRows = 64;
    const std::int32_t all = bounds_.back();
    const auto span = [&](std::int32_t token) { return spans_[static_cast<std::size_t>(std::min(token, all - 1))]; };
    std::vector<std::int32_t> first;
    if (kind == Tiles::of_users) {
      for (std::size_t b = 0; b + 1 < bounds_.size(); ++b) {
        for (std::int32_t token = bounds_[b]; token < bounds_[b + 1]; token += kUserRows) first.push_back(token);
      }
    } else {
      for (std::int32_t token = 0; token < all; token += kTokenRows) first.push_back(token);
    }
    std::ranges::stable_sort(first, std::greater<>(), [&](std::int32_t token) {
      const KeySpan seen = mask_.seen()[static_cast<std::size_t>(token)];
      return kind == Tiles::of_keys ? span(token + kTokenRows - 1).end - token : seen.last - seen.first;
    });
    return tiles = Buffer<std::int32_t>(device_, first);
  }

  /// Operands with everything but matrices.  Throws ConfigError for another mask than that of the batch.
  template <class Element>
  AttentionOperands<Element> operands(const AttentionBias& bias, const AttentionOptions& options, std::int64_t dqk,
                                      std::int64_t dv) const {
    check<ConfigError>(mask_.is_of(options), "cuda: attention: the batch was made for another mask");
    check<ConfigError>(!options.attn_scale.defined(), "cuda: attention: attn_scale is an argument of self_attention");
    AttentionOperands<Element> o{};
    o.spans = spans_on_device_.data();
    mask_.fill(o);
    o.tokens = bounds_.back();
    o.longest = longest_;
    o.bias = bias;
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
    o.inverse_normalizer = o.is_softmax ? 1.0f : static_cast<float>(1.0 / options.normalizer);
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
  DeviceMask mask_;
  std::int32_t longest_ = 0;
  std::vector<TokenSpan> spans_;
  Buffer<TokenSpan> spans_on_device_;
  Buffer<std::int32_t> query_times_, key_times_;
  mutable std::map<Tiles, Buffer<std::int32_t>> tiles_;
};

/// The tables of a layer on the device, [rows, heads] or [rows, 1] for all heads; null: no such bias.
struct DeviceBiasTables {
  const float* position = nullptr;
  const float* time = nullptr;
  std::int64_t position_heads = 1;
  std::int64_t time_heads = 1;
};

/// Biases of a layer by distance and by bucket: gathered once, read by forward and backward.
class GatheredBias {
 public:
  /// Throws ShapeError if a history is longer than the lookup knows distances.
  GatheredBias(Device& device, const AttentionBatch& batch, const AttentionLookup& lookup,
               const DeviceBiasTables& tables)
      : bias_(lookup.bias()) {
    bias_.position_heads = static_cast<std::int32_t>(tables.position_heads);
    bias_.time_heads = static_cast<std::int32_t>(tables.time_heads);
    if (tables.position != nullptr) {
      const Buffer<std::int32_t>& rows = lookup.position_rows();
      check<ShapeError>(rows.size() >= batch.longest(), "cuda: attention: the position bias knows ", rows.size(),
                        " distances, the longest sequence has ", batch.longest());
      by_distance_ = gather(device, tables.position, rows.data(), tables.position_heads, batch.longest());
    }
    if (tables.time != nullptr) by_bucket_ = gather(device, tables.time, nullptr, tables.time_heads, bias_.buckets);
    bias_.by_distance = by_distance_.data();
    bias_.by_bucket = by_bucket_.data();
  }
  const AttentionBias& bias() const { return bias_; }

 private:
  static Buffer<float> gather(Device& device, const float* table, const std::int32_t* rows, std::int64_t heads,
                              std::int64_t entries) {
    Buffer<float> by_entry(device, heads * entries);
    const GatherTable o{table, rows, by_entry.data(), static_cast<std::int32_t>(heads),
                        static_cast<std::int32_t>(entries)};
    device.launch({"attention_tables", "gather_table"},
                  {.blocks = detail::divide_up(entries * heads, detail::kRowThreads), .threads = detail::kRowThreads},
                  o);
    return by_entry;
  }

  AttentionBias bias_;
  Buffer<float> by_distance_, by_bucket_;
};

}  // namespace hstu::cuda
