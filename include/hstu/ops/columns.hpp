// SPDX-License-Identifier: MIT
// Cutting and joining along the last dimension.
#pragma once
#include <initializer_list>

#include <hstu/ops/operands.hpp>

namespace hstu {

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
  Tensor y(with_last_size(x.shape(), cols), x.dtype());
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

/// Joins tensors [..., Cᵢ], equal in all other sizes, to [..., ΣCᵢ]; docs/math.md (24).
inline Tensor concat_columns(const std::vector<Tensor>& parts) {
  check<ShapeError>(!parts.empty(), "concat_columns: expected at least one tensor, got none");
  detail::check_has_columns("concat_columns", "part 0", parts[0]);
  std::int64_t total = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string name = concat("part ", i);
    detail::check_has_columns("concat_columns", name, parts[i]);
    detail::check_shape("concat_columns", name, parts[i], detail::with_last_size(parts[0].shape(), parts[i].size(-1)),
                        parts[0].dtype());
    total += parts[i].size(-1);
  }
  Tensor y(detail::with_last_size(parts[0].shape(), total), parts[0].dtype());
  std::vector<Tensor> inputs;
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
