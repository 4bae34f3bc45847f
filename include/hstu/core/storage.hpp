// SPDX-License-Identifier: MIT
// A block of bytes aligned for SIMD, shared by the tensors that look at it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include <hstu/core/pool.hpp>

namespace hstu {

/// Owns `bytes` of uninitialised memory aligned to a cache line.  kSlack bytes more may be read and written without
/// meaning: ops take whole SIMD packs at the end of a row.
class Storage {
 public:
  static constexpr std::size_t kAlignment = detail::BlockPool::kAlignment;
  static constexpr std::size_t kSlack = 64;

  explicit Storage(std::int64_t bytes)
      : data_(static_cast<std::byte*>(detail::BlockPool::allocate(static_cast<std::size_t>(bytes) + kSlack))) {}
  ~Storage() {
    if (data_ != nullptr) detail::BlockPool::release(data_);
  }
  Storage(Storage&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  Storage& operator=(Storage&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }

  std::byte* data() const { return data_; }

 private:
  std::byte* data_;
};

}  // namespace hstu
