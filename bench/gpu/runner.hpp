// SPDX-License-Identifier: MIT
// Runs kernels of a known size and says how fast they were, or what they had to do.
#pragma once
#include <chrono>
#include <fstream>
#include <hstu/core/random.hpp>
#include <hstu/cuda/buffer.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

namespace hstu::bench {

using cuda::Buffer, cuda::Device;

/// One launch: the kernel without the suffix that its size chooses, the bytes that must move if nothing is moved twice
/// (what a block reads again by design is counted again), and the products on tensor cores that its pairs need.
struct Work {
  std::string kernel;
  std::int64_t bytes = 0;
  std::int64_t flops = 0;
};

/// Kernels launched in this order by one call.
struct Job {
  std::string name, size;
  std::vector<Work> kernels;
  double flops = 0.0;  ///< for TFLOP/s; 0: GB/s of the kernels' bytes
};

class Runner {
 public:
  /// is_once: a single run of each job, no times; then `work` (if it is no empty path) receives a line of JSON for
  /// each kernel.
  Runner(Device& device, bool is_once, const std::string& work) : device_(device), is_once_(is_once) {
    if (!work.empty()) work_.open(work);
    check<DataError>(work.empty() || work_.is_open(), "bench_gpu_kernels: cannot write ", work);
    std::cout << "| kernel | size | " << device.name() << " |\n| --- | --- | --- |\n";
  }

  Device& device() const { return device_; }
  bool is_once() const { return is_once_; }

  template <class Call>
  void run(const Job& job, const Call& call) {
    std::cout << "| " << job.name << " | " << job.size << " | ";
    const double seconds = seconds_of(call);
    std::int64_t bytes = 0;
    for (const Work& w : job.kernels) {
      bytes += w.bytes;
      if (work_.is_open()) {
        work_ << nlohmann::json{{"kernel", w.kernel}, {"size", job.size}, {"bytes", w.bytes}, {"flops", w.flops}}.dump()
              << '\n';
      }
    }
    if (is_once_)
      std::cout << "ran |\n";
    else if (job.flops > 0.0)
      std::cout << job.flops / seconds / 1e12 << " TFLOP/s |\n";
    else
      std::cout << static_cast<double>(bytes) / seconds / 1e9 << " GB/s |\n";
  }

 private:
  /// Of one call, from many in a row after a few to warm up.
  template <class Call>
  double seconds_of(const Call& call) const {
    const int runs = is_once_ ? 1 : 50;
    for (int i = 0; i < runs / 10; ++i) call();
    device_.synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < runs; ++i) call();
    device_.synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / runs;
  }

  Device& device_;
  bool is_once_;
  std::ofstream work_;
};

/// Uniform in [−½, ½); the same for every run.
inline Buffer<float> random_floats(const Device& device, std::int64_t size, std::uint32_t site) {
  const RandomStream stream{.seed = 1, .step = 0, .site = site};
  std::vector<float> values(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(stream.uniform(i) - 0.5);
  return {device, values};
}
/// Uniform in [first, last).
inline std::vector<std::int32_t> random_ids(std::int64_t size, std::int32_t first, std::int32_t last,
                                            std::uint32_t site) {
  const RandomStream stream{.seed = 2, .step = 0, .site = site};
  std::vector<std::int32_t> ids(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = first + static_cast<std::int32_t>(stream.below(i, static_cast<std::uint32_t>(last - first)));
  }
  return ids;
}

}  // namespace hstu::bench
