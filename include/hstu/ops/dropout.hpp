// SPDX-License-Identifier: MIT
// Dropout with a mask that is a function of the element's place, recomputed in backward instead of stored.
#pragma once
#include <algorithm>
#include <cmath>

#include <hstu/core/random_fill.hpp>
#include <hstu/ops/operands.hpp>

namespace hstu {

namespace detail {

/// y = x·keep/(1 − p); element i of x draws word first_index + i of the stream and is kept if that is ≥ p·2³².
template <class Scalar>
void drop(const Tensor& x, double p, const RandomStream& stream, std::uint64_t first_index, Tensor& y) {
  constexpr std::int64_t kBlock = 1024;  // words on the stack at a time
  std::uint32_t words[kBlock];
  const auto threshold = static_cast<std::uint32_t>(std::floor(p * 0x1p32));
  const auto factor = static_cast<Scalar>(1.0 / (1.0 - p));
  const Scalar* in = x.data<Scalar>();
  Scalar* out = y.mutable_data<Scalar>();
  for (std::int64_t begin = 0; begin < x.numel(); begin += kBlock) {
    const std::int64_t count = std::min(kBlock, x.numel() - begin);
    fill_bits(stream, first_index + static_cast<std::uint64_t>(begin), {words, static_cast<std::size_t>(count)});
    for (std::int64_t i = 0; i < count; ++i) {
      out[begin + i] = words[i] >= threshold ? in[begin + i] * factor : Scalar(0);
    }
  }
}

}  // namespace detail

/// Inverted dropout: y = x·keep / (1 − p), dx = dy·keep / (1 − p), x [..., C]; docs/math.md (19).
/// The entry of row r and column c is kept by the word (first_row + r)·C + c of `stream`, so that a chunk of a batch,
/// given its first row, draws the mask the whole batch would.  p = 0 returns x.  Throws ConfigError unless 0 ≤ p < 1.
inline Tensor dropout(const Tensor& x, double p, const RandomStream& stream, std::int64_t first_row = 0) {
  detail::check_defined("dropout", "x", x);
  check<ConfigError>(p >= 0.0 && p < 1.0, "dropout: p must be in [0, 1), got ", p);
  check<ShapeError>(first_row >= 0, "dropout: first_row must not be negative, got ", first_row);
  if (p == 0.0) return x;
  const std::uint64_t first_index = static_cast<std::uint64_t>(first_row) * static_cast<std::uint64_t>(num_cols(x));
  const auto apply = [p, stream, first_index](const Tensor& in) {
    Tensor out = empty_like(in);
    dispatch_floating("dropout", in.dtype(),
                      [&]<class Scalar>(Scalar) { detail::drop<Scalar>(in, p, stream, first_index, out); });
    return out;
  };
  return record("dropout", apply(x), {x}, [x = x.without_data(), apply](const Tensor& dy, Accumulator& into) {
    into.add(x, apply(dy));
  });
}

}  // namespace hstu
