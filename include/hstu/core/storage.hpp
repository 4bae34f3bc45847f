// SPDX-License-Identifier: MIT
// A block of bytes aligned for SIMD, shared by the tensors that look at it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <new>

namespace hstu {

/// Owns `bytes` of uninitialised memory aligned to a cache line.
class Storage {
 public:
  static constexpr std::size_t kAlignment = 64;

  explicit Storage(std::int64_t bytes)
      : data_(static_cast<std::byte*>(::operator new(static_cast<std::size_t>(bytes), std::align_val_t{kAlignment}))) {}
  ~Storage() { ::operator delete(data_, std::align_val_t{kAlignment}); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() { return data_; }

 private:
  std::byte* data_;
};

}  // namespace hstu
