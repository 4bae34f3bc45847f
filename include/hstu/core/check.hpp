// SPDX-License-Identifier: MIT
// Errors: one base, one kind per cause; every message says place, expectation, fact.
#pragma once
#include <cstdint>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

namespace hstu {

/// Base of all exceptions thrown by this library.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class ShapeError : public Error { using Error::Error; };       ///< shapes or dtypes that do not fit
class DataError : public Error { using Error::Error; };        ///< unreadable ratings, ids out of range
class CheckpointError : public Error { using Error::Error; };  ///< damaged or unfitting weight files
class ConfigError : public Error { using Error::Error; };      ///< options that do not exist or contradict
class NumericError : public Error { using Error::Error; };     ///< NaN or Inf where a number is needed
class IoError : public Error { using Error::Error; };          ///< the operating system refused a file operation
class DeviceError : public Error { using Error::Error; };      ///< no usable GPU, or a call of its driver failed

/// Joins its arguments as text: concat("got ", 3, " of ", shape).
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text.exceptions(std::ios::badbit);  // out of memory: else the text would end where the memory did
  (text << ... << parts);
  return text.str();
}

namespace detail {
template <class Kind, class... Parts>
[[noreturn]] __attribute__((noinline, cold)) void fail(const Parts&... parts) { throw Kind(concat(parts...)); }
}  // namespace detail

/// Throws `Kind` with the joined parts unless `holds`.  Costs a comparison: the message is made out of line.
template <class Kind, class... Parts>
inline __attribute__((always_inline)) void check(bool holds, const Parts&... parts) {
  if (!holds) [[unlikely]] detail::fail<Kind>(parts...);
}

/// a·b for sizes.  Throws ShapeError if either is negative or the product exceeds int64.
inline std::int64_t checked_mul(std::int64_t a, std::int64_t b) {
  check<ShapeError>(a >= 0 && b >= 0, "size must not be negative, got ", a, " and ", b);
  check<ShapeError>(b == 0 || a <= std::numeric_limits<std::int64_t>::max() / b, "size ", a, " x ", b,
                    " exceeds 64 bits");
  return a * b;
}

}  // namespace hstu

/// For broken invariants of this library itself; user mistakes use check<Kind>().
#define HSTU_ASSERT(holds) \
  ::hstu::check<::hstu::Error>((holds), __FILE__, ":", __LINE__, ": internal invariant broken: " #holds)
