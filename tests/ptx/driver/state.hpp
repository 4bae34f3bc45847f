// SPDX-License-Identifier: MIT
// What the stand-in driver knows: one device, contexts with what they own, and the first error of each.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "../machine/machine.hpp"
#include "cuda_api.hpp"

namespace ptx {

struct LoadedModule;

struct Kernel {
  LoadedModule* module = nullptr;
  const Code* code = nullptr;
  u32 max_dynamic_bytes = 48 * 1024;  ///< what a launch may ask for; cuFuncSetAttribute raises it
};

struct LoadedModule {
  std::unique_ptr<Module> module;
  std::map<std::string, Kernel> kernels;
};

struct Stream {
  unsigned flags = 0;
  int priority = 0;
};

struct Event {
  unsigned flags = 0;
  bool recorded = false;
  std::chrono::steady_clock::time_point when;
};

struct Context {
  unsigned flags = 0;
  CUresult error = CUDA_SUCCESS;  ///< stays until the context is destroyed or reset
  std::set<u64> device_memory;
  std::map<u64, std::unique_ptr<u8, FreeBytes>> host_memory;
  std::map<LoadedModule*, std::unique_ptr<LoadedModule>> modules;
  std::map<Stream*, std::unique_ptr<Stream>> streams;
  std::map<Event*, std::unique_ptr<Event>> events;
};

struct State {
  std::recursive_mutex mutex;
  bool initialised = false;
  Machine machine;
  Context primary;
  u32 primary_users = 0;
  std::map<Context*, std::unique_ptr<Context>> contexts;
  u64 modules_loaded = 0;
};

State& state();
/// The calling thread's stack of contexts; the last one is current.
std::vector<Context*>& current_contexts();
/// Frees all that the context owns and forgets its error.
void reset(Context& context);
bool is_context(const Context* context);

/// Compute capability, from PTX_ARCH: 80 is 8.0, 100 (the default) is 10.0.
u32 architecture();

/// A call that was wrong, with the reason on standard error.
CUresult refuse(CUresult result, const char* function, const std::string& reason);

/// Runs f under the lock: needs cuInit, and turns exceptions into results.
CUresult with_device(const std::function<CUresult()>& f);
/// As with_device; needs a current context without an error.
CUresult with_context(const std::function<CUresult(Context&)>& f);

/// False for a handle that this driver did not make.
bool is_stream(const Context& context, CUstream stream);

/// PTX text of an image: text itself, or the best entry of a fat binary for the architecture.  Throws Error.
std::string ptx_of_image(const void* image);

/// Appends the launch to PTX_REPORT as a line of JSON, if that is set.
void report_launch(const Kernel& kernel, const Machine::Request& request, const Counters& counters);
bool reports_launches();

}  // namespace ptx
