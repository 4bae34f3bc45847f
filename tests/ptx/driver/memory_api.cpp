// SPDX-License-Identifier: MIT
// Memory: allocation, copies, fills.  Everything happens at once, whatever the stream.
#include <cstring>

#include "state.hpp"

using namespace ptx;

namespace {

Memory& memory() { return state().machine.memory; }

u64 address_of(const void* p) { return u64(reinterpret_cast<std::uintptr_t>(p)); }

std::string outside(u64 address, u64 bytes) {
  return cat(bytes, " bytes at ", hex(address), ": ", memory().describe(address));
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
      return refuse(CUDA_ERROR_INVALID_VALUE, function, cat(hex(address), " is no allocation: ", memory().describe(address)));
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

/// Bytes on either side: device memory if the address is one, else the host's.
struct Side {
  u64 address = 0;
  bool device = false;
};

Side device_side(CUdeviceptr address) { return {address, true}; }
Side host_side(const void* p) { return {address_of(p), false}; }
Side either_side(u64 address) { return {address, memory().find(address) != nullptr}; }

CUresult copy(const char* function, Side to, Side from, u64 bytes) {
  if (bytes == 0) return CUDA_SUCCESS;
  for (const Side& side : {to, from}) {
    if (side.device && memory().view(side.address, bytes) == nullptr)
      return refuse(CUDA_ERROR_INVALID_VALUE, function, outside(side.address, bytes));
    const Allocation* const found = memory().find(side.address);
    if (!side.device && (side.address == 0 || (found != nullptr && found->kind != Allocation::Kind::kHost)))
      return refuse(CUDA_ERROR_INVALID_VALUE, function, cat(hex(side.address), " is no host memory"));
  }
  u8* const target = to.device ? memory().view(to.address, bytes) : reinterpret_cast<u8*>(to.address);
  const u8* const source = from.device ? memory().view(from.address, bytes) : reinterpret_cast<const u8*>(from.address);
  std::memmove(target, source, bytes);
  if (!to.device) return CUDA_SUCCESS;
  Allocation& into = *memory().find(to.address);
  const u64 at = to.address - into.base;
  const Allocation* const origin = from.device ? memory().find(from.address) : nullptr;
  if (origin == nullptr || origin->unwritten == 0) {
    into.mark_written(at, bytes);
  } else {  // what was never written stays so
    for (u64 k = 0; k < bytes; ++k)
      if (origin->is_written(from.address - origin->base + k, 1)) into.mark_written(at + k, 1);
  }
  return CUDA_SUCCESS;
}

CUresult copy_in_context(const char* function, Side to, Side from, u64 bytes, CUstream stream = nullptr) {
  return with_context([&](Context& context) {
    if (!is_stream(context, stream)) return refuse(CUDA_ERROR_INVALID_HANDLE, function, "no such stream");
    return copy(function, to, from, bytes);
  });
}

template <class T>
CUresult fill(const char* function, CUdeviceptr to, u64 pitch, T value, u64 width, u64 height, CUstream stream = nullptr) {
  return with_context([&](Context& context) {
    if (!is_stream(context, stream)) return refuse(CUDA_ERROR_INVALID_HANDLE, function, "no such stream");
    if (to % sizeof(T) != 0 || pitch % sizeof(T) != 0) return refuse(CUDA_ERROR_INVALID_VALUE, function, "misaligned");
    if (width == 0 || height == 0) return CUDA_SUCCESS;
    for (u64 row = 0; row < height; ++row) {
      const u64 address = to + row * pitch, bytes = width * sizeof(T);
      u8* const at = memory().view_to_write(address, bytes);
      if (at == nullptr) return refuse(CUDA_ERROR_INVALID_VALUE, function, outside(address, bytes));
      for (u64 k = 0; k < width; ++k) std::memcpy(at + k * sizeof(T), &value, sizeof(T));
    }
    return CUDA_SUCCESS;
  });
}

CUresult copy_2d(const char* function, const CUDA_MEMCPY2D* c, CUstream stream) {
  return with_context([&](Context& context) {
    if (c == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!is_stream(context, stream)) return refuse(CUDA_ERROR_INVALID_HANDLE, function, "no such stream");
    if (c->srcMemoryType == CU_MEMORYTYPE_ARRAY || c->dstMemoryType == CU_MEMORYTYPE_ARRAY)
      return refuse(CUDA_ERROR_NOT_SUPPORTED, function, "arrays are not supported");
    const u64 from_pitch = c->srcPitch != 0 ? c->srcPitch : c->WidthInBytes + c->srcXInBytes;
    const u64 to_pitch = c->dstPitch != 0 ? c->dstPitch : c->WidthInBytes + c->dstXInBytes;
    const auto side = [](CUmemorytype type, const void* host, CUdeviceptr device, u64 offset) {
      Side result = type == CU_MEMORYTYPE_HOST ? host_side(host) : type == CU_MEMORYTYPE_DEVICE ? device_side(device) : either_side(device);
      result.address += offset;
      return result;
    };
    for (u64 row = 0; row < c->Height; ++row) {
      const CUresult result =
          copy(function, side(c->dstMemoryType, c->dstHost, c->dstDevice, c->dstXInBytes + (c->dstY + row) * to_pitch),
               side(c->srcMemoryType, c->srcHost, c->srcDevice, c->srcXInBytes + (c->srcY + row) * from_pitch), c->WidthInBytes);
      if (result != CUDA_SUCCESS) return result;
    }
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

CUresult cuMemAlloc(CUdeviceptr* address, size_t bytes) { return allocate("cuMemAlloc", address, bytes); }
CUresult cuMemFree(CUdeviceptr address) { return release("cuMemFree", address); }
CUresult cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream) { return allocate("cuMemAllocAsync", address, bytes); }
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream) { return release("cuMemFreeAsync", address); }

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
CUresult cuMemAllocHost(void** pointer, size_t bytes) { return cuMemHostAlloc(pointer, bytes, 0); }
CUresult cuMemFreeHost(void* pointer) { return free_host(pointer); }

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
    if (const Allocation* const found = memory().find(address_of(pointer)); found != nullptr && found->holds(address_of(pointer), 1))
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
    if (address == nullptr || found == nullptr || !found->holds(address_of(pointer), 1)) return CUDA_ERROR_INVALID_VALUE;
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
      case CU_POINTER_ATTRIBUTE_MEMORY_TYPE: *static_cast<unsigned*>(data) = host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE; break;
      case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: *static_cast<CUdeviceptr*>(data) = address; break;
      case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        if (!host) return CUDA_ERROR_INVALID_VALUE;
        *static_cast<CUdeviceptr*>(data) = address;
        break;
      case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: *static_cast<CUdeviceptr*>(data) = found->base; break;
      case CU_POINTER_ATTRIBUTE_RANGE_SIZE: *static_cast<size_t*>(data) = found->size; break;
      case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *static_cast<int*>(data) = 0; break;
      case CU_POINTER_ATTRIBUTE_IS_MANAGED: *static_cast<unsigned*>(data) = 0; break;
      default: return CUDA_ERROR_NOT_SUPPORTED;
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

// ---- copies -----------------------------------------------------------------------------------------------------------

CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return with_context([&](Context&) { return copy("cuMemcpy", either_side(to), either_side(from), bytes); });
}
CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return with_context([&](Context& context) {
    if (!is_stream(context, stream)) return refuse(CUDA_ERROR_INVALID_HANDLE, "cuMemcpyAsync", "no such stream");
    return copy("cuMemcpyAsync", either_side(to), either_side(from), bytes);
  });
}
CUresult cuMemcpyHtoD(CUdeviceptr to, const void* from, size_t bytes) {
  return copy_in_context("cuMemcpyHtoD", device_side(to), host_side(from), bytes);
}
CUresult cuMemcpyDtoH(void* to, CUdeviceptr from, size_t bytes) {
  return copy_in_context("cuMemcpyDtoH", host_side(to), device_side(from), bytes);
}
CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return copy_in_context("cuMemcpyDtoD", device_side(to), device_side(from), bytes);
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  return copy_in_context("cuMemcpyHtoDAsync", device_side(to), host_side(from), bytes, stream);
}
CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy_in_context("cuMemcpyDtoHAsync", host_side(to), device_side(from), bytes, stream);
}
CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy_in_context("cuMemcpyDtoDAsync", device_side(to), device_side(from), bytes, stream);
}
CUresult cuMemcpy2D(const CUDA_MEMCPY2D* c) { return copy_2d("cuMemcpy2D", c, nullptr); }
CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D* c) { return copy_2d("cuMemcpy2DUnaligned", c, nullptr); }
CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D* c, CUstream stream) { return copy_2d("cuMemcpy2DAsync", c, stream); }

