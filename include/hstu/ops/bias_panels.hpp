// SPDX-License-Identifier: MIT
// The relative bias of a block of 16 queries as a panel [keys][16], and the way back of its gradient into the tables.
#pragma once
#include <hstu/core/simd.hpp>
#include <hstu/ops/attention_mask.hpp>
#include <hstu/ops/relative_bias.hpp>

namespace hstu::detail {

/// Keys [first, last) of one user against its queries i0 … i0 + count − 1; panels have a row of 16 per key.
struct PanelRange {
  std::int64_t user, i0, count, first, last;
  const SequenceMask* mask = nullptr;  ///< where contextual tokens or targets are among the queries
};

/// Calls body(entry, distance) for all pairs of a panel with a mask; docs/math.md (A11).
template <class Body>
void for_each_pair(const PanelRange& range, const Body& body) {
  std::int64_t places[kPanelQueries];
  for (std::int64_t lane = 0; lane < kPanelQueries; ++lane) {
    places[lane] = range.mask->place(range.i0 + std::min(lane, range.count - 1));
  }
  std::int64_t entry = 0;
  for (std::int64_t key = range.first; key < range.last; ++key) {
    const std::int64_t place = range.mask->place(key);
    for (std::int64_t lane = 0; lane < kPanelQueries; ++lane) body(entry++, std::abs(places[lane] - place));
  }
}

inline bool has_bias(const RelativeBias& bias) {
  return bias.position_table.defined() || bias.time_table.defined() || bias.dense.defined();
}
/// 1 if all heads share the bias.
inline std::int64_t bias_heads(const RelativeBias& bias, std::int64_t num_heads) {
  const auto is_per_head = [](const Tensor& table) { return table.defined() && table.rank() > 1; };
  return is_per_head(bias.position_table) || is_per_head(bias.time_table) || bias.dense.defined() ? num_heads : 1;
}

/// Column `head` of a table [rows] or [rows, H].
template <class Scalar>
auto table_column(const Tensor& table, std::int64_t head) {
  const std::int64_t heads = table_heads(table);
  return [data = table.data<Scalar>() + head % heads, heads](std::int64_t row) { return data[row * heads]; };
}

/// The tables laid out for reading packs: by distance, and by bucket.
template <class Scalar>
class BiasPanels {
 public:
  BiasPanels(const RelativeBias& bias, std::int64_t num_heads, std::int64_t longest) : bias_(bias) {
    const std::int64_t heads = bias_heads(bias, num_heads);
    if (bias.position_table.defined()) {
      position_width_ = longest + 2 * kPanelQueries;
      position_ = Tensor::zeros({heads, position_width_}, dtype_of<Scalar>());
      for (std::int64_t h = 0; h < heads; ++h) {
        const auto entry = table_column<Scalar>(bias.position_table, h);
        Scalar* to = position_.template mutable_data<Scalar>() + h * position_width_ + kPanelQueries;
        for (std::int64_t d = 0; d < longest; ++d) to[d] = entry((*bias.position_rows)[static_cast<std::size_t>(d)]);
      }
    }
    if (bias.time_table.defined()) {
      time_width_ = bias.time_table.size(0) + kLanes;
      time_ = Tensor::zeros({heads, time_width_}, dtype_of<Scalar>());
      for (std::int64_t h = 0; h < heads; ++h) {
        const auto entry = table_column<Scalar>(bias.time_table, h);
        Scalar* to = time_.template mutable_data<Scalar>() + h * time_width_;
        for (std::int64_t b = 0; b < bias.time_table.size(0); ++b) to[b] = entry(b);
      }
    }
  }

  /// panel = bias of `head`.  Entries that no query may see are finite.
  void fill(std::int64_t head, const PanelRange& range, Scalar* panel) const {
    if (range.mask != nullptr) {
      fill_pairs(head, range, panel);
    } else if (time_.defined()) {
      bias_.time_panels->is_ascending() ? fill_tables<true>(head, range, panel) : fill_tables<false>(head, range, panel);
    } else if (position_.defined()) {
      const Scalar* by_distance = position_of(head, range.i0);
      for (std::int64_t key = range.first; key < range.last; ++key, panel += kPanelQueries) {
        store(panel, load(by_distance - key));
        store(panel + kLanes, load(by_distance - key + kLanes));
      }
      panel -= (range.last - range.first) * kPanelQueries;
    } else {
      std::fill_n(panel, (range.last - range.first) * kPanelQueries, Scalar(0));
    }
    if (bias_.dense.defined()) add_dense(head, range, panel);
  }

