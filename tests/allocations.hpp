// SPDX-License-Identifier: MIT
// Counts the allocations of a program, and lets the n-th one fail.  It replaces operator new: include it in exactly one
// file of a test program.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace hstu::test {

struct AllocationCounters {
  std::atomic<bool> is_on = false;
  std::atomic<std::int64_t> count = 0;
  std::atomic<std::int64_t> fail_at = -1;   ///< number of the allocation that fails, from 0; -1: none
  std::atomic<std::int64_t> live = 0;       ///< blocks allocated while on and not freed since
  std::atomic<std::size_t> largest = 0;     ///< bytes
  std::atomic<std::size_t> bytes = 0;       ///< of all
};
inline AllocationCounters allocation_counters;

/// Counts what is allocated while it lives; with `fail_at`, that allocation throws std::bad_alloc.
class AllocationWatch {
 public:
  explicit AllocationWatch(std::int64_t fail_at = -1) {
    auto& c = allocation_counters;
    c.count = 0;
    c.live = 0;
    c.largest = 0;
    c.bytes = 0;
    c.fail_at = fail_at;
    c.is_on = true;
  }
  ~AllocationWatch() { stop(); }
  AllocationWatch(const AllocationWatch&) = delete;
  AllocationWatch& operator=(const AllocationWatch&) = delete;

  void stop() { allocation_counters.is_on = false; }
  std::int64_t count() const { return allocation_counters.count; }
  std::size_t largest() const { return allocation_counters.largest; }
  std::size_t bytes() const { return allocation_counters.bytes; }
  /// Blocks allocated while the last watch was on and not freed until now.
  static std::int64_t leaked() { return allocation_counters.live; }
  bool has_failed() const {
    return allocation_counters.fail_at >= 0 && allocation_counters.count > allocation_counters.fail_at;
  }
};

/// A header in front of every block tells whether it was counted.
struct BlockHeader {
  std::size_t offset;
  bool is_counted;
};

inline void* allocate_counted(std::size_t bytes, std::size_t alignment) {
  auto& c = allocation_counters;
  const bool is_on = c.is_on;
  if (is_on) {
    const std::int64_t number = c.count++;
    if (number == c.fail_at) throw std::bad_alloc();
    c.bytes += bytes;
    std::size_t largest = c.largest;
    while (bytes > largest && !c.largest.compare_exchange_weak(largest, bytes)) {
    }
  }
  const std::size_t offset = std::max(alignment, alignof(std::max_align_t));
  if (bytes > SIZE_MAX - 2 * offset) throw std::bad_alloc();
  const std::size_t total = (bytes + 2 * offset - 1) / offset * offset;
  auto* const block = static_cast<std::byte*>(std::aligned_alloc(offset, total));
  if (block == nullptr) throw std::bad_alloc();
  if (is_on) ++c.live;
  new (block + offset - sizeof(BlockHeader)) BlockHeader{offset, is_on};
  return block + offset;
}

inline void free_counted(void* pointer) noexcept {
  if (pointer == nullptr) return;
  auto* const begin = static_cast<std::byte*>(pointer);
  BlockHeader header{};
  std::copy_n(begin - sizeof(BlockHeader), sizeof(BlockHeader), reinterpret_cast<std::byte*>(&header));
  if (header.is_counted) --allocation_counters.live;
  std::free(begin - header.offset);
}

}  // namespace hstu::test

// Every form, since the sanitizers bring their own of those that are not here.
void* operator new(std::size_t bytes) { return hstu::test::allocate_counted(bytes, 0); }
void* operator new[](std::size_t bytes) { return hstu::test::allocate_counted(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return hstu::test::allocate_counted(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return hstu::test::allocate_counted(bytes, 0);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](std::size_t bytes, const std::nothrow_t& tag) noexcept { return operator new(bytes, tag); }
void operator delete(void* pointer) noexcept { hstu::test::free_counted(pointer); }
void operator delete[](void* pointer) noexcept { hstu::test::free_counted(pointer); }
void operator delete(void* pointer, std::size_t) noexcept { hstu::test::free_counted(pointer); }
void operator delete[](void* pointer, std::size_t) noexcept { hstu::test::free_counted(pointer); }
void operator delete(void* pointer, std::align_val_t) noexcept { hstu::test::free_counted(pointer); }
void operator delete(void* pointer, std::size_t, std::align_val_t) noexcept { hstu::test::free_counted(pointer); }
void operator delete(void* pointer, const std::nothrow_t&) noexcept { hstu::test::free_counted(pointer); }
void operator delete[](void* pointer, const std::nothrow_t&) noexcept { hstu::test::free_counted(pointer); }
