// SPDX-License-Identifier: MIT
// The stand-in driver: modules and their errors, memory, launches, streams, events, reports.
#include <algorithm>
#include <numeric>

#include "device.hpp"

using namespace ptx_test;

namespace {

const char* const kScale = R"(.version 8.7
.target sm_80
.address_size 64
.visible .global .align 4 .f32 factor = 0f40000000;
.const .align 2 .b16 offsets[4] = {1, 2, 0xFFFF, -4};
.visible .global .align 8 .u64 pointer = factor;
.visible .entry scale(.param .u64 p, .param .u32 n) {
  .reg .pred %p<2>; .reg .b32 %r<6>; .reg .f32 %f<4>; .reg .b64 %rd<6>; .reg .b16 %h<2>;
  ld.param.u64 %rd1, [p];
  ld.param.u32 %r1, [n];
  mad.lo.u32 %r2, %ctaid.x, %ntid.x, %tid.x;
  setp.ge.u32 %p1, %r2, %r1;
  @%p1 bra DONE;
  mul.wide.u32 %rd2, %r2, 4;
  add.s64 %rd3, %rd1, %rd2;
  ld.global.f32 %f1, [%rd3];
  ld.global.u64 %rd4, [pointer];
  ld.global.f32 %f2, [%rd4];
  ld.const.s16 %r3, [offsets+4];
  cvt.rn.f32.s32 %f3, %r3;
  fma.rn.f32 %f1, %f1, %f2, %f3;
  st.global.f32 [%rd3], %f1;
DONE:
  ret;
}
)";

}  // namespace

TEST_CASE("PTX driver: modules have kernels and variables with initial values", "[ptx][driver][parity]") {
  Device device;
  CUmodule module = nullptr;
  REQUIRE_CUDA(cuModuleLoadData(&module, kScale));
  CUfunction kernel = nullptr;
  REQUIRE_CUDA(cuModuleGetFunction(&kernel, module, "scale"));
  CUdeviceptr factor = 0;
  size_t bytes = 0;
  REQUIRE_CUDA(cuModuleGetGlobal(&factor, &bytes, module, "factor"));
  CHECK(bytes == 4);
  const CUdeviceptr data = device.upload(std::vector<float>{1, 2, 3, 4, 5});
  REQUIRE(device.launch(kernel, {1}, {32}, 0, data, 5u) == CUDA_SUCCESS);
  CHECK(device.download<float>(data, 5) == std::vector<float>{1, 3, 5, 7, 9});
  const float ten = 10;
  REQUIRE_CUDA(cuMemcpyHtoD(factor, &ten, 4));
  REQUIRE(device.launch(kernel, {1}, {32}, 0, data, 1u) == CUDA_SUCCESS);
  CHECK(device.download<float>(data, 2) == std::vector<float>{9, 3});
  int value = 0;
  REQUIRE_CUDA(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel));
  CHECK(value == 1024);
  REQUIRE_CUDA(cuModuleUnload(module));
  StandardError error;
  CHECK(cuModuleGetFunction(&kernel, module, "scale") == CUDA_ERROR_INVALID_HANDLE);
}

