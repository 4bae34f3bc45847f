// SPDX-License-Identifier: MIT
// Dropout with a mask that is a function of the element's place; backward keeps a bit per element.
#pragma once
#include <algorithm>
#include <cmath>

#include <hstu/core/random_fill.hpp>
#include <hstu/core/simd.hpp>
#include <hstu/ops/operands.hpp>

namespace hstu {

namespace detail {

/// y = x·keep/(1 − p); element i of x draws word first_index + i of the stream and is kept if that is ≥ p·2³².
/// `kept` receives one bit per element unless null.
template <class Scalar>
void drop(const Tensor& x, double p, const RandomStream& stream, std::uint64_t first_index, Tensor& y,
          std::uint8_t* kept) {
  constexpr std::int64_t kBlock = 1024;  // words on the stack at a time
  std::uint32_t words[kBlock];
  const auto threshold = static_cast<std::uint32_t>(std::floor(p * 0x1p32));
  const Pack<Scalar> factor = splat(static_cast<Scalar>(1.0 / (1.0 - p)));
  const Scalar* const in = x.data<Scalar>();
  Scalar* const out = y.mutable_data<Scalar>();
  for (std::int64_t begin = 0; begin < x.numel(); begin += kBlock) {
    const std::int64_t count = std::min(kBlock, whole_packs(x.numel() - begin));
    fill_bits(stream, first_index + static_cast<std::uint64_t>(begin), {words, static_cast<std::size_t>(count)});
    for (std::int64_t i = 0; i < count; i += kLanes) {
      const Mask<float> keep = at_least(words + i, threshold);
      store(out + begin + i, select(__builtin_convertvector(keep, Mask<Scalar>), factor * load(in + begin + i),
                                    Pack<Scalar>{}));
      if (kept != nullptr) kept[(begin + i) / kLanes] = bits_of(keep);
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
  using simd::load, simd::store, simd::select;
  std::shared_ptr<Storage> kept;
  if (detail::recording && x.needs_grad()) {
    kept = detail::make_shared_pooled<Storage>(simd::whole_packs(x.numel()) / kLanes);
  }
  auto* const bits = kept ? reinterpret_cast<std::uint8_t*>(kept->data()) : nullptr;
  Tensor y = empty_like(x);
  dispatch_floating("dropout", x.dtype(),
                    [&]<class Scalar>(Scalar) { detail::drop<Scalar>(x, p, stream, first_index, y, bits); });
  return record("dropout", y, {x}, [x = x.without_data(), kept, p](const Tensor& dy, Accumulator& into) {
    Tensor dx = empty_like(dy);
    dispatch_floating("dropout", dy.dtype(), [&]<class Scalar>(Scalar) {
      const auto* const mask = reinterpret_cast<const std::uint8_t*>(kept->data());
      const auto factor = simd::splat(static_cast<Scalar>(1.0 / (1.0 - p)));
      const Scalar* const grad = dy.data<Scalar>();
      Scalar* const out = dx.mutable_data<Scalar>();
      for (std::int64_t i = 0; i < dy.numel(); i += kLanes) {
        store(out + i, select(simd::mask_of<Scalar>(mask[i / kLanes]), factor * load(grad + i), simd::Pack<Scalar>{}));
      }
    });
    into.add(x, dx);
  });
}

}  // namespace hstu
