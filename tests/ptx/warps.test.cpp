// SPDX-License-Identifier: MIT
// Lanes that exchange values, atomics, barriers and calls, on kernels of nvcc.
#include <algorithm>
#include <numeric>

#include "device.hpp"

using namespace ptx_test;

namespace {

std::vector<int> sequence(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  for (int k = 0; k < n; ++k) v[static_cast<std::size_t>(k)] = (k * 37 + 11) % 101 - 50;
  return v;
}

}  // namespace

TEST_CASE("PTX warps: shuffles in all modes and widths", "[ptx][warp][parity]") {
  Device device;
  const std::vector<int> x = sequence(64);
  const CUdeviceptr in = device.upload(x), out = device.allocate(64 * 8 * 4);
  REQUIRE(device.launch(device.compiled("lanes", "shuffles"), {1}, {64}, 0, out, in) == CUDA_SUCCESS);
  const std::vector<int> got = device.download<int>(out, 64 * 8);
  for (int i = 0; i < 64; ++i) {
    const int lane = i % 32, warp = i - lane;
    const auto at = [&](int l) { return x[static_cast<std::size_t>(warp + l)]; };
    const int in16 = lane % 16, in8 = lane % 8;
    const int expected[8] = {at(lane ^ 5),
                             at(in16 >= 3 ? lane - 3 : lane),
                             at(in8 + 2 < 8 ? lane + 2 : lane),
                             at((lane * 7) % 32),
                             at(lane / 8 * 8 + (lane + 3) % 8),
                             at(0),
                             at(lane ^ 1),
                             in8 + 2 < 8 ? 1 : 0};
    for (int k = 0; k < 8; ++k) {
      INFO("thread " << i << ", result " << k);
      REQUIRE(got[static_cast<std::size_t>(i * 8 + k)] == expected[k]);
    }
  }
}

TEST_CASE("PTX warps: votes, matches, reductions and groups", "[ptx][warp][parity]") {
  Device device;
  const std::vector<int> x = sequence(32);
  const CUdeviceptr in = device.upload(x), out = device.allocate(32 * 12 * 4);
  REQUIRE(device.launch(device.compiled("lanes", "collectives"), {1}, {32}, 0, out, in) == CUDA_SUCCESS);
  const std::vector<unsigned> got = device.download<unsigned>(out, 32 * 12);
  unsigned ballot = 0;
  for (unsigned l = 0; l < 32; ++l) ballot |= unsigned(x[l] > 0) << l;
  for (unsigned l = 0; l < 32; ++l) {
    unsigned same = 0, group_sum = 0, odd_lanes = 0;
    for (unsigned k = 0; k < 32; ++k) {
      same |= unsigned((x[k] & 3) == (x[l] & 3)) << k;
      if (k / 8 == l / 8) group_sum += unsigned(x[k]);
      odd_lanes |= (k & 1) << k;
    }
    const unsigned sum = unsigned(std::accumulate(x.begin(), x.end(), 0));
    unsigned exclusive = 0;
    for (int v : x) exclusive ^= unsigned(v);
    const unsigned expected[12] = {ballot,
                                   ballot != 0,
                                   ballot == ~0u,
                                   same,
                                   sum,
                                   unsigned(*std::max_element(x.begin(), x.end())),
                                   exclusive,
                                   ~0u,
                                   group_sum,
                                   l & 1 ? odd_lanes : 0u,
                                   l & 1 ? 16u : 0u,
                                   unsigned(__builtin_popcount(ballot))};
    for (unsigned k = 0; k < 12; ++k) {
      INFO("lane " << l << ", result " << k);
      REQUIRE(got[l * 12 + k] == expected[k]);
    }
  }
}

TEST_CASE("PTX warps: divergence in loops, switches and early returns comes together again", "[ptx][warp][parity]") {
  Device device;
  const std::vector<int> x = sequence(256);
  const CUdeviceptr in = device.upload(x), out = device.allocate(256 * 4);
  REQUIRE_CUDA(cuMemsetD32(out, 0, 256));
  REQUIRE(device.launch(device.compiled("lanes", "divergence"), {4}, {64}, 0, out, in) == CUDA_SUCCESS);
  const std::vector<int> got = device.download<int>(out, 256);
  for (int i = 0; i < 256; ++i) {
    const int v = x[static_cast<std::size_t>(i)];
    int s = 0;
    if (v % 5 != 4) {
      for (int k = 0; k < (v & 15); ++k) {
        if (k == 9) break;
        if ((k + v) % 3 == 0) continue;
        s += k * v;
      }
      switch (v & 7) {
        case 0:
          s += 1;
          break;
        case 1:
          s *= 2;
          break;
        case 2:
          s -= 3;
          break;
        case 3:
          s ^= 4;
          break;
        case 4:
          s = s * 5 + 1;
          break;
        case 5:
          s += v;
          [[fallthrough]];
        default:
          s -= 7;
      }
    }
    INFO(i);
    REQUIRE(got[static_cast<std::size_t>(i)] == s);
  }
}

