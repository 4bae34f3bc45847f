// SPDX-License-Identifier: MIT
// Softmax loss of scores that exist already, with the target in the first column.
#pragma once
#include <cmath>

#include <hstu/loss/reduction.hpp>
#include <hstu/ops/operands.hpp>

namespace hstu {

/// The target in front of a row's negatives, int32 [T, 1 + R]: targets int32 [T], negatives int32 [T, R], or [R] for all
/// rows.  Throws ShapeError for operands that do not fit.
inline Tensor targets_and_negatives(const Tensor& targets, const Tensor& negatives) {
  const std::int64_t T = targets.numel();
  const bool is_shared = negatives.rank() == 1;
  check<ShapeError>(targets.rank() == 1 && targets.dtype() == DType::int32 && negatives.dtype() == DType::int32 &&
                        (is_shared || (negatives.rank() == 2 && negatives.size(0) == T)),
                    "targets_and_negatives: expected int32 [T] and int32 [T, R] or [R], got ", targets.dtype(),
                    targets.shape(), " and ", negatives.dtype(), negatives.shape());
  const std::int64_t R = negatives.size(is_shared ? 0 : 1);
  Tensor all({T, 1 + R}, DType::int32);
  auto* to = all.mutable_data<std::int32_t>();
  for (std::int64_t t = 0; t < T; ++t) {
    *to++ = targets.data<std::int32_t>()[t];
    to = std::copy_n(negatives.data<std::int32_t>() + (is_shared ? 0 : t * R), R, to);
  }
  return all;
}

/// Mean or sum over rows t of −ln softmax(scores[t])[0];  dz_c = softmax_c − [c = 0].
/// scores [T, C]; candidates int32 [T, C], candidates[t, 0] being the target: rows with target 0 do not count, and
/// candidates behind it that equal it are left out.  docs/math.md (L10).  0 if no row counts.
/// Throws ShapeError for operands that do not fit.
inline Tensor target_softmax(const Tensor& scores, const Tensor& candidates, Reduction reduction = Reduction::mean) {
  detail::check_has_columns("target_softmax", "scores", scores);
  check<ShapeError>(scores.rank() == 2 && scores.size(1) >= 1, "target_softmax: scores must be [T, C] with C >= 1, got ",
                    scores.shape());
  detail::check_shape("target_softmax", "candidates", candidates, scores.shape(), DType::int32);
  Tensor slope = zeros_like(scores);
  const std::int64_t C = scores.size(1);
  double loss = 0.0, count = 0.0;
  dispatch_floating("target_softmax", scores.dtype(), [&]<class Scalar>(Scalar) {
    for (std::int64_t t = 0; t < scores.size(0); ++t) {
      const Scalar* const z = scores.data<Scalar>() + t * C;
      const std::int32_t* const ids = candidates.data<std::int32_t>() + t * C;
      if (ids[0] == 0) continue;
      const auto counts = [&](std::int64_t c) { return c == 0 || ids[c] != ids[0]; };
      Scalar largest = z[0];
      for (std::int64_t c = 1; c < C; ++c) largest = counts(c) && !(z[c] <= largest) ? z[c] : largest;
      double sum = 0.0;
      for (std::int64_t c = 0; c < C; ++c) sum += counts(c) ? std::exp(static_cast<double>(z[c] - largest)) : 0.0;
      loss += std::log(sum) + static_cast<double>(largest - z[0]);
      count += 1.0;
      Scalar* const dz = slope.mutable_data<Scalar>() + t * C;
      for (std::int64_t c = 0; c < C; ++c) {
        const double p = counts(c) ? std::exp(static_cast<double>(z[c] - largest)) / sum : 0.0;
        dz[c] = static_cast<Scalar>(p - (c == 0 ? 1.0 : 0.0));
      }
    }
  });
  const double factor = reduction == Reduction::mean && count > 0 ? 1.0 / count : 1.0;
  return record("target_softmax", Tensor::full({}, loss * factor, scores.dtype()), {scores},
                [scores = scores.without_data(), slope, factor](const Tensor& dy, Accumulator& into) {
                  Tensor dz = empty_like(slope);
                  dispatch_floating("target_softmax", slope.dtype(), [&]<class Scalar>(Scalar) {
                    mutable_array<Scalar>(dz) = static_cast<Scalar>(dy.item() * factor) * array<Scalar>(slope);
                  });
                  into.add(scores, dz);
                });
}

}  // namespace hstu
