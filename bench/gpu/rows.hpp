// SPDX-License-Identifier: MIT
// Kernels that pass over rows: norms, gates, activations, dropout, lookups, the optimizer.
#pragma once
#include <hstu/cuda/adam.hpp>
#include <hstu/cuda/elementwise.hpp>
#include <hstu/cuda/embedding.hpp>
#include <hstu/cuda/gated_output.hpp>
#include <hstu/cuda/l2_normalize.hpp>
#include <hstu/cuda/layer_norm.hpp>

#include "runner.hpp"

namespace hstu::bench {

/// Rows of `cols` float32, and the bytes of so many such matrices and of so many columns of one number per row.
struct RowsSize {
  std::int64_t rows;
  std::int32_t cols;

  std::int64_t count() const { return rows * cols; }
  std::int64_t bytes(std::int64_t matrices, std::int64_t columns = 0) const {
    return 4 * (matrices * count() + columns * rows);
  }
  std::string name() const { return concat(rows, " × ", cols); }
};

inline void bench_norms(Runner& runner, const RowsSize& s) {
  Device& device = runner.device();
  const auto x = random_floats(device, s.count(), 1), gate = random_floats(device, s.count(), 2),
             dy = random_floats(device, s.count(), 3), weights = random_floats(device, 2 * s.cols, 4);
  Buffer<float> y(device, s.count()), dx(device, s.count()), dgate(device, s.count());
  Buffer<float> mean(device, s.rows), rstd(device, s.rows), dweight(device, 2 * s.cols);
  const cuda::DropoutMask mask = cuda::dropout_mask(0.2, {.seed = 1, .step = 2, .site = 3}, 0, s.cols);
  const float* const bias = weights.data() + s.cols;
  runner.run({"layer norm, gate, dropout", s.name(), {{"layer_norm_forward", s.bytes(3, 2)}}}, [&] {
    cuda::layer_norm_forward(device, {x.data(), weights.data(), bias, gate.data(), y.data(), mean.data(), rstd.data(),
                                      s.rows, s.cols, s.cols, 1e-5f, mask});
  });
  runner.run({"its gradients", s.name(), {{"layer_norm_backward", s.bytes(5, 2)}}}, [&] {
    cuda::layer_norm_backward(device,
                              {x.data(), weights.data(), bias, gate.data(), mean.data(), rstd.data(), dy.data(),
                               dx.data(), dgate.data(), nullptr, s.rows, s.cols, s.cols, s.cols, mask},
                              dweight.data());
  });
  runner.run({"L2 norm", s.name(), {{"l2_normalize_forward", s.bytes(2, 1)}}}, [&] {
    cuda::l2_normalize_forward(device, {x.data(), y.data(), mean.data(), s.rows, s.cols, 1e-6f});
  });
  runner.run({"its gradient", s.name(), {{"l2_normalize_backward", s.bytes(3, 1)}}}, [&] {
    cuda::l2_normalize_backward(device, {y.data(), mean.data(), dy.data(), dx.data(), s.rows, s.cols, 1e-6f});
  });
}

inline void bench_elementwise(Runner& runner, const RowsSize& s) {
  Device& device = runner.device();
  const auto a = random_floats(device, s.count(), 1), u = random_floats(device, s.count(), 2),
             dy = random_floats(device, s.count(), 3), bias = random_floats(device, s.cols, 4);
  Buffer<float> y(device, s.count()), da(device, s.count()), du(device, s.count()), sums(device, s.cols);
  runner.run({"sigmoid gate", s.name(), {{"sigmoid_gate_forward", s.bytes(3)}}}, [&] {
    cuda::sigmoid_gate_forward(device, {a.data(), u.data(), y.data(), s.rows, s.cols, s.cols});
  });
  runner.run({"its gradients", s.name(), {{"sigmoid_gate_backward", s.bytes(5)}}}, [&] {
    cuda::sigmoid_gate_backward(device,
                                {a.data(), u.data(), dy.data(), da.data(), du.data(), s.rows, s.cols, s.cols, s.cols});
  });
  cuda::BiasActivationForward forward{};
  forward.z = a.data();
  forward.bias = bias.data();
  forward.y = y.data();
  forward.rows = s.rows;
  forward.cols = s.cols;
  forward.activation = cuda::Activation::silu;
  runner.run({"bias and SiLU", s.name(), {{"bias_activation_forward", s.bytes(2)}}},
             [&] { cuda::bias_activation_forward(device, forward); });
  cuda::BiasActivationBackward backward{};
  backward.z = a.data();
  backward.bias = bias.data();
  backward.dy = dy.data();
  backward.dz = da.data();
  backward.rows = s.rows;
  backward.cols = s.cols;
  backward.activation = cuda::Activation::silu;
  runner.run({"its gradient", s.name(), {{"bias_activation_backward", s.bytes(3)}}},
             [&] { cuda::bias_activation_backward(device, backward); });
  const cuda::DropoutMask mask = cuda::dropout_mask(0.2, {.seed = 1, .step = 2, .site = 3}, 0, s.cols);
  runner.run({"dropout and residual", s.name(), {{"dropout", s.bytes(3)}}}, [&] {
    cuda::dropout(device, {a.data(), u.data(), y.data(), s.count(), mask});
  });
  runner.run({"sums over rows", s.name(), {{"sum_rows", s.bytes(1) + 4 * s.cols}}},
             [&] { cuda::sum_row_groups(device, a.data(), s.cols, 1, s.rows, s.cols, sums.data()); });
}

/// Group norm's affine map, gate and concatenation of Meta's production layer, and the scale of its attention.
inline void bench_production(Runner& runner, const RowsSize& s) {
  Device& device = runner.device();
  const auto x = random_floats(device, s.count(), 1), normalized = random_floats(device, s.count(), 2),
             u = random_floats(device, s.count(), 3), dy = random_floats(device, 3 * s.count(), 4),
             weights = random_floats(device, 4, 5), scale = random_floats(device, s.rows, 6);
  Buffer<float> y(device, 3 * s.count()), dnormalized(device, s.count()), dx(device, s.count()), du(device, s.count()),
      sums(device, 4), by_row(device, s.rows);
  const cuda::GatedOutput of{.normalized = normalized.data(), .joined = x.data(), .u = u.data(),
                             .weight = weights.data(), .bias = weights.data() + 2, .rows = s.rows, .u_stride = s.cols,
                             .cols = s.cols, .groups = 2, .gate = cuda::Gate::silu, .joins_u = true, .dropout = {}};
  runner.run({"group norm, gate, concatenation", s.name(), {{"gated_output_forward", s.bytes(6)}}},
             [&] { cuda::gated_output_forward(device, {of, y.data()}); });
  runner.run({"its gradients", s.name(), {{"gated_output_backward", s.bytes(8, 4)}}}, [&] {
    cuda::gated_output_backward(device, {of, dy.data(), dnormalized.data(), dx.data(), du.data(), nullptr}, sums.data());
  });
  runner.run({"scaled rows", s.name(), {{"scale_rows_forward", s.bytes(2, 1)}}}, [&] {
    cuda::scale_rows_forward(device, {x.data(), scale.data(), y.data(), s.rows, s.cols, 1});
  });
  runner.run({"its gradients", s.name(), {{"scale_rows_backward", s.bytes(3, 2)}}}, [&] {
    cuda::scale_rows_backward(device, {x.data(), scale.data(), dy.data(), dx.data(), by_row.data(), s.rows, s.cols, 1});
  });
}

/// Items and positions of tokens in one pass, and the gradient of the item table.
inline void bench_embedding(Runner& runner, const RowsSize& s, std::int32_t items) {
  Device& device = runner.device();
  constexpr std::int32_t kPositions = 200;
  const std::vector<std::int32_t> ids = random_ids(s.rows, 1, items, 1);
  const Buffer<std::int32_t> item_ids(device, ids), positions(device, random_ids(s.rows, 0, kPositions, 2));
  const auto table = random_floats(device, std::int64_t{items} * s.cols, 1),
             places = random_floats(device, std::int64_t{kPositions} * s.cols, 2),
             dy = random_floats(device, s.count(), 3);
  Buffer<float> y(device, s.count()), dtable(device, table.size());
  cuda::EmbeddingForward o{};
  o.lookups[0] = {table.data(), item_ids.data(), 8.0f};
  o.lookups[1] = {places.data(), positions.data(), 1.0f};
  o.y = y.data();
  o.rows = s.rows;
  o.cols = s.cols;
  o.dropout = cuda::dropout_mask(0.2, {.seed = 1, .step = 2, .site = 3}, 0, s.cols);
  runner.run({"embedding", s.name(), {{"embedding_forward", s.bytes(3, 2)}}},
             [&] { cuda::embedding_forward(device, o); });
  const cuda::SortedIds sorted(device, ids, items);
  const std::int64_t unique = sorted.unique();
  runner.run({"its gradient", s.name(), {{"sum_segments", s.bytes(1, 1) + unique * (4 * s.cols + 8)}}},
             [&] { sorted.sum(device, {.values = dy.data(), .cols = s.cols}, dtable.data()); });
}

inline void bench_adam(Runner& runner, std::int64_t count) {
  Device& device = runner.device();
  auto weights = random_floats(device, count, 1), gradient = random_floats(device, count, 2);
  cuda::AdamState adam(device, {{weights.data(), gradient.data(), count}}, {}, true);
  const std::string size = concat(count, " weights");
  const std::int64_t pieces = cuda::detail::divide_up(count, 4096);
  runner.run({"norm and clipping", size, {{"sum_squares", 4 * (count + pieces)}, {"clip_factor", 4 * (pieces + 2)}}},
             [&] { adam.clip(1.0); });
  runner.run({"AdamW", size, {{"adam_step", 28 * count}}}, [&] { adam.step(1e-3); });
}

}  // namespace hstu::bench
