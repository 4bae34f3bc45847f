// SPDX-License-Identifier: MIT
// Every check finds a kernel that is wrong on purpose, and is silent about the same kernel without the mistake.
#include "device.hpp"

using namespace ptx_test;

namespace {

struct Planted {
  const char *file, *name, *message;  ///< the message of the report
  CUresult result;
  unsigned blocks, threads;
  int n;
  unsigned dynamic_bytes = 0;
};

constexpr Planted kPlanted[] = {
    {"memory", "bounds", "invalid global read of 4 bytes", CUDA_ERROR_ILLEGAL_ADDRESS, 3, 100, 256},
    {"memory", "before_begin", "4 bytes before the one of 1024 bytes at", CUDA_ERROR_ILLEGAL_ADDRESS, 1, 64, 64},
    {"memory", "misaligned", "misaligned global read of 16 bytes", CUDA_ERROR_MISALIGNED_ADDRESS, 1, 32, 32},
    {"memory", "never_written", "read of 4 bytes of global memory never written", CUDA_ERROR_LAUNCH_FAILED, 1, 257,
     256},
    {"memory", "shared_range", "invalid shared write of 4 bytes at 0x100", CUDA_ERROR_ILLEGAL_ADDRESS, 1, 64, 64, 256},
    {"memory", "stack", "invalid local read", CUDA_ERROR_ILLEGAL_ADDRESS, 1, 32, 64},
    {"shared", "reduce", "race in shared memory: write after a read", CUDA_ERROR_LAUNCH_FAILED, 1, 256, 256},
    {"shared", "between_lanes", "race in shared memory: read after a write", CUDA_ERROR_LAUNCH_FAILED, 1, 32, 5},
    {"shared", "refill", "race in shared memory: write after a read", CUDA_ERROR_LAUNCH_FAILED, 1, 128, 3},
    {"shared", "shift", "race in shared memory: write after a read", CUDA_ERROR_LAUNCH_FAILED, 1, 32, 3},
    {"shared", "never_written", "read of shared memory never written", CUDA_ERROR_LAUNCH_FAILED, 1, 64, 1},
    {"shared", "same_word", "race in shared memory: write after a write", CUDA_ERROR_LAUNCH_FAILED, 1, 64, 1},
    {"shared", "halves", "race in shared memory", CUDA_ERROR_LAUNCH_FAILED, 1, 128, 1000},
    {"shared", "named", "race in shared memory", CUDA_ERROR_LAUNCH_FAILED, 1, 128, 1},
    {"blocks", "neighbour", "race between blocks", CUDA_ERROR_LAUNCH_FAILED, 4, 64, 256},
    {"blocks", "same_place", "race between blocks: writes", CUDA_ERROR_LAUNCH_FAILED, 4, 64, 256},
    {"blocks", "count", "race between blocks: reads", CUDA_ERROR_LAUNCH_FAILED, 4, 64, 256},
    {"blocks", "last_block", "race between blocks: reads", CUDA_ERROR_LAUNCH_FAILED, 4, 64, 256},
    {"blocks", "early_sum", "race between blocks", CUDA_ERROR_LAUNCH_FAILED, 4, 64, 256},
    {"blocks", "half_words", "race between blocks: writes", CUDA_ERROR_LAUNCH_FAILED, 3, 65, 195},
    {"warps", "half_a_warp", "divergent barrier: only the lanes 0xffff of the warp reach it", CUDA_ERROR_LAUNCH_FAILED,
     1, 64, 1},
    {"warps", "two_barriers", "wait for each other at different barriers", CUDA_ERROR_LAUNCH_FAILED, 1, 64, 1},
    {"warps", "whole_warp_skips", "divergent barrier: warp 1 went past it", CUDA_ERROR_LAUNCH_FAILED, 1, 64, 1},
    {"warps", "shuffle_in_branch", "the member mask is 0xffffffff, but only the lanes 0xffff", CUDA_ERROR_LAUNCH_FAILED,
     1, 32, 1},
    {"warps", "idle_lane", "a lane that does not take part", CUDA_ERROR_LAUNCH_FAILED, 1, 32, 1},
    {"warps", "vote_without_itself", "does not hold the lane itself", CUDA_ERROR_LAUNCH_FAILED, 1, 32, 1},
    {"warps", "no_end", "a loop without end", CUDA_ERROR_LAUNCH_TIMEOUT, 1, 32, 1},
    {"warps", "spin", "a loop without end", CUDA_ERROR_LAUNCH_TIMEOUT, 1, 64, 1},
    {"warps", "traps", "trap: the thread executes trap", CUDA_ERROR_LAUNCH_FAILED, 1, 32, 1},
    {"warps", "asserts", "assertion `kRight || n < 0` failed", CUDA_ERROR_ASSERT, 1, 32, 1},
    {"async", "no_wait", "an async copy is still writing", CUDA_ERROR_LAUNCH_FAILED, 1, 64, 1},
    {"async", "wrong_group", "an async copy is still writing", CUDA_ERROR_LAUNCH_FAILED, 1, 64, 1},
    {"async", "no_barrier", "race in shared memory: read after a write", CUDA_ERROR_LAUNCH_FAILED, 1, 64, 1},
    {"async", "left_behind", "never waited for", CUDA_ERROR_LAUNCH_FAILED, 1, 64, 1},
    {"async", "overwritten", "an async copy is still writing", CUDA_ERROR_LAUNCH_FAILED, 1, 64, 1},
    {"async", "matrix_rows", "misaligned shared read of 16 bytes", CUDA_ERROR_MISALIGNED_ADDRESS, 1, 32, 1},
    {"async", "half_product", "all 32 lanes must execute it", CUDA_ERROR_LAUNCH_FAILED, 1, 32, 16}};

/// Runs NAME_right or NAME_wrong on 256 floats (out: 320, the first two zero) and returns what synchronising says.
CUresult run(const Planted& planted, const char* suffix, std::string& report) {
  Device device;
  const Environment budget("PTX_BUDGET", "300000");
  const CUdeviceptr out = device.allocate(320 * 4), in = device.allocate(1024);
  REQUIRE_CUDA(cuMemsetD32(out, 0, 2));
  const std::string name = planted.name;
  const bool small = planted.file == std::string("memory") && (name == "never_written" || name == "misaligned");
  std::vector<float> values(256);
  for (std::size_t k = 0; k < values.size(); ++k) values[k] = float(k % 7) + 1;
  REQUIRE_CUDA(cuMemcpyHtoD(in, values.data(), small && name == "never_written" ? 1020 : 1024));
  const int n = name == "never_written" && small ? 255 : planted.n;
  const unsigned threads = name == "never_written" && small ? 256 : planted.threads;
  StandardError error;
  const CUresult result = device.launch(device.compiled(planted.file, (name + suffix).c_str()), {planted.blocks},
                                        {threads}, planted.dynamic_bytes, out, in, n);
  report = error.text();
  return result;
}

}  // namespace

