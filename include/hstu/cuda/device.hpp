// SPDX-License-Identifier: MIT
// One GPU: its context, one stream in whose order everything runs, and the kernels of this library.
#pragma once
#include <array>
#include <limits>
#include <map>
#include <string>

#include <hstu/cuda/driver.hpp>
#include <hstu/cuda/kernel_images.hpp>
#include <hstu/cuda/staging.hpp>

namespace hstu::cuda {

/// A kernel: the file of kernels/ without its ending, and the function in it.
struct KernelName {
  const char* file;
  std::string function;
};

/// Blocks, threads of each and dynamic shared memory of each.
struct LaunchShape {
  std::int64_t blocks = 1;
  std::int64_t threads = 1;
  std::int64_t blocks_y = 1;
  std::int64_t shared_bytes = 0;
};

/// Number of GPUs; 0 without a driver.
inline int device_count() {
  try {
    int count = 0;
    Driver::get().device_count(&count);
    return count;
  } catch (const DeviceError&) {
    return 0;
  }
}

/// To be used from the thread that made it.  Calls return before the GPU has finished, and run in their order; an error
/// of a kernel is thrown by a later call, at the latest by synchronize().
class Device {
 public:
  /// Throws DeviceError without a driver or such a device.
  explicit Device(int index = 0) : driver_(Driver::get()) {
    int count = 0;
    driver_.device_count(&count);
    check<DeviceError>(index >= 0 && index < count, "cuda: device ", index, " of ", count);
    driver_.device_get(&device_, index);
    std::array<char, 128> name{};
    driver_.device_name(name.data(), static_cast<int>(name.size()), device_);
    name_ = name.data();
    driver_.context_retain(&context_, device_);
    driver_.context_set_current(context_);
    constexpr unsigned kNonBlocking = 1;  // no implicit order with the legacy default stream
    driver_.stream_create(&stream_, kNonBlocking);
    PoolHandle* pool = nullptr;  // of the buffers
    driver_.device_pool(&pool, device_);
    std::uint64_t keeps_all = std::numeric_limits<std::uint64_t>::max();  // else synchronize() would empty it
    driver_.pool_set(pool, PoolAttribute::release_threshold, &keeps_all);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() {
    driver_.stream_synchronize.without_check(stream_);  // copies out of staging memory may be under way
    staging_.release();
    for (const auto& [file, module] : modules_) driver_.module_unload.without_check(module);
    driver_.stream_destroy.without_check(stream_);
    driver_.context_release.without_check(device_);
  }

  const std::string& name() const { return name_; }
  int attribute(DeviceAttribute which) const {
    int value = 0;
    driver_.device_attribute(&value, which, device_);
    return value;
  }
  const Driver& driver() const { return driver_; }
  StreamHandle* stream() const { return stream_; }

  /// Waits until everything given to the device has run.  Throws DeviceError if any of it failed.
  void synchronize() const {
    driver_.stream_synchronize(stream_);
    staging_.clear();
  }

  /// Copies values to the device, behind everything before it.  The caller may change or free them at once; only for
  /// many megabytes does it wait until they are there.
  void copy_to_device(Address to, const void* values, std::size_t bytes) const {
    constexpr std::size_t kMostStaged = std::size_t{64} << 20;
    if (bytes <= kMostStaged) {
      driver_.copy_to_device(to, staging_.keep(values, bytes), bytes, stream_);
    } else {
      driver_.copy_to_device(to, values, bytes, stream_);
      synchronize();
    }
  }

  /// Starts a kernel, whose only parameter is `operands`.  Nothing happens for 0 blocks.
  /// Throws DeviceError if the kernel does not exist, the shape exceeds the device, or an earlier call failed.
  template <class Operands>
  void launch(const KernelName& kernel, const LaunchShape& shape, const Operands& operands) {
    if (shape.blocks == 0 || shape.blocks_y == 0) return;
    constexpr std::int64_t kMaxBlocks = std::numeric_limits<std::int32_t>::max(), kMaxBlocksY = 65535;
    check<DeviceError>(shape.blocks <= kMaxBlocks && shape.blocks_y <= kMaxBlocksY, "cuda: ", kernel.function,
                       ": a grid of ", shape.blocks, " x ", shape.blocks_y, " blocks");
    FunctionHandle* const function = find(kernel, shape.shared_bytes);
    Operands copy = operands;
    void* parameters[] = {&copy};
    driver_.launch(function, static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.blocks_y), 1,
                   static_cast<unsigned>(shape.threads), 1, 1, static_cast<unsigned>(shape.shared_bytes), stream_,
                   parameters, nullptr);
  }

 private:
  struct Function {
    FunctionHandle* handle = nullptr;
    std::int64_t shared_bytes = 48 * 1024;  // what every kernel may have without asking
  };

  FunctionHandle* find(const KernelName& kernel, std::int64_t shared_bytes) {
    Function& function = functions_[kernel.function];
    if (function.handle == nullptr)
      driver_.module_function(&function.handle, module(kernel.file), kernel.function.c_str());
    if (shared_bytes > function.shared_bytes) {
      const int most = attribute(DeviceAttribute::shared_bytes_per_block);
      check<DeviceError>(shared_bytes <= most, "cuda: ", kernel.function, " needs ", shared_bytes,
                         " bytes of shared memory, ", name_, " has ", most);
      driver_.function_set(function.handle, FunctionAttribute::dynamic_shared_bytes, static_cast<int>(shared_bytes));
      function.shared_bytes = shared_bytes;
    }
    return function.handle;
  }

  ModuleHandle* module(std::string_view file) {
    ModuleHandle*& loaded = modules_[std::string(file)];
    if (loaded != nullptr) return loaded;
    for (const KernelImage& image : kernel_images()) {
      if (image.file != file) continue;
      driver_.module_load(&loaded, image.data);
      return loaded;
    }
    throw DeviceError(concat("cuda: no kernels called ", file));
  }

  const Driver& driver_;
  mutable Staging staging_{driver_};
  int device_ = 0;
  std::string name_;
  ContextHandle* context_ = nullptr;
  StreamHandle* stream_ = nullptr;
  std::map<std::string, ModuleHandle*> modules_;
  std::map<std::string, Function> functions_;
};

}  // namespace hstu::cuda
