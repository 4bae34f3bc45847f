// SPDX-License-Identifier: MIT
// parallel_for: each index once, the same bits for any number of threads, exceptions, nesting.
#include <hstu/core/parallel.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {
/// Sets the number of threads for a scope.
struct Threads {
  explicit Threads(int count) { set_num_threads(count); }
  ~Threads() { set_num_threads(before); }
  int before = num_threads();
};
}  // namespace

TEST_CASE("parallel_for: calls every index once for any count and number of threads", "[core][parallel][property]") {
  for (const int threads : {1, 2, 3, 8}) {
    const Threads scope(threads);
    REQUIRE(num_threads() == threads);
    for (const std::int64_t count : {0, 1, 2, 7, 8, 9, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
      parallel_for(count, [&](std::int64_t i) { ++calls[static_cast<std::size_t>(i)]; });
      INFO(threads << " threads, " << count << " indices");
      REQUIRE(std::ranges::all_of(calls, [](const auto& n) { return n == 1; }));
    }
  }
  parallel_for(-3, [](std::int64_t) { FAIL("called for a negative count"); });
}

TEST_CASE("parallel_for: the same bits for 1 to 8 threads", "[core][parallel][property]") {
  constexpr std::int64_t kChunks = 37;
  const auto run = [] {
    std::vector<float> sums(kChunks);
    parallel_for(kChunks, [&](std::int64_t chunk) {
      const Tensor x = randn({100 + chunk, 31}, {.seed = 3, .step = 0, .site = static_cast<std::uint32_t>(chunk)});
      const Eigen::MatrixXf product = matrix<float>(x).transpose() * matrix<float>(x);
      sums[static_cast<std::size_t>(chunk)] = product.sum();
    });
    float total = 0;
    for (const float sum : sums) total += sum;
    sums.push_back(total);
    return sums;
  };
  set_num_threads(1);
  const std::vector<float> expected = run();
  for (int threads = 2; threads <= 8; ++threads) {
    const Threads scope(threads);
    INFO(threads << " threads");
    for (int repeat = 0; repeat < 3; ++repeat) REQUIRE(run() == expected);
  }
}

TEST_CASE("parallel_for: the exception of the smallest index comes out", "[core][parallel][errors]") {
  for (const int threads : {1, 2, 4}) {
    const Threads scope(threads);
    INFO(threads << " threads");
    const auto fail = [](std::int64_t i) { check<DataError>(i < 5, "chunk ", i); };
    REQUIRE_THROWS_MATCHES(parallel_for(100, fail), DataError, Catch::Matchers::Message("chunk 5"));
    std::atomic<int> calls = 0;
    parallel_for(100, [&](std::int64_t) { ++calls; });  // the pool still works
    REQUIRE(calls == 100);
  }
}

TEST_CASE("parallel_for: inside another it runs on the same thread", "[core][parallel][property]") {
  const Threads scope(3);
  std::vector<std::int64_t> sums(20, 0);
  std::atomic<int> strangers = 0;
  parallel_for(20, [&](std::int64_t i) {
    const auto self = std::this_thread::get_id();
    parallel_for(50, [&](std::int64_t j) {
      if (std::this_thread::get_id() != self) ++strangers;
      sums[static_cast<std::size_t>(i)] += j;
    });
  });
  REQUIRE(strangers == 0);
  REQUIRE(sums == std::vector<std::int64_t>(20, 1225));
}

TEST_CASE("parallel_for: may be called from several threads at once", "[core][parallel][property]") {
  const Threads scope(3);
  std::atomic<int> calls = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 50; ++repeat) parallel_for(10, [&](std::int64_t) { ++calls; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  REQUIRE(calls == 4 * 50 * 10);
}

TEST_CASE("set_num_threads: 1 to 1024", "[core][parallel][errors]") {
  REQUIRE_THROWS_MATCHES(set_num_threads(0), ConfigError, says("threads: expected 1 to 1024, got 0"));
  REQUIRE_THROWS_AS(set_num_threads(1025), ConfigError);
  REQUIRE_THROWS_AS(set_num_threads(-1), ConfigError);
}
