// SPDX-License-Identifier: MIT
#include "memory.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace ptx {
namespace {

constexpr u64 kRedZone = 4096;

template <class T>
ZeroedArray<T> finer(const ZeroedArray<T>& coarse, u64 n, u64 times) {
  ZeroedArray<T> result = zeroed<T>(n * times);
  for (u64 k = 0; k < n; ++k)
    if (coarse[k] != 0) std::fill_n(result.get() + k * times, times, coarse[k]);
  return result;
}

}  // namespace

bool Allocation::is_written(u64 offset, u64 n) const {
  if (unwritten == 0) return true;
  const u8* p = written.get() + offset;
  for (; n >= 8; n -= 8, p += 8) {
    u64 eight;
    std::memcpy(&eight, p, 8);
    if (~eight != 0) return false;
  }
  return std::all_of(p, p + n, [](u8 b) { return b == 0xff; });
}

void Allocation::mark_written(u64 offset, u64 n) {
  if (unwritten == 0) return;
  u8* const p = written.get() + offset;
  if (unwritten == size && n > 64) {
    std::memset(p, 0xff, n);
    unwritten -= n;
  } else {
    u64 fresh = 0;
    for (u64 k = 0; k < n; ++k) fresh += p[k] == 0;
    std::memset(p, 0xff, n);
    unwritten -= fresh;
  }
  if (unwritten == 0) written.reset();
}

void Allocation::watch(u64 n) {
  n = n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : 1;
  const u64 granules = size / granule + 1;
  if (!writers) {
    granule = u32(n);
    writers = zeroed<u64>(size / granule + 1);
    readers = zeroed<u64>(size / granule + 1);
  } else if (n < granule) {
    writers = finer(writers, granules, granule / n);
    readers = finer(readers, granules, granule / n);
    granule = u32(n);
  }
}

Allocation& Memory::allocate(u64 bytes, Allocation::Kind kind) {
  if (bytes > kTotal - used_) throw std::bad_alloc();
  auto made = std::make_unique<Allocation>();
  made->base = next_;
  made->size = bytes;
  made->kind = kind;
  made->storage = zeroed<u8>(bytes + 64);
  made->bytes = made->storage.get();
  if (kind == Allocation::Kind::kDevice) {
    made->written = zeroed<u8>(bytes + 64);
    made->unwritten = bytes;
  }
  used_ += bytes;
  next_ = round_up(next_ + bytes + kRedZone, 512);
  Allocation& result = *made;
  allocations_.emplace(result.base, std::move(made));
  return result;
}

Allocation& Memory::register_host(void* bytes, u64 size) {
  auto made = std::make_unique<Allocation>();
  made->base = u64(reinterpret_cast<std::uintptr_t>(bytes));
  made->size = size;
  made->kind = Allocation::Kind::kHost;
  made->bytes = static_cast<u8*>(bytes);
  Allocation& result = *made;
  freed_.erase(result.base);
  allocations_[result.base] = std::move(made);
  return result;
}

bool Memory::free(u64 address) {
  const auto found = allocations_.find(address);
  if (found == allocations_.end()) return false;
  Allocation& gone = *found->second;
  freed_[gone.base] = gone.size;
  if (gone.kind != Allocation::Kind::kHost) used_ -= gone.size;
  gone.size = 0;
  gone.base = 0;
  gone.bytes = nullptr;
  gone.storage.reset();
  gone.written.reset();
  gone.writers.reset();
  gone.readers.reset();
  retired_.push_back(std::move(found->second));
  allocations_.erase(found);
  return true;
}

void Memory::free_all() {
  while (!allocations_.empty()) free(allocations_.begin()->first);
}

Allocation* Memory::find(u64 address) const {
  auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) return nullptr;
  Allocation* const found = std::prev(after)->second.get();
  return address - found->base <= found->size ? found : nullptr;
}

u8* Memory::view(u64 address, u64 bytes) const {
  Allocation* const found = find(address);
  return found != nullptr && found->holds(address, bytes) ? found->bytes + (address - found->base) : nullptr;
}

u8* Memory::view_to_write(u64 address, u64 bytes) {
  Allocation* const found = find(address);
  if (found == nullptr || !found->holds(address, bytes)) return nullptr;
  found->mark_written(address - found->base, bytes);
  return found->bytes + (address - found->base);
}

std::string Memory::describe(u64 address) const {
  if (auto after = freed_.upper_bound(address); after != freed_.begin()) {
    const auto& [base, size] = *std::prev(after);
    if (address - base < size)
      return cat(address - base, " bytes into a freed allocation of ", size, " bytes at ", hex(base));
  }
  const auto after = allocations_.upper_bound(address);
  const Allocation* const before = after == allocations_.begin() ? nullptr : std::prev(after)->second.get();
  const u64 inside = before == nullptr ? 0 : address - before->base;
  if (before != nullptr && inside < before->size)
    return cat(inside, " bytes into an allocation of ", before->size, " bytes at ", hex(before->base));
  constexpr u64 kNear = u64{1} << 24;
  const u64 behind = before == nullptr ? kNear : std::min(kNear, inside - before->size);
  const u64 ahead = after == allocations_.end() ? kNear : after->first - address;
  if (ahead < behind)
    return cat("outside every allocation, ", ahead, " bytes before the one of ", after->second->size, " bytes at ",
               hex(after->first));
  if (behind < kNear)
    return cat("outside every allocation, ", behind, " bytes behind the end of the one of ", before->size, " bytes at ",
               hex(before->base));
  return "outside every allocation";
}

void Memory::forget_launches() {
  for (auto& [base, allocation] : allocations_) {
    allocation->writers.reset();
    allocation->readers.reset();
    allocation->granule = 4;
  }
}

}  // namespace ptx
