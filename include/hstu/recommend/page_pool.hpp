// SPDX-License-Identifier: MIT
// The memory of all cached histories: equal pages, counted by who uses them.
#pragma once
#include <functional>
#include <mutex>
#include <vector>

#include <hstu/core/tensor.hpp>

namespace hstu {

/// No page is free and none can be freed.  Nothing is lost: the request may be repeated.
class PoolFullError : public Error { using Error::Error; };

/// A fixed number of pages.  Every page has a count of users; at zero it is free.  All functions may be called from any
/// thread.
class PagePool {
 public:
  using PageId = std::int32_t;

  /// Throws ConfigError for sizes below 1.
  PagePool(std::int64_t numbers_per_page, DType dtype, std::int64_t num_pages)
      : numbers_per_page_(numbers_per_page), dtype_(dtype) {
    check<ConfigError>(numbers_per_page >= 1 && num_pages >= 1 && num_pages <= (std::int64_t{1} << 30),
                       "page pool: expected at least one page of at least one number, got ", num_pages, " of ",
                       numbers_per_page);
    checked_mul(numbers_per_page * size_of(dtype), num_pages);
    memory_.resize(static_cast<std::size_t>(num_pages));
    uses_.assign(static_cast<std::size_t>(num_pages), 0);
    for (std::int64_t id = num_pages - 1; id >= 0; --id) free_.push_back(static_cast<PageId>(id));
  }
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  /// Called without locks when no page is free; frees some and returns true, or false if it cannot.
  void set_evict(std::function<bool()> evict) { evict_ = std::move(evict); }

  /// A page used once; what it holds is undefined.  Throws PoolFullError.
  PageId take() {
    while (true) {
      {
        const std::lock_guard lock(mutex_);
        if (!free_.empty()) {
          const PageId id = free_.back();
          Tensor& page = memory_[static_cast<std::size_t>(id)];
          if (!page.defined()) page = Tensor::zeros({numbers_per_page_}, dtype_);
          free_.pop_back();
          uses_[static_cast<std::size_t>(id)] = 1;
          return id;
        }
      }
      check<PoolFullError>(evict_ && evict_(), "page pool: all ", memory_.size(), " pages are in use");
    }
  }
  void share(PageId id) {
    const std::lock_guard lock(mutex_);
    ++uses_[static_cast<std::size_t>(id)];
  }
  void give_back(PageId id) {
    const std::lock_guard lock(mutex_);
    HSTU_ASSERT(uses_[static_cast<std::size_t>(id)] > 0);
    if (--uses_[static_cast<std::size_t>(id)] == 0) free_.push_back(id);
  }
  bool is_shared(PageId id) const {
    const std::lock_guard lock(mutex_);
    return uses_[static_cast<std::size_t>(id)] > 1;
  }

  /// The numbers of a page that the caller uses.
  template <class Scalar>
  Scalar* data(PageId id) { return memory_[static_cast<std::size_t>(id)].template mutable_data<Scalar>(); }
  std::int64_t numbers_per_page() const { return numbers_per_page_; }
  std::int64_t num_pages() const { return std::ssize(memory_); }
  std::int64_t num_free() const {
    const std::lock_guard lock(mutex_);
    return std::ssize(free_);
  }

 private:
  std::int64_t numbers_per_page_;
  DType dtype_;
  mutable std::mutex mutex_;
  std::vector<Tensor> memory_;  // made at the first use of a page; never resized
  std::vector<std::int32_t> uses_;
  std::vector<PageId> free_;
  std::function<bool()> evict_;
};

}  // namespace hstu
