// SPDX-License-Identifier: MIT
// Embedding and gather_rows: rows by index, and their gradient scattered back.
#include <hstu/ops/activation.hpp>
#include <hstu/ops/embedding.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

Values rows_of(const Tensor& table, const std::vector<std::int64_t>& ids) {
  const Values all = table.to_vector<double>();
  const std::int64_t cols = table.size(1);
  Values y;
  for (const std::int64_t id : ids) {
    for (std::int64_t c = 0; c < cols; ++c) y.push_back(all[static_cast<std::size_t>(id * cols + c)]);
  }
  return y;
}

const std::vector<std::int64_t> kIds = {3, 0, 3, 6, 1, 0};

}  // namespace

TEST_CASE("embedding, gather_rows: rows by id in the shape of the ids", "[ops][embedding][parity]") {
  for (const std::int64_t cols : {0, 1, 5, 33}) {
    const Tensor table = random_input({7, cols});
    for (const Shape& shape : {Shape{6}, Shape{2, 3}, Shape{3, 1, 2}}) {
      for (const DType dtype : {DType::int32, DType::int64}) {
        INFO(cols << " columns, ids " << dtype << shape);
        const Tensor ids = Tensor::from(kIds, shape).to(dtype);
        REQUIRE(embedding(table, ids).rank() == shape.rank() + 1);
        check_values([&](const auto& in) { return embedding(in[0], ids); }, {table}, rows_of(table, kIds), 1e-6);
        check_values([&](const auto& in) { return gather_rows(in[0], ids); }, {table}, rows_of(table, kIds), 1e-6);
      }
    }
  }
  const Tensor no_ids = Tensor::zeros({0, 4}, DType::int32);
  REQUIRE(embedding(random_input({7, 5}), no_ids).shape() == Shape{0, 4, 5});
}

TEST_CASE("embedding, gather_rows: gradients of repeated ids add up", "[ops][embedding][gradcheck]") {
  const Tensor ids = Tensor::from(kIds, {2, 3});
  check_gradients([&](const auto& in) { return embedding(in[0], ids); }, {random_input({7, 5})});
  check_gradients([&](const auto& in) { return embedding(silu(in[0]), ids); }, {random_input({7, 5})});
  check_gradients([&](const auto& in) { return gather_rows(silu(in[0]), ids); }, {random_input({7, 5})});
  check_gradients([&](const auto& in) { return gather_rows(in[0], Tensor::zeros({0}, DType::int64)); },
                  {random_input({7, 5})});
}

TEST_CASE("embedding: the padding row is read but gets no gradient", "[ops][embedding][property]") {
  const Tensor weight = parameter(random_input({7, 2}));
  const Tensor y = embedding(weight, Tensor::from(kIds), 0);
  require_close(y, rows_of(weight, kIds), 1e-15);
  backward_from(y, Tensor::full({6, 2}, 1.0, DType::float64));
  REQUIRE(grad(weight).to_vector<double>() == Values{0, 0, 1, 1, 0, 0, 2, 2, 0, 0, 0, 0, 1, 1});
}

TEST_CASE("embedding, gather_rows: an index outside is named with its position", "[ops][embedding][errors]") {
  const Tensor weight = Tensor::zeros({7, 2});
  const auto ids = [](std::int64_t last) { return Tensor::from(std::vector<std::int64_t>{1, 2, last}); };
  REQUIRE_THROWS_MATCHES(embedding(weight, ids(7)), DataError,
                         says("embedding: id at position 2 must be in [0, 7), got 7"));
  REQUIRE_THROWS_MATCHES(embedding(weight, ids(-1), 0), DataError, says("got -1"));
  REQUIRE_THROWS_MATCHES(embedding(weight, ids(std::int64_t{1} << 40)), DataError, says("got 1099511627776"));
  REQUIRE_THROWS_MATCHES(gather_rows(weight, ids(9)), DataError,
                         says("gather_rows: row at position 2 must be in [0, 7), got 9"));
  REQUIRE_THROWS_AS(embedding(Tensor::zeros({0, 2}), ids(0)), DataError);
}

TEST_CASE("embedding, gather_rows: operands that do not fit are named", "[ops][embedding][errors]") {
  const Tensor ids = Tensor::zeros({3}, DType::int32);
  REQUIRE_THROWS_MATCHES(embedding(Tensor::zeros({7}), ids), ShapeError,
                         says("embedding: weight must be [V, D], got [7]"));
  REQUIRE_THROWS_MATCHES(embedding(Tensor::zeros({7, 2}), Tensor::zeros({3})), ShapeError,
                         says("embedding: expected int32 or int64, got float32"));
  REQUIRE_THROWS_MATCHES(embedding(Tensor::zeros({7, 2}), ids, 7), ConfigError,
                         says("embedding: padding_id must be -1 or in [0, 7), got 7"));
  REQUIRE_THROWS_AS(embedding(Tensor::zeros({7, 2}), ids, -2), ConfigError);
  REQUIRE_THROWS_MATCHES(gather_rows(Tensor::zeros({7, 2, 2}), ids), ShapeError,
                         says("gather_rows: x must be [R, C], got [7, 2, 2]"));
  REQUIRE_THROWS_MATCHES(embedding(Tensor(), ids), ShapeError, says("embedding: weight is undefined"));
}
