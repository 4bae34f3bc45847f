// SPDX-License-Identifier: MIT
// Where the negatives of a training step come from, and how often each item is expected among them.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include <hstu/loss/negatives.hpp>

namespace hstu {

/// uniform: over all items;  popularity: by how often an item is a target of training, plus one;  in_batch: over the
/// distinct targets of the step, as Meta's InBatchNegativesSampler with dedup_embeddings.
enum class NegativeKind { uniform, popularity, in_batch };

/// Draws items by weight with one table look-up each.  Source: Walker 1977, tables built as by Vose 1991.
class AliasTable {
 public:
  /// Item v is drawn with probability weights[v] / Σ weights.  Throws ConfigError unless weights are finite, not
  /// negative and some positive.
  explicit AliasTable(std::span<const double> weights) : threshold_(weights.size()), alias_(weights.size()) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    const bool none_negative = std::ranges::all_of(weights, [](double w) { return w >= 0; });
    check<ConfigError>(std::isfinite(total) && total > 0 && none_negative,
                       "alias table: weights must be finite, not negative and some positive");
    std::vector<double> share(weights.size());
    std::vector<std::size_t> small, large;
    for (std::size_t v = weights.size(); v-- > 0;) {
      share[v] = weights[v] / total * static_cast<double>(weights.size());
      (share[v] < 1.0 ? small : large).push_back(v);
      alias_[v] = static_cast<std::int32_t>(v);
    }
    while (!small.empty() && !large.empty()) {
      const std::size_t less = small.back(), more = large.back();
      small.pop_back();
      threshold_[less] = static_cast<std::uint32_t>(share[less] * 0x1p32);
      alias_[less] = static_cast<std::int32_t>(more);
      share[more] -= 1.0 - share[less];
      if (share[more] < 1.0) {
        large.pop_back();
        small.push_back(more);
      }
    }
    // What is left has share 1 up to rounding, and is its own alias.
  }

  std::int32_t draw(std::uint32_t column_word, std::uint32_t threshold_word) const {
    const std::size_t v = (std::uint64_t{column_word} * threshold_.size()) >> 32;
    return threshold_word < threshold_[v] ? static_cast<std::int32_t>(v) : alias_[v];
  }

 private:
  std::vector<std::uint32_t> threshold_;
  std::vector<std::int32_t> alias_;
};

struct NegativeOptions {
  NegativeKind kind = NegativeKind::uniform;
  std::int64_t count = 128;  ///< R, per position; shared in_batch: at most so many of the step's targets
  bool is_shared = false;    ///< one set for all positions of the step
};

/// Negatives of the chunks of a training step, functions of (seed, step, place).
class NegativeSampler {
 public:
  /// target_counts [V]: how often each item is a target of training; item 0 is padding and never drawn.
  NegativeSampler(const NegativeOptions& options, std::vector<double> target_counts)
      : options_(options), num_items_(std::ssize(target_counts)), share_(std::move(target_counts)) {
    check<ShapeError>(num_items_ >= 2, "negatives: expected a table of at least 2 rows, the padding row included, got ",
                      num_items_);
    share_[0] = 0.0;
    if (options_.kind == NegativeKind::popularity) {
      for (std::size_t v = 1; v < share_.size(); ++v) share_[v] += 1.0;
      alias_.emplace(share_);
    }
    const double total = std::max(1.0, std::accumulate(share_.begin(), share_.end(), 0.0));
    for (double& share : share_) share /= total;
    log_expected_ = Tensor::zeros({num_items_}, DType::float64);
    const auto expected = log_expected_.mutable_values<double>();
    for (std::size_t v = 1; v < share_.size(); ++v) {
      const double uniform = 1.0 / static_cast<double>(num_items_ - 1);
      const double p = options_.kind == NegativeKind::popularity ? share_[v] : uniform;
      expected[v] = std::log(static_cast<double>(options_.count) * p);
    }
  }

