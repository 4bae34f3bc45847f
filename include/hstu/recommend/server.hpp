// SPDX-License-Identifier: MIT
// Recommendations for many users at once: cached histories in one pool of pages, the least recently used give way.
#pragma once
#include <algorithm>
#include <condition_variable>
#include <list>
#include <memory>
#include <unordered_map>

#include <hstu/recommend/history_cache.hpp>
#include <hstu/recommend/recommender.hpp>

namespace hstu {

struct ServerOptions {
  HistoryLimits limits{};
  std::int64_t page_positions = 32;
  std::int64_t pool_bytes = std::int64_t{256} << 20;  ///< at most; the pages are made as they are needed
};

struct ServerRequest {
  std::vector<std::int32_t> items{};       ///< events since the last request, oldest first
  std::vector<std::int64_t> times_s{};
  std::optional<std::int64_t> query_time_s{};  ///< when the next event is asked for; absent: at the last event
  std::int64_t count = 10;
  bool keep_seen = false;                  ///< items that the user has met may be recommended again
  std::vector<std::int32_t> excluded{};    ///< never recommended
  std::vector<std::int32_t> allowed{};     ///< if there are any, nothing else is recommended
};

/// Answers requests from any number of threads.  Requests for one user are answered one after the other, those for
/// different users side by side; an answer does not depend on what other threads do, to the bit.
class RecommendServer {
 public:
  /// Events of a user that nobody has asked for yet: items and times.  Called once per user, under a lock.
  using History = std::pair<std::vector<std::int32_t>, std::vector<std::int64_t>>;
  using LoadHistory = std::function<History(const std::string& user)>;

  /// `model` must outlive this.  Throws ConfigError for options out of range, or a pool without room for one user.
  RecommendServer(const HstuModel& model, const ServerOptions& options, LoadHistory load_history = {})
      : model_(model, options.page_positions), limits_(options.limits), load_history_(std::move(load_history)),
        pool_(model_.numbers_per_page(), model.dtype(), num_pages(options)) {
    HistoryCache(model_, pool_, limits_);  // checks the limits
    const std::int64_t needed = model_.layout().pages_for(limits_.max_history);
    check<ConfigError>(pool_.num_pages() >= needed, "server: a history of ", limits_.max_history, " events takes ",
                       needed, " pages, ", options.pool_bytes, " bytes hold ", pool_.num_pages());
    pool_.set_evict([this] { return evict_one(); });
  }
  RecommendServer(const RecommendServer&) = delete;
  RecommendServer& operator=(const RecommendServer&) = delete;

  /// Adds the events and ranks the items, best first; fewer than `count` if there are not as many candidates.
  /// Throws DataError for events or items that do not fit, and then adds none; PoolFullError if more users are being
  /// answered than the pool has room for, after adding the events; NumericError for a score that is not finite.
  std::vector<ScoredItem> recommend(const std::string& name, const ServerRequest& request) {
    check<ConfigError>(request.count >= 0, "server: expected a count of 0 or more, got ", request.count);
    check_items(request.excluded);
    check_items(request.allowed);
    const Turn turn(*this, name);
    User& user = turn.user();
    check<DataError>(!request.items.empty() || user.cache.size() > 0, "server: user ", quote_text(name),
                     " has no events");
    const std::int64_t last_s = request.times_s.empty() ? user.cache.times_s().back() : request.times_s.back();
    const std::int64_t query_time_s = request.query_time_s.value_or(last_s);
    check<DataError>(query_time_s >= last_s && query_time_s <= kLastTimestamp, "server: asked at ", query_time_s,
                     " s, expected from the time of the last event, ", last_s, " s, on");
    user.cache.append(request.items, request.times_s);
    user.seen.insert(user.seen.end(), request.items.begin(), request.items.end());
    const Tensor scores = user.cache.scores(query_time_s);
    return best_of(scores, request, user.seen);
  }
  /// Events of a user that the model sees now.
  std::int64_t history_length(const std::string& name) {
    const Turn turn(*this, name);
    return turn.user().cache.size();
  }

