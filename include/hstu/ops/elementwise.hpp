// SPDX-License-Identifier: MIT
// Sum, difference, product and quotient with broadcasting as in NumPy; product with a constant.
#pragma once
#include <hstu/ops/operands.hpp>

namespace hstu {

namespace detail {

/// Two operands walked together over their common shape.  Dimensions are innermost first; neighbours that both
/// operands walk with one stride are one dimension, so equal shapes give one line and [R, C] with [C] gives R lines.
struct Broadcast {
  Shape shape;
  int rank = 0;
  std::array<std::int64_t, Shape::kMaxRank> sizes{}, a_strides{}, b_strides{};
};

inline Broadcast make_broadcast(std::string_view op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  PoolVector<std::int64_t> common(static_cast<std::size_t>(rank));
  Broadcast result;
  std::int64_t a_stride = 1;
  std::int64_t b_stride = 1;
  for (int d = 1; d <= rank; ++d) {
    const std::int64_t a_size = d <= a.rank() ? a[-d] : 1;
    const std::int64_t b_size = d <= b.rank() ? b[-d] : 1;
    check<ShapeError>(a_size == b_size || a_size == 1 || b_size == 1, op, ": shapes ", a, " and ", b,
                      " do not broadcast: sizes ", a_size, " and ", b_size);
    const std::int64_t size = a_size == 1 ? b_size : a_size;
    common[static_cast<std::size_t>(rank - d)] = size;
    const std::int64_t a_step = a_size == 1 ? 0 : a_stride;
    const std::int64_t b_step = b_size == 1 ? 0 : b_stride;
    a_stride *= a_size;
    b_stride *= b_size;
    if (size == 1) continue;
    if (result.rank > 0) {
      const auto inner = static_cast<std::size_t>(result.rank - 1);
      if (a_step == result.a_strides[inner] * result.sizes[inner] &&
          b_step == result.b_strides[inner] * result.sizes[inner]) {
        result.sizes[inner] *= size;
        continue;
      }
    }
    const auto next = static_cast<std::size_t>(result.rank++);
    result.sizes[next] = size;
    result.a_strides[next] = a_step;
    result.b_strides[next] = b_step;
  }
  if (result.rank == 0) {
    result.rank = 1;
    result.sizes[0] = 1;
  }
  result.shape = Shape(common);
  return result;
}

/// Calls line(offset in the result, offset in a, offset in b) for each innermost line.
template <class Line>
void for_each_line(const Broadcast& walk, const Line& line) {
  std::array<std::int64_t, Shape::kMaxRank> index{};
  std::int64_t a = 0;
  std::int64_t b = 0;
  for (std::int64_t y = 0; y < walk.shape.numel(); y += walk.sizes[0]) {
    line(y, a, b);
    for (std::size_t d = 1; d < static_cast<std::size_t>(walk.rank); ++d) {
      a += walk.a_strides[d];
      b += walk.b_strides[d];
      if (++index[d] < walk.sizes[d]) break;
      a -= walk.a_strides[d] * walk.sizes[d];
      b -= walk.b_strides[d] * walk.sizes[d];
      index[d] = 0;
    }
  }
}

/// y = f(a, b), where f takes two Eigen arrays and returns an Eigen expression.  Not recorded.
template <class Function>
Tensor broadcast_apply(std::string_view op, const Tensor& a, const Tensor& b, const Function& f) {
  const Broadcast walk = make_broadcast(op, a.shape(), b.shape());
  Tensor y(walk.shape, a.dtype());
  dispatch_floating(op, a.dtype(), [&]<class Scalar>(Scalar) {
    using Line = ConstArrayMap<Scalar>;
    const std::int64_t n = walk.sizes[0];
    const Scalar* const a_data = a.data<Scalar>();
    const Scalar* const b_data = b.data<Scalar>();
    Scalar* const y_data = y.mutable_data<Scalar>();
    for_each_line(walk, [&](std::int64_t y_at, std::int64_t a_at, std::int64_t b_at) {
      ArrayMap<Scalar> out(y_data + y_at, n);
      if (walk.a_strides[0] == 0) {
        out = f(Line::Constant(n, a_data[a_at]), Line(b_data + b_at, n));
      } else if (walk.b_strides[0] == 0) {
        out = f(Line(a_data + a_at, n), Line::Constant(n, b_data[b_at]));
      } else {
        out = f(Line(a_data + a_at, n), Line(b_data + b_at, n));
      }
    });
  });
  return y;
}

/// Sums x over the dimensions along which `shape` was broadcast.  Shares the data of x if there are none.
inline Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  const Broadcast walk = make_broadcast("sum_to", x.shape(), shape);
  Tensor y = Tensor::zeros(shape, x.dtype());
  dispatch_floating("sum_to", x.dtype(), [&]<class Scalar>(Scalar) {
    const std::int64_t n = walk.sizes[0];
    for_each_line(walk, [&](std::int64_t, std::int64_t x_at, std::int64_t y_at) {
      const ConstArrayMap<Scalar> line(x.data<Scalar>() + x_at, n);
      Scalar* const out = y.mutable_data<Scalar>() + y_at;
      if (walk.b_strides[0] == 0) {
        *out += line.sum();
      } else {
        ArrayMap<Scalar>(out, n) += line;
      }
    });
  });
  return y;
}

inline void check_binary(std::string_view op, const Tensor& a, const Tensor& b) {
  check_defined(op, "a", a);
  check_same_dtype(op, "b", b, a.dtype());
}

inline constexpr auto product = [](const auto& u, const auto& v) { return u * v; };
inline constexpr auto quotient = [](const auto& u, const auto& v) { return u / v; };

}  // namespace detail