  /// Before the chunks of a step draw: the targets of the whole step, 0 being none.  Only in_batch looks at them.
  void begin_step(std::span<const std::int32_t> targets, const RandomStream& stream) {
    if (options_.kind != NegativeKind::in_batch) return;
    pool_.assign(targets.begin(), targets.end());
    std::erase(pool_, 0);
    const double count = static_cast<double>(pool_.size());
    std::ranges::sort(pool_);
    pool_.erase(std::unique(pool_.begin(), pool_.end()), pool_.end());
    double drawn = static_cast<double>(options_.count) / static_cast<double>(pool_.size());
    if (options_.is_shared) drawn = std::min(1.0, drawn);
    const auto expected = log_expected_.mutable_values<double>();
    for (const std::int32_t item : pool_) {  // 1 − (1 − p)ⁿ: that it is among the n targets
      const auto v = static_cast<std::size_t>(item);
      const double p = std::clamp(share_.at(v), 1e-12, 1.0 - 1e-12);
      expected[v] = std::log(-std::expm1(count * std::log1p(-p)) * drawn);
    }
    if (!options_.is_shared || std::ssize(pool_) <= options_.count) return;
    for (std::size_t i = 0; i < static_cast<std::size_t>(options_.count); ++i) {  // Fisher-Yates, cut off
      const auto left = static_cast<std::uint32_t>(pool_.size() - i);
      std::swap(pool_[i], pool_[i + stream.below(i, left)]);
    }
    pool_.resize(static_cast<std::size_t>(options_.count));
  }

  /// int32 [R] if they are shared (in_batch: distinct, and fewer if the step has no more targets), else [T, R] drawn
  /// with replacement; draw (t, r) is number (first_token + t)·R + r, so that chunks draw as the whole batch would.
  Tensor draw(std::int64_t num_tokens, const RandomStream& stream, std::int64_t first_token) const {
    if (options_.is_shared && options_.kind == NegativeKind::in_batch) return Tensor::from(pool_);
    if (options_.is_shared) return draw_rows(1, stream, 0).reshaped({options_.count});
    return draw_rows(num_tokens, stream, first_token);
  }

  /// float64 [V]: ln of how often an item is expected among the R negatives of a position.  in_batch: that of the
  /// targets of the step, which are the only items its losses see.
  const Tensor& log_expected() const { return log_expected_; }

 private:
  Tensor draw_rows(std::int64_t num_tokens, const RandomStream& stream, std::int64_t first_token) const {
    if (options_.kind == NegativeKind::uniform) {
      return sample_negatives(num_tokens, options_.count, num_items_, stream, first_token);
    }
    if (options_.kind == NegativeKind::in_batch) {
      if (pool_.empty()) return Tensor({num_tokens, 0}, DType::int32);
      Tensor items = sample_negatives(num_tokens, options_.count, std::ssize(pool_) + 1, stream, first_token);
      for (std::int32_t& item : items.mutable_values<std::int32_t>()) item = pool_[static_cast<std::size_t>(item - 1)];
      return items;
    }
    Tensor negatives({num_tokens, options_.count}, DType::int32);
    std::array<std::uint32_t, 1024> words;
    auto values = negatives.mutable_values<std::int32_t>();
    auto index = static_cast<std::uint64_t>(checked_mul(checked_mul(first_token, options_.count), 2));
    while (!values.empty()) {
      const std::size_t count = std::min(values.size(), words.size() / 2);
      fill_bits(stream, index, std::span(words).first(2 * count));
      for (std::size_t i = 0; i < count; ++i) values[i] = alias_->draw(words[2 * i], words[2 * i + 1]);
      values = values.subspan(count);
      index += 2 * count;
    }
    return negatives;
  }

  NegativeOptions options_;
  std::int64_t num_items_;
  std::vector<double> share_;  // [V], of all targets
  std::optional<AliasTable> alias_;
  PoolVector<std::int32_t> pool_;  // distinct targets of the step
  Tensor log_expected_;
};

}  // namespace hstu
