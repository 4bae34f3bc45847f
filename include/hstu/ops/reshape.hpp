// SPDX-License-Identifier: MIT
// The same numbers in another arrangement: reshape, ranges of rows, rows by index.
#pragma once
#include <hstu/core/simd.hpp>
#include <hstu/ops/operands.hpp>

namespace hstu {

/// The same elements, in order, under another shape; shares the data.  Throws ShapeError if the counts differ.
inline Tensor reshape(const Tensor& x, const Shape& shape) {
  detail::check_defined("reshape", "x", x);
  return record("reshape", x.reshaped(shape), {x}, [x = x.without_data()](const Tensor& dy, Accumulator& into) {
    into.add(x, dy.reshaped(x.shape()));
  });
}

/// Rows [first, last) of the outermost dimension; shares the data;  dx = dy in those rows, 0 elsewhere.
inline Tensor take_rows(const Tensor& x, std::int64_t first, std::int64_t last) {
  detail::check_has_columns("take_rows", "x", x);
  return record("take_rows", x.rows(first, last), {x},
                [x = x.without_data(), first, last](const Tensor& dy, Accumulator& into) {
    Tensor part = into.buffer(x).rows(first, last);
    add_in_place(part, dy);
  });
}

/// Matrices [Rᵢ, C] one below the other, [ΣRᵢ, C];  dxᵢ = its rows of dy; docs/math.md (24).
inline Tensor concat_rows(const std::vector<Tensor>& parts) {
  check<ShapeError>(!parts.empty(), "concat_rows: expected at least one tensor, got none");
  std::int64_t rows = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string name = concat("part ", i);
    detail::check_defined("concat_rows", name, parts[i]);
    check<ShapeError>(parts[i].rank() == 2, "concat_rows: ", name, " must be [R, C], got ", parts[i].shape());
    detail::check_shape("concat_rows", name, parts[i], Shape{parts[i].size(0), parts[0].size(1)}, parts[0].dtype());
    rows += parts[i].size(0);
  }
  Tensor y({rows, parts[0].size(1)}, parts[0].dtype());
  std::vector<Tensor> inputs;
  std::int64_t first = 0;
  for (const Tensor& part : parts) {
    y.rows(first, first + part.size(0)).copy_from(part);
    first += part.size(0);
    inputs.push_back(part.without_data());
  }
  return record("concat_rows", y, std::span<const Tensor>(inputs), [inputs](const Tensor& dy, Accumulator& into) {
    std::int64_t begin = 0;
    for (const Tensor& part : inputs) {
      into.add(part, dy.rows(begin, begin + part.size(0)));
      begin += part.size(0);
    }
  });
}

namespace detail {

/// Shape of `indices` followed by the row length of `table`.
inline Shape gathered_shape(const Tensor& table, const Tensor& indices) {
  PoolVector<std::int64_t> sizes(indices.shape().sizes().begin(), indices.shape().sizes().end());
  sizes.push_back(table.size(1));
  return Shape(sizes);
}

/// Calls body(position, index) for each index; DataError for one outside [0, num_rows).  `noun` says what it indexes.
template <class Body>
void for_each_index(std::string_view op, std::string_view noun, const Tensor& indices, std::int64_t num_rows,
                    const Body& body) {
  dispatch_integer(op, indices.dtype(), [&]<class Index>(Index) {
    const Index* const values = indices.data<Index>();
    for (std::int64_t i = 0; i < indices.numel(); ++i) {
      const std::int64_t index = values[i];
      check<DataError>(index >= 0 && index < num_rows, op, ": ", noun, " at position ", i, " must be in [0, ", num_rows,
                       "), got ", index);
      body(i, index);
    }
  });
}

/// y = rows of `table` [R, C] by index; not recorded.
inline Tensor copy_rows(std::string_view op, std::string_view noun, const Tensor& table, const Tensor& indices) {
  Tensor y(gathered_shape(table, indices), table.dtype());
  const std::int64_t cols = table.size(1);
  dispatch_floating(op, table.dtype(), [&]<class Scalar>(Scalar) {
    const Scalar* const in = table.data<Scalar>();
    Scalar* const out = y.mutable_data<Scalar>();
    for_each_index(op, noun, indices, table.size(0), [&](std::int64_t i, std::int64_t index) {
      std::copy_n(in + index * cols, cols, out + i * cols);
    });
  });
  return y;
}

/// Adds row i of dy into row indices[i] of `into`, leaving out indices equal to `skipped`.
inline void scatter_rows(std::string_view op, std::string_view noun, const Tensor& dy, const Tensor& indices,
                         std::int64_t skipped, Tensor& into) {
  const std::int64_t cols = into.size(1);
  dispatch_floating(op, dy.dtype(), [&]<class Scalar>(Scalar) {
    const Scalar* const in = dy.data<Scalar>();
    Scalar* const out = into.mutable_data<Scalar>();
    for_each_index(op, noun, indices, into.size(0), [&](std::int64_t i, std::int64_t index) {
      if (index == skipped) return;
      Scalar* const row = out + index * cols;
      for_each_pack<Scalar>(cols, [&](std::int64_t c, auto keep) HSTU_LAMBDA_INLINE {
        store(row + c, load(row + c) + keep(load(in + i * cols + c)));
      });
    });
  });
}

}  // namespace detail

/// y[i] = x[rows[i]] with x [R, C], rows int32 or int64 of any shape, y [rows..., C];  dx[rows[i]] += dy[i];
/// docs/math.md (20).  Throws DataError for a row outside [0, R).
inline Tensor gather_rows(const Tensor& x, const Tensor& rows) {
  detail::check_defined("gather_rows", "x", x);
  detail::check_defined("gather_rows", "rows", rows);
  check<ShapeError>(x.rank() == 2, "gather_rows: x must be [R, C], got ", x.shape());
  return record("gather_rows", detail::copy_rows("gather_rows", "row", x, rows), {x},
                [x = x.without_data(), rows = rows.detach()](const Tensor& dy, Accumulator& into) {
    detail::scatter_rows("gather_rows", "row", dy, rows, -1, into.buffer(x));
  });
}

}  // namespace hstu