TEST_CASE("PTX driver: what it does not know is an error that names the place", "[ptx][driver][errors]") {
  Device device;
  const std::string head =
      ".version 8.7\n.target sm_80\n.address_size 64\n.visible .entry broken() {\n.reg .b32 %r<9>;\n.reg .b64 "
      "%rd<9>;\n";
  const std::pair<std::string, std::string> cases[] = {
      {"frobnicate.u32 %r1, %r2;", "kernel broken, line 7: unsupported instruction: frobnicate.u32 %r1, %r2;"},
      {"add.wobbly.u32 %r1, %r2, %r3;", "modifier .wobbly"},
      {"add.u32 %r1, %r2;", "expected 3 operands"},
      {"add.u32 %r1, %r2, %r99;", "register %r99"},
      {"add.u32 %r1, %rd2, %r3;", "wrong size"},
      {"bra NOWHERE;", "there is no label 'NOWHERE'"},
      {"ld.global.u32 %r1, [nothing];", "'nothing' is not declared"},
      {"mov.u32 %r1, %notaregister;", "register %notaregister"},
      {"add.u32 %r1, %r2, %r3", "expected ',' or ';'"},
      {"wgmma.fence.sync.aligned;", "unsupported instruction"}};
  for (const auto& [line, message] : cases) {
    INFO(line);
    CUmodule module = nullptr;
    StandardError error;
    CHECK(cuModuleLoadData(&module, (head + line + "\nret;\n}\n").c_str()) == CUDA_ERROR_INVALID_PTX);
    const std::string text = error.text();
    INFO(text);
    CHECK(text.find(message) != std::string::npos);
  }
  char log[300] = {};
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  CUmodule module = nullptr;
  StandardError error;
  CHECK(cuModuleLoadDataEx(&module, (head + cases[0].first + "\nret;\n}\n").c_str(), 2, options, values) ==
        CUDA_ERROR_INVALID_PTX);
  CHECK(std::string(log).find(cases[0].second) != std::string::npos);
  CHECK(cuModuleLoadData(&module, "no PTX at all") == CUDA_ERROR_INVALID_PTX);
  CHECK(cuModuleLoadData(&module, "") == CUDA_ERROR_INVALID_PTX);
  CHECK(cuModuleLoad(&module, "/nowhere.ptx") == CUDA_ERROR_FILE_NOT_FOUND);
  CHECK(cuModuleLoadData(&module,
                         "\x7f"
                         "ELF cubin") == CUDA_ERROR_INVALID_IMAGE);
}

TEST_CASE("PTX driver: damaged text never crashes it", "[ptx][driver][errors]") {
  Device device;
  const std::string good = kScale;
  StandardError error;
  int loaded = 0;
  for (std::size_t k = 0; k < good.size(); k += 3) {
    CUmodule module = nullptr;
    loaded += cuModuleLoadData(&module, good.substr(0, k).c_str()) == CUDA_SUCCESS;
    std::string changed = good;
    changed[k] = "};{[,x9%"[k % 8];
    cuModuleLoadData(&module, changed.c_str());
  }
  CHECK(loaded <= 60);  // what is cut off before the kernel begins is a module without kernels
}

TEST_CASE("PTX driver: PTX_ARCH picks the text of a fat binary", "[ptx][driver][parity]") {
  for (const int architecture : {80, 100}) {
    const Environment arch("PTX_ARCH", std::to_string(architecture).c_str());
    Device device;
    int major = 0;
    REQUIRE_CUDA(cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0));
    CHECK(major == architecture / 10);
    const CUdeviceptr out = device.allocate(4);
    REQUIRE(device.launch(device.compiled("math", "architecture"), {1}, {1}, 0, out) == CUDA_SUCCESS);
    CHECK(device.download<int>(out, 1)[0] == architecture * 10);
  }
  const Environment old("PTX_ARCH", "75");
  Device device;
  CUmodule module = nullptr;
  StandardError error;
  CHECK(cuModuleLoad(&module, (std::string(HSTU_PTX_KERNELS) + "/math.fatbin").c_str()) ==
        CUDA_ERROR_NO_BINARY_FOR_GPU);
  CHECK(cuModuleLoadData(&module, kScale) == CUDA_ERROR_INVALID_PTX);
  CHECK(error.text().find("80, 100") != std::string::npos);
}

