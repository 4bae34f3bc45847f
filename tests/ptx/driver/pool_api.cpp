// SPDX-License-Identifier: MIT
// Memory pools, of which there is one that keeps nothing; profiling and capture, which do nothing or are refused.
#pragma GCC visibility push(default)
#include <cudaProfiler.h>
#pragma GCC visibility pop

#include "state.hpp"

using namespace ptx;

namespace {

/// What programs hold as the device's pool.
CUmemoryPool the_pool() {
  static int pool = 0;
  return reinterpret_cast<CUmemoryPool>(&pool);
}

CUresult give_pool(CUmemoryPool* pool, CUdevice device) {
  return with_device([&] {
    if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    *pool = the_pool();
    return CUDA_SUCCESS;
  });
}

CUresult check_pool(CUmemoryPool pool) {
  return with_device([&] { return pool == the_pool() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

}  // namespace

extern "C" {

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  return give_pool(pool, device);
}
CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) {
  return give_pool(pool, device);
}
CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute, void*) {
  return check_pool(pool);
}
CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t) {
  return check_pool(pool);
}
CUresult cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream stream) {
  const CUresult result = check_pool(pool);
  return result != CUDA_SUCCESS ? result : cuMemAllocAsync(address, bytes, stream);
}

CUresult cuProfilerStart(void) {
  return with_device([] { return CUDA_SUCCESS; });
}
CUresult cuProfilerStop(void) {
  return with_device([] { return CUDA_SUCCESS; });
}

CUresult cuStreamBeginCapture(CUstream, CUstreamCaptureMode) {
  return refuse(CUDA_ERROR_NOT_SUPPORTED, "cuStreamBeginCapture", "graphs are not supported");
}

CUresult cuCtxGetCacheConfig(CUfunc_cache* config) {
  return with_context([&](Context&) {
    if (config == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *config = CU_FUNC_CACHE_PREFER_NONE;
    return CUDA_SUCCESS;
  });
}
CUresult cuCtxResetPersistingL2Cache(void) {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}

}  // extern "C"