TEST_CASE("PTX atomics: every operation on global and shared memory", "[ptx][atomic][parity]") {
  Device device;
  const int blocks = 5, threads = 96, n = blocks * threads;
  const CUdeviceptr out = device.upload(std::vector<int>{0, 0, 1000, -1000, -1, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0}),
                    sums = device.allocate(32);
  REQUIRE_CUDA(cuMemsetD8(sums, 0, 32));
  REQUIRE(device.launch(device.compiled("lanes", "atomics"), {unsigned(blocks)}, {unsigned(threads)}, 0, out, sums) ==
          CUDA_SUCCESS);
  const std::vector<int> got = device.download<int>(out, 16);
  int all_or = 0, all_xor = 0, all_and = -1;
  for (int i = 0; i < n; ++i) all_or |= i, all_xor ^= i, all_and &= i | 0xf00;
  CHECK(got[0] == n * (n - 1) / 2);
  CHECK(got[1] == -n * (n - 1) / 2);
  CHECK(got[2] == 0);
  CHECK(got[3] == n - 1);
  CHECK(got[4] == all_and);
  CHECK(got[5] == all_or);
  CHECK(got[6] == all_xor);
  CHECK((got[7] >= 0 && got[7] < n));                      // of whichever thread came last
  CHECK(got[8] == n % 8);                                  // inc wraps behind 7
  CHECK(got[9] == n);                                      // a loop around compare and swap
  CHECK(got[10] == blocks * threads * (threads - 1) / 2);  // through shared memory
  const std::vector<double> doubles = device.download<double>(sums, 2);
  CHECK(doubles[0] == n * (n - 1) / 4.0);
  const std::vector<float> floats = device.download<float>(sums + 16, 4);
  CHECK(floats[0] == float(n));
  CHECK(floats[1] == 0.5f * float(n));
}

TEST_CASE("PTX barriers: counts, reductions and groups of warps", "[ptx][barrier][parity]") {
  Device device;
  const std::vector<int> x = sequence(128);
  const CUdeviceptr in = device.upload(x), out = device.allocate(128 * 4 * 4);
  REQUIRE(device.launch(device.compiled("lanes", "barriers"), {1}, {128}, 0, out, in) == CUDA_SUCCESS);
  const std::vector<int> got = device.download<int>(out, 512);
  const int positive = int(std::count_if(x.begin(), x.end(), [](int v) { return v > 0; }));
  for (int i = 0; i < 128; ++i) {
    const int other = (i < 64 ? 0 : 64) + (i + 40) % 64;
    REQUIRE(got[static_cast<std::size_t>(i)] == positive);
    REQUIRE(got[static_cast<std::size_t>(128 + i)] == 1);
    REQUIRE(got[static_cast<std::size_t>(256 + i)] == 0);
    REQUIRE(got[static_cast<std::size_t>(384 + i)] == x[static_cast<std::size_t>(other)]);
  }
}

TEST_CASE("PTX barriers: threads that returned early are not waited for", "[ptx][barrier][parity]") {
  Device device;
  const std::vector<int> x = sequence(96);
  const CUdeviceptr in = device.upload(x), out = device.allocate(96 * 4);
  StandardError error;
  for (const int n : {96, 70, 33, 5}) {
    INFO(n);
    REQUIRE(device.launch(device.compiled("lanes", "early_return"), {1}, {96}, 0, out, in, n) == CUDA_SUCCESS);
    const std::vector<int> got = device.download<int>(out, std::size_t(n));
    for (int i = 0; i < n; ++i) {
      const int from = n - 1 - i, last = std::min(n, from + 32);
      const int expected =
          from % 32 == 0 ? std::accumulate(x.begin() + from, x.begin() + last, 0) : x[std::size_t(from)];
      REQUIRE(got[std::size_t(i)] == expected);
    }
  }
  CHECK(error.text() == "");
}

