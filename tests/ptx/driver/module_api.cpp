// SPDX-License-Identifier: MIT
// Modules, libraries, functions, variables.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "state.hpp"

using namespace ptx;

namespace {

/// CU_JIT_ERROR_LOG_BUFFER and its size, if the caller gave them.
struct ErrorLog {
  char* text = nullptr;
  void** size = nullptr;

  ErrorLog(unsigned count, const CUjit_option* options, void** values) {
    for (unsigned k = 0; options != nullptr && values != nullptr && k < count; ++k) {
      if (options[k] == CU_JIT_ERROR_LOG_BUFFER) text = static_cast<char*>(values[k]);
      if (options[k] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) size = &values[k];
    }
  }
  void write(const std::string& message) const {
    if (size == nullptr) return;
    const auto room = std::size_t(reinterpret_cast<std::uintptr_t>(*size));
    const std::size_t n = text == nullptr || room == 0 ? 0 : std::min(message.size(), room - 1);
    if (text != nullptr && room > 0) {
      std::memcpy(text, message.data(), n);
      text[n] = 0;
    }
    *size = reinterpret_cast<void*>(std::uintptr_t(n));
  }
};

/// A text for a newer architecture than PTX_ARCH names cannot be built for it.
void check_target(const Module& module) {
  if (std::getenv("PTX_ARCH") == nullptr) return;
  const std::string& target = module.source.target;
  const u32 number = target.starts_with("sm_") ? u32(std::strtoul(target.c_str() + 3, nullptr, 10)) : 0;
  if (number > architecture())
    throw Error(cat("the PTX is for ", target, ", newer than the device (PTX_ARCH=", architecture(), ")"));
}

CUresult load(const char* function, LoadedModule** into, const void* image, const std::string& name,
              const ErrorLog& log) {
  return with_context([&](Context& context) {
    if (into == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
    auto made = std::make_unique<LoadedModule>();
    CUresult result = CUDA_ERROR_INVALID_IMAGE;
    try {
      const std::string text = ptx_of_image(image);
      result = CUDA_ERROR_INVALID_PTX;
      const std::string label = name.empty() ? cat("module ", ++state().modules_loaded) : name;
      try {
        made->module = load_module(label, text, state().machine.memory);
        check_target(*made->module);
      } catch (const Error& error) {
        throw Error(cat(label, ": ", error.what()));
      }
    } catch (const Error& error) {
      if (result == CUDA_ERROR_INVALID_IMAGE &&
          std::string_view(error.what()).find("has no PTX") != std::string_view::npos)
        result = CUDA_ERROR_NO_BINARY_FOR_GPU;
      log.write(error.what());
      return refuse(result, function, error.what());
    }
    for (const auto& [kernel, code] : made->module->kernels) made->kernels[kernel] = {made.get(), code};
    *into = made.get();
    context.modules.emplace(made.get(), std::move(made));
    return CUDA_SUCCESS;
  });
}

CUresult load_file(const char* function, LoadedModule** into, const char* path, const ErrorLog& log) {
  if (path == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::ifstream in(path, std::ios::binary);
  if (!in) return refuse(CUDA_ERROR_FILE_NOT_FOUND, function, cat("cannot read ", path));
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  bytes.append(64, '\0');
  return load(function, into, bytes.data(), path, log);
}

bool is_module(const Context& context, const LoadedModule* module) {
  return context.modules.count(const_cast<LoadedModule*>(module)) != 0;
}

CUresult unload(LoadedModule* module) {
  return with_context([&](Context& context) {
    if (!is_module(context, module)) return CUDA_ERROR_INVALID_HANDLE;
    for (const auto& [name, place] : module->module->variables) state().machine.memory.free(place.first);
    context.modules.erase(module);
    return CUDA_SUCCESS;
  });
}

CUresult find_kernel(const char* function, Kernel** kernel, LoadedModule* module, const char* name) {
  return with_context([&](Context& context) {
    if (kernel == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!is_module(context, module)) return CUDA_ERROR_INVALID_HANDLE;
    const auto found = module->kernels.find(name);
    if (found == module->kernels.end())
      return refuse(CUDA_ERROR_NOT_FOUND, function, cat(module->module->name, " has no kernel ", name));
    *kernel = &found->second;
    return CUDA_SUCCESS;
  });
}

CUresult find_variable(CUdeviceptr* address, size_t* bytes, LoadedModule* module, const char* name) {
  return with_context([&](Context& context) {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!is_module(context, module)) return CUDA_ERROR_INVALID_HANDLE;
    const auto found = module->module->variables.find(name);
    if (found == module->module->variables.end()) return CUDA_ERROR_NOT_FOUND;
    if (address != nullptr) *address = found->second.first;
    if (bytes != nullptr) *bytes = found->second.second;
    return CUDA_SUCCESS;
  });
}

Kernel* known(Context& context, const void* handle) {
  for (auto& [address, module] : context.modules)
    for (auto& [name, kernel] : module->kernels)
      if (&kernel == handle) return &kernel;
  return nullptr;
}

CUresult get_attribute(int* value, CUfunction_attribute which, const void* handle) {
  return with_context([&](Context& context) {
    const Kernel* const kernel = known(context, handle);
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const Code& code = *kernel->code;
    switch (which) {
      case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = code.max_threads != 0 ? int(std::min(code.max_threads, 1024u)) : 1024;
        break;
      case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
        *value = int(code.shared_bytes);
        break;
      case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
        *value = int(code.stack_bytes);
        break;
      // virtual registers say little about those that ptxas would assign; this is what the machine itself needs
      case CU_FUNC_ATTRIBUTE_NUM_REGS:
        *value = int(std::min(code.register_bytes / 128 + 1, 255u));
        break;
      case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *value = int(architecture());
        break;
      case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value = int(kernel->max_dynamic_bytes);
        break;
      case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        *value = -1;
        break;
      case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
      case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
        *value = 0;
        break;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
  });
}

CUresult set_attribute(const void* handle, CUfunction_attribute which, int value) {
  return with_context([&](Context& context) {
    Kernel* const kernel = known(context, handle);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (which == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT) return CUDA_SUCCESS;
    if (which != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
    int most = 0;
    cuDeviceGetAttribute(&most, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0);
    if (value < 0 || value + int(kernel->code->shared_bytes) > most)
      return refuse(CUDA_ERROR_INVALID_VALUE, "cuFuncSetAttribute",
                    cat(value, " bytes of dynamic shared memory and ", kernel->code->shared_bytes,
                        " static: a block has ", most));
    kernel->max_dynamic_bytes = u32(value);
    return CUDA_SUCCESS;
  });
}

CUresult parameter(const void* handle, size_t index, size_t* offset, size_t* size) {
  return with_context([&](Context& context) {
    const Kernel* const kernel = known(context, handle);
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (index >= kernel->code->parameters.size()) return CUDA_ERROR_INVALID_VALUE;
    if (offset != nullptr) *offset = kernel->code->parameters[index].to;
    if (size != nullptr) *size = kernel->code->parameters[index].bytes;
    return CUDA_SUCCESS;
  });
}

LoadedModule* module_of(void* handle) {
  return static_cast<LoadedModule*>(handle);
}
template <class Handle>
LoadedModule** into(Handle* handle) {
  return reinterpret_cast<LoadedModule**>(handle);
}

}  // namespace

extern "C" {

CUresult cuModuleLoad(CUmodule* module, const char* path) {
  return load_file("cuModuleLoad", into(module), path, {0, nullptr, nullptr});
}
CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return load("cuModuleLoadData", into(module), image, "", {0, nullptr, nullptr});
}
CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned count, CUjit_option* options, void** values) {
  return load("cuModuleLoadDataEx", into(module), image, "", {count, options, values});
}
CUresult cuModuleLoadFatBinary(CUmodule* module, const void* image) {
  return load("cuModuleLoadFatBinary", into(module), image, "", {0, nullptr, nullptr});
}
CUresult cuModuleUnload(CUmodule module) {
  return unload(module_of(module));
}
CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  return find_kernel("cuModuleGetFunction", reinterpret_cast<Kernel**>(function), module_of(module), name);
}
CUresult cuModuleGetFunctionCount(unsigned* count, CUmodule module) {
  return with_context([&](Context& context) {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (!is_module(context, module_of(module))) return CUDA_ERROR_INVALID_HANDLE;
    *count = unsigned(module_of(module)->kernels.size());
    return CUDA_SUCCESS;
  });
}
CUresult cuModuleGetGlobal(CUdeviceptr* address, size_t* bytes, CUmodule module, const char* name) {
  return find_variable(address, bytes, module_of(module), name);
}
CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  if (mode == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *mode = CU_MODULE_EAGER_LOADING;
  return CUDA_SUCCESS;
}

CUresult cuLibraryLoadData(CUlibrary* library, const void* image, CUjit_option* options, void** values, unsigned count,
                           CUlibraryOption*, void**, unsigned) {
  return load("cuLibraryLoadData", into(library), image, "", {count, options, values});
}
CUresult cuLibraryLoadFromFile(CUlibrary* library, const char* path, CUjit_option* options, void** values,
                               unsigned count, CUlibraryOption*, void**, unsigned) {
  return load_file("cuLibraryLoadFromFile", into(library), path, {count, options, values});
}
CUresult cuLibraryUnload(CUlibrary library) {
  return unload(module_of(library));
}
CUresult cuLibraryGetKernel(CUkernel* kernel, CUlibrary library, const char* name) {
  return find_kernel("cuLibraryGetKernel", reinterpret_cast<Kernel**>(kernel), module_of(library), name);
}
CUresult cuLibraryGetModule(CUmodule* module, CUlibrary library) {
  if (module == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *module = reinterpret_cast<CUmodule>(library);
  return CUDA_SUCCESS;
}
CUresult cuLibraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name) {
  return find_variable(address, bytes, module_of(library), name);
}
CUresult cuKernelGetFunction(CUfunction* function, CUkernel kernel) {
  if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *function = reinterpret_cast<CUfunction>(kernel);
  return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute which, CUfunction function) {
  return get_attribute(value, which, function);
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute which, int value) {
  return set_attribute(function, which, value);
}
CUresult cuKernelGetAttribute(int* value, CUfunction_attribute which, CUkernel kernel, CUdevice) {
  return get_attribute(value, which, kernel);
}
CUresult cuKernelSetAttribute(CUfunction_attribute which, int value, CUkernel kernel, CUdevice) {
  return set_attribute(kernel, which, value);
}
CUresult cuFuncSetCacheConfig(CUfunction, CUfunc_cache) {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}
CUresult cuFuncGetModule(CUmodule* module, CUfunction function) {
  return with_context([&](Context& context) {
    const Kernel* const kernel = known(context, function);
    if (module == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *module = reinterpret_cast<CUmodule>(kernel->module);
    return CUDA_SUCCESS;
  });
}
CUresult cuFuncGetName(const char** name, CUfunction function) {
  return with_context([&](Context& context) {
    const Kernel* const kernel = known(context, function);
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (kernel == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *name = kernel->code->name.c_str();
    return CUDA_SUCCESS;
  });
}
CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size) {
  return parameter(function, index, offset, size);
}
CUresult cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t* offset, size_t* size) {
  return parameter(kernel, index, offset, size);
}
CUresult cuFuncLoad(CUfunction) {
  return with_context([](Context&) { return CUDA_SUCCESS; });
}
CUresult cuFuncIsLoaded(CUfunctionLoadingState* loaded, CUfunction) {
  if (loaded == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *loaded = CU_FUNCTION_LOADING_STATE_LOADED;
  return CUDA_SUCCESS;
}

}  // extern "C"
