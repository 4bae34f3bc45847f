// SPDX-License-Identifier: MIT
// What the tests of the PTX machine share: the driver API as any program would use it, in a context of its own per
// test.
#pragma once
#include <cuda.h>
#include <unistd.h>

#include <bit>
#include <catch2/catch_test_macros.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string>
#include <vector>

namespace ptx_test {

#define REQUIRE_CUDA(call) REQUIRE((call) == CUDA_SUCCESS)

/// What is written to standard error while it lives.
class StandardError {
 public:
  StandardError() : file_(std::tmpfile()), before_(dup(2)) {
    std::fflush(stderr);
    dup2(fileno(file_), 2);
  }
  ~StandardError() { stop(); }
  std::string text() {
    stop();
    return text_;
  }

 private:
  void stop() {
    if (file_ == nullptr) return;
    std::fflush(stderr);
    dup2(before_, 2);
    close(before_);
    std::rewind(file_);
    char buffer[4096];
    for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, file_)) > 0;) text_.append(buffer, n);
    std::fclose(file_);
    file_ = nullptr;
  }
  std::FILE* file_;
  int before_;
  std::string text_;
};

/// An environment variable for the time of a test.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* const old = std::getenv(name)) old_ = old, had_ = true;
    setenv(name, value, 1);
  }
  ~Environment() { had_ ? setenv(name_, old_.c_str(), 1) : unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::string old_;
  bool had_ = false;
};

class Device {
 public:
  Device() {
    REQUIRE_CUDA(cuInit(0));
    REQUIRE_CUDA(cuCtxCreate(&context_, nullptr, 0, 0));
  }
  ~Device() { cuCtxDestroy(context_); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  CUdeviceptr allocate(std::size_t bytes) {
    CUdeviceptr address = 0;
    REQUIRE_CUDA(cuMemAlloc(&address, bytes));
    return address;
  }
  template <class T>
  CUdeviceptr upload(const std::vector<T>& values) {
    const CUdeviceptr address = allocate(values.size() * sizeof(T));
    REQUIRE_CUDA(cuMemcpyHtoD(address, values.data(), values.size() * sizeof(T)));
    return address;
  }
  template <class T>
  std::vector<T> download(CUdeviceptr address, std::size_t count) {
    std::vector<T> values(count);
    REQUIRE_CUDA(cuMemcpyDtoH(values.data(), address, count * sizeof(T)));
    return values;
  }

  /// A kernel of PTX text.
  CUfunction kernel(const std::string& text, const char* name) {
    CUmodule module = nullptr;
    REQUIRE_CUDA(cuModuleLoadData(&module, text.c_str()));
    return function(module, name);
  }
  /// A kernel of tests/ptx/kernels or tests/ptx/wrong.
  CUfunction compiled(const std::string& file, const char* name) {
    CUmodule module = nullptr;
    const std::string path = std::string(HSTU_PTX_KERNELS) + "/" + file + ".fatbin";
    REQUIRE_CUDA(cuModuleLoad(&module, path.c_str()));
    return function(module, name);
  }

  /// Launches and returns what synchronising says.
  template <class... Arguments>
  CUresult launch(CUfunction kernel, std::initializer_list<unsigned> grid, std::initializer_list<unsigned> block,
                  unsigned dynamic_bytes, Arguments... arguments) {
    void* parameters[sizeof...(arguments) + 1] = {&arguments..., nullptr};
    const auto size = [](std::initializer_list<unsigned> n, std::size_t k) { return k < n.size() ? n.begin()[k] : 1u; };
    REQUIRE_CUDA(cuLaunchKernel(kernel, size(grid, 0), size(grid, 1), size(grid, 2), size(block, 0), size(block, 1),
                                size(block, 2), dynamic_bytes, nullptr, parameters, nullptr));
    return cuCtxSynchronize();
  }

 private:
  CUfunction function(CUmodule module, const char* name) {
    CUfunction result = nullptr;
    REQUIRE_CUDA(cuModuleGetFunction(&result, module, name));
    return result;
  }
  CUcontext context_ = nullptr;
};

}  // namespace ptx_test
