// SPDX-License-Identifier: MIT
// What the kernels are not made for is refused before anything is launched.
#include <hstu/cuda/attention.hpp>
#include <hstu/cuda/cross_entropy.hpp>
#include <hstu/cuda/l2_normalize.hpp>
#include <hstu/cuda/layer_norm.hpp>
#include <hstu/cuda/sampled_softmax.hpp>
#include <hstu/ops/position_buckets.hpp>

#include "on_device.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

template <class Operands>
Operands of_width(std::int64_t cols) {
  Operands o{};
  o.rows = 1;
  o.cols = static_cast<decltype(o.cols)>(cols);
  return o;
}

/// Stands in for names of errors: every second code has one.
struct Names {
  explicit Names(const cuda::SharedLibrary&) {}
  const char* operator()(int code) const { return code % 2 == 0 ? "EVEN" : nullptr; }
};

}  // namespace

TEST_CASE("device calls: a code other than 0 is an error with the call and its name", "[cuda][device][errors]") {
  const cuda::SharedLibrary library({"libc.so.6"});
  const cuda::CheckedFunction<Names, int> call(library, "abs");
  CHECK_NOTHROW(call(0));
  CHECK_THROWS_MATCHES(call(-4), DeviceError, says("abs: EVEN (4)"));
  CHECK_THROWS_MATCHES(call(3), DeviceError, says("abs: unknown error (3)"));
  CHECK_NOTHROW(call.without_check(3));
}

TEST_CASE("on the device: rows that are too wide are refused, forward and backward", "[cuda][rows][errors]") {
  Buffer<float> out(device(), 1);
  CHECK_THROWS_MATCHES(cuda::l2_normalize_forward(device(), of_width<cuda::L2NormalizeForward>(1025)), ShapeError,
                       says("l2_normalize_forward: rows of at most 1024 columns, got 1025"));
  CHECK_THROWS_AS(cuda::l2_normalize_backward(device(), of_width<cuda::L2NormalizeBackward>(1025)), ShapeError);
  CHECK_THROWS_AS(cuda::layer_norm_backward(device(), of_width<cuda::LayerNormBackward>(1025), out.data()), ShapeError);

  cuda::CrossEntropyBackward<float> entropy{};
  entropy.of.width = 257;
  CHECK_THROWS_MATCHES(cuda::cross_entropy_backward(device(), entropy), ShapeError, says("1 to 256 columns, got 257"));

  cuda::SampledSoftmaxForward forward{};
  forward.of.cols = 1025;
  CHECK_THROWS_AS(cuda::sampled_softmax_forward(device(), forward, out.data()), ShapeError);
  cuda::SampledSoftmaxBackward backward{};
  backward.of.cols = 1025;
  const cuda::SortedIds candidates(device(), std::vector<std::int32_t>{0}, 1);
  CHECK_THROWS_AS(cuda::sampled_softmax_backward(device(), backward, candidates, false, out.data()), ShapeError);
}

TEST_CASE("attention on the device: wide heads, and rows that a bias table lacks, are refused",
          "[cuda][attention][errors]") {
  const std::vector<std::int64_t> offsets = {0, 5};
  const cuda::AttentionBatch batch(device(), offsets, {}, {});
  const cuda::AttentionLookup lookup(device(), linear_distance_rows(3, 3), 3, nullptr, 0);
  cuda::AttentionBackward<float> backward{};
  backward.of.heads = 1;
  backward.of.dqk = backward.of.dv = 257;
  CHECK_THROWS_AS(cuda::attention_backward(device(), batch, lookup, backward, {}, nullptr, nullptr), ShapeError);

  Buffer<float> table(device(), 3);
  CHECK_THROWS_MATCHES(cuda::GatheredBias(device(), batch, lookup, {.position = table.data()}), ShapeError,
                       says("the position bias knows 3 distances, the longest sequence has 5"));
  for (const std::int32_t row : {-1, 2}) {
    CHECK_THROWS_MATCHES(cuda::TableRows(device(), std::vector<std::int32_t>{0, row}, 2), ShapeError,
                         says(concat("row ", row, " of a bias table with 2")));
  }
}
