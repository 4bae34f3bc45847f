// SPDX-License-Identifier: MIT
// Launches and occupancy.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "state.hpp"

using namespace ptx;

namespace {

CUresult result_of(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return CUDA_SUCCESS;
    case Fault::kIllegalAddress:
      return CUDA_ERROR_ILLEGAL_ADDRESS;
    case Fault::kMisaligned:
      return CUDA_ERROR_MISALIGNED_ADDRESS;
    case Fault::kAssert:
      return CUDA_ERROR_ASSERT;
    case Fault::kLivelock:
      return CUDA_ERROR_LAUNCH_TIMEOUT;
    default:
      return CUDA_ERROR_LAUNCH_FAILED;
  }
}

struct Shape {
  std::array<u32, 3> grid{}, block{};
  u32 dynamic_bytes = 0;
};

/// What is wrong with the shape, empty if nothing.
std::string complaint(const Kernel& kernel, const Shape& s) {
  const Code& code = *kernel.code;
  const u64 threads = u64{s.block[0]} * s.block[1] * s.block[2];
  for (u32 k = 0; k < 3; ++k)
    if (s.grid[k] == 0 || s.block[k] == 0) return "a grid or block of size zero";
  if (threads > 1024 || s.block[2] > 64) return cat("a block of ", threads, " threads: at most 1024, and 64 in z");
  if (code.max_threads != 0 && threads > code.max_threads)
    return cat("a block of ", threads, " threads: the kernel's launch bounds allow ", code.max_threads);
  if (code.required_threads[0] != 0 && code.required_threads != s.block)
    return "the block is not the one that the kernel requires";
  if (s.grid[0] > 0x7fffffff || s.grid[1] > 65535 || s.grid[2] > 65535 ||
      u64{s.grid[0]} * s.grid[1] * s.grid[2] > 0xffffffff)
    return "the grid is too large";
  if (s.dynamic_bytes > kernel.max_dynamic_bytes)
    return cat(s.dynamic_bytes, " bytes of dynamic shared memory: the kernel may have ", kernel.max_dynamic_bytes,
               " (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)");
  int most = 0;
  cuDeviceGetAttribute(&most, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0);
  if (u64{code.shared_bytes} + s.dynamic_bytes > u64(most))
    return cat(code.shared_bytes, " bytes of static and ", s.dynamic_bytes, " of dynamic shared memory: a block has ",
               most);
  return "";
}

/// The block of parameters; false if the caller gave none.
bool gather(const Code& code, void** parameters, void** extra, std::vector<u8>& into) {
  into.assign(round_up(code.parameter_bytes, 16) + 64, 0);
  if (parameters != nullptr) {
    for (std::size_t k = 0; k < code.parameters.size(); ++k) {
      if (parameters[k] == nullptr) return false;
      std::memcpy(&into[code.parameters[k].to], parameters[k], code.parameters[k].bytes);
    }
    return true;
  }
  const void* buffer = nullptr;
  size_t size = 0;
  for (; extra != nullptr && extra[0] != CU_LAUNCH_PARAM_END; extra += 2) {
    if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER)
      buffer = extra[1];
    else if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE)
      size = *static_cast<const size_t*>(extra[1]);
    else
      return false;
  }
  if (code.parameter_bytes == 0) return true;
  if (buffer == nullptr || size < code.parameter_bytes || size > round_up(code.parameter_bytes, 16)) return false;
  std::memcpy(into.data(), buffer, code.parameter_bytes);
  return true;
}

CUresult launch(const char* function, CUfunction handle, const Shape& shape, CUstream stream, void** parameters,
                void** extra) {
  return with_context([&](Context& context) {
    Kernel* kernel = nullptr;
    for (auto& [address, module] : context.modules)
      for (auto& [name, candidate] : module->kernels)
        if (static_cast<void*>(&candidate) == static_cast<void*>(handle)) kernel = &candidate;
    if (kernel == nullptr) return refuse(CUDA_ERROR_INVALID_HANDLE, function, "no such kernel");
    if (!is_stream(context, stream)) return refuse(CUDA_ERROR_INVALID_HANDLE, function, "no such stream");
    const std::string wrong = complaint(*kernel, shape);
    if (!wrong.empty()) return refuse(CUDA_ERROR_INVALID_VALUE, function, cat(kernel->code->name, ": ", wrong));
    Machine::Request request;
    request.module = kernel->module->module.get();
    request.code = kernel->code;
    request.grid = shape.grid;
    request.block = shape.block;
    request.dynamic_bytes = shape.dynamic_bytes;
    const char* const check = std::getenv("PTX_CHECK");
    request.check = check == nullptr || std::string_view(check) != "off";
    request.count = reports_launches();
    if (!gather(*kernel->code, parameters, extra, request.parameters))
      return refuse(CUDA_ERROR_INVALID_VALUE, function, cat(kernel->code->name, ": parameters are missing"));
    const Machine::Result result = state().machine.run(request);
    report_launch(*kernel, request, result.counters);
    context.error = result_of(result.faults.first);
    return CUDA_SUCCESS;  // as on a GPU, what went wrong is told later
  });
}

