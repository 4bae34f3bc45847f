// SPDX-License-Identifier: MIT
// cuGetProcAddress, and older names of functions.
#include <dlfcn.h>

#include "state.hpp"

using namespace ptx;

namespace {

void* exported(const std::string& name) {
  Dl_info self{};
  if (dladdr(reinterpret_cast<void*>(&exported), &self) == 0) return nullptr;
  void* const library = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return nullptr;
  void* const found = dlsym(library, name.c_str());
  dlclose(library);
  return found;
}

void* find(const std::string& symbol, int version) {
  if (symbol == "cuGetProcAddress") return exported(version >= 12000 ? "cuGetProcAddress_v2" : "cuGetProcAddress");
  if (symbol == "cuCtxCreate" && version < 13000)
    return exported(version >= 11040 ? "cuCtxCreate_v3" : "cuCtxCreate_v2");
  for (const char* const suffix : {"_v4", "_v3", "_v2", ""})
    if (void* const found = exported(symbol + suffix)) return found;
  return nullptr;
}

}  // namespace

extern "C" {

CUresult cuGetProcAddress(const char* symbol, void** function, int version, cuuint64_t,
                          CUdriverProcAddressQueryResult* status) {
  if (symbol == nullptr || function == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *function = find(symbol, version);
  if (status != nullptr)
    *status = *function != nullptr ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  return *function != nullptr ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

#undef cuGetProcAddress
#undef cuDevicePrimaryCtxRelease
#undef cuDevicePrimaryCtxReset
#undef cuDevicePrimaryCtxSetFlags
#undef cuEventElapsedTime
#define PTX_EXPORT __attribute__((visibility("default")))

PTX_EXPORT CUresult cuGetProcAddress(const char* symbol, void** function, int version, cuuint64_t flags) {
  return cuGetProcAddress_v2(symbol, function, version, flags, nullptr);
}
PTX_EXPORT CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  return cuDevicePrimaryCtxRelease_v2(device);
}
PTX_EXPORT CUresult cuDevicePrimaryCtxReset(CUdevice device) {
  return cuDevicePrimaryCtxReset_v2(device);
}
PTX_EXPORT CUresult cuEventElapsedTime(float* ms, CUevent start, CUevent end) {
  return cuEventElapsedTime_v2(ms, start, end);
}

}  // extern "C"
