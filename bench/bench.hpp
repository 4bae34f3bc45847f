// SPDX-License-Identifier: MIT
// What the benches share: registration, the clock, the machine's peak, counters, and the check before the clock starts.
#pragma once
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <hstu/autograd/backward.hpp>
#include <hstu/core/tile.hpp>

namespace hstu::bench {

// ---- registration

/// Registers `body(state)`, which takes its time with measure().
template <class Body>
benchmark::internal::Benchmark* add(const std::string& name, Body body,
                                    benchmark::TimeUnit unit = benchmark::kMicrosecond) {
  return benchmark::RegisterBenchmark(name.c_str(), std::move(body))->UseManualTime()->Unit(unit);
}

/// A function that returns one T for all its copies, made from the arguments when first asked for: benches that the
/// filter leaves out cost nothing, and Google Benchmark calls a bench several times to find its number of iterations.
template <class T, class... Arguments>
auto lazily(Arguments... arguments) {
  return [value = std::make_shared<std::optional<T>>(), arguments...]() -> T& {
    if (!value->has_value()) value->emplace(arguments...);
    return **value;
  };
}

// ---- the clock

/// Wall times of the runs of one bench, in seconds.
struct Samples {
  std::vector<double> seconds;

  double mean() const {
    return std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(seconds.size());
  }
  /// `share` of the runs take at most this long.
  double quantile(double share) const {
    std::vector<double> sorted = seconds;
    std::ranges::sort(sorted);
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
  }
};

template <class Work>
double seconds_of(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  benchmark::ClobberMemory();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Runs `work` as often as Google Benchmark asks for, with `prepare` before every run while the clock stands.
template <class Prepare, class Work>
Samples measure(benchmark::State& state, const Prepare& prepare, const Work& work) {
  Samples samples;
  for ([[maybe_unused]] auto _ : state) {
    prepare();
    samples.seconds.push_back(seconds_of(work));
    state.SetIterationTime(samples.seconds.back());
  }
  return samples;
}
template <class Work>
Samples measure(benchmark::State& state, const Work& work) {
  return measure(state, [] {}, work);
}

// ---- the machine

/// The library's 5×2 tile on operands that stay in L1 (25 KB): 2·rows·16·depth flops a pass, no memory in the way.
class PeakTile {
 public:
  static constexpr std::int64_t kRows = 30, kDepth = 128, kCols = 2 * kLanes, kPasses = 500;
  static constexpr double kFlops = 2.0 * kRows * kCols * kDepth * kPasses;

  Tensor a = randn({kRows, kDepth}, {.seed = 1}), b = randn({kDepth, kCols}, {.seed = 2});
  Tensor c = Tensor::zeros({kRows, kCols});

  void run() {
    for (std::int64_t i = 0; i < kPasses; ++i) {
      set_tiles<float>(kRows, 2, {a.data<float>(), kDepth, 1}, kDepth, b.data<float>(), kCols, c.mutable_data<float>(),
                       kCols);
    }
  }
};

/// GFLOP/s of one core at its best: the fastest of 200 runs of half a millisecond.  Measured once per program.
inline double peak_gflops() {
  static const double peak = [] {
    PeakTile tile;
    double fastest = std::numeric_limits<double>::max();
    for (int i = 0; i < 200; ++i) fastest = std::min(fastest, seconds_of([&] { tile.run(); }));
    return PeakTile::kFlops / fastest * 1e-9;
  }();
  return peak;
}

/// Stands in the JSON file beside what Google Benchmark writes about the machine.
[[maybe_unused]] inline const bool names_machine = [] {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    benchmark::AddCustomContext("cpu", line.substr(std::min(line.size(), line.find(':') + 2)));
    break;
  }
#if defined(__clang__)
  benchmark::AddCustomContext("compiler", __VERSION__);
#else
  benchmark::AddCustomContext("compiler", "GCC " __VERSION__);
#endif
  return true;
}();

// ---- counters

/// GFLOP/s by the caller's formula for `flops`, and their share of what `cores` cores reach at their best.
inline void report_flops(benchmark::State& state, const Samples& samples, double flops, int cores = 1) {
  if (samples.seconds.empty()) return;
  const double rate = flops / samples.mean() * 1e-9;
  state.counters["GFLOP/s"] = rate;
  state.counters["share"] = rate / (peak_gflops() * cores);
  state.counters["peak"] = peak_gflops();  // of one core
}

// ---- the check

/// Largest difference as a share of the largest expected value; infinite if a value is not finite.
inline double largest_error(const Tensor& got, const std::vector<double>& expected) {
  const std::vector<double> values = got.to(DType::float64).to_vector<double>();
  if (values.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double scale = std::numeric_limits<double>::min(), worst = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) return std::numeric_limits<double>::infinity();
    scale = std::max(scale, std::abs(expected[i]));
    worst = std::max(worst, std::abs(values[i] - expected[i]));
  }
  return worst / scale;
}
inline double largest_error(const Tensor& got, const Tensor& expected) {
  return largest_error(got, expected.to(DType::float64).to_vector<double>());
}

/// Relative error of grad(leaves), float64, along one random direction: against the central difference of `value`, a
/// function of the leaves, which are moved and put back.
template <class Value>
double slope_error(std::vector<Tensor> leaves, const Value& value) {
  constexpr double kStep = 1e-5;
  const auto direction = [&](std::size_t i) {
    return randn(leaves[i].shape(), {.seed = 99, .site = static_cast<std::uint32_t>(i)}, 1.0, DType::float64);
  };
  const auto move = [&](double step) {
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      mutable_array<double>(leaves[i]) += step * array<double>(direction(i));
    }
  };
  double slope = 0.0;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    slope += (array<double>(grad(leaves[i])) * array<double>(direction(i))).sum();
  }
  move(kStep);
  const double above = value();
  move(-2.0 * kStep);
  const double below = value();
  move(kStep);
  return std::abs((above - below) / (2.0 * kStep) / slope - 1.0);
}

/// False, and the bench is reported as failed, unless error <= tolerance.
inline bool is_right(benchmark::State& state, double error, double tolerance) {
  if (error <= tolerance) return true;
  state.SkipWithError(concat("largest error ", error, ", expected at most ", tolerance).c_str());
  return false;
}

}  // namespace hstu::bench
