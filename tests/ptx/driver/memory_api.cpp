// SPDX-License-Identifier: MIT
// Allocation of device, pinned and managed memory.
#include <cstring>

#include "state.hpp"

using namespace ptx;

namespace {

Memory& memory() {
  return state().machine.memory;
}

u64 address_of(const void* p) {
  return u64(reinterpret_cast<std::uintptr_t>(p));
}

CUresult allocate(const char* function, CUdeviceptr* address, size_t bytes) {
  return with_context([&](Context& context) {
    if (address == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (bytes == 0) return refuse(CUDA_ERROR_INVALID_VALUE, function, "zero bytes");
    *address = memory().allocate(bytes).base;
    context.device_memory.insert(*address);
    return CUDA_SUCCESS;
  });
}

CUresult release(const char* function, CUdeviceptr address) {
  return with_context([&](Context& context) {
    if (address == 0) return CUDA_SUCCESS;
    if (context.host_memory.count(address) != 0) {  // managed memory
      memory().free(address);
      context.host_memory.erase(address);
      return CUDA_SUCCESS;
    }
    if (context.device_memory.erase(address) == 0)
      return refuse(CUDA_ERROR_INVALID_VALUE, function,
                    cat(hex(address), " is no allocation: ", memory().describe(address)));
    memory().free(address);
    return CUDA_SUCCESS;
  });
}

CUresult allocate_host(Context& context, void** pointer, size_t bytes) {
  if (pointer == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  std::unique_ptr<u8, FreeBytes> made(static_cast<u8*>(std::aligned_alloc(4096, round_up(bytes, 4096))));
  if (!made) return CUDA_ERROR_OUT_OF_MEMORY;
  std::memset(made.get(), 0, bytes);
  *pointer = made.get();
  memory().register_host(made.get(), bytes);
  context.host_memory.emplace(address_of(made.get()), std::move(made));
  return CUDA_SUCCESS;
}

CUresult free_host(void* pointer) {
  return with_context([&](Context& context) {
    if (context.host_memory.count(address_of(pointer)) == 0) return CUDA_ERROR_INVALID_VALUE;
    memory().free(address_of(pointer));
    context.host_memory.erase(address_of(pointer));
    return CUDA_SUCCESS;
  });
}

}  // namespace

extern "C" {

CUresult cuMemGetInfo(size_t* free, size_t* total) {
  return with_context([&](Context&) {
    if (free != nullptr) *free = Memory::kTotal - memory().used();
    if (total != nullptr) *total = Memory::kTotal;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAlloc(CUdeviceptr* address, size_t bytes) {
  return allocate("cuMemAlloc", address, bytes);
}
CUresult cuMemFree(CUdeviceptr address) {
  return release("cuMemFree", address);
}
CUresult cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream) {
  return allocate("cuMemAllocAsync", address, bytes);
}
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream) {
  return release("cuMemFreeAsync", address);
}

CUresult cuMemAllocPitch(CUdeviceptr* address, size_t* pitch, size_t width, size_t height, unsigned) {
  if (pitch == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *pitch = round_up(width, 512);
  return allocate("cuMemAllocPitch", address, *pitch * height);
}

CUresult cuMemGetAddressRange(CUdeviceptr* base, size_t* size, CUdeviceptr address) {
  return with_context([&](Context&) {
    const Allocation* const found = memory().find(address);
    if (found == nullptr || !found->holds(address, 1)) return CUDA_ERROR_NOT_FOUND;
    if (base != nullptr) *base = found->base;
    if (size != nullptr) *size = found->size;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostAlloc(void** pointer, size_t bytes, unsigned) {
  return with_context([&](Context& context) { return allocate_host(context, pointer, bytes); });
}
CUresult cuMemAllocHost(void** pointer, size_t bytes) {
  return cuMemHostAlloc(pointer, bytes, 0);
}
CUresult cuMemFreeHost(void* pointer) {
  return free_host(pointer);
}

CUresult cuMemAllocManaged(CUdeviceptr* address, size_t bytes, unsigned) {
  return with_context([&](Context& context) {
    void* pointer = nullptr;
    const CUresult result = address == nullptr ? CUDA_ERROR_INVALID_VALUE : allocate_host(context, &pointer, bytes);
    if (result == CUDA_SUCCESS) *address = address_of(pointer);
    return result;
  });
}

CUresult cuMemHostRegister(void* pointer, size_t bytes, unsigned) {
  return with_context([&](Context&) {
    if (pointer == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (const Allocation* const found = memory().find(address_of(pointer));
        found != nullptr && found->holds(address_of(pointer), 1))
      return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    memory().register_host(pointer, bytes);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostUnregister(void* pointer) {
  return with_context([&](Context& context) {
    const Allocation* const found = memory().find(address_of(pointer));
    if (found == nullptr || found->base != address_of(pointer) || context.host_memory.count(found->base) != 0)
      return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    memory().free(address_of(pointer));
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostGetDevicePointer(CUdeviceptr* address, void* pointer, unsigned) {
  return with_context([&](Context&) {
    const Allocation* const found = memory().find(address_of(pointer));
    if (address == nullptr || found == nullptr || !found->holds(address_of(pointer), 1))
      return CUDA_ERROR_INVALID_VALUE;
    *address = address_of(pointer);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostGetFlags(unsigned* flags, void*) {
  if (flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *flags = 0;
  return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute which, CUdeviceptr address) {
  return with_context([&](Context&) {
    const Allocation* const found = memory().find(address);
    if (data == nullptr || found == nullptr || !found->holds(address, 1)) return CUDA_ERROR_INVALID_VALUE;
    const bool host = found->kind == Allocation::Kind::kHost;
    switch (which) {
      case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *static_cast<unsigned*>(data) = host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
        break;
      case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        *static_cast<CUdeviceptr*>(data) = address;
        break;
      case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        if (!host) return CUDA_ERROR_INVALID_VALUE;
        *static_cast<CUdeviceptr*>(data) = address;
        break;
      case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        *static_cast<CUdeviceptr*>(data) = found->base;
        break;
      case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        *static_cast<size_t*>(data) = found->size;
        break;
      case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *static_cast<int*>(data) = 0;
        break;
      case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        *static_cast<unsigned*>(data) = 0;
        break;
      default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAdvise(CUdeviceptr, size_t, CUmem_advise, CUmemLocation) {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}
CUresult cuMemPrefetchAsync(CUdeviceptr, size_t, CUmemLocation, unsigned, CUstream) {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}

}  // extern "C"
