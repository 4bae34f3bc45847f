// SPDX-License-Identifier: MIT
// Cutting and joining along the last dimension.
#pragma once
#include <initializer_list>

#include <hstu/ops/operands.hpp>

namespace hstu {

/// Columns [first, first + width) of x [..., C], which ops read and differentiate in place: operands that a product
/// has put side by side need no copies.  A tensor converts to all of its columns.
struct Columns {
  Tensor of;
  std::int64_t first = 0;
  std::int64_t width = 0;

  Columns() = default;
  Columns(const Tensor& x) : of(x), width(x.defined() ? num_cols(x) : 0) {}
  /// Throws ShapeError if x has no such columns.
  Columns(const Tensor& x, std::int64_t first_column, std::int64_t count) : of(x), first(first_column), width(count) {
    detail::check_has_columns("columns", "x", x);
    check<ShapeError>(first >= 0 && width >= 0 && width <= x.size(-1) - first, "columns: [", first, ", ",
                      first + width, ") of ", x.shape());
  }

  bool defined() const { return of.defined(); }
  std::int64_t rows() const { return num_rows(of); }
  DType dtype() const { return of.dtype(); }
  template <class Scalar>
  MatrixView<const Scalar> view() const { return {of.data<Scalar>() + first, rows(), width, num_cols(of)}; }
  /// The same columns of the gradient of `of`, to add to.  It must be wanted.
  template <class Scalar>
  MatrixView<Scalar> gradient(Accumulator& into) const {
    return {into.buffer(of).mutable_data<Scalar>() + first, rows(), width, num_cols(of)};
  }
};

namespace detail {

/// Columns [first, first + cols) of x [..., C] as a matrix with gaps.
template <class Scalar>
ConstStridedMap<Scalar> columns_of(const Tensor& x, std::int64_t first, std::int64_t cols) {
  return {x.data<Scalar>() + first, num_rows(x), cols, Eigen::OuterStride<>(num_cols(x))};
}
template <class Scalar>
StridedMap<Scalar> mutable_columns_of(Tensor& x, std::int64_t first, std::int64_t cols) {
  return {x.mutable_data<Scalar>() + first, num_rows(x), cols, Eigen::OuterStride<>(num_cols(x))};
}

/// A copy of columns [first, first + cols); not recorded.
inline Tensor copy_columns(std::string_view op, const Tensor& x, std::int64_t first, std::int64_t cols) {
  Tensor y(x.shape().with_size(-1, cols), x.dtype());
  dispatch_floating(op, x.dtype(), [&]<class Scalar>(Scalar) {
    mutable_matrix<Scalar>(y) = columns_of<Scalar>(x, first, cols);
  });
  return y;
}

}  // namespace detail

/// Cuts x [..., C] into tensors of the given numbers of columns, in order; docs/math.md (23).
/// Throws ShapeError unless the sizes add up to C.
inline std::vector<Tensor> split_columns(const Tensor& x, std::span<const std::int64_t> sizes) {
  detail::check_has_columns("split_columns", "x", x);
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) {
    check<ShapeError>(size >= 0 && size <= x.size(-1) - total, "split_columns: sizes must add up to ", x.size(-1),
                      " (last size of x), got ", size, " after ", total);
    total += size;
  }
  check<ShapeError>(total == x.size(-1), "split_columns: sizes must add up to ", x.size(-1),
                    " (last size of x), got ", total);
  std::vector<Tensor> parts;
  std::int64_t first = 0;
  for (const std::int64_t size : sizes) {
    parts.push_back(record("split_columns", detail::copy_columns("split_columns", x, first, size), {x},
                           [x = x.without_data(), first, size](const Tensor& dy, Accumulator& into) {
      dispatch_floating("split_columns", dy.dtype(), [&]<class Scalar>(Scalar) {
        detail::mutable_columns_of<Scalar>(into.buffer(x), first, size) += matrix<Scalar>(dy);
      });
    }));
    first += size;
  }
  return parts;
}
inline std::vector<Tensor> split_columns(const Tensor& x, std::initializer_list<std::int64_t> sizes) {
  return split_columns(x, std::span(sizes.begin(), sizes.size()));
}

/// x [..., C] with zeros behind its columns, [..., width];  dx: the first C columns of dy.  docs/math.md (24).
/// Throws ShapeError if width is below C.
inline Tensor pad_columns(const Tensor& x, std::int64_t width) {
  detail::check_has_columns("pad_columns", "x", x);
  check<ShapeError>(width >= x.size(-1), "pad_columns: width must be at least ", x.size(-1), ", got ", width);
  Tensor y = Tensor::zeros(x.shape().with_size(-1, width), x.dtype());
  dispatch_floating("pad_columns", x.dtype(), [&]<class Scalar>(Scalar) {
    detail::mutable_columns_of<Scalar>(y, 0, x.size(-1)) = matrix<Scalar>(x);
  });
  return record("pad_columns", y, {x}, [x = x.without_data()](const Tensor& dy, Accumulator& into) {
    into.add(x, detail::copy_columns("pad_columns", dy, 0, x.size(-1)));
  });
}

/// Joins tensors [..., Cᵢ], equal in all other sizes, to [..., ΣCᵢ]; docs/math.md (24).
inline Tensor concat_columns(const std::vector<Tensor>& parts) {
  check<ShapeError>(!parts.empty(), "concat_columns: expected at least one tensor, got none");
  detail::check_has_columns("concat_columns", "part 0", parts[0]);
  std::int64_t total = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string name = concat("part ", i);
    detail::check_has_columns("concat_columns", name, parts[i]);
    detail::check_shape("concat_columns", name, parts[i], parts[0].shape().with_size(-1, parts[i].size(-1)),
                        parts[0].dtype());
    total += parts[i].size(-1);
  }
  Tensor y(parts[0].shape().with_size(-1, total), parts[0].dtype());
  PoolVector<Tensor> inputs;
  std::int64_t first = 0;
  for (const Tensor& part : parts) {
    dispatch_floating("concat_columns", y.dtype(), [&]<class Scalar>(Scalar) {
      detail::mutable_columns_of<Scalar>(y, first, part.size(-1)) = matrix<Scalar>(part);
    });
    first += part.size(-1);
    inputs.push_back(part.without_data());
  }
  return record("concat_columns", y, std::span<const Tensor>(inputs), [inputs](const Tensor& dy, Accumulator& into) {
    std::int64_t begin = 0;
    for (const Tensor& part : inputs) {
      if (into.wants(part)) into.add(part, detail::copy_columns("concat_columns", dy, begin, part.size(-1)));
      begin += part.size(-1);
    }
  });
}

}  // namespace hstu
