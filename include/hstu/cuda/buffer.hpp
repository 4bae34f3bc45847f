// SPDX-License-Identifier: MIT
// Memory of a device.
#pragma once
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <hstu/cuda/device.hpp>

namespace hstu::cuda {

/// `size` values in the memory of a device, freed with the buffer, after what the stream has to do before.  The device
/// must outlive it.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  /// Uninitialised.
  Buffer(const Device& device, std::int64_t size) : device_(&device), size_(size) {
    check<ShapeError>(size >= 0, "cuda: a buffer of ", size, " values");
    if (size > 0) device.driver().memory_allocate(&address_, bytes(), device.stream());
  }
  Buffer(const Device& device, std::span<const T> values) : Buffer(device, std::ssize(values)) { copy_from(values); }
  Buffer(const Device& device, const std::vector<T>& values) : Buffer(device, std::span<const T>(values)) {}
  Buffer(Buffer&& other) noexcept
      : device_(other.device_), address_(std::exchange(other.address_, 0)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(address_, other.address_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() {
    if (address_ != 0) device_->driver().memory_free.without_check(address_, device_->stream());
  }

  std::int64_t size() const { return size_; }
  std::size_t bytes() const { return static_cast<std::size_t>(size_) * sizeof(T); }
  /// An address for kernels; the host cannot read there.  Null if empty.
  T* data() const { return reinterpret_cast<T*>(address_); }

  /// Throws ShapeError unless there are as many values as in the buffer.
  void copy_from(std::span<const T> values) {
    check<ShapeError>(std::ssize(values) == size_, "cuda: ", values.size(), " values for a buffer of ", size_);
    if (size_ == 0) return;
    device_->copy_to_device(address_, values.data(), bytes());
  }
  /// Waits for everything before it.
  std::vector<T> to_vector() const {
    std::vector<T> values(static_cast<std::size_t>(size_));
    if (size_ == 0) return values;
    device_->driver().copy_to_host(values.data(), address_, bytes(), device_->stream());
    device_->synchronize();
    return values;
  }
  void fill_zero() {
    if (size_ > 0) device_->driver().fill_bytes(address_, 0, bytes(), device_->stream());
  }

 private:
  const Device* device_ = nullptr;
  Address address_ = 0;
  std::int64_t size_ = 0;
};

}  // namespace hstu::cuda
