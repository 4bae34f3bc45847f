// SPDX-License-Identifier: MIT
// Element types of tensors, and the way from a run-time type to a template.
#pragma once
#include <cstdint>
#include <ostream>
#include <string_view>
#include <type_traits>

#include <hstu/core/check.hpp>

namespace hstu {

enum class DType : std::uint8_t { float32, float64, int32, int64 };

constexpr std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::float32: return "float32";
    case DType::float64: return "float64";
    case DType::int32: return "int32";
    case DType::int64: return "int64";
  }
  return "unknown";
}
inline std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name_of(dtype); }

constexpr std::int64_t size_of(DType dtype) { return dtype == DType::float32 || dtype == DType::int32 ? 4 : 8; }
constexpr bool is_floating(DType dtype) { return dtype == DType::float32 || dtype == DType::float64; }

template <class Scalar>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<Scalar, float>) return DType::float32;
  else if constexpr (std::is_same_v<Scalar, double>) return DType::float64;
  else if constexpr (std::is_same_v<Scalar, std::int32_t>) return DType::int32;
  else {
    static_assert(std::is_same_v<Scalar, std::int64_t>, "tensors hold float, double, int32 or int64");
    return DType::int64;
  }
}

/// Calls `body(float{})` or `body(double{})`.  Throws ShapeError for integers, naming `op`.
template <class Body>
decltype(auto) dispatch_floating(std::string_view op, DType dtype, Body&& body) {
  check<ShapeError>(is_floating(dtype), op, ": expected float32 or float64, got ", dtype);
  return dtype == DType::float32 ? body(float{}) : body(double{});
}

/// Calls `body(int32_t{})` or `body(int64_t{})`.  Throws ShapeError for floating types, naming `op`.
template <class Body>
decltype(auto) dispatch_integer(std::string_view op, DType dtype, Body&& body) {
  check<ShapeError>(!is_floating(dtype), op, ": expected int32 or int64, got ", dtype);
  return dtype == DType::int32 ? body(std::int32_t{}) : body(std::int64_t{});
}

/// Calls `body` with a value of the C++ type of `dtype`.
template <class Body>
decltype(auto) dispatch_any(DType dtype, Body&& body) {
  return is_floating(dtype) ? dispatch_floating("dispatch", dtype, body) : dispatch_integer("dispatch", dtype, body);
}

}  // namespace hstu
