// SPDX-License-Identifier: MIT
// Tensor: a contiguous array of numbers with a shape, and its place in the autograd graph.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <hstu/core/dtype.hpp>
#include <hstu/core/random.hpp>
#include <hstu/core/shape.hpp>
#include <hstu/core/storage.hpp>

namespace hstu {

struct Node;  // autograd/node.hpp

/// Handle to a contiguous, row-major array.  Copies share the data, as `reshaped` and `rows` do.
/// A default-constructed tensor is "no tensor" (`defined()` is false).
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised memory.
  Tensor(Shape shape, DType dtype)
      : storage_(detail::make_shared_pooled<Storage>(checked_mul(shape.numel(), size_of(dtype)))), shape_(shape), dtype_(dtype) {}

  template <class Scalar>
  static Tensor from(std::span<const Scalar> values, const Shape& shape) {
    check<ShapeError>(shape.numel() == std::ssize(values), "tensor: shape ", shape, " needs ", shape.numel(),
                      " values, got ", values.size());
    Tensor result(shape, dtype_of<Scalar>());
    std::ranges::copy(values, result.mutable_data<Scalar>());
    return result;
  }
  template <class Scalar>
  static Tensor from(const std::vector<Scalar>& values, const Shape& shape) {
    return from(std::span<const Scalar>(values), shape);
  }
  /// A vector as a tensor of rank 1.
  template <class Scalar>
  static Tensor from(const std::vector<Scalar>& values) {
    return from(values, {std::ssize(values)});
  }
  template <class Vector>  // not of Scalar: a braced list is a std::vector
    requires std::same_as<Vector, PoolVector<typename Vector::value_type>>
  static Tensor from(const Vector& values) {
    return from(std::span<const typename Vector::value_type>(values), {std::ssize(values)});
  }
  static Tensor zeros(const Shape& shape, DType dtype = DType::float32) {
    Tensor result(shape, dtype);
    result.fill_zero();
    return result;
  }
  static Tensor full(const Shape& shape, double value, DType dtype = DType::float32) {
    Tensor result(shape, dtype);
    dispatch_any(dtype, [&]<class Scalar>(Scalar) {
      std::ranges::fill(result.mutable_values<Scalar>(), static_cast<Scalar>(value));
    });
    return result;
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  int rank() const { return shape_.rank(); }
  std::int64_t size(int dim) const { return shape_[dim]; }
  std::int64_t numel() const { return shape_.numel(); }
  std::int64_t bytes() const { return numel() * size_of(dtype_); }

  template <class Scalar>
  const Scalar* data() const { return typed<Scalar>(); }
  /// Writing is seen by every tensor that shares the data.
  template <class Scalar>
  Scalar* mutable_data() { return typed<Scalar>(); }
  template <class Scalar>
  std::span<const Scalar> values() const { return {data<Scalar>(), static_cast<std::size_t>(numel())}; }
  template <class Scalar>
  std::span<Scalar> mutable_values() { return {mutable_data<Scalar>(), static_cast<std::size_t>(numel())}; }
  template <class Scalar>
  std::vector<Scalar> to_vector() const { return {values<Scalar>().begin(), values<Scalar>().end()}; }

  /// The value of a tensor with one element.
  double item() const {
    check<ShapeError>(defined() && numel() == 1, "item: expected one element, got shape ", shape_);
    return dispatch_any(dtype_, [&]<class Scalar>(Scalar) { return static_cast<double>(*data<Scalar>()); });
  }
  void fill_zero() {
    if (numel() > 0) std::memset(bytes_begin(), 0, static_cast<std::size_t>(bytes()));
  }
  /// A copy with its own data, outside of the graph.
  Tensor clone() const {
    Tensor result(shape_, dtype_);
    if (numel() > 0) std::memcpy(result.bytes_begin(), bytes_begin(), static_cast<std::size_t>(bytes()));
    return result;
  }
  /// Copies the values of `other`, which must have the same shape and dtype.
  void copy_from(const Tensor& other) {
    check<ShapeError>(other.shape_ == shape_ && other.dtype_ == dtype_, "copy_from: expected ", dtype_, shape_,
                      ", got ", other.dtype_, other.shape_);
    if (numel() > 0) std::memcpy(bytes_begin(), other.bytes_begin(), static_cast<std::size_t>(bytes()));
  }
  /// The same values in another element type, outside of the graph.
  Tensor to(DType dtype) const {
    if (dtype == dtype_) return detach();
    Tensor result(shape_, dtype);
    dispatch_any(dtype_, [&]<class From>(From) {
      dispatch_any(dtype, [&]<class To>(To) {
        std::ranges::transform(values<From>(), result.mutable_data<To>(), [](From v) { return static_cast<To>(v); });
      });
    });
    return result;
  }

  /// The same data under another shape, outside of the graph (ops/reshape.hpp is the differentiable one).
  Tensor reshaped(const Shape& shape) const {
    check<ShapeError>(shape.numel() == numel(), "reshape: ", shape_, " has ", numel(), " elements, ", shape, " has ",
                      shape.numel());
    Tensor view = detach();
    view.shape_ = shape;
    return view;
  }
  /// Rows [first, last) of the outermost dimension, sharing the data, outside of the graph.
  Tensor rows(std::int64_t first, std::int64_t last) const {
    check<ShapeError>(rank() >= 1 && 0 <= first && first <= last && last <= size(0), "rows: [", first, ", ", last,
                      ") of ", shape_);
    const std::int64_t row_bytes = size(0) == 0 ? 0 : bytes() / size(0);
    Tensor view = detach();
    view.shape_ = shape_.with_size(0, last - first);
    view.offset_bytes_ += first * row_bytes;
    return view;
  }
  /// The same data without its place in the graph.
  Tensor detach() const {
    Tensor view = *this;
    view.node_.reset();
    return view;
  }

  /// Shape, dtype and place in the graph without the data: what a backward captures when it needs no values of x.
  Tensor without_data() const {
    Tensor handle = *this;
    handle.storage_.reset();
    return handle;
  }

  bool needs_grad() const { return node_ != nullptr; }
  const std::shared_ptr<Node>& node() const { return node_; }
  void set_node(std::shared_ptr<Node> node) { node_ = std::move(node); }
  /// True if no other tensor can see the data.
  bool owns_data_alone() const { return storage_.use_count() == 1; }

 private:
  std::byte* bytes_begin() const {
    check<ShapeError>(defined(), "tensor: no data: the tensor is undefined");
    return storage_->data() + offset_bytes_;
  }
  template <class Scalar>
  Scalar* typed() const {
    check<ShapeError>(dtype_of<Scalar>() == dtype_, "tensor: expected ", dtype_of<Scalar>(), ", got ", dtype_);
    return reinterpret_cast<Scalar*>(bytes_begin());
  }

  std::shared_ptr<Storage> storage_;
  std::int64_t offset_bytes_ = 0;
  Shape shape_;
  DType dtype_ = DType::float32;
  std::shared_ptr<Node> node_;
};

inline Tensor empty_like(const Tensor& x) { return Tensor(x.shape(), x.dtype()); }
inline Tensor zeros_like(const Tensor& x) { return Tensor::zeros(x.shape(), x.dtype()); }

/// Standard normal values times `scale`.
inline Tensor randn(const Shape& shape, const RandomStream& stream, double scale = 1.0, DType dtype = DType::float32) {
  Tensor result(shape, dtype);
  dispatch_floating("randn", dtype, [&]<class Scalar>(Scalar) {
    std::uint64_t index = 0;
    for (Scalar& v : result.mutable_values<Scalar>()) v = static_cast<Scalar>(scale * stream.normal(index++));
  });
  return result;
}

}  // namespace hstu
