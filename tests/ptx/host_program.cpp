// SPDX-License-Identifier: MIT
// A program that knows nothing of the PTX machine: plain driver API, linked with the toolkit's stub of libcuda.  The
// same executable runs on a GPU.
#include <cuda.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define CHECK(call)                                                              \
  do {                                                                           \
    const CUresult result_ = (call);                                             \
    if (result_ != CUDA_SUCCESS) {                                               \
      const char* name_ = nullptr;                                               \
      cuGetErrorName(result_, &name_);                                           \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, name_); \
      std::exit(1);                                                              \
    }                                                                            \
  } while (0)

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  CHECK(cuInit(0));
  int devices = 0, version = 0, multiprocessors = 0;
  CHECK(cuDeviceGetCount(&devices));
  CHECK(cuDriverGetVersion(&version));
  if (devices == 0) return 3;
  CUdevice device;
  char name[128];
  size_t memory = 0;
  CHECK(cuDeviceGet(&device, 0));
  CHECK(cuDeviceGetName(name, sizeof name, device));
  CHECK(cuDeviceTotalMem(&memory, device));
  CHECK(cuDeviceGetAttribute(&multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device));
  std::printf("%s, %d multiprocessors, %zu MB, driver %d\n", name, multiprocessors, memory >> 20, version);

  CUcontext context;
  CHECK(cuCtxCreate(&context, nullptr, 0, device));
  CUlibrary library;
  CUkernel kernel;
  CUfunction function;
  CHECK(cuLibraryLoadFromFile(&library, argv[1], nullptr, nullptr, 0, nullptr, nullptr, 0));
  CHECK(cuLibraryGetKernel(&kernel, library, "functions_f32"));
  CHECK(cuKernelGetFunction(&function, kernel));

  CUstream stream;
  CUevent start, stop;
  CHECK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  CHECK(cuEventCreate(&start, CU_EVENT_DEFAULT));
  CHECK(cuEventCreate(&stop, CU_EVENT_DEFAULT));
  const unsigned n = 1024;
  std::vector<float> x(n), y(n);
  for (unsigned k = 0; k < n; ++k) x[k] = 0.01f * float(k);
  CUdeviceptr in, out;
  CHECK(cuMemAllocAsync(&in, n * sizeof(float), stream));
  CHECK(cuMemAlloc(&out, n * sizeof(float)));
  CHECK(cuMemcpyHtoDAsync(in, x.data(), n * sizeof(float), stream));
  CHECK(cuEventRecord(start, stream));
  int which = 3;  // expf
  void* parameters[] = {&out, &in, &which};
  CUlaunchConfig config = {};
  config.gridDimX = n / 256;
  config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = 256;
  config.blockDimY = config.blockDimZ = 1;
  config.hStream = stream;
  CHECK(cuLaunchKernelEx(&config, function, parameters, nullptr));
  CHECK(cuEventRecord(stop, stream));
  CHECK(cuMemcpyDtoHAsync(y.data(), out, n * sizeof(float), stream));
  CHECK(cuStreamSynchronize(stream));
  float milliseconds = -1;
  CHECK(cuEventElapsedTime(&milliseconds, start, stop));
  double worst = 0;
  for (unsigned k = 0; k < n; ++k) worst = std::fmax(worst, std::fabs(y[k] / std::exp(double(x[k])) - 1));
  std::printf("expf of %u numbers: worst relative error %.2g, %s\n", n, worst, milliseconds >= 0 ? "timed" : "no time");
  CHECK(cuMemFreeAsync(in, stream));
  CHECK(cuMemFree(out));
  CHECK(cuEventDestroy(start));
  CHECK(cuEventDestroy(stop));
  CHECK(cuStreamDestroy(stream));
  CHECK(cuLibraryUnload(library));
  CHECK(cuCtxDestroy(context));
  return worst < 1e-6 ? 0 : 1;
}