  const PagePool& pool() const { return pool_; }
  /// Users whose pages were taken for others so far.
  std::int64_t evictions() const {
    const std::lock_guard lock(mutex_);
    return evictions_;
  }

 private:
  struct User {
    HistoryCache cache;
    std::vector<std::int32_t> seen{};  // all items, also of events that the model does not see any more
    bool is_busy = false;
    std::list<User*>::iterator place{};  // in recent_
  };

  /// One thread's turn with one user.
  class Turn {
   public:
    Turn(RecommendServer& server, const std::string& name) : server_(server) {
      std::unique_lock lock(server.mutex_);
      user_ = &server.find(name);
      server.is_free_.wait(lock, [&] { return !user_->is_busy; });
      user_->is_busy = true;
      server.recent_.splice(server.recent_.begin(), server.recent_, user_->place);
    }
    ~Turn() {
      {
        const std::lock_guard lock(server_.mutex_);
        user_->is_busy = false;
      }
      server_.is_free_.notify_all();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    User& user() const { return *user_; }

   private:
    RecommendServer& server_;
    User* user_;
  };

  std::int64_t num_pages(const ServerOptions& options) const {
    const std::int64_t page_bytes = model_.numbers_per_page() * size_of(model_.model().dtype());
    check<ConfigError>(options.pool_bytes >= page_bytes, "server: a page takes ", page_bytes, " bytes, the pool has ",
                       options.pool_bytes);
    return std::min(options.pool_bytes / page_bytes, std::int64_t{1} << 30);
  }
  User& find(const std::string& name) {
    const auto found = users_.find(name);
    if (found != users_.end()) return *found->second;
    auto user = std::make_unique<User>(User{.cache = HistoryCache(model_, pool_, limits_)});
    if (load_history_) {
      auto [items, times_s] = load_history_(name);
      user->cache.append(items, times_s);
      user->seen = std::move(items);
    }
    User& added = *users_.emplace(name, std::move(user)).first->second;
    added.place = recent_.insert(recent_.begin(), &added);
    return added;
  }
  /// Takes the pages of the user who has waited longest and is not being answered.
  bool evict_one() {
    const std::lock_guard lock(mutex_);
    for (auto at = recent_.rbegin(); at != recent_.rend(); ++at) {
      if ((*at)->is_busy || (*at)->cache.num_pages() == 0) continue;
      (*at)->cache.drop_pages();
      ++evictions_;
      return true;
    }
    return false;
  }

  void check_items(const std::vector<std::int32_t>& items) const {
    const std::int64_t V = model_.model().config().num_items;
    for (const std::int32_t item : items) {
      check<DataError>(item >= 0 && item < V, "server: item ", item, " is outside of the table of ", V);
    }
  }
  std::vector<ScoredItem> best_of(const Tensor& scores, const ServerRequest& request,
                                  std::span<const std::int32_t> seen) const {
    std::vector<std::int32_t> excluded = request.excluded;
    if (!request.keep_seen) excluded.insert(excluded.end(), seen.begin(), seen.end());
    if (!request.allowed.empty()) {
      std::vector<bool> is_allowed(static_cast<std::size_t>(scores.size(1)), false);
      for (const std::int32_t item : request.allowed) is_allowed[static_cast<std::size_t>(item)] = true;
      for (std::size_t item = 0; item < is_allowed.size(); ++item) {
        if (!is_allowed[item]) excluded.push_back(static_cast<std::int32_t>(item));
      }
    }
    return dispatch_floating("server", scores.dtype(), [&]<class Scalar>(Scalar) {
      return top_k<Scalar>(scores.values<Scalar>(), request.count, excluded);
    });
  }

  CachedModel model_;
  HistoryLimits limits_;
  LoadHistory load_history_;
  PagePool pool_;
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable is_free_;
  std::unordered_map<std::string, std::unique_ptr<User>> users_;
  std::list<User*> recent_;  // most recent first
  std::int64_t evictions_ = 0;
};

}  // namespace hstu
