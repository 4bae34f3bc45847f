// SPDX-License-Identifier: MIT
// One user's events with the keys and values that the model has made of them.
#pragma once
#include <optional>

#include <hstu/data/batcher.hpp>
#include <hstu/recommend/cached_model.hpp>
#include <hstu/recommend/page_pool.hpp>

namespace hstu {

struct HistoryLimits {
  std::int64_t max_history = 200;  ///< the model sees the most recent events only
  /// Events kept when there are more than max_history: every position moves then, so that all rows are computed again.
  /// Fewer than max_history leave room for cheap events after that.
  std::int64_t kept_events = 200;
};

/// Events that can be appended and forked, computed as far as somebody asks.  hidden() equals the full forward pass
/// over the events, with float32's rounding, for any order of appends and questions; the bits do not depend on that
/// order.
///
/// A copy shares the pages; a page is copied before it changes (so beams cost what they add).  One thread at a time;
/// copies may live in different threads.
class HistoryCache {
 public:
  /// `model` and `pool` must outlive this.  Throws ConfigError for limits below 1 or beyond the model's max_seq_len, or
  /// a pool whose pages do not fit the model.
  HistoryCache(const CachedModel& model, PagePool& pool, const HistoryLimits& limits)
      : model_(&model), pool_(&pool), limits_(limits) {
    check<ConfigError>(limits.kept_events >= 1 && limits.kept_events <= limits.max_history &&
                           limits.max_history <= model.model().config().max_seq_len,
                       "cache: expected 1 <= kept_events <= max_history <= max_seq_len, got ", limits.kept_events, ", ",
                       limits.max_history, ", ", model.model().config().max_seq_len);
    check<ConfigError>(pool.numbers_per_page() == model.numbers_per_page(), "cache: the model needs pages of ",
                       model.numbers_per_page(), " numbers, the pool's have ", pool.numbers_per_page());
  }
  HistoryCache(const HistoryCache& other)
      : model_(other.model_), pool_(other.pool_), limits_(other.limits_), items_(other.items_),
        times_s_(other.times_s_), pages_(other.pages_), ready_(other.ready_),
        ready_for_(other.ready_for_), asked_at_s_(other.asked_at_s_), last_hidden_(other.last_hidden_) {
    for (const PagePool::PageId page : pages_) pool_->share(page);
  }
  HistoryCache(HistoryCache&& other) noexcept
      : model_(other.model_), pool_(other.pool_), limits_(other.limits_), items_(std::move(other.items_)),
        times_s_(std::move(other.times_s_)), pages_(std::exchange(other.pages_, {})),
        ready_(std::exchange(other.ready_, 0)), ready_for_(other.ready_for_), asked_at_s_(other.asked_at_s_),
        last_hidden_(std::move(other.last_hidden_)) {}
  HistoryCache& operator=(HistoryCache other) noexcept {
    std::swap(model_, other.model_);
    std::swap(pool_, other.pool_);
    std::swap(limits_, other.limits_);
    std::swap(items_, other.items_);
    std::swap(times_s_, other.times_s_);
    std::swap(pages_, other.pages_);
    std::swap(ready_, other.ready_);
    std::swap(ready_for_, other.ready_for_);
    std::swap(asked_at_s_, other.asked_at_s_);
    std::swap(last_hidden_, other.last_hidden_);
    return *this;
  }
  ~HistoryCache() { drop_pages(); }

  const CachedModel& model() const { return *model_; }
  std::int64_t size() const { return std::ssize(items_); }
  std::span<const std::int32_t> items() const { return items_; }
  std::span<const std::int64_t> times_s() const { return times_s_; }
  std::int64_t num_pages() const { return std::ssize(pages_); }
  /// Rows that this history has computed; a copy begins with none.
  std::int64_t computed_rows() const { return computed_rows_; }

  /// Adds events.  Throws DataError, and adds none, for columns of two lengths, an item outside the table, or times
  /// that do not ascend or are out of range.
  void append(std::span<const std::int32_t> items, std::span<const std::int64_t> times_s) {
    check<DataError>(items.size() == times_s.size(), "cache: ", items.size(), " items and ", times_s.size(), " times");
    for (std::size_t i = 0; i < items.size(); ++i) {
      check_item(items[i]);
      check_time(times_s[i], i > 0 ? times_s[i - 1] : (times_s_.empty() ? -kLastTimestamp : times_s_.back()));
    }
    items_.insert(items_.end(), items.begin(), items.end());
    times_s_.insert(times_s_.end(), times_s.begin(), times_s.end());
    if (size() > limits_.max_history) keep_recent();
  }
  void append(std::int32_t item, std::int64_t time_s) { append({&item, 1}, {&time_s, 1}); }

  /// Hidden state of the last event, [1, D], for the time at which the next is asked for.
  /// Throws DataError without events or for a time before the last event, PoolFullError if there is no room.
  const Tensor& hidden(std::int64_t query_time_s) {
    check<DataError>(!items_.empty(), "cache: a history needs at least one event");
    check_time(query_time_s, times_s_.back());
    const std::int64_t first = first_stale_row(query_time_s);
    if (first == size()) return last_hidden_;
    ready_ = first;
    ready_for_ = size();
    make_room(first);
    for (std::int64_t begin = first; begin < size(); begin += kRows) {
      const std::int64_t end = std::min(begin + kRows, size());
      JaggedBatchBuilder builder;
      builder.begin_user();
      for (std::int64_t i = begin; i < end; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const std::int64_t next_s = i + 1 < size() ? times_s_[at + 1] : query_time_s;
        builder.add(items_[at], static_cast<std::int32_t>(i), times_s_[at], next_s, next_s - times_s_[at], 0);
      }
      const Tensor rows = model_->run({builder.build(), false, begin, times_s_}, page_memory());
      last_hidden_ = rows.rows(end - begin - 1, end - begin);
      ready_ = end;
      asked_at_s_ = end < size() ? times_s_[static_cast<std::size_t>(end)] : query_time_s;
      computed_rows_ += end - begin;
    }
    return last_hidden_;
  }

