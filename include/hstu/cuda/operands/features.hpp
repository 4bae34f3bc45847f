// SPDX-License-Identifier: MIT
// Operands of kernels/features.cu.
#pragma once
#include <cstdint>

namespace hstu::cuda {

/// y [rows, cols] = x + number·weight + bias, a number for each row: the embedding of a feature that is no category.
struct AddNumbers {
  const float* x;  ///< null: 0
  const float* numbers;
  const float* weight;
  const float* bias;
  float* y;
  std::int64_t rows;
  std::int32_t cols;
};

/// What a task makes of an output z and a label y.
enum class TaskLoss : std::int32_t { logistic, squared };

/// loss of a row = Σ weight·ℓ over the tasks, dz = scale·weight·dℓ: logistic ℓ = ln(1 + e^z) − y·z, squared (z − y)².
struct MultiTaskLoss {
  const float* outputs;  ///< [rows, tasks]
  const float* labels;   ///< [rows, tasks]
  const float* weights;  ///< [tasks]
  const TaskLoss* kinds;  ///< [tasks]
  float* losses;          ///< [rows]
  float* doutputs;        ///< [rows, tasks]; null: not wanted
  std::int64_t rows;
  std::int32_t tasks;
  float scale;
};

}  // namespace hstu::cuda
