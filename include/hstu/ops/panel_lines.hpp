// SPDX-License-Identifier: MIT
// Rows of 16 tokens turned into lines of 16 lanes and back: how attention reads its operands and writes its results.
#pragma once
#include <hstu/core/simd.hpp>
#include <hstu/ops/columns.hpp>
#include <hstu/ops/time_panels.hpp>

namespace hstu::detail {

// A line is one column of a head for 16 tokens.  Heads lie behind each other, each in whole packs of lines.

/// to [H][d padded][16] = factor·x of `count` rows from `first` on; further lanes repeat the last row.
template <class Scalar>
void load_columns(const Columns& x, std::int64_t heads, std::int64_t first, std::int64_t count, double factor,
                  Scalar* to) {
  const auto view = x.view<Scalar>();
  const std::int64_t d = x.width / heads;
  const Pack<Scalar> scale = splat(static_cast<Scalar>(factor));
  const Scalar* rows[kPanelQueries];
  for (std::int64_t h = 0; h < heads; ++h, to += whole_packs(d) * kPanelQueries) {
    for (std::int64_t lane = 0; lane < kPanelQueries; ++lane) {
      rows[lane] = view.data + (first + std::min(lane, count - 1)) * view.stride + h * d;
    }
    for (std::int64_t k = 0; k < d; k += kLanes) {
      transpose_8x8(rows, k, scale, to + k * kPanelQueries, kPanelQueries);
      transpose_8x8(rows + kLanes, k, scale, to + k * kPanelQueries + kLanes, kPanelQueries);
    }
  }
}

/// to [H][16][d padded with zeros] = factor·x; rows from `count` on are zero.
template <class Scalar>
void load_rows(const Columns& x, std::int64_t heads, std::int64_t first, std::int64_t count, double factor,
               Scalar* to) {
  const auto view = x.view<Scalar>();
  const std::int64_t d = x.width / heads;
  const Pack<Scalar> scale = splat(static_cast<Scalar>(factor));
  for (std::int64_t h = 0; h < heads; ++h) {
    for (std::int64_t lane = 0; lane < kPanelQueries; ++lane, to += whole_packs(d)) {
      if (lane >= count) {
        std::fill_n(to, whole_packs(d), Scalar(0));
        continue;
      }
      const Scalar* from = view.data + (first + lane) * view.stride + h * d;
      for_each_pack<Scalar>(d, [&](std::int64_t k, auto keep) HSTU_LAMBDA_INLINE {
        store(to + k, scale * keep(load(from + k)));
      });
    }
  }
}

/// to[first + lane, columns of the heads] = or += from [H][d padded][16] for the first `count` lanes.
template <bool IsAdded, class Scalar>
void store_columns(const Scalar* from, std::int64_t heads, std::int64_t first, std::int64_t count,
                   const MatrixView<Scalar>& to) {
  const std::int64_t d = to.cols / heads;
  const Scalar* lines[kLanes];
  Scalar block[kLanes * kLanes];
  for (std::int64_t h = 0; h < heads; ++h, from += whole_packs(d) * kPanelQueries) {
    for (std::int64_t k = 0; k < d; k += kLanes) {
      for (std::int64_t i = 0; i < kLanes; ++i) lines[i] = from + (k + i) * kPanelQueries;
      for (std::int64_t n = 0; n < count; n += kLanes) {
        transpose_8x8(lines, n, splat(Scalar(1)), block, kLanes);
        for (std::int64_t lane = n; lane < std::min(n + kLanes, count); ++lane) {
          Scalar* const row = to.data + (first + lane) * to.stride + h * d + k;
          const Scalar* const value = block + (lane - n) * kLanes;
          if (d - k >= kLanes) {
            store(row, IsAdded ? load(row) + load(value) : load(value));
          } else {
            for (std::int64_t i = 0; i < d - k; ++i) row[i] = IsAdded ? row[i] + value[i] : value[i];
          }
        }
      }
    }
  }
}

/// Zeros in the lanes from `first_lane` on.
template <class Scalar>
void clear_lanes(Scalar* lines, std::int64_t count, std::int64_t first_lane) {
  for (std::int64_t i = 0; i < count; ++i, lines += kPanelQueries) {
    std::fill(lines + first_lane, lines + kPanelQueries, Scalar(0));
  }
}

/// Every line times factor, lane by lane.
template <class Scalar>
void scale_lines(Scalar* lines, std::int64_t count, const Pack<Scalar> (&factor)[2]) {
  for (std::int64_t i = 0; i < count; ++i, lines += kPanelQueries) {
    store(lines, factor[0] * load(lines));
    store(lines + kLanes, factor[1] * load(lines + kLanes));
  }
}

template <class Scalar>
void add_lines(const Scalar* from, std::int64_t count, Scalar* to) {
  for (std::int64_t i = 0; i < count * kPanelQueries; i += kLanes) store(to + i, load(to + i) + load(from + i));
}

}  // namespace hstu::detail