  /// Scores of all items, [1, V].
  Tensor scores(std::int64_t query_time_s) { return model_->scores()(hidden(query_time_s)); }

  /// Hidden states [m, D] of candidates as if each alone were the next event, at `time_s`: what M-FALCON does, m
  /// targets (AttentionMask) in micro-batches against one cached history.  Zhai et al. 2024, section 4.3.
  /// Throws as hidden() and append() do, DataError if the history fills max_seq_len.
  Tensor candidate_states(std::span<const std::int32_t> candidates, std::int64_t time_s) {
    for (const std::int32_t item : candidates) check_item(item);
    check<DataError>(size() < model_->model().config().max_seq_len, "cache: no place for a candidate behind ", size(),
                     " events, the model's max_seq_len");
    if (!items_.empty()) hidden(time_s);
    else check_time(time_s, -kLastTimestamp);
    const std::int64_t m = std::ssize(candidates);
    Tensor states({m, model_->model().config().d_model}, model_->model().dtype());
    for (std::int64_t begin = 0; begin < m; begin += kRows) {
      const std::int64_t end = std::min(begin + kRows, m);
      JaggedBatchBuilder builder;
      builder.begin_user();
      for (std::int64_t i = begin; i < end; ++i) {
        builder.add(candidates[static_cast<std::size_t>(i)], static_cast<std::int32_t>(size()), time_s, time_s, 0, 0);
      }
      states.rows(begin, end).copy_from(model_->run({builder.build(), true, size(), times_s_}, page_memory()));
    }
    return states;
  }

  /// Gives the pages back; the events stay, and are computed again when somebody asks.
  void drop_pages() {
    for (const PagePool::PageId page : pages_) pool_->give_back(page);
    pages_.clear();
    ready_ = 0;
  }

 private:
  static constexpr std::int64_t kRows = 64;  // computed at once: their activations stay in the cache of a core

  void check_item(std::int32_t item) const {
    check<DataError>(item >= 0 && item < model_->model().config().num_items, "cache: item ", item,
                     " is outside of the table of ", model_->model().config().num_items);
  }
  static void check_time(std::int64_t time_s, std::int64_t before_s) {
    check<DataError>(time_s >= before_s && time_s <= kLastTimestamp, "cache: time ", time_s,
                     " s, expected one from that of the event before, ", before_s, " s, on");
  }
  void keep_recent() {
    const auto surplus = static_cast<std::ptrdiff_t>(size() - limits_.kept_events);
    items_.erase(items_.begin(), items_.begin() + surplus);
    times_s_.erase(times_s_.begin(), times_s_.begin() + surplus);
    drop_pages();
  }
  /// Rows are stale from the first whose mask has changed; the last computed row also if it was computed for a next
  /// event at another time.
  std::int64_t first_stale_row(std::int64_t query_time_s) const {
    const AttentionMask mask = attention_mask(model_->model().config());
    const std::int64_t changed = first_changed_query(mask, ready_for_, size());
    if (changed < ready_) return changed;
    if (ready_ == 0 || !model_->looks_ahead()) return ready_;
    const std::int64_t next_s = ready_ < size() ? times_s_[static_cast<std::size_t>(ready_)] : query_time_s;
    return next_s == asked_at_s_ ? ready_ : ready_ - 1;
  }
  /// Pages for all events, those from row `first` on this history's own.
  void make_room(std::int64_t first) {
    const auto first_page = static_cast<std::size_t>(first / model_->layout().positions);
    for (std::size_t p = first_page; p < pages_.size(); ++p) {
      if (!pool_->is_shared(pages_[p])) continue;
      const PagePool::PageId copy = pool_->take();
      if (p == first_page) copy_page(pages_[p], copy);
      pool_->give_back(std::exchange(pages_[p], copy));
    }
    while (std::ssize(pages_) < model_->layout().pages_for(size())) pages_.push_back(pool_->take());
  }
  void copy_page(PagePool::PageId from, PagePool::PageId to) {
    dispatch_floating("cache", model_->model().dtype(), [&]<class Scalar>(Scalar) {
      std::copy_n(pool_->data<Scalar>(from), pool_->numbers_per_page(), pool_->data<Scalar>(to));
    });
  }
  std::vector<std::byte*> page_memory() {
    std::vector<std::byte*> memory;
    for (const PagePool::PageId page : pages_) {
      dispatch_floating("cache", model_->model().dtype(), [&]<class Scalar>(Scalar) {
        memory.push_back(reinterpret_cast<std::byte*>(pool_->data<Scalar>(page)));
      });
    }
    return memory;
  }

  const CachedModel* model_;
  PagePool* pool_;
  HistoryLimits limits_;
  std::vector<std::int32_t> items_;
  std::vector<std::int64_t> times_s_;
  std::vector<PagePool::PageId> pages_;
  std::int64_t ready_ = 0;       // rows whose keys and values lie in the pages
  std::int64_t ready_for_ = 0;   // number of events under whose mask they were computed
  std::int64_t asked_at_s_ = 0;  // time of the next event for which row ready_ − 1 was computed
  Tensor last_hidden_;           // of row ready_ − 1
  std::int64_t computed_rows_ = 0;
};

}  // namespace hstu
