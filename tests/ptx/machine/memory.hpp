// SPDX-License-Identifier: MIT
// Device memory: allocations far apart at addresses that mean nothing to the host, what of them was ever written, and
// who touched it in the running launch.
#pragma once
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include "types.hpp"

namespace ptx {

struct FreeBytes {
  void operator()(void* p) const { std::free(p); }
};
template <class T>
using ZeroedArray = std::unique_ptr<T[], FreeBytes>;

/// n zeros that cost nothing until they are touched; std::bad_alloc if there is no room.
template <class T>
ZeroedArray<T> zeroed(u64 n) {
  auto* const p = static_cast<T*>(std::calloc(n == 0 ? 1 : n, sizeof(T)));
  if (p == nullptr) throw std::bad_alloc();
  return ZeroedArray<T>(p);
}

struct Allocation {
  enum class Kind : u8 { kDevice, kHost, kVariable, kConstant };
  u64 base = 0, size = 0;
  Kind kind = Kind::kDevice;
  u8* bytes = nullptr;  ///< nullptr once freed
  ZeroedArray<u8> storage;
  ZeroedArray<u8> written;  ///< per byte, 0xff or 0; null when all bytes are
  u64 unwritten = 0;
  // Who touched a granule last: launch << 40 | block << 8 | flags.
  u32 granule = 4;  ///< bytes, the smallest access so far (at most 4)
  ZeroedArray<u64> writers, readers;

  bool holds(u64 address, u64 n) const { return address - base <= size && n <= size - (address - base); }
  bool is_written(u64 offset, u64 n) const;
  void mark_written(u64 offset, u64 n);
  /// Makes room for the shadow of the launch, of granules of at most n bytes.
  void watch(u64 n);
};

class Memory {
 public:
  /// Addresses are never used twice, so that use after free is always seen.  std::bad_alloc beyond kTotal.
  Allocation& allocate(u64 bytes, Allocation::Kind kind = Allocation::Kind::kDevice);
  /// Host memory that kernels may access at its own address; the host owns it and may write it at any time.
  Allocation& register_host(void* bytes, u64 size);
  /// False if no allocation begins there.
  bool free(u64 address);
  void free_all();

  /// nullptr if the address lies in none; also one behind the end counts for a range of zero bytes.
  Allocation* find(u64 address) const;
  /// The host's view of a range; nullptr if it is not inside one allocation.
  u8* view(u64 address, u64 bytes) const;
  /// As view(), and marks the range as written.
  u8* view_to_write(u64 address, u64 bytes);
  /// "inside a freed allocation of ..." and the like.
  std::string describe(u64 address) const;
  void forget_launches();
  u64 used() const { return used_; }

  static constexpr u64 kTotal = u64{16} << 30;

 private:
  std::map<u64, std::unique_ptr<Allocation>> allocations_;
  std::map<u64, u64> freed_;
  std::vector<std::unique_ptr<Allocation>> retired_;  ///< instructions may still know them; they hold no bytes
  u64 next_ = 0x7000'0000'0000;
  u64 used_ = 0;
};

}  // namespace ptx
