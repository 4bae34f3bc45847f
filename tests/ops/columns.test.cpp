// SPDX-License-Identifier: MIT
// Cutting and joining columns.
#include <hstu/ops/columns.hpp>
#include <hstu/ops/elementwise.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("split_columns: parts hold their columns in order", "[ops][columns][parity]") {
  const Tensor x = Tensor::from(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {2, 5});
  const std::vector<Tensor> parts = split_columns(x, {2, 0, 3});
  REQUIRE(parts.size() == 3);
  REQUIRE(parts[0].to_vector<float>() == std::vector<float>{0, 1, 5, 6});
  REQUIRE(parts[1].shape() == Shape{2, 0});
  REQUIRE(parts[2].to_vector<float>() == std::vector<float>{2, 3, 4, 7, 8, 9});
}

TEST_CASE("concat_columns: undoes split_columns", "[ops][columns][property]") {
  for (const Shape& shape : {Shape{33}, Shape{5, 33}, Shape{2, 3, 33}, Shape{0, 33}}) {
    INFO(shape);
    const Tensor x = random_input(shape);
    require_close(concat_columns(split_columns(x, {1, 31, 0, 1})), x, 1e-15);
    require_close(concat_columns({x}), x, 1e-15);
  }
}

TEST_CASE("split_columns, concat_columns: gradients match finite differences", "[ops][columns][gradcheck]") {
  const auto shuffle_parts = [](const std::vector<Tensor>& in) {
    const auto parts = split_columns(in[0], {2, 0, 3, 1});
    return concat_columns({parts[2], parts[0], parts[2], parts[1]});  // one used twice, one not at all
  };
  check_gradients(shuffle_parts, {random_input({4, 6})});
  check_gradients([&](const std::vector<Tensor>& in) { return shuffle_parts({scale(in[0], 2.0)}); },
                  {random_input({2, 2, 6})});
  check_gradients([](const std::vector<Tensor>& in) { return concat_columns({in[0], in[1], in[0]}); },
                  {random_input({3, 2}, 1), random_input({3, 4}, 2)});
  const Tensor constant = random_input({3, 2}, 3);
  check_gradients([&](const std::vector<Tensor>& in) { return concat_columns({constant.to(in[0].dtype()), in[0]}); },
                  {random_input({3, 4}, 2)});
}

TEST_CASE("pad_columns: zeros behind the columns, whose gradient is left out", "[ops][columns][gradcheck]") {
  const Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 2});
  REQUIRE(pad_columns(x, 3).to_vector<float>() == std::vector<float>{1, 2, 0, 3, 4, 0});
  REQUIRE(pad_columns(x, 2).to_vector<float>() == x.to_vector<float>());
  check_gradients([](const std::vector<Tensor>& in) { return pad_columns(in[0], 8); }, {random_input({3, 5})});
  REQUIRE_THROWS_MATCHES(pad_columns(x, 1), ShapeError, says("pad_columns: width must be at least 2, got 1"));
}

TEST_CASE("Columns: name columns of a tensor and of its gradient", "[ops][columns][property]") {
  const Tensor x = parameter(random_input({4, 7}));
  const Columns all(x), some(x, 2, 3);
  CHECK(all.width == 7);
  const auto view = some.view<double>();
  CHECK((view.rows == 4 && view.cols == 3 && view.stride == 7 && view.data == x.data<double>() + 2));
  CHECK_THROWS_MATCHES(Columns(x, 5, 3), ShapeError, says("columns: [5, 8) of [4, 7]"));
  CHECK_THROWS_MATCHES(Columns(x, -1, 3), ShapeError, says("columns"));
}

TEST_CASE("split_columns: sizes must add up", "[ops][columns][errors]") {
  const Tensor x = Tensor::zeros({2, 5});
  REQUIRE_THROWS_MATCHES(split_columns(x, {2, 2}), ShapeError,
                         says("split_columns: sizes must add up to 5 (last size of x), got 4"));
  REQUIRE_THROWS_MATCHES(split_columns(x, {2, 4}), ShapeError, says("got 4 after 2"));
  REQUIRE_THROWS_MATCHES(split_columns(x, {-1, 6}), ShapeError, says("got -1"));
  REQUIRE_THROWS_AS(split_columns(x, {std::numeric_limits<std::int64_t>::max(), 6}), ShapeError);
  REQUIRE_THROWS_MATCHES(split_columns(Tensor::zeros({}), {1}), ShapeError, says("split_columns: x must have"));
}

TEST_CASE("concat_columns: parts must agree in all but the last size", "[ops][columns][errors]") {
  const Tensor x = Tensor::zeros({2, 5});
  REQUIRE_THROWS_MATCHES(concat_columns({}), ShapeError, says("expected at least one tensor, got none"));
  REQUIRE_THROWS_MATCHES(concat_columns({x, Tensor::zeros({3, 5})}), ShapeError,
                         says("concat_columns: part 1 must be [2, 5], got [3, 5]"));
  REQUIRE_THROWS_MATCHES(concat_columns({x, Tensor::zeros({2, 5}, DType::float64)}), ShapeError,
                         says("part 1 must be float32, got float64"));
  REQUIRE_THROWS_MATCHES(concat_columns({x, Tensor()}), ShapeError, says("part 1 is undefined"));
}