 private:
  /// Entry of distance i0: distances i0 − key … i0 − key + 15 stand at −key.
  const Scalar* position_of(std::int64_t head, std::int64_t i0) const {
    return position_.template data<Scalar>() + head * position_width_ + kPanelQueries + i0;
  }
  template <bool IsAscending>
  void fill_tables(std::int64_t head, const PanelRange& range, Scalar* panel) const {
    const Scalar* table = time_.template data<Scalar>() + head * time_width_;
    const std::uint16_t* buckets = bias_.time_panels->row(range.user, range.i0, range.first);
    const Scalar* by_distance = position_.defined() ? position_of(head, range.i0) : nullptr;
    for (std::int64_t key = range.first; key < range.last; ++key) {
      for (std::int64_t n = 0; n < kPanelQueries; n += kLanes) {
        Pack<Scalar> value = lookup<IsAscending>(table, buckets + n);
        if (by_distance != nullptr) value += load(by_distance - key + n);
        store(panel + n, value);
      }
      buckets += kPanelQueries;
      panel += kPanelQueries;
    }
  }
  void fill_pairs(std::int64_t head, const PanelRange& range, Scalar* panel) const {
    const Scalar* by_distance = position_.defined() ? position_of(head, 0) : nullptr;
    const Scalar* table = time_.defined() ? time_.template data<Scalar>() + head * time_width_ : nullptr;
    const std::uint16_t* buckets =
        table != nullptr ? bias_.time_panels->row(range.user, range.i0, range.first) : nullptr;
    for_each_pair(range, [&](std::int64_t entry, std::int64_t distance) {
      panel[entry] = (table != nullptr ? table[buckets[entry]] : Scalar(0)) +
                     (by_distance != nullptr ? by_distance[distance] : Scalar(0));
    });
  }
  void add_dense(std::int64_t head, const PanelRange& range, Scalar* panel) const {
    const std::int64_t L = bias_.dense.size(-1);
    for (std::int64_t lane = 0; lane < range.count; ++lane) {
      const Scalar* row = bias_.dense.data<Scalar>() + (head * L + range.i0 + lane) * L;
      for (std::int64_t key = range.first; key < range.last; ++key) {
        panel[(key - range.first) * kPanelQueries + lane] += row[key];
      }
    }
  }

  const RelativeBias& bias_;
  Tensor position_, time_;  // [heads, 16 + distances + 16], [heads, buckets + 8]
  std::int64_t position_width_ = 0, time_width_ = 0;
};

/// Collects the gradient of the bias; scatters it to the tables at the end.  Eight copies of every sum, so that
/// neighbouring additions never wait for each other's stores.
template <class Scalar>
class BiasGradients {
 public:
  BiasGradients(const RelativeBias& bias, std::int64_t num_heads, std::int64_t longest, Accumulator& into)
      : bias_(bias), heads_(bias_heads(bias, num_heads)), longest_(longest) {
    const auto zeros = [&](std::int64_t width) { return Tensor::zeros({heads_, kCopies, width}, dtype_of<Scalar>()); };
    if (Accumulator::wants(bias.position_table)) position_ = zeros(longest + 2 * kPanelQueries);
    if (Accumulator::wants(bias.time_table)) time_ = zeros(bias.time_table.size(0));
    if (Accumulator::wants(bias.dense)) dense_ = into.buffer(bias.dense);
  }

  bool are_wanted() const { return position_.defined() || time_.defined() || dense_.defined(); }