// ---- fills ------------------------------------------------------------------------------------------------------------

CUresult cuMemsetD8(CUdeviceptr to, unsigned char value, size_t n) { return fill("cuMemsetD8", to, 0, value, n, 1); }
CUresult cuMemsetD16(CUdeviceptr to, unsigned short value, size_t n) { return fill("cuMemsetD16", to, 0, value, n, 1); }
CUresult cuMemsetD32(CUdeviceptr to, unsigned value, size_t n) { return fill("cuMemsetD32", to, 0, value, n, 1); }
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, CUstream stream) {
  return fill("cuMemsetD8Async", to, 0, value, n, 1, stream);
}
CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t n, CUstream stream) {
  return fill("cuMemsetD16Async", to, 0, value, n, 1, stream);
}
CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t n, CUstream stream) {
  return fill("cuMemsetD32Async", to, 0, value, n, 1, stream);
}
CUresult cuMemsetD2D8(CUdeviceptr to, size_t pitch, unsigned char value, size_t width, size_t height) {
  return fill("cuMemsetD2D8", to, pitch, value, width, height);
}
CUresult cuMemsetD2D32(CUdeviceptr to, size_t pitch, unsigned value, size_t width, size_t height) {
  return fill("cuMemsetD2D32", to, pitch, value, width, height);
}

}  // extern "C"
