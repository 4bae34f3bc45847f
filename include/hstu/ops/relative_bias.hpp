// SPDX-License-Identifier: MIT
// The bias added to attention scores: tables looked up by distance and by time difference, never an L×L matrix of floats.
#pragma once
#include <memory>

#include <hstu/autograd/backward.hpp>
#include <hstu/ops/position_buckets.hpp>
#include <hstu/ops/time_panels.hpp>

namespace hstu {

/// rab[h, i, j] = position_table[row(i − j), h] + time_table[bucket(i, j), h] + dense[h, i, j]; absent parts are zero.
/// Tables are [rows, H], or [rows] when all heads share them.  docs/math.md (A2), (A8); under a mask (A11).
struct RelativeBias {
  Tensor position_table;
  std::shared_ptr<const DistanceRows> position_rows;
  Tensor time_table;
  std::shared_ptr<const TimePanels> time_panels;  ///< made with the mask's contextual_seq_len
  Tensor dense;  ///< [H, L, L] or [1, H, L, L]: for models that build their bias elsewhere
};

namespace detail {

inline std::int64_t table_heads(const Tensor& table) { return table.rank() == 1 ? 1 : table.size(1); }

/// Throws unless the parts of the bias fit `num_heads` and the histories, in which `distances` occur.
inline void check_bias(const RelativeBias& bias, DType dtype, std::int64_t num_heads, const Tensor& offsets,
                       std::int64_t longest, std::int64_t distances, std::int64_t contextual_seq_len) {
  const auto check_table = [&](const char* name, const Tensor& table) {
    check<ShapeError>(table.dtype() == dtype && (table.rank() == 1 || (table.rank() == 2 && table.size(1) == num_heads)),
                      "hstu_attention: ", name, " must be ", dtype, " [rows] or [rows, ", num_heads, "], got ",
                      table.dtype(), table.shape());
  };
  if (bias.position_table.defined()) {
    check_table("position_table", bias.position_table);
    check<ShapeError>(bias.position_rows != nullptr && std::ssize(*bias.position_rows) >= distances,
                      "hstu_attention: the position bias knows ", bias.position_rows ? bias.position_rows->size() : 0,
                      " distances, the longest sequence has ", distances);
    for (std::int64_t d = 0; d < distances; ++d) {
      const std::int32_t row = (*bias.position_rows)[static_cast<std::size_t>(d)];
      check<ShapeError>(row >= 0 && row < bias.position_table.size(0), "hstu_attention: distance ", d, " has row ", row,
                        " of a position table with ", bias.position_table.size(0));
    }
  }
  if (bias.time_table.defined()) {
    check_table("time_table", bias.time_table);
    const std::int64_t users = offsets.numel() - 1;
    check<ShapeError>(bias.time_panels != nullptr && bias.time_panels->users() == users,
                      "hstu_attention: time panels of ", bias.time_panels ? bias.time_panels->users() : 0,
                      " users, the batch has ", users);
    check<ShapeError>(bias.time_panels->contextual_seq_len() == contextual_seq_len, "hstu_attention: time panels for ",
                      bias.time_panels->contextual_seq_len(), " contextual tokens, the mask has ", contextual_seq_len);
    for (std::int64_t b = 0; b < users; ++b) {
      const std::int64_t length = offsets.data<std::int64_t>()[b + 1] - offsets.data<std::int64_t>()[b];
      check<ShapeError>(bias.time_panels->fits(b, length), "hstu_attention: the time panels of user ", b,
                        " were not made for a history of ", length);
    }
    check<ShapeError>(bias.time_panels->largest_bucket() < bias.time_table.size(0), "hstu_attention: time bucket ",
                      bias.time_panels->largest_bucket(), " of a time table with ", bias.time_table.size(0));
  }
  if (bias.dense.defined()) {
    const int r = bias.dense.rank();
    check<ShapeError>(bias.dense.dtype() == dtype && (r == 3 || (r == 4 && bias.dense.size(0) == 1)) &&
                          bias.dense.size(-3) == num_heads && bias.dense.size(-1) == bias.dense.size(-2) &&
                          bias.dense.size(-1) >= longest,
                      "hstu_attention: dense bias must be ", dtype, "[", num_heads, ", L, L] with L >= ", longest,
                      ", got ", bias.dense.dtype(), bias.dense.shape());
  }
}

}  // namespace detail
}  // namespace hstu
