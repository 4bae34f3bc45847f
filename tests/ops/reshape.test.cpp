// SPDX-License-Identifier: MIT
// reshape and take_rows (gather_rows is tested with embedding).
#include <hstu/ops/activation.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/reshape.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("reshape: same data, other shape, gradient in the old shape", "[ops][reshape][gradcheck]") {
  const Tensor x = random_input({3, 4});
  REQUIRE(reshape(x, {2, 6}).data<double>() == x.data<double>());
  check_gradients([](const auto& in) { return silu(reshape(silu(in[0]), {2, 1, 6})); }, {x});
  check_gradients([](const auto& in) { return reshape(in[0], {12}); }, {x});
  check_gradients([](const auto& in) { return reshape(in[0], {4, 0}); }, {random_input({0, 7})});
}

TEST_CASE("reshape: a tensor used in two shapes gets both gradients", "[ops][reshape][gradcheck]") {
  check_gradients([](const auto& in) {
    const Tensor y = silu(in[0]);
    return reshape(y, {12}) * reshape(reshape(y, {6, 2}), {12});
  }, {random_input({3, 4})});
}

TEST_CASE("take_rows: rows share the data; the gradient is zero outside", "[ops][reshape][gradcheck]") {
  const Tensor x = random_input({5, 2, 3});
  REQUIRE(take_rows(x, 2, 4).shape() == Shape{2, 2, 3});
  REQUIRE(take_rows(x, 2, 4).data<double>() == x.data<double>() + 12);
  check_gradients([](const auto& in) { return take_rows(in[0], 1, 4); }, {x});
  check_gradients([](const auto& in) { return take_rows(silu(in[0]), 2, 2); }, {x});
  check_gradients([](const auto& in) {
    const Tensor y = silu(in[0]);
    return take_rows(y, 0, 3) * take_rows(y, 2, 5);
  }, {x});
}

TEST_CASE("concat_rows: blocks one below the other", "[ops][reshape][gradcheck]") {
  const Tensor a = random_input({2, 3}, 1), b = random_input({0, 3}, 2), c = random_input({4, 3}, 3);
  const Tensor y = concat_rows({a, b, c});
  REQUIRE(y.shape() == Shape{6, 3});
  require_close(y.rows(0, 2), a, 1e-15);
  require_close(y.rows(2, 6), c, 1e-15);
  check_gradients([](const auto& in) { return silu(concat_rows({in[0], in[1], in[2]})); }, {a, b, c});
  check_gradients([](const auto& in) { return concat_rows({in[0], silu(in[0]), in[0]}); }, {a});
  REQUIRE_THROWS_MATCHES(concat_rows({a, random_input({2, 4})}), ShapeError,
                         says("concat_rows: part 1 must be [2, 3]"));
  REQUIRE_THROWS_MATCHES(concat_rows({}), ShapeError, says("at least one tensor"));
}

TEST_CASE("reshape, take_rows: what does not fit is named", "[ops][reshape][errors]") {
  const Tensor x = Tensor::zeros({3, 4});
  REQUIRE_THROWS_MATCHES(reshape(x, {5, 2}), ShapeError, says("reshape: [3, 4] has 12 elements, [5, 2] has 10"));
  REQUIRE_THROWS_MATCHES(take_rows(x, 1, 4), ShapeError, says("rows: [1, 4) of [3, 4]"));
  REQUIRE_THROWS_AS(take_rows(x, -1, 2), ShapeError);
  REQUIRE_THROWS_AS(take_rows(x, 2, 1), ShapeError);
  REQUIRE_THROWS_AS(take_rows(Tensor::zeros({}), 0, 0), ShapeError);
  REQUIRE_THROWS_MATCHES(reshape(Tensor(), {1}), ShapeError, says("reshape: x is undefined"));
}