/// x·c;  dx = dy·c.  Any shape, float32 or float64; docs/math.md (5).
inline Tensor scale(const Tensor& x, double c) {
  detail::check_defined("scale", "x", x);
  Tensor y = empty_like(x);
  dispatch_floating("scale", x.dtype(), [&]<class Scalar>(Scalar) {
    mutable_array<Scalar>(y) = array<Scalar>(x) * static_cast<Scalar>(c);
  });
  return record("scale", y, {x}, [x = x.without_data(), c](const Tensor& dy, Accumulator& into) {
    into.add(x, scale(dy, c));
  });
}

/// a + b;  da = dy, db = dy, each summed over its broadcast dimensions; docs/math.md (1).
/// Shapes broadcast as in NumPy (aligned at the last dimension, 1 stretches); dtypes must agree.  ShapeError otherwise.
inline Tensor add(const Tensor& a, const Tensor& b) {
  detail::check_binary("add", a, b);
  Tensor y = detail::broadcast_apply("add", a, b, [](const auto& u, const auto& v) { return u + v; });
  return record("add", y, {a, b},
                [a = a.without_data(), b = b.without_data()](const Tensor& dy, Accumulator& into) {
                  if (into.wants(a)) into.add(a, detail::sum_to(dy, a.shape()));
                  if (into.wants(b)) into.add(b, detail::sum_to(dy, b.shape()));
                });
}

/// a − b;  da = dy, db = −dy, summed as in add; docs/math.md (2).
inline Tensor sub(const Tensor& a, const Tensor& b) {
  detail::check_binary("sub", a, b);
  Tensor y = detail::broadcast_apply("sub", a, b, [](const auto& u, const auto& v) { return u - v; });
  return record("sub", y, {a, b},
                [a = a.without_data(), b = b.without_data()](const Tensor& dy, Accumulator& into) {
                  if (into.wants(a)) into.add(a, detail::sum_to(dy, a.shape()));
                  if (into.wants(b)) into.add(b, scale(detail::sum_to(dy, b.shape()), -1.0));
                });
}

/// a·b, elementwise;  da = dy·b, db = dy·a, summed as in add; docs/math.md (3).
inline Tensor mul(const Tensor& a, const Tensor& b) {
  detail::check_binary("mul", a, b);
  Tensor y = detail::broadcast_apply("mul", a, b, detail::product);
  const Tensor a_kept = b.needs_grad() ? a : a.without_data();
  const Tensor b_kept = a.needs_grad() ? b : b.without_data();
  return record("mul", y, {a, b}, [a = a_kept, b = b_kept](const Tensor& dy, Accumulator& into) {
    if (into.wants(a)) into.add(a, detail::sum_to(detail::broadcast_apply("mul", dy, b, detail::product), a.shape()));
    if (into.wants(b)) into.add(b, detail::sum_to(detail::broadcast_apply("mul", dy, a, detail::product), b.shape()));
  });
}

/// a / b, elementwise;  da = dy / b, db = −dy·a / b², summed as in add; docs/math.md (4).
/// A zero in b gives ±∞ or NaN as IEEE has it.
inline Tensor div(const Tensor& a, const Tensor& b) {
  detail::check_binary("div", a, b);
  Tensor y = detail::broadcast_apply("div", a, b, detail::quotient);
  return record("div", y, {a, b}, [a = a.without_data(), b, y](const Tensor& dy, Accumulator& into) {
    const Tensor da = detail::broadcast_apply("div", dy, b, detail::quotient);
    if (into.wants(a)) into.add(a, detail::sum_to(da, a.shape()));
    if (into.wants(b)) {
      const Tensor full = detail::broadcast_apply("div", da, y, [](const auto& u, const auto& v) { return -u * v; });
      into.add(b, detail::sum_to(full, b.shape()));
    }
  });
}

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }

}  // namespace hstu
