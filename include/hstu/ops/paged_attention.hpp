// SPDX-License-Identifier: MIT
// Attention of new queries over keys and values that lie in pages: keys in the SIMD lanes, so that one query costs no
// more than its share.  Forward only.  docs/math.md (A13)
#pragma once
#include <limits>

#include <hstu/ops/attention_pass.hpp>

namespace hstu {

/// How a page holds the keys and values of one layer: keys [H·Dqk][positions], then values [positions][H][Dv in packs].
struct PageLayout {
  std::int64_t positions = 32;  ///< of a sequence, in one page; a multiple of 16
  std::int64_t heads = 1;
  std::int64_t dqk = 1;
  std::int64_t dv = 1;

  std::int64_t value_stride() const { return heads * simd::whole_packs(dv); }
  std::int64_t keys_size() const { return heads * dqk * positions; }
  /// Numbers of one layer.
  std::int64_t size() const { return keys_size() + positions * value_stride(); }
  std::int64_t pages_for(std::int64_t length) const { return (length + positions - 1) / positions; }
};

/// What a query sees: cached positions, and itself, whose key and value need not be cached.
struct CachedQuery {
  std::int64_t place = 0;      ///< distances are counted from here
  KeyRange keys{};             ///< cached positions, none behind `place`
  bool sees_itself = false;    ///< its own key and value besides
  std::int64_t bias_row = 0;   ///< queries with equal place and time share the row of their buckets
  std::uint16_t own_bucket = 0;  ///< time bucket of the query with itself
};

namespace detail {

/// `rows`, or one more, so that none is left for a tile of a single row.  There GCC, tuning for AMD, makes no chain of
/// FMAs of the sum, and the bits of a row would depend on how many are computed with it.
constexpr std::int64_t rows_in_company(std::int64_t rows) {
  const std::int64_t left = rows % 5;  // tiles have 10, 5, 2 or 1 rows
  return rows + (left == 1 || left == 3 ? 1 : 0);
}

/// Puts a key and a value, [H·Dqk] and [H·Dv], into a place of a page.
template <class Scalar>
void write_position(const PageLayout& layout, Scalar* page, std::int64_t slot, const Scalar* key,
                    const Scalar* value) {
  for (std::int64_t i = 0; i < layout.heads * layout.dqk; ++i) page[i * layout.positions + slot] = key[i];
  Scalar* to = page + layout.keys_size() + slot * layout.value_stride();
  for (std::int64_t h = 0; h < layout.heads; ++h, to += whole_packs(layout.dv)) {
    std::copy_n(value + h * layout.dv, layout.dv, to);
    std::fill(to + layout.dv, to + whole_packs(layout.dv), Scalar(0));
  }
}

/// Bias tables of one layer laid out for a row of keys: distances descend along it.
template <class Scalar>
class CachedBias {
 public:
  /// `longest`: distances 0 … longest − 1 are asked for, from pages of `margin` positions.
  CachedBias(const RelativeBias& bias, std::int64_t num_heads, std::int64_t longest, std::int64_t margin)
      : heads_(bias_heads(bias, num_heads)), longest_(longest) {
    if (bias.position_table.defined()) {
      position_width_ = longest + margin + kLanes;
      position_.assign(static_cast<std::size_t>(heads_ * position_width_), Scalar(0));
      for (std::int64_t h = 0; h < heads_; ++h) {
        const auto entry = table_column<Scalar>(bias.position_table, h);
        for (std::int64_t d = 0; d < longest; ++d) {
          position_[static_cast<std::size_t>(h * position_width_ + longest - 1 - d)] =
              entry((*bias.position_rows)[static_cast<std::size_t>(d)]);
        }
      }
    }
    if (bias.time_table.defined()) {
      time_width_ = bias.time_table.size(0) + kLanes;
      time_.assign(static_cast<std::size_t>(heads_ * time_width_), Scalar(0));
      for (std::int64_t h = 0; h < heads_; ++h) {
        const auto entry = table_column<Scalar>(bias.time_table, h);
        for (std::int64_t b = 0; b < bias.time_table.size(0); ++b) {
          time_[static_cast<std::size_t>(h * time_width_ + b)] = entry(b);
        }
      }
    }
  }

  bool has_time() const { return !time_.empty(); }
  std::int64_t heads() const { return heads_; }
  /// to[j] = bias of a query at `place` with key j, for whole packs of keys of [first, last).
  void fill(std::int64_t head, std::int64_t place, const std::uint16_t* buckets, std::int64_t first, std::int64_t last,
            Scalar* to) const {
    const Scalar* by_key =
        position_.empty() ? nullptr : position_.data() + head * position_width_ + longest_ - 1 - place;
    const Scalar* table = time_.empty() ? nullptr : time_.data() + head * time_width_;
    for (std::int64_t j = first; j < last; j += kLanes) {
      Pack<Scalar> value{};
      if (table != nullptr) value = lookup<false>(table, buckets + j);
      if (by_key != nullptr) value += load(by_key + j);
      store(to + j, value);
    }
  }
  /// Bias of a query with itself.
  Scalar own(std::int64_t head, std::uint16_t bucket) const {
    Scalar value = 0;
    if (!time_.empty()) value = time_[static_cast<std::size_t>(head * time_width_ + bucket)];
    if (!position_.empty()) value += position_[static_cast<std::size_t>(head * position_width_ + longest_ - 1)];
    return value;
  }