CUresult occupancy(int* blocks, CUfunction function, int threads, size_t dynamic_bytes) {
  if (blocks == nullptr || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
  int shared = 0, most = 0;
  const CUresult result = cuFuncGetAttribute(&shared, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function);
  if (result != CUDA_SUCCESS) return result;
  cuDeviceGetAttribute(&most, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 0);
  const u64 bytes = u64(shared) + dynamic_bytes + 1024;
  *blocks =
      threads > 1024 ? 0 : int(std::min({u64{32}, u64{2048} / round_up(u64(threads), kLanes), u64(most) / bytes}));
  return CUDA_SUCCESS;
}

CUresult largest_block(int* grid, int* block, CUfunction function, CUoccupancyB2DSize size_of, size_t dynamic_bytes,
                       int limit) {
  if (grid == nullptr || block == nullptr) return CUDA_ERROR_INVALID_VALUE;
  int most = 0, multiprocessors = 0, best = 0;
  CUresult result = cuFuncGetAttribute(&most, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, function);
  if (result != CUDA_SUCCESS) return result;
  cuDeviceGetAttribute(&multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0);
  if (limit > 0) most = std::min(most, limit);
  for (int threads = most / 32 * 32; threads > 0; threads -= 32) {
    int blocks = 0;
    result = occupancy(&blocks, function, threads, size_of != nullptr ? size_of(threads) : dynamic_bytes);
    if (result != CUDA_SUCCESS) return result;
    if (blocks * threads <= best) continue;
    best = blocks * threads;
    *block = threads;
    *grid = blocks * multiprocessors;
  }
  return best > 0 ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
}

}  // namespace

extern "C" {

CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                        unsigned bz, unsigned dynamic_bytes, CUstream stream, void** parameters, void** extra) {
  return launch("cuLaunchKernel", function, {{gx, gy, gz}, {bx, by, bz}, dynamic_bytes}, stream, parameters, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                   unsigned bz, unsigned dynamic_bytes, CUstream stream, void** parameters) {
  if (u64{gx} * gy * gz > 256)
    return refuse(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "cuLaunchCooperativeKernel", "at most 256 blocks");
  return launch("cuLaunchCooperativeKernel", function, {{gx, gy, gz}, {bx, by, bz}, dynamic_bytes}, stream, parameters,
                nullptr);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* c, CUfunction function, void** parameters, void** extra) {
  if (c == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned k = 0; k < c->numAttrs; ++k)
    if (c->attrs[k].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION &&
        c->attrs[k].value.clusterDim.x * c->attrs[k].value.clusterDim.y * c->attrs[k].value.clusterDim.z > 1)
      return refuse(CUDA_ERROR_NOT_SUPPORTED, "cuLaunchKernelEx", "clusters of blocks are not supported");
  return launch(
      "cuLaunchKernelEx", function,
      {{c->gridDimX, c->gridDimY, c->gridDimZ}, {c->blockDimX, c->blockDimY, c->blockDimZ}, c->sharedMemBytes},
      c->hStream, parameters, extra);
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn f, void* data) {
  const CUresult result = with_context([&](Context& context) {
    if (f == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return is_stream(context, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
  if (result == CUDA_SUCCESS) f(data);
  return result;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int threads,
                                                     size_t dynamic_bytes) {
  return occupancy(blocks, function, threads, dynamic_bytes);
}
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function, int threads,
                                                              size_t dynamic_bytes, unsigned) {
  return occupancy(blocks, function, threads, dynamic_bytes);
}
CUresult cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction function, CUoccupancyB2DSize size_of,
                                          size_t dynamic_bytes, int limit) {
  return largest_block(grid, block, function, size_of, dynamic_bytes, limit);
}
CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* block, CUfunction function,
                                                   CUoccupancyB2DSize size_of, size_t dynamic_bytes, int limit,
                                                   unsigned) {
  return largest_block(grid, block, function, size_of, dynamic_bytes, limit);
}

}  // extern "C"