  /// Adds a panel of dscore; entries that no query may see are zero.
  void add(std::int64_t head, const PanelRange& range, const Scalar* panel) {
    if (range.mask != nullptr) add_pairs(head, range, panel);
    if (position_.defined() && range.mask == nullptr) {
      // copy = key % 8 keeps every store aligned with all other stores to that copy
      const std::int64_t width = position_.size(2);
      Scalar* sums = position_.template mutable_data<Scalar>() + head * kCopies * width + kPanelQueries + range.i0;
      const Scalar* from = panel;
      for (std::int64_t key = range.first; key < range.last; ++key, from += kPanelQueries) {
        const std::int64_t copy = key % kCopies;
        Scalar* to = sums + copy * width - (key - copy);
        store(to, load(to) + load(from));
        store(to + kLanes, load(to + kLanes) + load(from + kLanes));
      }
    }
    if (time_.defined() && range.mask == nullptr) {
      const std::int64_t width = time_.size(2);
      Scalar* sums = time_.template mutable_data<Scalar>() + head * kCopies * width;
      const std::uint16_t* buckets = bias_.time_panels->row(range.user, range.i0, range.first);
      const Scalar* from = panel;
      for (std::int64_t key = range.first; key < range.last; ++key) {
        HSTU_UNROLL
        for (std::int64_t n = 0; n < kPanelQueries; ++n) sums[n % kCopies * width + buckets[n]] += from[n];
        buckets += kPanelQueries;
        from += kPanelQueries;
      }
    }
    if (dense_.defined()) {
      const std::int64_t L = dense_.size(-1);
      for (std::int64_t lane = 0; lane < range.count; ++lane) {
        Scalar* row = dense_.template mutable_data<Scalar>() + (head * L + range.i0 + lane) * L;
        for (std::int64_t key = range.first; key < range.last; ++key) {
          row[key] += panel[(key - range.first) * kPanelQueries + lane];
        }
      }
    }
  }

  void scatter(Accumulator& into) const {
    for (std::int64_t h = 0; h < heads_; ++h) {
      if (position_.defined()) {
        const std::int64_t width = position_.size(2), heads = table_heads(bias_.position_table);
        const Scalar* sums = position_.template data<Scalar>() + h * kCopies * width + kPanelQueries;
        Scalar* table = into.buffer(bias_.position_table).template mutable_data<Scalar>() + h % heads;
        for (std::int64_t d = 0; d < longest_; ++d) {
          Scalar sum = 0;
          for (std::int64_t copy = 0; copy < kCopies; ++copy) sum += sums[copy * width + d + copy];
          table[(*bias_.position_rows)[static_cast<std::size_t>(d)] * heads] += sum;
        }
      }
      if (time_.defined()) {
        const std::int64_t width = time_.size(2), heads = table_heads(bias_.time_table);
        const Scalar* sums = time_.template data<Scalar>() + h * kCopies * width;
        Scalar* table = into.buffer(bias_.time_table).template mutable_data<Scalar>() + h % heads;
        for (std::int64_t b = 0; b < width; ++b) {
          Scalar sum = 0;
          for (std::int64_t copy = 0; copy < kCopies; ++copy) sum += sums[copy * width + b];
          table[b * heads] += sum;
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kCopies = 8;

  void add_pairs(std::int64_t head, const PanelRange& range, const Scalar* panel) {
    Scalar* by_distance = nullptr;
    Scalar* table = nullptr;
    const std::uint16_t* buckets = nullptr;
    if (position_.defined()) {
      by_distance =
          position_.template mutable_data<Scalar>() + head * kCopies * position_.size(2) + kPanelQueries;
    }
    if (time_.defined()) {
      table = time_.template mutable_data<Scalar>() + head * kCopies * time_.size(2);
      buckets = bias_.time_panels->row(range.user, range.i0, range.first);
    }
    for_each_pair(range, [&](std::int64_t entry, std::int64_t distance) {
      if (by_distance != nullptr) by_distance[distance] += panel[entry];
      if (table != nullptr) table[buckets[entry]] += panel[entry];
    });
  }

  const RelativeBias& bias_;
  std::int64_t heads_, longest_;
  Tensor position_, time_;  // [heads, 8, 16 + distances + 16], [heads, 8, buckets]
  Tensor dense_;            // the gradient itself
};

}  // namespace hstu::detail