 private:
  std::int64_t heads_, longest_;
  std::int64_t position_width_ = 0, time_width_ = 0;
  std::vector<Scalar> position_, time_;  // [heads][distances from the longest to 0, zeros], [heads][buckets, zeros]
};

/// One layer's attention of queries over one sequence's pages.
template <class Scalar>
class PagedAttention {
 public:
  /// pages: where this layer's part of every page lies.  buckets [bias rows][whole pages of keys]; may be null if the
  /// bias has no times.
  struct Operands {
    PageLayout layout;
    std::span<const Scalar* const> pages;
    std::span<const CachedQuery> queries;
    const CachedBias<Scalar>& bias;
    const std::uint16_t* buckets;
    Columns q, k, v;  // of the queries
  };

  PagedAttention(const Operands& operands, const AttentionOptions& options) : o_(operands), options_(options) {}

  /// y [queries, H·Dv].
  Tensor run() {
    const PageLayout& layout = o_.layout;
    Tensor y({std::ssize(o_.queries), layout.heads * layout.dv}, dtype_of<Scalar>());
    width_ = std::ssize(o_.pages) * layout.positions;
    const std::int64_t dvp = whole_packs(layout.dv), dqkp = whole_packs(layout.dqk);
    Tensor scratch({(kBlock + 1) * width_ + kBlock * (dvp + dqkp) + kBlock}, dtype_of<Scalar>());
    scores_ = scratch.template mutable_data<Scalar>();
    bias_row_ = scores_ + kBlock * width_;
    out_ = bias_row_ + width_;
    q_ = out_ + kBlock * dvp;
    const auto q = o_.q.template view<Scalar>();
    for (first_ = 0; first_ < std::ssize(o_.queries); first_ += kBlock) {
      count_ = std::min(kBlock, std::ssize(o_.queries) - first_);
      rows_ = rows_in_company(count_);
      seen_ = query(0).keys;
      for (std::int64_t i = 1; i < count_; ++i) {
        seen_ = {std::min(seen_.first, query(i).keys.first), std::max(seen_.last, query(i).keys.last)};
      }
      for (std::int64_t h = 0; h < layout.heads; ++h) {
        for (std::int64_t i = 0; i < count_; ++i) {
          const Scalar* from = q.data + (first_ + i) * q.stride + h * layout.dqk;
          const auto alpha = static_cast<Scalar>(options_.alpha);
          for (std::int64_t d = 0; d < layout.dqk; ++d) q_[i * dqkp + d] = alpha * from[d];
        }
        multiply_keys(h, dqkp);
        for (std::int64_t i = count_; i < rows_; ++i) std::fill_n(q_ + i * dqkp, layout.dqk, Scalar(0));
        std::fill_n(out_, rows_ * dvp, Scalar(0));
        for (std::int64_t i = 0; i < count_; ++i) weigh(h, i, dqkp);
        add_values(h, dvp);
        for (std::int64_t i = 0; i < count_; ++i) {
          finish(h, i, dvp, y.template mutable_data<Scalar>() + ((first_ + i) * layout.heads + h) * layout.dv);
        }
      }
    }
    return y;
  }

 private:
  static constexpr std::int64_t kBlock = 20;

  const CachedQuery& query(std::int64_t i) const { return o_.queries[static_cast<std::size_t>(first_ + i)]; }
  /// body(page, first position, number of seen positions) for the pages that some query of the block sees.
  template <class Body>
  void for_each_page(const Body& body) const {
    const std::int64_t P = o_.layout.positions;
    for (std::int64_t p = seen_.first / P; p * P < seen_.last; ++p) {
      body(o_.pages[static_cast<std::size_t>(p)], p * P, std::min(P, seen_.last - p * P));
    }
  }
  void multiply_keys(std::int64_t h, std::int64_t dqkp) {
    const std::int64_t P = o_.layout.positions, dqk = o_.layout.dqk;
    for_each_page([&](const Scalar* page, std::int64_t first, std::int64_t seen) {
      for (std::int64_t j = 0; j < seen; j += 2 * kLanes) {
        set_tiles(rows_, 2, TileOperand<Scalar>{q_, dqkp, 1}, dqk, page + h * dqk * P + j, P, scores_ + first + j,
                  width_);
      }
    });
  }