TEST_CASE("PTX calls: functions with structures, recursion, local and constant memory", "[ptx][call][parity]") {
  Device device;
  const std::vector<int> x = sequence(64);
  const CUdeviceptr in = device.upload(x), out = device.allocate(64 * 8);
  struct Shape {
    int a[3];
    double scale;
  } shape{{3, 5, 7}, 0.5};
  REQUIRE(device.launch(device.compiled("lanes", "calls"), {1}, {64}, 0, out, in, shape) == CUDA_SUCCESS);
  const std::vector<double> got = device.download<double>(out, 64);
  for (int i = 0; i < 64; ++i) {
    const int v = x[static_cast<std::size_t>(i)];
    double factorial = 1;
    for (int k = 2; k <= (v & 7); ++k) factorial *= k;
    const int table[4] = {10, -20, 30, -40};
    const double expected =
        factorial + shape.scale * (shape.a[(v & 15) % 3] + table[i & 3]) + (v % 2 == 0 ? i * 2 : i * 3);
    INFO(i);
    REQUIRE(got[static_cast<std::size_t>(i)] == expected);
  }
}

TEST_CASE("PTX blocks: one may wait for another, and fences publish what it wrote", "[ptx][blocks][parity]") {
  Device device;
  const CUdeviceptr state = device.allocate(64 * 8);
  REQUIRE_CUDA(cuMemsetD8(state, 0, 64 * 8));
  const CUdeviceptr in = device.upload(sequence(16 * 32)), out = device.allocate(64 * 4);
  StandardError error;
  // every block waits for the sum of the block that the scheduler starts after it
  REQUIRE(device.launch(device.compiled("lanes", "chain"), {16}, {32}, 0, out, state, in) == CUDA_SUCCESS);
  CHECK(error.text() == "");
  const std::vector<int> got = device.download<int>(out, 64), x = sequence(16 * 32);
  for (std::size_t b = 0; b < 16; ++b)
    REQUIRE(got[b] == std::accumulate(x.begin() + std::ptrdiff_t(32 * b), x.end(), 0));
}

TEST_CASE("PTX blocks: cooperative groups synchronise a whole grid", "[ptx][blocks][parity]") {
  Device device;
  const std::vector<int> x = sequence(12 * 64);
  const CUdeviceptr in = device.upload(x), parts = device.allocate(x.size() * 4), out = device.allocate(x.size() * 4);
  void* parameters[] = {const_cast<CUdeviceptr*>(&out), const_cast<CUdeviceptr*>(&parts),
                        const_cast<CUdeviceptr*>(&in)};
  StandardError error;
  REQUIRE_CUDA(
      cuLaunchCooperativeKernel(device.compiled("lanes", "whole_grid"), 12, 1, 1, 64, 1, 1, 0, nullptr, parameters));
  REQUIRE_CUDA(cuCtxSynchronize());
  CHECK(error.text() == "");
  const std::vector<int> got = device.download<int>(out, x.size());
  for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(got[i] == 3 * x[x.size() - 1 - i]);
}

TEST_CASE("PTX memory: vector accesses, generic addresses, copies in the background", "[ptx][memory][parity]") {
  Device device;
  std::vector<float> x(512);
  std::iota(x.begin(), x.end(), 1.f);
  const CUdeviceptr in = device.upload(x), out = device.allocate(512 * 4);
  REQUIRE(device.launch(device.compiled("lanes", "vectors"), {1}, {128}, 2048, out, in) == CUDA_SUCCESS);
  const std::vector<float> got = device.download<float>(out, 512);
  for (std::size_t i = 0; i < 128; ++i) {
    const std::size_t other = 127 - i;
    REQUIRE(got[4 * i] == x[4 * other]);
    REQUIRE(got[4 * i + 1] == x[4 * other + 3] + x[2 * i]);
    REQUIRE(got[4 * i + 2] == (i < 100 ? x[i] : 0));        // cp.async that reads nothing writes zeros
    REQUIRE(got[4 * i + 3] == x[i % 64] + x[64 + i % 64]);  // pointers into different spaces
  }
}

TEST_CASE("PTX printf: writes what the host's would", "[ptx][call][parity]") {
  Device device;
  std::fflush(stdout);
  std::FILE* const file = std::tmpfile();
  const int before = dup(1);
  dup2(fileno(file), 1);
  const CUresult result = device.launch(device.compiled("lanes", "prints"), {1}, {2}, 0, 7);
  std::fflush(stdout);
  dup2(before, 1);
  close(before);
  std::rewind(file);
  char text[512] = {};
  const std::size_t n = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  REQUIRE(result == CUDA_SUCCESS);
  CHECK(std::string(text, n) ==
        "thread 0 of 7: 0.50, text, -1099511627776, 100%\nthread 1 of 7: 1.50, text, -1099511627776, 100%\n");
}
