// SPDX-License-Identifier: MIT
// Gradients of the ops that only move numbers, over matrices of every kind: empty, one row, one column, odd, whole
// packs.
#include <hstu/ops/columns.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/embedding.hpp>
#include <hstu/ops/reshape.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {
const Shape kMatrices[] = {{0, 3}, {1, 1}, {1, 7}, {7, 1}, {2, 16}, {3, 5}, {5, 31}, {4, 33}, {9, 8}};
}  // namespace

TEST_CASE("moving ops: gradients match finite differences on every shape", "[ops][reshape][columns][gradcheck]") {
  for (const Shape& shape : kMatrices) {
    INFO(shape);
    const std::int64_t rows = shape[0], cols = shape[1];
    const Tensor x = random_input(shape, 1);
    check_gradients([&](const auto& in) { return reshape(in[0], {cols, rows}); }, {x});
    check_gradients([&](const auto& in) { return scale(in[0], -1.5); }, {x});
    check_gradients([&](const auto& in) { return take_rows(in[0], rows / 2, rows); }, {x});
    check_gradients([&](const auto& in) { return pad_columns(in[0], cols + 5); }, {x});
    check_gradients(
        [&](const auto& in) {
          return concat_columns({in[0], in[1], in[0]});
        },
        {x, random_input({rows, 3}, 2)});
    check_gradients(
        [&](const auto& in) {
          return concat_rows({in[0], in[1], in[0]});
        },
        {x, random_input({3, cols}, 2)});
    check_gradients(
        [&](const auto& in) {
          const std::vector<Tensor> parts = split_columns(in[0], {cols / 2, cols - cols / 2});
          return concat_columns({scale(parts[1], 2.0), parts[0]});
        },
        {x});
    std::vector<std::int64_t> rows_taken;  // the last row twice, the others not at all or once
    for (std::int64_t r = 1; r < rows; r += 2) rows_taken.push_back(r);
    if (rows > 0) rows_taken.insert(rows_taken.end(), {rows - 1, rows - 1});
    const Tensor indices = Tensor::from(rows_taken);
    check_gradients([&](const auto& in) { return gather_rows(in[0], indices); }, {x});
    check_gradients([&](const auto& in) { return embedding(in[0], indices); }, {x});
  }
}
