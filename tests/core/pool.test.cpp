// SPDX-License-Identifier: MIT
// Blocks that are kept and used again.
#include <cstring>
#include <set>

#include <hstu/core/parallel.hpp>
#include <hstu/core/pool.hpp>
#include <hstu/core/tensor.hpp>

#include "../check_op.hpp"

using namespace hstu;
using detail::BlockPool;

TEST_CASE("pool: blocks are aligned, apart, and as large as asked for", "[core][pool][property]") {
  std::vector<std::pair<std::byte*, std::size_t>> blocks;
  for (const std::size_t bytes : {0u, 1u, 63u, 64u, 65u, 80u, 81u, 127u, 128u, 129u, 1000u, 4096u, 4097u, 100000u, 268435456u, 268435457u}) {
    for (int copy = 0; copy < 3; ++copy) {
      auto* const memory = static_cast<std::byte*>(BlockPool::allocate(bytes));
      REQUIRE(reinterpret_cast<std::uintptr_t>(memory) % BlockPool::kAlignment == 0);
      std::memset(memory, static_cast<int>(blocks.size()), std::min<std::size_t>(bytes, 1 << 20));
      blocks.emplace_back(memory, bytes);
    }
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto [memory, bytes] = blocks[i];
    REQUIRE(std::all_of(memory, memory + std::min<std::size_t>(bytes, 1 << 20), [i](std::byte b) { return b == static_cast<std::byte>(i); }));
  }
  for (const auto& [memory, bytes] : blocks) BlockPool::release(memory);
}

TEST_CASE("pool: a size that leaves the address space is bad_alloc", "[core][pool][errors]") {
  REQUIRE_THROWS_AS(BlockPool::allocate(SIZE_MAX), std::bad_alloc);
  REQUIRE_THROWS_AS(BlockPool::allocate(SIZE_MAX - 64), std::bad_alloc);
  REQUIRE_THROWS_AS(detail::PoolAllocator<double>().allocate(SIZE_MAX / 8 + 1), std::bad_alloc);
}

TEST_CASE("pool: threads take and give back at the same time", "[core][pool][property]") {
  set_num_threads(4);
  std::vector<Tensor> shared(64);
  parallel_for(64, [&](std::int64_t i) {
    for (int round = 0; round < 200; ++round) {
      Tensor x = Tensor::full({1 + (i * 37 + round * 101) % 700}, static_cast<double>(i), DType::float64);
      for (const double v : x.values<double>()) HSTU_ASSERT(v == static_cast<double>(i));
      if (round % 50 == 0) shared[static_cast<std::size_t>(i)] = x;
    }
  });
  for (std::int64_t i = 0; i < 64; ++i) REQUIRE(shared[static_cast<std::size_t>(i)].data<double>()[0] == static_cast<double>(i));
  set_num_threads(2);
}
