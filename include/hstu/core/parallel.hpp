// SPDX-License-Identifier: MIT
// One thread pool and one parallel_for: chunks depend on the shape only, never on the number of threads.
#pragma once
#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <thread>

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <hstu/core/check.hpp>

namespace hstu {

namespace detail {
struct Pool {
  std::mutex mutex;
  int num_threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::unique_ptr<Eigen::ThreadPool> workers;  // num_threads - 1 of them: the caller works too
};
inline Pool& pool() {
  static Pool instance;
  return instance;
}
inline thread_local bool inside_parallel_for = false;
}  // namespace detail

/// Threads used by parallel_for, the caller included.  Initially the number of cores.
inline int num_threads() { return detail::pool().num_threads; }

/// Must not be called while a parallel_for runs.
inline void set_num_threads(int count) {
  check<ConfigError>(count >= 1 && count <= 1024, "threads: expected 1 to 1024, got ", count);
  const std::lock_guard lock(detail::pool().mutex);
  detail::pool().num_threads = count;
  detail::pool().workers.reset();
}

/// Calls body(i) for i in [0, count), each once, on any thread, in any order; returns when all are done.
/// Results must not depend on the order: give every i its own output.  Inside another parallel_for it runs serially.
/// If bodies throw, the exception of the smallest i is rethrown here after all have ended.
template <class Body>
void parallel_for(std::int64_t count, const Body& body) {
  if (count <= 1 || num_threads() == 1 || detail::inside_parallel_for) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  detail::Pool& pool = detail::pool();
  const std::lock_guard lock(pool.mutex);
  if (!pool.workers) pool.workers = std::make_unique<Eigen::ThreadPool>(pool.num_threads - 1);

  std::atomic<std::int64_t> next = 0;
  std::exception_ptr failure;
  std::int64_t failed = count;
  std::mutex failure_mutex;
  const auto work = [&] {
    detail::inside_parallel_for = true;
    for (std::int64_t i = next++; i < count; i = next++) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard failure_lock(failure_mutex);
        if (i < failed) {
          failed = i;
          failure = std::current_exception();
        }
      }
    }
    detail::inside_parallel_for = false;
  };
  const auto helpers = static_cast<unsigned>(std::min<std::int64_t>(pool.num_threads, count) - 1);
  Eigen::Barrier done(helpers);
  for (unsigned i = 0; i < helpers; ++i) {
    try {
      pool.workers->Schedule([&] {
        work();
        done.Notify();
      });
    } catch (const std::bad_alloc&) {  // one helper less: those at work must be waited for all the same
      done.Notify();
    }
  }
  work();
  done.Wait();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace hstu
