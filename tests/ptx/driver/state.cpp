// SPDX-License-Identifier: MIT
#include "state.hpp"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <new>

namespace ptx {

State& state() {
  static State* const instance = new State;  // lives on: programs free memory in destructors of their own
  return *instance;
}

std::vector<Context*>& current_contexts() {
  // Never destroyed: destructors of static objects may still call the driver.
  static auto& all = *new std::deque<std::vector<Context*>>;
  static auto& mutex = *new std::mutex;
  thread_local std::vector<Context*>& own = [&]() -> std::vector<Context*>& {
    const std::lock_guard lock(mutex);
    return all.emplace_back();
  }();
  return own;
}

bool is_context(const Context* context) {
  if (context == &state().primary) return state().primary_users > 0;
  return state().contexts.count(const_cast<Context*>(context)) != 0;
}

void reset(Context& context) {
  Memory& memory = state().machine.memory;
  for (const u64 address : context.device_memory) memory.free(address);
  for (const auto& [address, bytes] : context.host_memory) memory.free(address);
  for (const auto& [handle, module] : context.modules)
    for (const auto& [name, place] : module->module->variables) memory.free(place.first);
  context.device_memory.clear();
  context.host_memory.clear();
  context.modules.clear();
  context.streams.clear();
  context.events.clear();
  context.error = CUDA_SUCCESS;
}

u32 architecture() {
  const char* const text = std::getenv("PTX_ARCH");
  const u32 given = text == nullptr ? 0 : u32(std::strtoul(text, nullptr, 10));
  return given != 0 ? given : 100;
}

CUresult refuse(CUresult result, const char* function, const std::string& reason) {
  const char* name = nullptr;
  cuGetErrorName(result, &name);
  std::fprintf(stderr, "========= PTX machine: %s: %s (%s)\n", function, reason.c_str(), name == nullptr ? "?" : name);
  return result;
}

CUresult with_device(const std::function<CUresult()>& f) {
  const std::lock_guard lock(state().mutex);
  if (!state().initialised) return CUDA_ERROR_NOT_INITIALIZED;
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

CUresult with_context(const std::function<CUresult(Context&)>& f) {
  return with_device([&] {
    if (current_contexts().empty() || current_contexts().back() == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    Context& context = *current_contexts().back();
    if (!is_context(&context)) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return context.error != CUDA_SUCCESS ? context.error : f(context);
  });
}

bool is_stream(const Context& context, CUstream stream) {
  return stream == nullptr || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD ||
         context.streams.count(reinterpret_cast<Stream*>(stream)) != 0;
}

}  // namespace ptx
