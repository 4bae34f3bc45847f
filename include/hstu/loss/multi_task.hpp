// SPDX-License-Identifier: MIT
// Loss of several tasks on the same rows: logistic for binary labels, squared for numbers.
#pragma once
#include <cmath>
#include <string>

#include <hstu/ops/operands.hpp>

namespace hstu {

enum class TaskKind { binary, regression };

/// Something to predict of an event.
struct Task {
  std::string name;
  std::string column;        ///< of the events: "rating", or one that read_ratings() was asked for
  TaskKind kind = TaskKind::binary;
  double threshold = 0.5;    ///< binary: the label is 1 where the column is at least this
  double weight = 1.0;       ///< of its loss in the sum
};

/// Σ over tasks k of weight_k · Σ over rows i of ℓ(z_ik, y_ik), a scalar, with
///   binary:     ℓ = ln(1 + e^z) − y·z,  dz = σ(z) − y,  y in {0, 1}
///   regression: ℓ = (z − y)²,           dz = 2·(z − y)
/// outputs z [N, K] float32 or float64; labels y float32 [N, K].  docs/math.md (L9).
/// Throws DataError for a label that is not finite, or not 0 or 1 where the task is binary.
inline Tensor multi_task_loss(const Tensor& outputs, const Tensor& labels, std::span<const Task> tasks) {
  detail::check_has_columns("multi_task_loss", "outputs", outputs);
  const auto K = static_cast<std::int64_t>(tasks.size());
  check<ShapeError>(outputs.rank() == 2 && outputs.size(1) == K, "multi_task_loss: outputs must be [N, ", K,
                    "], a column per task, got ", outputs.shape());
  detail::check_shape("multi_task_loss", "labels", labels, outputs.shape(), DType::float32);
  Tensor slope = empty_like(outputs);
  double loss = 0.0;
  dispatch_floating("multi_task_loss", outputs.dtype(), [&]<class Scalar>(Scalar) {
    const Scalar* const z = outputs.data<Scalar>();
    const float* const y = labels.data<float>();
    Scalar* const dz = slope.mutable_data<Scalar>();
    for (std::int64_t i = 0; i < outputs.numel(); ++i) {
      const Task& task = tasks[static_cast<std::size_t>(i % K)];
      const bool is_binary = task.kind == TaskKind::binary;
      check<DataError>(is_binary ? y[i] == 0.0f || y[i] == 1.0f : std::isfinite(y[i]), "multi_task_loss: label of row ",
                       i / K, " of the task ", task.name, " must be ", is_binary ? "0 or 1" : "finite", ", got ", y[i]);
      const double value = static_cast<double>(z[i]), label = static_cast<double>(y[i]);
      if (is_binary) {
        loss += task.weight * (std::max(value, 0.0) + std::log1p(std::exp(-std::abs(value))) - label * value);
        dz[i] = static_cast<Scalar>(task.weight * (1.0 / (1.0 + std::exp(-value)) - label));
      } else {
        loss += task.weight * (value - label) * (value - label);
        dz[i] = static_cast<Scalar>(task.weight * 2.0 * (value - label));
      }
    }
  });
  return record("multi_task_loss", Tensor::full({}, loss, outputs.dtype()), {outputs},
                [outputs = outputs.without_data(), slope](const Tensor& dy, Accumulator& into) {
                  Tensor dz = empty_like(slope);
                  dispatch_floating("multi_task_loss", slope.dtype(), [&]<class Scalar>(Scalar) {
                    mutable_array<Scalar>(dz) = static_cast<Scalar>(dy.item()) * array<Scalar>(slope);
                  });
                  into.add(outputs, dz);
                });
}

}  // namespace hstu
