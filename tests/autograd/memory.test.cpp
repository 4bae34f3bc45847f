// SPDX-License-Identifier: MIT
// What the graph keeps, when it lets go, and gradients apart from their parameters.
#include <hstu/core/parallel.hpp>
#include <hstu/ops/activation.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/matmul.hpp>
#include <hstu/ops/reduce.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

/// y = x; its backward holds `token` and calls `look` when it runs.
Tensor watched(const Tensor& x, std::shared_ptr<int> token, std::function<void()> look) {
  return record("watched", x.detach(), {x}, [x = x.without_data(), token, look](const Tensor& dy, Accumulator& into) {
    look();
    into.add(x, dy);
  });
}

}  // namespace

TEST_CASE("graph: what an op kept is freed before the op below it runs backward", "[autograd][memory][property]") {
  const Tensor x = parameter(Tensor::full({}, 1.0));
  auto first = std::make_shared<int>(1);
  auto second = std::make_shared<int>(2);
  const std::weak_ptr<int> first_kept = first, second_kept = second;
  bool second_was_freed = false;
  const Tensor y = watched(x, std::move(first), [&] { second_was_freed = second_kept.expired(); });
  const Tensor loss = watched(y, std::move(second), [] {});
  REQUIRE_FALSE(first_kept.expired());
  REQUIRE_FALSE(second_kept.expired());
  backward(loss);
  REQUIRE(second_was_freed);
  REQUIRE(first_kept.expired());  // although y and loss are still alive
}

TEST_CASE("graph: a result that is dropped frees what it kept", "[autograd][memory][property]") {
  const Tensor x = parameter(Tensor::full({}, 1.0));
  auto token = std::make_shared<int>(1);
  const std::weak_ptr<int> kept = token;
  { const Tensor y = watched(x, std::move(token), [] {}); }
  REQUIRE(kept.expired());
}

TEST_CASE("graph: ops that need no values of an input keep none", "[autograd][memory][property]") {
  const Tensor x = parameter(Tensor::zeros({4}));
  Tensor hidden = scale(x, 2.0);
  const Tensor y = scale(hidden + hidden, 3.0);
  REQUIRE(hidden.owns_data_alone());
  const Tensor z = hidden * hidden;
  REQUIRE_FALSE(hidden.owns_data_alone());
}

TEST_CASE("graph: a chain of 200000 ops runs and is freed without deep recursion", "[autograd][memory][property]") {
  const Tensor x = parameter(Tensor::full({}, 1.0));
  for (const bool walk : {true, false}) {
    Tensor y = x;
    for (int i = 0; i < 200000; ++i) y = y + x;
    if (!walk) continue;  // the chain is dropped as it is
    backward(y);
    REQUIRE(grad(x).item() == 200001.0);
  }
}

TEST_CASE("Gradients: buffers lie apart from the parameters", "[autograd][gradients][property]") {
  const Tensor x = parameter(Tensor::from(Values{1, 2}));
  Gradients gradients;
  backward(sum(x * x), gradients);
  REQUIRE_FALSE(grad(x).defined());
  REQUIRE(gradients.of(x).to_vector<double>() == Values{2, 4});
  backward(sum(x * x), gradients, 0.5);
  REQUIRE(gradients.of(x).to_vector<double>() == Values{3, 6});
  gradients.clear();
  REQUIRE(gradients.of(x).to_vector<double>() == Values{0, 0});
  REQUIRE_THROWS_MATCHES(gradients.of(x * x), Error, says("gradients: the tensor is not a parameter"));
}

TEST_CASE("Gradients: cleared buffers keep their memory", "[autograd][gradients][property]") {
  const Tensor x = parameter(Tensor::zeros({8}));
  Gradients gradients;
  const float* const before = gradients.of(x).data<float>();
  gradients.clear();
  backward(sum(x), gradients);
  REQUIRE(gradients.of(x).data<float>() == before);
}

TEST_CASE("Gradients: workers share parameters and give the same bits for 1 to 8 threads",
          "[autograd][gradients][property]") {
  const Tensor weight = parameter(random_input({7, 5}, 1).to(DType::float32));
  const Tensor bias = parameter(random_input({7}, 2).to(DType::float32));
  const auto run = [&] {
    std::vector<Gradients> chunks(13);
    parallel_for(13, [&](std::int64_t i) {
      const Tensor x = random_input({i, 5}, static_cast<std::uint32_t>(i) + 3).to(DType::float32);
      backward(sum(silu(linear(x, weight, bias))), chunks[static_cast<std::size_t>(i)]);
    });
    Tensor total = zeros_like(weight);
    for (Gradients& chunk : chunks) add_in_place(total, chunk.of(weight));
    return total.to_vector<float>();
  };
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<float> expected = run();
  for (int threads = 2; threads <= 8; ++threads) {
    set_num_threads(threads);
    INFO(threads << " threads");
    REQUIRE(run() == expected);
  }
  set_num_threads(before);
  REQUIRE_FALSE(grad(weight).defined());
}
