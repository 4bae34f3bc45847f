// SPDX-License-Identifier: MIT
// The bias added to attention scores: tables looked up by distance and by time difference, never an L×L matrix.
#pragma once
#include <memory>

#include <hstu/autograd/backward.hpp>
#include <hstu/ops/position_buckets.hpp>
#include <hstu/ops/time_buckets.hpp>

namespace hstu {

/// rab[h, i, j] = position_table[row(i − j), h] + time_table[bucket(i, j), h] + dense[h, i, j]; absent parts are zero.
/// Tables are [rows, H], or [rows] when all heads share them.  docs/math.md (A2), (A8)
struct RelativeBias {
  Tensor position_table;
  std::shared_ptr<const DistanceRows> position_rows;
  Tensor time_table;
  std::shared_ptr<const TimeRuns> time_runs;
  Tensor dense;  ///< [H, L, L] or [1, H, L, L]: for models that build their bias elsewhere
};

namespace detail {

inline std::int64_t table_heads(const Tensor& table) { return table.rank() == 1 ? 1 : table.size(1); }

/// Throws unless the parts of the bias fit `num_heads`, the tokens and the longest sequence.
inline void check_bias(const RelativeBias& bias, DType dtype, std::int64_t num_heads, std::int64_t tokens,
                       std::int64_t longest) {
  const auto check_table = [&](const char* name, const Tensor& table) {
    check<ShapeError>(table.dtype() == dtype && (table.rank() == 1 || (table.rank() == 2 && table.size(1) == num_heads)),
                      "hstu_attention: ", name, " must be ", dtype, " [rows] or [rows, ", num_heads, "], got ",
                      table.dtype(), table.shape());
  };
  if (bias.position_table.defined()) {
    check_table("position_table", bias.position_table);
    check<ShapeError>(bias.position_rows != nullptr && std::ssize(*bias.position_rows) >= longest,
                      "hstu_attention: the position bias knows ", bias.position_rows ? bias.position_rows->size() : 0,
                      " distances, the longest sequence has ", longest);
    for (std::int64_t d = 0; d < longest; ++d) {
      const std::int32_t row = (*bias.position_rows)[static_cast<std::size_t>(d)];
      check<ShapeError>(row >= 0 && row < bias.position_table.size(0), "hstu_attention: distance ", d, " has row ", row,
                        " of a position table with ", bias.position_table.size(0));
    }
  }
  if (bias.time_table.defined()) {
    check_table("time_table", bias.time_table);
    check<ShapeError>(bias.time_runs != nullptr && std::ssize(bias.time_runs->first_run) == tokens + 1,
                      "hstu_attention: time runs of ", bias.time_runs ? std::ssize(bias.time_runs->first_run) - 1 : 0,
                      " tokens, the batch has ", tokens);
    for (const TimeRuns::Run& run : bias.time_runs->runs) {
      check<ShapeError>(run.bucket >= 0 && run.bucket < bias.time_table.size(0), "hstu_attention: time bucket ",
                        run.bucket, " of a time table with ", bias.time_table.size(0));
    }
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

/// The bias of one head, laid out so that a row of keys is one contiguous line.
template <class Scalar>
class HeadBias {
 public:
  HeadBias(const RelativeBias& bias, std::int64_t head, std::int64_t longest, std::int64_t padding)
      : bias_(bias), head_(head), longest_(longest) {
    if (!bias.position_table.defined()) return;
    by_distance_.assign(static_cast<std::size_t>(longest + padding), Scalar(0));
    const std::int64_t heads = table_heads(bias.position_table);
    const Scalar* table = bias.position_table.data<Scalar>() + head % heads;
    for (std::int64_t d = 0; d < longest; ++d) {
      by_distance_[static_cast<std::size_t>(longest - 1 - d)] =
          table[(*bias.position_rows)[static_cast<std::size_t>(d)] * heads];
    }
  }

  /// row[j] += rab[i, j] for j <= i.   i: the query, counted in its user; token: the query, counted in the batch.
  void add_to(Scalar* row, std::int64_t i, std::int64_t token) const {
    using Line = Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>>;
    using ConstLine = Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>>;
    if (!by_distance_.empty()) Line(row, i + 1) += ConstLine(by_distance_.data() + (longest_ - 1 - i), i + 1);
    if (bias_.time_table.defined()) {
      const std::int64_t heads = table_heads(bias_.time_table);
      const Scalar* table = bias_.time_table.data<Scalar>() + head_ % heads;
      std::int32_t key = 0;
      for (const TimeRuns::Run& run : bias_.time_runs->of(token)) {
        const Scalar value = table[run.bucket * heads];
        for (; key < run.key_end; ++key) row[key] += value;
      }
    }
    if (bias_.dense.defined()) Line(row, i + 1) += ConstLine(bias_.dense.data<Scalar>() + dense_row(i), i + 1);
  }

 private:
  std::int64_t dense_row(std::int64_t i) const { return (head_ * bias_.dense.size(-1) + i) * bias_.dense.size(-1); }

  const RelativeBias& bias_;
  std::int64_t head_;
  std::int64_t longest_;
  std::vector<Scalar> by_distance_;  // reversed: entry longest − 1 − d
};

/// Collects the gradient of one head's bias; scatters it to the tables at the end.
template <class Scalar>
class HeadBiasGradient {
 public:
  HeadBiasGradient(const RelativeBias& bias, std::int64_t head, std::int64_t longest)
      : bias_(bias), head_(head), longest_(longest) {
    if (Accumulator::wants(bias.position_table)) by_distance_.assign(static_cast<std::size_t>(longest), Scalar(0));
    if (Accumulator::wants(bias.time_table)) {
      by_bucket_.assign(static_cast<std::size_t>(bias.time_table.size(0)), Scalar(0));
    }
  }

  /// Adds dscore[j], j <= i.
  void add(const Scalar* row, std::int64_t i, std::int64_t token, Tensor* dense_gradient) {
    using Line = Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>>;
    using ConstLine = Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>>;
    if (!by_distance_.empty()) Line(by_distance_.data() + (longest_ - 1 - i), i + 1) += ConstLine(row, i + 1);
    if (!by_bucket_.empty()) {
      std::int32_t key = 0;
      for (const TimeRuns::Run& run : bias_.time_runs->of(token)) {
        by_bucket_[static_cast<std::size_t>(run.bucket)] += ConstLine(row + key, run.key_end - key).sum();
        key = run.key_end;
      }
    }
    if (dense_gradient != nullptr) {
      const std::int64_t L = dense_gradient->size(-1);
      Line(dense_gradient->mutable_data<Scalar>() + (head_ * L + i) * L, i + 1) += ConstLine(row, i + 1);
    }
  }

  void scatter(Accumulator& into) const {
    if (!by_distance_.empty()) {
      const std::int64_t heads = table_heads(bias_.position_table);
      Scalar* table = into.buffer(bias_.position_table).template mutable_data<Scalar>() + head_ % heads;
      for (std::int64_t d = 0; d < longest_; ++d) {
        table[(*bias_.position_rows)[static_cast<std::size_t>(d)] * heads] +=
            by_distance_[static_cast<std::size_t>(longest_ - 1 - d)];
      }
    }
    if (!by_bucket_.empty()) {
      const std::int64_t heads = table_heads(bias_.time_table);
      Scalar* table = into.buffer(bias_.time_table).template mutable_data<Scalar>() + head_ % heads;
      for (std::size_t b = 0; b < by_bucket_.size(); ++b) table[static_cast<std::int64_t>(b) * heads] += by_bucket_[b];
    }
  }

 private:
  const RelativeBias& bias_;
  std::int64_t head_;
  std::int64_t longest_;
  std::vector<Scalar> by_distance_;
  std::vector<Scalar> by_bucket_;
};

}  // namespace detail
}  // namespace hstu