  /// Scores of query i → weights; its own weight and, for softmax, the sum of all are kept for finish().
  void weigh(std::int64_t h, std::int64_t i, std::int64_t dqkp) {
    const CachedQuery& of = query(i);
    const std::int64_t begin = seen_.first / o_.layout.positions * o_.layout.positions;
    const std::int64_t bias_head = o_.bias.heads() == 1 ? 0 : h;
    if (i == 0 || of.bias_row != query(i - 1).bias_row) {
      const std::uint16_t* buckets = o_.buckets != nullptr ? o_.buckets + of.bias_row * width_ : nullptr;
      o_.bias.fill(bias_head, of.place, buckets, begin, seen_.last, bias_row_);
    }
    own_[i] = own_score(h, i, bias_head, dqkp);
    Scalar* const row = scores_ + i * width_;
    if (options_.kind == AttentionKind::softmax) return weigh_softmax(of, row, i, begin);
    const auto scale = static_cast<Scalar>(1.0 / options_.normalizer);
    for (std::int64_t j = begin; j < seen_.last; j += kLanes) {
      const Pack<Scalar> s = load(row + j) + load(bias_row_ + j);
      store(row + j, select(seen(of.keys, j), s * sigmoid(s) * scale, Pack<Scalar>{}));
    }
    own_[i] = of.sees_itself ? own_[i] / (Scalar(1) + std::exp(-own_[i])) * scale : Scalar(0);
    sum_[i] = Scalar(1);
  }
  void weigh_softmax(const CachedQuery& of, Scalar* row, std::int64_t i, std::int64_t begin) {
    constexpr Scalar kLowest = std::numeric_limits<Scalar>::lowest();
    Pack<Scalar> top = splat(of.sees_itself ? own_[i] : kLowest);
    for (std::int64_t j = begin; j < seen_.last; j += kLanes) {
      const Pack<Scalar> s = select(seen(of.keys, j), load(row + j) + load(bias_row_ + j), splat(kLowest));
      store(row + j, s);
      top = max(s, top);
    }
    Scalar largest = top[0];
    for (std::int64_t lane = 1; lane < kLanes; ++lane) largest = std::max(largest, top[lane]);
    Pack<Scalar> sums{};
    for (std::int64_t j = begin; j < seen_.last; j += kLanes) {
      const Pack<Scalar> weight = select(seen(of.keys, j), exp(load(row + j) - splat(largest)), Pack<Scalar>{});
      store(row + j, weight);
      sums += weight;
    }
    own_[i] = of.sees_itself ? std::exp(own_[i] - largest) : Scalar(0);
    sum_[i] = sum(sums) + own_[i];
  }
  HSTU_INLINE static Mask<Scalar> seen(const KeyRange& keys, std::int64_t j) {
    const Pack<Scalar> lanes = lane_numbers<Scalar>();
    return (lanes >= splat(static_cast<Scalar>(keys.first - j))) & (lanes < splat(static_cast<Scalar>(keys.last - j)));
  }
  Scalar own_score(std::int64_t h, std::int64_t i, std::int64_t bias_head, std::int64_t dqkp) const {
    if (!query(i).sees_itself) return Scalar(0);
    const auto k = o_.k.template view<Scalar>();
    const Scalar* key = k.data + (first_ + i) * k.stride + h * o_.layout.dqk;
    Scalar score = 0;
    for (std::int64_t d = 0; d < o_.layout.dqk; ++d) score += q_[i * dqkp + d] * key[d];
    return score + o_.bias.own(bias_head, query(i).own_bucket);
  }

  void add_values(std::int64_t h, std::int64_t dvp) {
    const std::int64_t stride = o_.layout.value_stride();
    for_each_page([&](const Scalar* page, std::int64_t first, std::int64_t seen) {
      const Scalar* values = page + o_.layout.keys_size() + h * dvp;
      for (std::int64_t c = 0; c < dvp; c += 2 * kLanes) {
        add_tiles(rows_, std::min<std::int64_t>(2, (dvp - c) / kLanes),
                  TileOperand<Scalar>{scores_ + first, width_, 1}, seen, values + c, stride, out_ + c, dvp);
      }
    });
  }
  void finish(std::int64_t h, std::int64_t i, std::int64_t dvp, Scalar* to) const {
    const auto v = o_.v.template view<Scalar>();
    const Scalar* value = v.data + (first_ + i) * v.stride + h * o_.layout.dv;
    for (std::int64_t d = 0; d < o_.layout.dv; ++d) {
      const Scalar own = query(i).sees_itself ? own_[i] * value[d] : Scalar(0);
      to[d] = (out_[i * dvp + d] + own) / sum_[i];
    }
  }

  const Operands& o_;
  const AttentionOptions& options_;
  std::int64_t width_ = 0;                          // keys in whole pages
  std::int64_t first_ = 0, count_ = 0, rows_ = 0;   // the block of queries, and the rows of its products
  KeyRange seen_{};                                 // by some query of the block
  Scalar *scores_ = nullptr, *bias_row_ = nullptr, *out_ = nullptr, *q_ = nullptr;
  Scalar own_[kBlock], sum_[kBlock];
};

}  // namespace detail
}  // namespace hstu
