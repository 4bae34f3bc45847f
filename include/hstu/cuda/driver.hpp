// SPDX-License-Identifier: MIT
// The CUDA driver API: the few functions this library calls, declared here so that building needs no CUDA headers.
#pragma once
#include <cstddef>
#include <cstdint>

#include <hstu/cuda/shared_library.hpp>

namespace hstu::cuda {

// Handles of the driver; only pointers to them exist.
struct ContextHandle;
struct ModuleHandle;
struct FunctionHandle;
struct StreamHandle;
struct PoolHandle;
using Address = unsigned long long;  ///< of device memory

/// A function that returns an error code, 0 for none.  Calling it throws DeviceError with the call and the error's
/// name, which ErrorNames{library}(code) tells.
template <class ErrorNames, class... Args>
class CheckedFunction {
 public:
  CheckedFunction(const SharedLibrary& library, const char* name)
      : name_(name), call_(library.find<int(Args...)>(name)), error_names_(library) {}

  void operator()(Args... args) const {
    const int code = call_(args...);
    if (code == 0) [[likely]] return;
    const char* const error = error_names_(code);
    throw DeviceError(concat(name_, ": ", error == nullptr ? "unknown error" : error, " (", code, ")"));
  }
  /// For destructors, which cannot report.
  void without_check(Args... args) const { call_(args...); }

 private:
  const char* name_;
  int (*call_)(Args...);
  ErrorNames error_names_;
};

class DriverErrors {
 public:
  explicit DriverErrors(const SharedLibrary& library) : find_(library.find<Find>("cuGetErrorName")) {}
  const char* operator()(int code) const {
    const char* name = nullptr;
    find_(code, &name);
    return name;
  }

 private:
  using Find = int(int, const char**);
  Find* find_;
};
template <class... Args>
using DriverFunction = CheckedFunction<DriverErrors, Args...>;

/// Attributes and options, numbered as in cuda.h.
enum class DeviceAttribute : int {
  multiprocessors = 16,
  capability_major = 75,
  capability_minor = 76,
  shared_bytes_per_block = 97,  ///< the most that a kernel may ask for
};
enum class FunctionAttribute : int { dynamic_shared_bytes = 8 };
enum class PoolAttribute : int { release_threshold = 4 };

/// The driver of the machine, loaded at the first use.
class Driver {
 public:
  /// Throws DeviceError if there is no driver.
  static const Driver& get() {
    static const Driver driver;
    return driver;
  }

 private:
  SharedLibrary library_{"libcuda.so.1"};

  template <class... Args>
  DriverFunction<Args...> find(const char* name) const {
    return {library_, name};
  }

 public:
  DriverFunction<unsigned> init = find<unsigned>("cuInit");
  DriverFunction<int*> device_count = find<int*>("cuDeviceGetCount");
  DriverFunction<int*, int> device_get = find<int*, int>("cuDeviceGet");
  DriverFunction<char*, int, int> device_name = find<char*, int, int>("cuDeviceGetName");
  DriverFunction<int*, DeviceAttribute, int> device_attribute =
      find<int*, DeviceAttribute, int>("cuDeviceGetAttribute");
  DriverFunction<ContextHandle**, int> context_retain = find<ContextHandle**, int>("cuDevicePrimaryCtxRetain");
  DriverFunction<int> context_release = find<int>("cuDevicePrimaryCtxRelease_v2");
  DriverFunction<ContextHandle*> context_set_current = find<ContextHandle*>("cuCtxSetCurrent");
  DriverFunction<StreamHandle**, unsigned> stream_create = find<StreamHandle**, unsigned>("cuStreamCreate");
  DriverFunction<StreamHandle*> stream_destroy = find<StreamHandle*>("cuStreamDestroy_v2");
  DriverFunction<StreamHandle*> stream_synchronize = find<StreamHandle*>("cuStreamSynchronize");
  DriverFunction<Address*, std::size_t, StreamHandle*> memory_allocate =
      find<Address*, std::size_t, StreamHandle*>("cuMemAllocAsync");
  DriverFunction<Address, StreamHandle*> memory_free = find<Address, StreamHandle*>("cuMemFreeAsync");
  DriverFunction<PoolHandle**, int> device_pool = find<PoolHandle**, int>("cuDeviceGetDefaultMemPool");
  DriverFunction<PoolHandle*, PoolAttribute, void*> pool_set =
      find<PoolHandle*, PoolAttribute, void*>("cuMemPoolSetAttribute");
  DriverFunction<void**, std::size_t> host_allocate = find<void**, std::size_t>("cuMemAllocHost_v2");
  DriverFunction<void*> host_free = find<void*>("cuMemFreeHost");
  DriverFunction<Address, const void*, std::size_t, StreamHandle*> copy_to_device =
      find<Address, const void*, std::size_t, StreamHandle*>("cuMemcpyHtoDAsync_v2");
  DriverFunction<void*, Address, std::size_t, StreamHandle*> copy_to_host =
      find<void*, Address, std::size_t, StreamHandle*>("cuMemcpyDtoHAsync_v2");
  DriverFunction<Address, unsigned char, std::size_t, StreamHandle*> fill_bytes =
      find<Address, unsigned char, std::size_t, StreamHandle*>("cuMemsetD8Async");
  DriverFunction<ModuleHandle**, const void*> module_load = find<ModuleHandle**, const void*>("cuModuleLoadData");
  DriverFunction<ModuleHandle*> module_unload = find<ModuleHandle*>("cuModuleUnload");
  DriverFunction<FunctionHandle**, ModuleHandle*, const char*> module_function =
      find<FunctionHandle**, ModuleHandle*, const char*>("cuModuleGetFunction");
  DriverFunction<FunctionHandle*, FunctionAttribute, int> function_set =
      find<FunctionHandle*, FunctionAttribute, int>("cuFuncSetAttribute");
  DriverFunction<FunctionHandle*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, StreamHandle*,
                 void**, void**>
      launch = find<FunctionHandle*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                    StreamHandle*, void**, void**>("cuLaunchKernel");

 private:
  Driver() { init(0); }
};

}  // namespace hstu::cuda
