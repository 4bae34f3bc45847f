// SPDX-License-Identifier: MIT
// Dropout: the mask is a function of seed, step, site and place.
#include <hstu/ops/dropout.hpp>

#include "../check_op.hpp"
#include "../reference/rows.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {
const RandomStream kStream{.seed = 99, .step = 4, .site = 2};
}

TEST_CASE("dropout: every entry follows its word of the stream", "[ops][dropout][parity]") {
  for (const Shape& shape : {Shape{}, Shape{0, 3}, Shape{31}, Shape{5, 33}, Shape{41, 50}, Shape{3, 1031}}) {
    for (const double p : {0.2, 0.5, 0.999}) {
      INFO(shape << " p " << p);
      const Tensor x = random_input(shape);
      const std::int64_t first_row = 7;
      const auto first = static_cast<std::uint64_t>(first_row * num_cols(x));
      check_values([&](const auto& in) { return dropout(in[0], p, kStream, first_row); }, {x},
                   reference::dropout(x.to_vector<double>(), p, kStream, first), 1e-6);
    }
  }
}

TEST_CASE("dropout: backward draws the mask of forward", "[ops][dropout][gradcheck]") {
  for (const Shape& shape : {Shape{0, 3}, Shape{33}, Shape{5, 7}, Shape{1}, Shape{31}, Shape{2, 16}, Shape{3, 1}, Shape{2, 2, 9}}) {
    INFO(shape);
    check_gradients([](const auto& in) { return dropout(in[0], 0.4, kStream, 3); }, {random_input(shape)});
  }
}

TEST_CASE("dropout: a chunk given its first row draws the mask of the whole", "[ops][dropout][property]") {
  const Tensor x = random_input({101, 13});
  const Tensor whole = dropout(x, 0.3, kStream);
  for (const std::int64_t cut : {0, 1, 50, 77, 101}) {
    require_close(dropout(x.rows(0, cut), 0.3, kStream), whole.rows(0, cut), 1e-15);
    require_close(dropout(x.rows(cut, 101), 0.3, kStream, cut), whole.rows(cut, 101), 1e-15);
  }
}

TEST_CASE("dropout: the share of zeros is p and the mean is kept", "[ops][dropout][property]") {
  const Tensor y = dropout(Tensor::full({1000, 100}, 1.0), 0.2, kStream);
  const auto values = y.values<float>();
  const auto zeros = static_cast<double>(std::ranges::count(values, 0.0f));
  REQUIRE(std::abs(zeros / 1e5 - 0.2) < 4 * std::sqrt(0.2 * 0.8 / 1e5));  // four standard deviations
  for (const float v : values) {
    if (v != 0.0f && v != 1.25f) FAIL("an entry of 1 became " << v);
  }
}

TEST_CASE("dropout: seed, step and site each change the mask", "[ops][dropout][property]") {
  const Tensor x = Tensor::full({1000}, 1.0);
  const auto mask = [&](RandomStream stream) { return dropout(x, 0.5, stream).to_vector<float>(); };
  const auto base = mask(kStream);
  REQUIRE(base == mask(kStream));
  REQUIRE(base != mask({.seed = 100, .step = 4, .site = 2}));
  REQUIRE(base != mask({.seed = 99, .step = 5, .site = 2}));
  REQUIRE(base != mask({.seed = 99, .step = 4, .site = 3}));
}

TEST_CASE("dropout: p = 0 returns the tensor itself", "[ops][dropout][property]") {
  const Tensor x = random_input({3});
  REQUIRE(dropout(x, 0.0, kStream).data<double>() == x.data<double>());
}

TEST_CASE("dropout: p outside [0, 1) is refused", "[ops][dropout][errors]") {
  const Tensor x = Tensor::zeros({3});
  for (const double p : {1.0, -0.1, 2.0, std::nan("")}) {
    REQUIRE_THROWS_MATCHES(dropout(x, p, kStream), ConfigError, says("dropout: p must be in [0, 1), got"));
  }
  REQUIRE_THROWS_MATCHES(dropout(x, 0.5, kStream, -1), ShapeError, says("first_row must not be negative, got -1"));
  REQUIRE_THROWS_MATCHES(dropout(Tensor::zeros({3}, DType::int32), 0.5, kStream), ShapeError,
                         says("dropout: expected float32 or float64"));
}
