// SPDX-License-Identifier: MIT
// Copies and fills.  Everything happens at once, whatever the stream.
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

std::string outside(u64 address, u64 bytes) {
  return cat(bytes, " bytes at ", hex(address), ": ", memory().describe(address));
}

/// Bytes on either side: device memory if the address is one, else the host's.
struct Side {
  u64 address = 0;
  bool device = false;
};

Side device_side(CUdeviceptr address) {
  return {address, true};
}
Side host_side(const void* p) {
  return {address_of(p), false};
}
Side either_side(u64 address) {
  return {address, memory().find(address) != nullptr};
}

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
CUresult fill(const char* function, CUdeviceptr to, u64 pitch, T value, u64 width, u64 height,
              CUstream stream = nullptr) {
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
      Side result = type == CU_MEMORYTYPE_HOST     ? host_side(host)
                    : type == CU_MEMORYTYPE_DEVICE ? device_side(device)
                                                   : either_side(device);
      result.address += offset;
      return result;
    };
    for (u64 row = 0; row < c->Height; ++row) {
      const CUresult result =
          copy(function, side(c->dstMemoryType, c->dstHost, c->dstDevice, c->dstXInBytes + (c->dstY + row) * to_pitch),
               side(c->srcMemoryType, c->srcHost, c->srcDevice, c->srcXInBytes + (c->srcY + row) * from_pitch),
               c->WidthInBytes);
      if (result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  });
}

}  // namespace

extern "C" {

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
CUresult cuMemcpy2D(const CUDA_MEMCPY2D* c) {
  return copy_2d("cuMemcpy2D", c, nullptr);
}
CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D* c) {
  return copy_2d("cuMemcpy2DUnaligned", c, nullptr);
}
CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D* c, CUstream stream) {
  return copy_2d("cuMemcpy2DAsync", c, stream);
}

// ---- fills
// ------------------------------------------------------------------------------------------------------------

CUresult cuMemsetD8(CUdeviceptr to, unsigned char value, size_t n) {
  return fill("cuMemsetD8", to, 0, value, n, 1);
}
CUresult cuMemsetD16(CUdeviceptr to, unsigned short value, size_t n) {
  return fill("cuMemsetD16", to, 0, value, n, 1);
}
CUresult cuMemsetD32(CUdeviceptr to, unsigned value, size_t n) {
  return fill("cuMemsetD32", to, 0, value, n, 1);
}
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
