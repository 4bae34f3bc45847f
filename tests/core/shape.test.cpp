// SPDX-License-Identifier: MIT
// Shapes, checked sizes and error messages.
#include <hstu/core/dtype.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("shape: sizes, rank and element count", "[core][shape][property]") {
  REQUIRE(Shape{}.rank() == 0);
  REQUIRE(Shape{}.numel() == 1);
  const Shape shape{2, 0, 5};
  REQUIRE(shape.rank() == 3);
  REQUIRE(shape.numel() == 0);
  REQUIRE(shape[0] == 2);
  REQUIRE(shape[-1] == 5);
  REQUIRE(concat(shape, Shape{}) == "[2, 0, 5][]");
}

TEST_CASE("shape: one size replaced", "[core][shape][property]") {
  REQUIRE(Shape{2, 3, 5}.with_size(-1, 7) == Shape{2, 3, 7});
  REQUIRE(Shape{2, 3, 5}.with_size(0, 0) == Shape{0, 3, 5});
  REQUIRE_THROWS_MATCHES((Shape{2, 3}.with_size(2, 1)), ShapeError, says("shape: dimension 2 of a shape with 2"));
  REQUIRE_THROWS_AS((Shape{2, 3}.with_size(0, -1)), ShapeError);
  REQUIRE_THROWS_AS(Shape{}.with_size(-1, 1), ShapeError);
}

TEST_CASE("shape: equal means equal in rank and every size", "[core][shape][property]") {
  REQUIRE(Shape{2, 3} == Shape{2, 3});
  REQUIRE(Shape{2, 3} != Shape{3, 2});
  REQUIRE(Shape{2, 3} != Shape{2, 3, 1});
  REQUIRE(Shape{} != Shape{1});
}

TEST_CASE("shape: negative, overflowing and too many sizes are refused", "[core][shape][errors]") {
  REQUIRE_THROWS_MATCHES((Shape{3, -1}), ShapeError, says("shape: sizes must not be negative, got -1"));
  REQUIRE_THROWS_MATCHES((Shape{std::int64_t{1} << 40, std::int64_t{1} << 40}), ShapeError, says("exceeds 64 bits"));
  REQUIRE_THROWS_MATCHES((Shape{1, 1, 1, 1, 1, 1, 1}), ShapeError, says("shape: at most 6 dimensions, got 7"));
  REQUIRE_THROWS_MATCHES((Shape{2, 3}[2]), ShapeError, says("shape: dimension 2 of a shape with 2"));
  REQUIRE_THROWS_AS((Shape{2, 3}[-3]), ShapeError);
  REQUIRE_THROWS_AS(Shape{}[0], ShapeError);
}

TEST_CASE("checked_mul: exact up to the last number of 64 bits", "[core][shape][errors]") {
  const auto largest = std::numeric_limits<std::int64_t>::max();
  REQUIRE(checked_mul(largest, 1) == largest);
  REQUIRE(checked_mul(0, largest) == 0);
  REQUIRE(checked_mul(largest, 0) == 0);
  REQUIRE_THROWS_AS(checked_mul(largest / 2 + 1, 2), ShapeError);
  REQUIRE_THROWS_AS(checked_mul(-1, 2), ShapeError);
}

TEST_CASE("errors: every kind is an Error and keeps its message", "[core][check][errors]") {
  REQUIRE_THROWS_MATCHES(check<DataError>(false, "ratings.csv:", 812, ": expected ", 4), Error,
                         Catch::Matchers::Message("ratings.csv:812: expected 4"));
  REQUIRE_THROWS_AS(check<ConfigError>(false, ""), ConfigError);
  REQUIRE_NOTHROW(check<NumericError>(true, "not thrown"));
  REQUIRE_THROWS_MATCHES(HSTU_ASSERT(1 > 2), Error, says("internal invariant broken: 1 > 2"));
}

TEST_CASE("dtype: names, sizes and dispatch agree", "[core][dtype][property]") {
  for (const DType dtype : {DType::float32, DType::float64, DType::int32, DType::int64}) {
    INFO(dtype);
    dispatch_any(dtype, [&]<class Scalar>(Scalar) {
      REQUIRE(dtype_of<Scalar>() == dtype);
      REQUIRE(size_of(dtype) == sizeof(Scalar));
      REQUIRE(is_floating(dtype) == std::is_floating_point_v<Scalar>);
    });
  }
  REQUIRE(concat(DType::float32, " ", DType::int64) == "float32 int64");
  REQUIRE_THROWS_MATCHES(dispatch_floating("op", DType::int32, [](auto) {}), ShapeError,
                         says("op: expected float32 or float64, got int32"));
  REQUIRE_THROWS_MATCHES(dispatch_integer("op", DType::float32, [](auto) {}), ShapeError,
                         says("op: expected int32 or int64, got float32"));
}