TEST_CASE("PTX checks: each finds its mistake, and nothing in the right twin", "[ptx][checks][errors]") {
  for (const Planted& planted : kPlanted) {
    INFO(planted.file << ": " << planted.name);
    std::string report;
    CHECK(run(planted, "_right", report) == CUDA_SUCCESS);
    CHECK(report == "");
    const CUresult result = run(planted, "_wrong", report);
    INFO(report);
    CHECK(result == planted.result);
    CHECK(report.find(planted.message) != std::string::npos);
    CHECK(report.find(std::string("at kernel ") + planted.name + "_wrong, PTX line ") != std::string::npos);
  }
}

TEST_CASE("PTX checks: a report names thread, block, instruction and source line", "[ptx][checks][errors]") {
  std::string report;
  REQUIRE(run(kPlanted[0], "_wrong", report) == CUDA_ERROR_ILLEGAL_ADDRESS);
  INFO(report);
  CHECK(report.find("by thread (56,0,0) in block (2,0,0)") != std::string::npos);
  CHECK(report.find("ld.global") != std::string::npos);
  CHECK(report.find("memory.cu:9") != std::string::npos);
  CHECK(report.find("0 bytes behind the end of the one of 1024 bytes") != std::string::npos);
}

TEST_CASE("PTX checks: memory that was freed is known as such", "[ptx][checks][errors]") {
  Device device;
  const CUdeviceptr out = device.allocate(1024), in = device.upload(std::vector<float>(256, 1.f));
  const CUfunction kernel = device.compiled("memory", "bounds_right");
  REQUIRE(device.launch(kernel, {1}, {256}, 0, out, in, 256) == CUDA_SUCCESS);
  REQUIRE_CUDA(cuMemFree(in));
  StandardError error;
  CHECK(device.launch(kernel, {1}, {256}, 0, out, in, 256) == CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(error.text().find("into a freed allocation of 1024 bytes") != std::string::npos);
}

TEST_CASE("PTX checks: an error stays until the context goes", "[ptx][checks][errors]") {
  StandardError error;
  {
    Device device;
    const CUdeviceptr out = device.allocate(16), in = device.upload(std::vector<float>(4, 1.f));
    REQUIRE(device.launch(device.compiled("memory", "bounds_wrong"), {1}, {32}, 0, out, in, 4) ==
            CUDA_ERROR_ILLEGAL_ADDRESS);
    CUdeviceptr more = 0;
    CHECK(cuMemAlloc(&more, 16) == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(cuStreamSynchronize(nullptr) == CUDA_ERROR_ILLEGAL_ADDRESS);
    CHECK(cuMemcpyDtoH(&more, out, 8) == CUDA_ERROR_ILLEGAL_ADDRESS);
  }
  Device device;
  CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
}

TEST_CASE("PTX checks: PTX_CHECK=off leaves only the errors that a GPU would have", "[ptx][checks][errors]") {
  const Environment off("PTX_CHECK", "off");
  std::string report;
  for (const Planted& planted : kPlanted) {
    const std::string kind = planted.message;
    if (kind.find("race") == std::string::npos && kind.find("never written") == std::string::npos) continue;
    INFO(planted.file << ": " << planted.name);
    CHECK(run(planted, "_wrong", report) == CUDA_SUCCESS);
    CHECK(report == "");
  }
  CHECK(run(kPlanted[0], "_wrong", report) == CUDA_ERROR_ILLEGAL_ADDRESS);
}
