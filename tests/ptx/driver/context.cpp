// SPDX-License-Identifier: MIT
// Contexts: the primary one, others, and which is current.
#include "state.hpp"

using namespace ptx;

extern "C" {

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  return with_device([&] {
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    ++state().primary_users;
    *context = reinterpret_cast<CUcontext>(&state().primary);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  return with_device([&] {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (state().primary_users == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (--state().primary_users == 0) reset(state().primary);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxReset(CUdevice device) {
  return with_device([&] {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    reset(state().primary);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned flags) {
  return with_device([&] {
    state().primary.flags = flags;
    return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
  return with_device([&] {
    if (flags == nullptr || active == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = state().primary.flags;
    *active = state().primary_users > 0 ? 1 : 0;
    return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult cuCtxCreate(CUcontext* context, CUctxCreateParams*, unsigned flags, CUdevice device) {
  return with_device([&] {
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    auto made = std::make_unique<Context>();
    made->flags = flags;
    Context* const handle = made.get();
    state().contexts.emplace(handle, std::move(made));
    current_contexts().push_back(handle);
    *context = reinterpret_cast<CUcontext>(handle);
    return CUDA_SUCCESS;
  });
}

// Names that programs built with earlier headers ask for.
__attribute__((visibility("default"))) CUresult cuCtxCreate_v2(CUcontext* context, unsigned flags, CUdevice device) {
  return cuCtxCreate(context, nullptr, flags, device);
}
__attribute__((visibility("default"))) CUresult cuCtxCreate_v3(CUcontext* context, void*, int, unsigned flags,
                                                               CUdevice device) {
  return cuCtxCreate(context, nullptr, flags, device);
}

CUresult cuCtxDestroy(CUcontext context) {
  return with_device([&] {
    auto* const handle = reinterpret_cast<Context*>(context);
    if (state().contexts.count(handle) == 0) return CUDA_ERROR_INVALID_CONTEXT;
    reset(*handle);
    if (!current_contexts().empty() && current_contexts().back() == handle) current_contexts().pop_back();
    state().contexts.erase(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPushCurrent(CUcontext context) {
  return with_device([&] {
    auto* const handle = reinterpret_cast<Context*>(context);
    if (!is_context(handle)) return CUDA_ERROR_INVALID_CONTEXT;
    current_contexts().push_back(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPopCurrent(CUcontext* context) {
  return with_device([&] {
    if (current_contexts().empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (context != nullptr) *context = reinterpret_cast<CUcontext>(current_contexts().back());
    current_contexts().pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCurrent(CUcontext context) {
  return with_device([&] {
    auto* const handle = reinterpret_cast<Context*>(context);
    if (handle != nullptr && !is_context(handle)) return CUDA_ERROR_INVALID_CONTEXT;
    if (!current_contexts().empty()) current_contexts().pop_back();
    if (handle != nullptr) current_contexts().push_back(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCurrent(CUcontext* context) {
  return with_device([&] {
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *context = reinterpret_cast<CUcontext>(current_contexts().empty() ? nullptr : current_contexts().back());
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice(CUdevice* device) {
  return with_device([&] {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (current_contexts().empty()) return CUDA_ERROR_INVALID_CONTEXT;
    *device = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetFlags(unsigned* flags) {
  return with_context([&](Context& context) {
    if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = context.flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetApiVersion(CUcontext, unsigned* version) {
  return with_device([&] {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = 3020;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSynchronize(void) {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}

CUresult cuCtxSetLimit(CUlimit, size_t) {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}

CUresult cuCtxGetLimit(size_t* value, CUlimit limit) {
  return with_context([&](Context&) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *value = limit == CU_LIMIT_STACK_SIZE ? 1024 : limit == CU_LIMIT_PRINTF_FIFO_SIZE ? 1 << 20 : 8 << 20;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCacheConfig(CUfunc_cache) {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}

CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return with_context([&](Context&) {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return CUDA_SUCCESS;
  });
}

}  // extern "C"
