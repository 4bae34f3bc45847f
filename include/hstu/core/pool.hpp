// SPDX-License-Identifier: MIT
// Blocks of memory that are kept and used again, so that a steady training step asks the system for nothing.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define HSTU_POOL_KEEPS_BLOCKS 0  // AddressSanitizer has to see every block come and go
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HSTU_POOL_KEEPS_BLOCKS 0
#endif
#endif
#ifndef HSTU_POOL_KEEPS_BLOCKS
#define HSTU_POOL_KEEPS_BLOCKS 1
#endif

namespace hstu::detail {

/// Free blocks by size.  There is one pool per thread (threads beyond kPools share); a block goes back to the pool that
/// made it, whichever thread lets it go, so that none grows beyond what its threads once used at the same time.
class BlockPool {
 public:
  static constexpr std::size_t kAlignment = 64;  ///< of every block: a cache line

  /// `bytes` of uninitialised memory.
  static void* allocate(std::size_t bytes) {
    const std::size_t size_class = class_of(bytes);
    if (!HSTU_POOL_KEEPS_BLOCKS || size_class >= kClasses) return fresh(bytes, kNobody, 0);
    const std::uint32_t number = own_number();
    BlockPool& pool = pools()[number];
    {
      const std::lock_guard lock(pool.mutex_);
      for (std::size_t c = size_class; c < std::min(size_class + kClassesTried, kClasses); ++c) {
        if (Block* const block = pool.free_[c]) {
          pool.free_[c] = block->next;
          return memory_of(block);
        }
      }
    }
    return fresh(size_of_class(size_class), number, static_cast<std::uint32_t>(size_class));
  }
  static void release(void* memory) noexcept {
    Block* const block = block_of(memory);
    if (block->pool == kNobody) {
      ::operator delete(block, std::align_val_t{kAlignment});
      return;
    }
    BlockPool& pool = pools()[block->pool];
    const std::lock_guard lock(pool.mutex_);
    block->next = std::exchange(pool.free_[block->size_class], block);
  }

 private:
  /// Stands before the memory of a block, in a cache line of its own.
  struct Block {
    std::uint32_t pool, size_class;
    Block* next;
  };
  static constexpr std::size_t kPools = 64, kStepsPerOctave = 4, kFirstBits = 7, kOctaves = 22;
  static constexpr std::size_t kClasses = kOctaves * kStepsPerOctave;  // up to 256 MB
  static constexpr std::size_t kClassesTried = 2 * kStepsPerOctave;  // a block may be four times too large
  static constexpr std::uint32_t kNobody = kPools;

  /// Four sizes an octave: 80, 96, 112, 128, 160, 192, 224, 256, 320, … bytes.
  static std::size_t class_of(std::size_t bytes) {
    const std::size_t above = std::max<std::size_t>(bytes, 65) - 1;  // a class ends with its own size
    const auto octave = static_cast<std::size_t>(std::bit_width(above)) - kFirstBits;
    const std::size_t step = (above >> (octave + kFirstBits - 3)) % kStepsPerOctave;
    return octave * kStepsPerOctave + step;
  }
  static std::size_t size_of_class(std::size_t size_class) {
    const std::size_t octave = size_class / kStepsPerOctave, step = size_class % kStepsPerOctave;
    return (kStepsPerOctave + step + 1) << (octave + kFirstBits - 3);
  }
  static std::uint32_t own_number() {
    static std::atomic<std::uint32_t> next = 0;
    thread_local const std::uint32_t number = next++ % kPools;
    return number;
  }
  static std::array<BlockPool, kPools>& pools() {  // never destroyed: tensors may live until the program ends
    static auto* const all = new std::array<BlockPool, kPools>;
    return *all;
  }
  static void* fresh(std::size_t bytes, std::uint32_t pool, std::uint32_t size_class) {
    if (bytes > PTRDIFF_MAX) throw std::bad_alloc();  // libstdc++ rounds up to the alignment, past zero if need be
    void* const memory = ::operator new(bytes + kAlignment, std::align_val_t{kAlignment});
    return memory_of(new (memory) Block{pool, size_class, nullptr});
  }
  static void* memory_of(Block* block) { return reinterpret_cast<std::byte*>(block) + kAlignment; }
  static Block* block_of(void* memory) {
    return reinterpret_cast<Block*>(static_cast<std::byte*>(memory) - kAlignment);
  }

  std::mutex mutex_;
  std::array<Block*, kClasses> free_{};
};

/// Allocator of standard containers over BlockPool.
template <class T>
struct PoolAllocator {
  using value_type = T;
  static_assert(alignof(T) <= BlockPool::kAlignment);

  PoolAllocator() = default;
  template <class U>
  PoolAllocator(const PoolAllocator<U>&) {}

  T* allocate(std::size_t count) {
    if (count > SIZE_MAX / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(BlockPool::allocate(count * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t) noexcept { BlockPool::release(memory); }
  friend bool operator==(const PoolAllocator&, const PoolAllocator&) { return true; }
};

/// std::make_shared from the pool.
template <class T, class... Arguments>
std::shared_ptr<T> make_shared_pooled(Arguments&&... arguments) {
  return std::allocate_shared<T>(PoolAllocator<T>(), std::forward<Arguments>(arguments)...);
}

}  // namespace hstu::detail

namespace hstu {

/// A vector for what comes and goes in every step.
template <class T>
using PoolVector = std::vector<T, detail::PoolAllocator<T>>;

}  // namespace hstu

#undef HSTU_POOL_KEEPS_BLOCKS
