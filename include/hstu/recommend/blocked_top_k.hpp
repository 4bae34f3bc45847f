// SPDX-License-Identifier: MIT
// The best items of a large table without the scores of all items in memory.
#pragma once
#include <hstu/core/gemm.hpp>
#include <hstu/core/parallel.hpp>
#include <hstu/recommend/top_k.hpp>

namespace hstu {

namespace detail {

/// The order of top_k(): by score, of equal scores the lower id first.
inline bool is_better(const ScoredItem& a, const ScoredItem& b) {
  return a.score > b.score || (a.score == b.score && a.item < b.item);
}

/// Keeps the k best of what it is shown.
class BestItems {
 public:
  explicit BestItems(std::int64_t k) : k_(k) {}
  /// False only for what is no better than the worst of k.
  bool takes(const ScoredItem& item) const {
    return std::ssize(heap_) < k_ || (k_ > 0 && is_better(item, heap_.front()));
  }
  void add(const ScoredItem& item) {
    if (std::ssize(heap_) == k_) {
      std::ranges::pop_heap(heap_, is_better);
      heap_.pop_back();
    }
    heap_.push_back(item);
    std::ranges::push_heap(heap_, is_better);
  }
  const std::vector<ScoredItem>& items() const { return heap_; }

 private:
  std::int64_t k_;
  std::vector<ScoredItem> heap_;  // the worst in front
};

}  // namespace detail

/// For each of the queries [n, D] the k best items 1 … V−1 of table [V, W ≥ D] by dot product, without those of
/// excluded[i] (n lists, any order, repeats and 0 allowed): exactly what top_k() gives for the scores, but these exist
/// for blocks of 4,096 items only.  Memory: n·4,096 scores per thread at work.  Runs on all threads; their number does not
/// matter.  Throws NumericError if a score is NaN or Inf, DataError for an excluded id outside of the table.
template <class Scalar>
std::vector<std::vector<ScoredItem>> blocked_top_k(const Tensor& queries, const Tensor& table, std::int64_t k,
                                                   const std::vector<std::vector<std::int32_t>>& excluded) {
  check<ShapeError>(queries.rank() == 2 && table.rank() == 2 && table.size(1) >= queries.size(1),
                    "blocked_top_k: expected queries [n, D] and a table [V, D] or wider, got ", queries.shape(),
                    " and ", table.shape());
  check<ConfigError>(k >= 0, "blocked_top_k: k must not be negative, got ", k);
  const std::int64_t n = queries.size(0), V = table.size(0), D = queries.size(1);
  check<ShapeError>(std::ssize(excluded) == n, "blocked_top_k: expected ", n, " lists of excluded items, got ",
                    excluded.size());
  std::vector<std::vector<std::int32_t>> left_out = excluded;
  for (auto& items : left_out) {
    std::ranges::sort(items);
    check<DataError>(items.empty() || (items.front() >= 0 && items.back() < V),
                     "blocked_top_k: excluded items must be from 0 to ", V - 1, ", got ",
                     items.empty() ? 0 : items.front() < 0 ? items.front() : items.back());
  }
  constexpr std::int64_t kBlock = 4096, kParts = 16;
  const std::vector<detail::BestItems> none(static_cast<std::size_t>(n), detail::BestItems(k));
  std::vector<std::vector<detail::BestItems>> parts(kParts, none);
  const std::int64_t blocks = (V + kBlock - 1) / kBlock;
  parallel_for(kParts, [&](std::int64_t part) {
    Tensor scores({n, std::min(kBlock, V)}, dtype_of<Scalar>());
    for (std::int64_t block = blocks * part / kParts; block < blocks * (part + 1) / kParts; ++block) {
      const std::int64_t first = block * kBlock, count = std::min(kBlock, V - first), stride = scores.size(1);
      const MatrixView<const Scalar> rows{table.data<Scalar>() + first * table.size(1), count, D, table.size(1)};
      set_product<Scalar>({scores.mutable_data<Scalar>(), n, count, stride}, {queries.data<Scalar>(), n, D, D},
                          rows.transposed());
      for (std::int64_t i = 0; i < n; ++i) {
        const Scalar* const row = scores.data<Scalar>() + i * stride;
        detail::BestItems& best = parts[static_cast<std::size_t>(part)][static_cast<std::size_t>(i)];
        for (std::int64_t v = std::max<std::int64_t>(0, 1 - first); v < count; ++v) {
          const ScoredItem item{static_cast<std::int32_t>(first + v), static_cast<double>(row[v])};
          check<NumericError>(std::isfinite(row[v]), "blocked_top_k: the score of item ", item.item, " is ", row[v]);
          const auto& seen = left_out[static_cast<std::size_t>(i)];
          if (best.takes(item) && !std::ranges::binary_search(seen, item.item)) best.add(item);
        }
      }
    }
  });
  std::vector<std::vector<ScoredItem>> result;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    std::vector<ScoredItem> all;
    for (const auto& part : parts) all.insert(all.end(), part[i].items().begin(), part[i].items().end());
    std::ranges::sort(all, detail::is_better);
    all.resize(std::min(all.size(), static_cast<std::size_t>(k)));
    result.push_back(std::move(all));
  }
  return result;
}

}  // namespace hstu
