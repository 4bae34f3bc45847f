// SPDX-License-Identifier: MIT
// Functions of a library that is looked for at run time, so that programs start on machines without it.
#pragma once
#include <dlfcn.h>

#include <initializer_list>
#include <string>

#include <hstu/core/check.hpp>

namespace hstu::cuda {

/// A shared library, loaded until the program ends.
class SharedLibrary {
 public:
  /// The first of `names` that can be loaded.  Throws DeviceError with the loader's reasons if none can.
  explicit SharedLibrary(std::initializer_list<const char*> names) {
    std::string reasons;
    for (const char* name : names) {
      name_ = name;
      handle_ = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (handle_ != nullptr) return;
      reasons += concat(reasons.empty() ? "" : "; ", ::dlerror());
    }
    throw DeviceError(concat("cuda: cannot load ", reasons));
  }

  const std::string& name() const { return name_; }

  /// Throws DeviceError if the library has no such function.
  template <class Signature>
  Signature* find(const char* function) const {
    void* const address = ::dlsym(handle_, function);
    check<DeviceError>(address != nullptr, "cuda: ", name_, " has no function ", function);
    return reinterpret_cast<Signature*>(address);
  }

 private:
  std::string name_;
  void* handle_ = nullptr;
};

}  // namespace hstu::cuda
