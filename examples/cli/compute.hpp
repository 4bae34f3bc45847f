// SPDX-License-Identifier: MIT
// Where a verb computes: --device and --precision.
#pragma once
#include <hstu/train/cpu_engine.hpp>
#include <hstu/train/ranking_engine.hpp>
#if HSTU_CLI_HAS_CUDA
#include <hstu/cuda/engine.hpp>
#include <hstu/cuda/ranking_engine.hpp>
#endif

#include "options.hpp"

namespace hstu::cli {

/// To be added to a verb's options.
inline std::vector<Option> with_compute_options(std::vector<Option> options) {
  options.push_back({"device", "DEVICE", "cpu or cuda (default cpu)"});
  options.push_back({"precision", "PRECISION", "of products with --device cuda: bf16, tf32 or fp32 (default bf16); sums "
                                               "and parameters are always fp32"});
  return options;
}

/// True for --device cuda.
inline bool is_on_gpu(const Options& options) {
  const std::string device = options.text("device", "cpu");
  check<UsageError>(device == "cpu" || device == "cuda", "--device: expected cpu or cuda, got ", quote_text(device));
  if (device == "cpu") options.refuse("precision", "needs --device cuda");
  return device == "cuda";
}

#if HSTU_CLI_HAS_CUDA
inline cuda::Precision precision_of(const Options& options) {
  const std::string name = options.text("precision", "bf16");
  if (name == "tf32") return cuda::Precision::tf32;
  if (name == "fp32") return cuda::Precision::float32;
  check<UsageError>(name == "bf16", "--precision: expected bf16, tf32 or fp32, got ", quote_text(name));
  return cuda::Precision::bfloat16;
}
#else
[[noreturn]] inline void refuse_gpu() {
  throw DeviceError("cuda: this program was built without nvcc and has no kernels");
}
#endif

/// What trains.
inline MakeEngine chosen_engine(const Options& options) {
  if (!is_on_gpu(options)) return make_cpu_engine;
#if HSTU_CLI_HAS_CUDA
  return cuda::make_engine(precision_of(options));
#else
  refuse_gpu();
#endif
}

/// The same of ranking models.
inline MakeRankingEngine chosen_ranking_engine(const Options& options) {
  if (!is_on_gpu(options)) return make_cpu_ranking_engine;
#if HSTU_CLI_HAS_CUDA
  return cuda::make_ranking_engine(precision_of(options));
#else
  refuse_gpu();
#endif
}

/// hstu::evaluate() on the chosen device.
inline Evaluation evaluate_there(const Options& options, const HstuModel& model, const Sequences& sequences,
                                 std::span<const HeldOut> events, const EvaluateOptions& how) {
  if (!is_on_gpu(options)) return hstu::evaluate(model, sequences, events, how);
#if HSTU_CLI_HAS_CUDA
  return cuda::Evaluator(model, precision_of(options)).evaluate(sequences, events, how);
#else
  refuse_gpu();
#endif
}

}  // namespace hstu::cli