TEST_CASE("PTX driver: fat binaries may be compressed, and damaged ones are refused", "[ptx][driver][parity]") {
  for (const char* const mode : {"size", "speed"}) {
    INFO(mode);
    Device device;
    const CUdeviceptr out = device.upload(std::vector<float>{0}), in = device.upload(std::vector<float>(256, 1.f));
    REQUIRE(device.launch(device.compiled(std::string("compressed_") + mode, "count_right"), {4}, {64}, 0, out, in,
                          256) == CUDA_SUCCESS);
    CHECK(device.download<float>(out, 1)[0] == 4);
    std::ifstream file(std::string(HSTU_PTX_KERNELS) + "/compressed_" + mode + ".fatbin", std::ios::binary);
    const std::string good((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    REQUIRE(good.size() > 200);
    StandardError error;
    for (std::size_t k = 16; k < good.size(); k += k < 110 ? 1 : 97) {
      std::string bad = good;
      bad[k] = char(bad[k] ^ 0x55);
      CUmodule module = nullptr;
      cuModuleLoadData(&module, bad.data());  // any result, but no crash
    }
  }
}

TEST_CASE("PTX driver: copies and fills, and their limits", "[ptx][driver][parity]") {
  Device device;
  const CUdeviceptr a = device.allocate(64), b = device.allocate(64);
  REQUIRE_CUDA(cuMemsetD32(a, 0x01020304, 16));
  REQUIRE_CUDA(cuMemsetD16(a + 4, 0xabcd, 2));
  REQUIRE_CUDA(cuMemsetD8(a + 8, 0x7f, 3));
  REQUIRE_CUDA(cuMemcpyDtoD(b, a, 64));
  const std::vector<unsigned> got = device.download<unsigned>(b, 4);
  CHECK(got == std::vector<unsigned>{0x01020304, 0xabcdabcd, 0x017f7f7f, 0x01020304});
  unsigned host[4] = {1, 2, 3, 4};
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = host;
  copy.srcPitch = 8;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = b;
  copy.dstPitch = 16;
  copy.WidthInBytes = 8;
  copy.Height = 2;
  REQUIRE_CUDA(cuMemcpy2D(&copy));
  CHECK(device.download<unsigned>(b + 16, 2) == std::vector<unsigned>{3, 4});
  CUmemoryPool pool = nullptr;
  CUdeviceptr pooled = 0;
  REQUIRE_CUDA(cuDeviceGetDefaultMemPool(&pool, 0));
  REQUIRE_CUDA(cuMemAllocFromPoolAsync(&pooled, 64, pool, nullptr));
  REQUIRE_CUDA(cuMemcpyDtoDAsync(pooled, a, 64, nullptr));
  REQUIRE_CUDA(cuMemFreeAsync(pooled, nullptr));
  CUdeviceptr managed = 0;
  REQUIRE_CUDA(cuMemAllocManaged(&managed, 64, CU_MEM_ATTACH_GLOBAL));
  REQUIRE_CUDA(cuMemcpy(managed, a, 64));
  CHECK(*reinterpret_cast<unsigned*>(managed) == 0x01020304);  // the host reads it at the same address
  REQUIRE_CUDA(cuMemFree(managed));
  void* pinned = nullptr;
  REQUIRE_CUDA(cuMemAllocHost(&pinned, 64));
  REQUIRE_CUDA(cuMemcpyDtoHAsync(pinned, b, 64, nullptr));
  CHECK(static_cast<unsigned*>(pinned)[1] == 2);
  REQUIRE_CUDA(cuMemFreeHost(pinned));
  CUdeviceptr base = 0;
  size_t size = 0;
  REQUIRE_CUDA(cuMemGetAddressRange(&base, &size, a + 17));
  CHECK((base == a && size == 64));
  StandardError error;
  CHECK(cuMemcpyHtoD(a + 60, host, 8) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpyDtoH(host, a - 4, 4) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemcpyHtoD(a, reinterpret_cast<void*>(b), 4) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemsetD8(a, 0, 65) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFree(a + 4) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE_CUDA(cuMemFree(a));
  CHECK(cuMemFree(a) == CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr huge = 0;
  CHECK(cuMemAlloc(&huge, size_t(1) << 45) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(cuMemAlloc(&huge, 0) == CUDA_ERROR_INVALID_VALUE);
}

TEST_CASE("PTX driver: launches that a GPU would refuse are refused", "[ptx][driver][errors]") {
  Device device;
  const CUfunction kernel = device.kernel(kScale, "scale");
  CUdeviceptr data = device.allocate(16);
  unsigned n = 4;
  void* parameters[] = {&data, &n};
  StandardError error;
  const auto launch = [&](unsigned grid, unsigned block, unsigned dynamic) {
    return cuLaunchKernel(kernel, grid, 1, 1, block, 1, 1, dynamic, nullptr, parameters, nullptr);
  };
  CHECK(launch(0, 32, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(launch(1, 1025, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(launch(1, 32, 49153) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuFuncSetAttribute(kernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 300000) ==
        CUDA_ERROR_INVALID_VALUE);
  REQUIRE_CUDA(cuFuncSetAttribute(kernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100000));
  REQUIRE_CUDA(cuMemsetD32(data, 0, 4));
  CHECK(launch(1, 32, 100000) == CUDA_SUCCESS);
  struct {
    CUdeviceptr p;
    unsigned n;
  } block{data, 4};
  size_t size = 12;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &block, CU_LAUNCH_PARAM_BUFFER_SIZE, &size, CU_LAUNCH_PARAM_END};
  CHECK(cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, extra) == CUDA_SUCCESS);
  CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
  int blocks = 0;
  REQUIRE_CUDA(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, 256, 0));
  CHECK(blocks == 8);
}

TEST_CASE("PTX driver: functions by name, contexts, errors", "[ptx][driver][parity]") {
  void* function = nullptr;
  CUdriverProcAddressQueryResult status{};
  REQUIRE_CUDA(cuGetProcAddress("cuMemAlloc", &function, CUDA_VERSION, 0, &status));
  CHECK(function == reinterpret_cast<void*>(&cuMemAlloc));
  CHECK(cuGetProcAddress("cuNoSuchThing", &function, CUDA_VERSION, 0, &status) == CUDA_ERROR_NOT_FOUND);
  CHECK(status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
  const char* text = nullptr;
  REQUIRE_CUDA(cuGetErrorName(CUDA_ERROR_MISALIGNED_ADDRESS, &text));
  CHECK(text == std::string("CUDA_ERROR_MISALIGNED_ADDRESS"));
  REQUIRE_CUDA(cuInit(0));
  CUdeviceptr address = 0;
  CHECK(cuMemAlloc(&address, 4) == CUDA_ERROR_INVALID_CONTEXT);
  CUcontext context = nullptr, current = nullptr;
  REQUIRE_CUDA(cuDevicePrimaryCtxRetain(&context, 0));
  REQUIRE_CUDA(cuCtxSetCurrent(context));
  REQUIRE_CUDA(cuCtxGetCurrent(&current));
  CHECK(current == context);
  REQUIRE_CUDA(cuMemAlloc(&address, 4));
  REQUIRE_CUDA(cuDevicePrimaryCtxRelease(0));
  CHECK(cuMemAlloc(&address, 4) == CUDA_ERROR_CONTEXT_IS_DESTROYED);
  REQUIRE_CUDA(cuCtxSetCurrent(nullptr));
}

TEST_CASE("PTX driver: counters tell of coalescing, bank conflicts and atomics", "[ptx][driver][parity]") {
  Device device;
  const std::string path = std::string(HSTU_PTX_KERNELS) + "/traffic.jsonl";
  std::remove(path.c_str());
  const Environment report("PTX_REPORT", path.c_str());
  const CUdeviceptr data = device.upload(std::vector<float>(4096, 1.f)), out = device.allocate(8);
  REQUIRE_CUDA(cuMemsetD8(out, 0, 8));
  const CUfunction kernel = device.compiled("math", "traffic");
  for (const int stride : {1, 2, 8, 32})
    REQUIRE(device.launch(kernel, {1}, {32}, 0, out, data, stride) == CUDA_SUCCESS);
  std::ifstream in(path);
  const auto field = [](const std::string& line, const std::string& name) {
    const std::size_t at = line.find("\"" + name + "\": ");
    return at == std::string::npos ? -1 : std::atoi(line.c_str() + at + name.size() + 4);
  };
  const int sectors[] = {4, 8, 32, 32}, waves[] = {1, 2, 8, 32};
  for (int k = 0; k < 4; ++k) {
    std::string line;
    REQUIRE(std::getline(in, line));
    INFO(line);
    CHECK(field(line, "global_sectors") == sectors[k] + 1);  // and the atomic's
    CHECK(field(line, "global_sectors_ideal") == 5);
    CHECK(field(line, "shared_wavefronts") == 2 * waves[k]);
    CHECK(field(line, "shared_wavefronts_ideal") == 2);
    CHECK(field(line, "atomics") == 32);
    CHECK(field(line, "barriers") == 1);
    CHECK(field(line, "divergent_branches") == 0);
  }
}
