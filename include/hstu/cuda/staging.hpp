// SPDX-License-Identifier: MIT
// Page-locked memory on the way to the device: a copy from it runs while the host goes on.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include <hstu/cuda/driver.hpp>

namespace hstu::cuda {

/// Keeps values for copies that have not run yet.
class Staging {
 public:
  explicit Staging(const Driver& driver) : driver_(driver) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// A page-locked copy that stays until clear().
  const void* keep(const void* values, std::size_t bytes) {
    constexpr std::size_t kLeast = std::size_t{1} << 20, kAlignment = 16;
    if (blocks_.empty() || blocks_.back().size - blocks_.back().used < bytes) {
      Block block{nullptr, std::max({kLeast, bytes, blocks_.empty() ? 0 : 2 * blocks_.back().size}), 0};
      driver_.host_allocate(&block.memory, block.size);
      blocks_.push_back(block);
    }
    Block& block = blocks_.back();
    void* const copy = static_cast<std::byte*>(block.memory) + block.used;
    std::memcpy(copy, values, bytes);
    block.used += std::min((bytes + kAlignment - 1) / kAlignment * kAlignment, block.size - block.used);
    return copy;
  }

  /// To be called when all copies have run.  The largest block stays, so that a steady step allocates nothing.
  void clear() {
    if (blocks_.empty()) return;
    for (std::size_t i = 0; i + 1 < blocks_.size(); ++i) driver_.host_free.without_check(blocks_[i].memory);
    blocks_.erase(blocks_.begin(), blocks_.end() - 1);
    blocks_.front().used = 0;
  }

  /// Gives all memory back.
  void release() {
    for (const Block& block : blocks_) driver_.host_free.without_check(block.memory);
    blocks_.clear();
  }

 private:
  struct Block {
    void* memory;
    std::size_t size, used;
  };

  const Driver& driver_;
  std::vector<Block> blocks_;
};

}  // namespace hstu::cuda
