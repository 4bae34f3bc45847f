// SPDX-License-Identifier: MIT
// A steady training step takes no memory from the system.
#include <thread>

#include <hstu/train/trainer.hpp>

#include "../allocations.hpp"
#include "../train/small_training.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

std::int64_t allocations_of(const std::function<void()>& work) {
  const AllocationWatch watch;
  work();
  return watch.count();
}

}  // namespace

TEST_CASE("trainer: a steady step allocates nothing", "[memory][trainer][property]") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  SKIP("blocks are not kept, or allocated otherwise, under a sanitizer");
#endif
  const auto data = small_data();
  const Threads one(1);
  for (const std::string_view kind : kKinds) {
    INFO(kind);
    Config config = small_config(kind);
    config.train.max_grad_norm = 1.0;
    std::unique_ptr<Trainer> trainer;
    CHECK(allocations_of([&] { trainer = std::make_unique<Trainer>(config, data); }) > 0);  // they are counted
    for (int i = 0; i < 200; ++i) trainer->step();  // until the largest chunks have met
    CHECK(allocations_of([&] { for (int i = 0; i < 20; ++i) trainer->step(); }) == 0);
  }
}

TEST_CASE("trainer: recompute keeps the activations of one layer instead of all", "[memory][trainer][property]") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  SKIP("blocks are not kept, or allocated otherwise, under a sanitizer");
#endif
  const auto data = small_data({.users = 1, .items = 4100, .min_length = 2003, .max_length = 2003});
  const Threads one(1);
  const auto bytes_of_step = [&](bool recompute) {
    Config config = make_preset("meta-ml-1m-large");
    config.model.max_seq_len = config.train.max_history = 2001;
    config.train.recompute_activations = recompute;
    Trainer trainer(config, data);
    std::size_t bytes = 0;
    std::thread([&] {  // whose pool is empty
      const AllocationWatch watch;
      trainer.step();
      bytes = watch.bytes();
    }).join();
    return static_cast<double>(bytes);
  };
  const double kept = bytes_of_step(false), recomputed = bytes_of_step(true);
  CAPTURE(kept, recomputed);
  CHECK(recomputed < 0.5 * kept);
}

TEST_CASE("tensor: memory let go on another thread is used again", "[memory][tensor][property]") {
#if defined(__SANITIZE_ADDRESS__)
  SKIP("blocks are not kept under AddressSanitizer");
#endif
  const Threads two(2);
  const auto make_here_free_there = [] {
    std::vector<Tensor> tensors;
    for (int i = 0; i < 64; ++i) tensors.push_back(Tensor::zeros({5000}));
    parallel_for(64, [&](std::int64_t i) { tensors[static_cast<std::size_t>(i)] = Tensor(); });
  };
  make_here_free_there();
  const std::int64_t again = allocations_of([&] { for (int i = 0; i < 50; ++i) make_here_free_there(); });
  CHECK(again < 50 * 16);  // the vectors of the test itself, and no tensor
}
