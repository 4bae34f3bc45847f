// SPDX-License-Identifier: MIT
// Matrix product and affine map over the last dimension, by the GEMM of core/gemm.hpp.
#pragma once
#include <hstu/ops/operands.hpp>

namespace hstu {

namespace detail {

/// dx += left·right in the shape of x.  A parameter's gradient is added to in place, without a temporary.
template <class Scalar>
void add_gradient(Accumulator& into, const Tensor& x, const MatrixView<const Scalar>& left,
                  const MatrixView<const Scalar>& right) {
  if (!into.wants(x)) return;
  if (x.node()->is_leaf) {
    add_product(mutable_view<Scalar>(into.buffer(x)), left, right);
  } else {
    Tensor dx(x.shape(), dtype_of<Scalar>());
    set_product(mutable_view<Scalar>(dx), left, right);
    into.add(x, dx);
  }
}

/// sums [C] += column sums of x [..., C].
inline void add_column_sums(const Tensor& x, Tensor& sums) {
  dispatch_floating("add_column_sums", x.dtype(), [&]<class Scalar>(Scalar) {
    const MatrixView<const Scalar> rows = view<Scalar>(x);
    Scalar* const to = sums.mutable_data<Scalar>();
    for (std::int64_t c = 0; c < rows.cols; c += kLanes) {
      Pack<Scalar> sum{};
      for (std::int64_t row = 0; row < rows.rows; ++row) sum += load(rows.data + row * rows.stride + c);
      for (std::int64_t i = 0; i < std::min(kLanes, rows.cols - c); ++i) to[c + i] += sum[i];
    }
  });
}

inline void check_matmul(std::string_view op, const Tensor& a, const Tensor& b) {
  check_has_columns(op, "a", a);
  check_same_dtype(op, "b", b, a.dtype());
  check<ShapeError>(b.rank() == 2 && b.size(0) == a.size(-1), op, ": b must be [", a.size(-1),
                    ", N] (last size of a), got ", b.shape());
}

inline void check_linear(std::string_view op, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_has_columns(op, "x", x);
  check_same_dtype(op, "weight", weight, x.dtype());
  check<ShapeError>(weight.rank() == 2 && weight.size(1) == x.size(-1), op, ": weight must be [out, ", x.size(-1),
                    "] (last size of x), got ", weight.shape());
  if (bias.defined()) check_shape(op, "bias", bias, {weight.size(0)}, x.dtype());
}

}  // namespace detail

/// y = a·b with a [..., K], b [K, N], y [..., N];  da = dy·bᵀ, db = aᵀ·dy; docs/math.md (9).
/// Throws ShapeError if the K differ or b is not a matrix.
inline Tensor matmul(const Tensor& a, const Tensor& b) {
  detail::check_matmul("matmul", a, b);
  Tensor y(a.shape().with_size(-1, b.size(1)), a.dtype());
  dispatch_floating("matmul", a.dtype(), [&]<class Scalar>(Scalar) {
    set_product(mutable_view<Scalar>(y), view<Scalar>(a), view<Scalar>(b));
  });
  return record("matmul", y, {a, b}, [a, b](const Tensor& dy, Accumulator& into) {
    dispatch_floating("matmul", a.dtype(), [&]<class Scalar>(Scalar) {
      detail::add_gradient(into, a, view<Scalar>(dy), view<Scalar>(b).transposed());
      detail::add_gradient(into, b, view<Scalar>(a).transposed(), view<Scalar>(dy));
    });
  });
}

/// y = x·Wᵀ + bias + residual with x [..., in], weight W [out, in] (as torch.nn.Linear stores it), bias [out] or
/// undefined, residual as y or undefined, y [..., out];  dx = dy·W, dW = dyᵀ·x, dbias = sum of dy over rows,
/// dresidual = dy; docs/math.md (10).
inline Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual = {}) {
  detail::check_linear("linear", x, weight, bias);
  const Shape shape = x.shape().with_size(-1, weight.size(0));
  if (residual.defined()) detail::check_shape("linear", "residual", residual, shape, x.dtype());
  Tensor y(shape, x.dtype());
  dispatch_floating("linear", x.dtype(), [&]<class Scalar>(Scalar) {
    using simd::load, simd::store, simd::Pack;
    const MatrixView<Scalar> out = mutable_view<Scalar>(y);
    if (!bias.defined() && !residual.defined()) {
      set_product(out, view<Scalar>(x), view<Scalar>(weight).transposed());
      return;
    }
    const Scalar* const offset = bias.defined() ? bias.data<Scalar>() : nullptr;
    const Scalar* const start = residual.defined() ? residual.data<Scalar>() : nullptr;
    for (std::int64_t row = 0; row < out.rows; ++row) {
      for (std::int64_t c = 0; c < out.cols; c += kLanes) {
        Pack<Scalar> value = start == nullptr ? Pack<Scalar>{} : load(start + row * out.cols + c);
        if (offset != nullptr) value += load(offset + c);
        store(out.data + row * out.stride + c, value);
      }
    }
    add_product(out, view<Scalar>(x), view<Scalar>(weight).transposed());
  });
  return record("linear", y, {x, weight, bias, residual},
                [x, weight, bias = bias.without_data(), residual = residual.without_data()](const Tensor& dy,
                                                                                            Accumulator& into) {
    dispatch_floating("linear", x.dtype(), [&]<class Scalar>(Scalar) {
      detail::add_gradient(into, x, view<Scalar>(dy), view<Scalar>(weight));
      detail::add_gradient(into, weight, view<Scalar>(dy).transposed(), view<Scalar>(x));
    });
    if (into.wants(bias)) detail::add_column_sums(dy, into.buffer(bias));
    into.add(residual, dy);
  });
}

}  // namespace hstu
