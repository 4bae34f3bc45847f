// SPDX-License-Identifier: MIT
// Tensors: construction, sharing, views, conversion.
#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {
const std::vector<float> kSix = {0, 1, 2, 3, 4, 5};
}

TEST_CASE("tensor: made from values, zeros, a constant", "[core][tensor][property]") {
  const Tensor x = Tensor::from(kSix, {2, 3});
  REQUIRE(x.dtype() == DType::float32);
  REQUIRE(x.shape() == Shape{2, 3});
  REQUIRE(x.bytes() == 24);
  REQUIRE(x.to_vector<float>() == kSix);
  REQUIRE(Tensor::from(kSix).shape() == Shape{6});
  REQUIRE(Tensor::zeros({3}, DType::int64).to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 0, 0});
  REQUIRE(Tensor::full({2}, 1.5, DType::float64).to_vector<double>() == Values{1.5, 1.5});
  REQUIRE(Tensor::full({}, 7, DType::int32).item() == 7.0);
}

TEST_CASE("tensor: data begins on a cache line", "[core][tensor][property]") {
  for (const std::int64_t size : {0, 1, 3, 1000}) {
    REQUIRE(reinterpret_cast<std::uintptr_t>(Tensor({size}, DType::float32).data<float>()) % 64 == 0);
  }
}

TEST_CASE("tensor: copies and views share the data, clones do not", "[core][tensor][property]") {
  Tensor x = Tensor::from(kSix, {3, 2});
  const Tensor copy = x;
  const Tensor view = x.reshaped({6});
  const Tensor part = x.rows(1, 3);
  const Tensor inner = part.rows(1, 2);
  const Tensor clone = part.clone();
  REQUIRE_FALSE(x.owns_data_alone());
  REQUIRE(clone.owns_data_alone());
  x.mutable_data<float>()[4] = 40;
  REQUIRE(copy.data<float>()[4] == 40);
  REQUIRE(view.data<float>()[4] == 40);
  REQUIRE(part.to_vector<float>() == std::vector<float>{2, 3, 40, 5});
  REQUIRE(inner.to_vector<float>() == std::vector<float>{40, 5});
  REQUIRE(clone.to_vector<float>() == std::vector<float>{2, 3, 4, 5});
}

TEST_CASE("tensor: views of nothing are fine", "[core][tensor][property]") {
  const Tensor x = Tensor::zeros({0, 3});
  REQUIRE(x.rows(0, 0).shape() == Shape{0, 3});
  REQUIRE(x.reshaped({5, 0}).numel() == 0);
  REQUIRE(x.clone().to_vector<float>().empty());
  REQUIRE(Tensor::zeros({3, 0}).rows(1, 3).shape() == Shape{2, 0});
  REQUIRE(Tensor::from(kSix).rows(2, 2).numel() == 0);
}

TEST_CASE("tensor: conversion between element types", "[core][tensor][property]") {
  const Tensor x = Tensor::from(Values{-1.75, 0, 2.5});
  REQUIRE(x.to(DType::float32).to_vector<float>() == std::vector<float>{-1.75f, 0, 2.5f});
  REQUIRE(x.to(DType::int32).to_vector<std::int32_t>() == std::vector<std::int32_t>{-1, 0, 2});
  REQUIRE(x.to(DType::float64).data<double>() == x.data<double>());
  REQUIRE_FALSE(parameter(x).to(DType::float32).needs_grad());
}

TEST_CASE("tensor: copy_from takes values of the same kind only", "[core][tensor][errors]") {
  Tensor x = Tensor::zeros({6});
  x.copy_from(Tensor::from(kSix));
  REQUIRE(x.to_vector<float>() == kSix);
  REQUIRE_THROWS_MATCHES(x.copy_from(Tensor::from(kSix, {2, 3})), ShapeError,
                         says("copy_from: expected float32[6], got float32[2, 3]"));
  REQUIRE_THROWS_AS(x.copy_from(Tensor::zeros({6}, DType::float64)), ShapeError);
}

TEST_CASE("tensor: a handle without data keeps shape and place in the graph", "[core][tensor][property]") {
  const Tensor x = parameter(Tensor::from(kSix, {2, 3}));
  const Tensor handle = x.without_data();
  REQUIRE_FALSE(handle.defined());
  REQUIRE(handle.needs_grad());
  REQUIRE(handle.node() == x.node());
  REQUIRE(handle.shape() == x.shape());
  REQUIRE_FALSE(x.detach().needs_grad());
  REQUIRE(x.owns_data_alone());
}

TEST_CASE("tensor: misuse is a ShapeError that says what was found", "[core][tensor][errors]") {
  const Tensor x = Tensor::from(kSix, {2, 3});
  REQUIRE_THROWS_MATCHES(Tensor::from(kSix, {2, 2}), ShapeError, says("tensor: shape [2, 2] needs 4 values, got 6"));
  REQUIRE_THROWS_MATCHES(x.data<double>(), ShapeError, says("tensor: expected float64, got float32"));
  REQUIRE_THROWS_MATCHES(Tensor().data<float>(), ShapeError, says("no data: the tensor is undefined"));
  REQUIRE_THROWS_MATCHES(x.item(), ShapeError, says("item: expected one element, got shape [2, 3]"));
  REQUIRE_THROWS_MATCHES(x.reshaped({5}), ShapeError, says("reshape: [2, 3] has 6 elements, [5] has 5"));
  REQUIRE_THROWS_MATCHES(x.rows(1, 3), ShapeError, says("rows: [1, 3) of [2, 3]"));
  REQUIRE_THROWS_MATCHES(x.rows(-1, 1), ShapeError, says("rows: [-1, 1) of [2, 3]"));
  REQUIRE_THROWS_AS(x.rows(2, 1), ShapeError);
  REQUIRE_THROWS_AS(Tensor::zeros({}).rows(0, 0), ShapeError);
  REQUIRE_THROWS_AS(Tensor().item(), ShapeError);
  REQUIRE_THROWS_AS(Tensor({std::int64_t{1} << 62}, DType::float64), ShapeError);
}

TEST_CASE("tensor: using an undefined tensor is an error, not a crash", "[core][tensor][errors]") {
  const Tensor none;
  REQUIRE_FALSE(none.defined());
  REQUIRE_THROWS_AS(none.clone(), ShapeError);
  REQUIRE_THROWS_AS(none.to(DType::float64), ShapeError);
  REQUIRE_THROWS_AS(Tensor::zeros({}).copy_from(none), ShapeError);
  REQUIRE_THROWS_AS(Tensor().fill_zero(), ShapeError);
  REQUIRE_THROWS_AS(parameter(none), ShapeError);
}
