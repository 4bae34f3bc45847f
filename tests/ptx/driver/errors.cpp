// SPDX-License-Identifier: MIT
// Names and descriptions of errors.
#include <string_view>

#include "state.hpp"

namespace {

struct Entry {
  CUresult result;
  const char *name, *text;
};

#define PTX_ERROR(name, text) \
  { name, #name, text }
constexpr Entry kErrors[] = {
    PTX_ERROR(CUDA_SUCCESS, "no error"),
    PTX_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    PTX_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    PTX_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    PTX_ERROR(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
    PTX_ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    PTX_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    PTX_ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    PTX_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    PTX_ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"),
    PTX_ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    PTX_ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the provided PTX was compiled with an unsupported toolchain"),
    PTX_ERROR(CUDA_ERROR_INVALID_SOURCE, "device kernel image is invalid"),
    PTX_ERROR(CUDA_ERROR_FILE_NOT_FOUND, "file not found"),
    PTX_ERROR(CUDA_ERROR_OPERATING_SYSTEM, "OS call failed or operation not supported on this OS"),
    PTX_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    PTX_ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    PTX_ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    PTX_ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    PTX_ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    PTX_ERROR(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated"),
    PTX_ERROR(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, "cannot set while device is active in this process"),
    PTX_ERROR(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
    PTX_ERROR(CUDA_ERROR_ASSERT, "device-side assert triggered"),
    PTX_ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "part or all of the requested memory range is already mapped"),
    PTX_ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "pointer does not correspond to a registered memory region"),
    PTX_ERROR(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered"),
    PTX_ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    PTX_ERROR(CUDA_ERROR_INVALID_ADDRESS_SPACE, "operation not supported on global/shared address space"),
    PTX_ERROR(CUDA_ERROR_INVALID_PC, "invalid program counter"),
    PTX_ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    PTX_ERROR(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "too many blocks in cooperative launch"),
    PTX_ERROR(CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
    PTX_ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    PTX_ERROR(CUDA_ERROR_UNKNOWN, "unknown error")};

const Entry* find(CUresult result) {
  for (const Entry& entry : kErrors)
    if (entry.result == result) return &entry;
  return nullptr;
}

}  // namespace

extern "C" {

CUresult cuGetErrorName(CUresult result, const char** text) {
  if (text == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const Entry* const entry = find(result);
  *text = entry == nullptr ? nullptr : entry->name;
  return entry == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult result, const char** text) {
  if (text == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const Entry* const entry = find(result);
  *text = entry == nullptr ? nullptr : entry->text;
  return entry == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

}  // extern "C"
