// SPDX-License-Identifier: MIT
// The ops of layers on the tape: projections with what follows them, norms, gates, L2 normalisation.
#pragma once
#include <hstu/cuda/l2_normalize.hpp>
#include <hstu/cuda/layer_norm.hpp>
#include <hstu/cuda/parameters.hpp>
#include <hstu/cuda/tape.hpp>

namespace hstu::cuda {

/// Weights of a projection: y = x·Wᵀ + b with W [out, in], or y = x·W with W [in, out].
struct Projection {
  Weights weight;
  Weights bias;  ///< null: none
  bool is_transposed = true;

  std::int64_t out() const { return is_transposed ? weight.rows : weight.cols; }
  Factor factor(const ProductOperand& w) const { return {w, is_transposed}; }
};

/// What follows a projection: y = dropout(f(x·Wᵀ + b)) + residual.
struct Epilogue {
  Activation activation = Activation::none;
  DropoutMask dropout = {};
  Variable residual = nullptr;
};

/// linear, linear_silu and the like of ops/, with dropout and residual.
inline Variable linear(Tape& tape, const Variable& x, const Projection& p, const Epilogue& e = {}) {
  Products& products = tape.products();
  const std::int64_t out = p.out();
  const Variable y = tape.variable(x->rows, out);
  const bool has_activation = e.activation != Activation::none;
  Buffer<float> z = tape.buffer(has_activation ? y->values.size() : 0);  // else y is z until the epilogue
  float* const product = has_activation ? z.data() : y->values.data();
  ProductOperand in = products.operand(x->values.data(), x->rows, x->cols);
  ProductOperand w = products.operand(p.weight.values, p.weight.rows, p.weight.cols);
  products.multiply(in, p.factor(w), product);
  if (has_activation || p.bias || e.dropout.threshold != 0 || e.residual) {
    bias_activation_forward(tape.device(), {product, p.bias.values, e.residual ? e.residual->values.data() : nullptr,
                                            y->values.data(), y->rows, y->cols, e.activation, e.dropout});
  }
  tape.record([&tape, x, y, p, e, z = std::move(z), in = std::move(in), w = std::move(w)] {
    Products& multiplier = tape.products();
    Buffer<float> dy = std::move(y->gradient), dz;
    const bool is_plain = e.activation == Activation::none && e.dropout.threshold == 0;
    if (!is_plain) {
      dz = tape.buffer(dy.size());
      bias_activation_backward(
          tape.device(), {z.data(), p.bias.values, dy.data(), dz.data(), y->rows, y->cols, e.activation, e.dropout});
    }
    const float* const from = is_plain ? dy.data() : dz.data();
    const ProductOperand dout = multiplier.operand(from, y->rows, y->cols);
    if (p.bias) sum_rows(tape.device(), from, y->rows, y->cols, p.bias.gradient);
    if (p.is_transposed)
      multiplier.multiply(transposed(dout), in, p.weight.gradient);
    else
      multiplier.multiply(transposed(in), dout, p.weight.gradient);
    tape.add_gradient(*x, [&](float* dx) { multiplier.multiply(dout, Factor(w, !p.is_transposed), dx); });
    if (e.residual) tape.give_gradient(*e.residual, std::move(dy));
  });
  return y;
}

/// Weights of a layer norm; both null for one without.
struct NormWeights {
  Weights weight;
  Weights bias;
  double eps = 1e-5;
};

namespace detail {

/// norm(x), times the columns of `gated` from first_gate on if there is such a variable, then dropout.
inline Variable normalize(Tape& tape, const Variable& x, const NormWeights& w, const Variable& gated,
                          std::int64_t first_gate, const DropoutMask& mask) {
  const Variable y = tape.variable(x->rows, x->cols);
  Buffer<float> mean = tape.buffer(x->rows), rstd = tape.buffer(x->rows);
  const float* const gate = gated ? gated->values.data() + first_gate : nullptr;
  const std::int64_t gate_stride = gated ? gated->cols : 0;
  layer_norm_forward(tape.device(),
                     {x->values.data(), w.weight.values, w.bias.values, gate, y->values.data(), mean.data(),
                      rstd.data(), x->rows, gate_stride, x->cols, static_cast<float>(w.eps), mask});
  tape.record(
      [&tape, x, y, w, gated, gate, gate_stride, first_gate, mask, mean = std::move(mean), rstd = std::move(rstd)] {
        const Buffer<float> dy = std::move(y->gradient);
        float* const dgate = gated ? tape.gradient_of_columns(*gated) + first_gate : nullptr;
        Buffer<float> dweights = tape.buffer(w.weight ? 2 * x->cols : 0);
        tape.add_gradient(*x, [&](float* dx) {
          layer_norm_backward(tape.device(),
                              {x->values.data(), w.weight.values, w.bias.values, gate, mean.data(), rstd.data(),
                               dy.data(), dx, dgate, nullptr, x->rows, gate_stride, gate_stride, x->cols, mask},
                              dweights.data());
        });
        if (!w.weight) return;
        tape.add(w.weight.gradient, dweights.data(), x->cols);
        tape.add(w.bias.gradient, dweights.data() + x->cols, x->cols);
      });
  return y;
}

}  // namespace detail

/// layer_norm of ops/layer_norm.hpp.
inline Variable layer_norm(Tape& tape, const Variable& x, const NormWeights& w) {
  return detail::normalize(tape, x, w, nullptr, 0, {});
}

/// norm_gate of ops/gate.hpp, then dropout; the gate is columns of `gated` from first_gate on.
inline Variable norm_gate(Tape& tape, const Variable& x, const Variable& gated, std::int64_t first_gate,
                          const NormWeights& w, const DropoutMask& mask) {
  return detail::normalize(tape, x, w, gated, first_gate, mask);
}

/// sigmoid_gate of ops/gate.hpp: x·σ(columns of `gated` from first_gate on).
inline Variable sigmoid_gate(Tape& tape, const Variable& x, const Variable& gated, std::int64_t first_gate) {
  const Variable y = tape.variable(x->rows, x->cols);
  const float* const gate = gated->values.data() + first_gate;
  sigmoid_gate_forward(tape.device(), {x->values.data(), gate, y->values.data(), x->rows, gated->cols, x->cols});
  tape.record([&tape, x, y, gated, gate, first_gate] {
    const Buffer<float> dy = std::move(y->gradient);
    float* const dgate = tape.gradient_of_columns(*gated) + first_gate;
    tape.add_gradient(*x, [&](float* dx) {
      sigmoid_gate_backward(tape.device(),
                            {x->values.data(), gate, dy.data(), dx, dgate, x->rows, gated->cols, gated->cols, x->cols});
    });
  });
  return y;
}

/// Rows of x times `scale`, [rows, 1], or all times the one number of it; without a gradient where it has none.
/// Throws ShapeError for another number of them.
inline Variable scale_rows(Tape& tape, const Variable& x, const Weights& scale) {
  check<ShapeError>(scale.size() == 1 || scale.size() == x->rows, "cuda: scale_rows: expected 1 or ", x->rows,
                    " numbers, got ", scale.size());
  const std::int32_t stride = scale.size() == 1 ? 0 : 1;
  const Variable y = tape.variable(x->rows, x->cols);
  scale_rows_forward(tape.device(), {x->values.data(), scale.values, y->values.data(), x->rows, x->cols, stride});
  tape.record([&tape, x, y, scale, stride] {
    const Buffer<float> dy = std::move(y->gradient);
    const Buffer<float> by_row = tape.buffer(x->rows);
    tape.add_gradient(*x, [&](float* dx) {
      scale_rows_backward(tape.device(), {x->values.data(), scale.values, dy.data(), dx, by_row.data(), x->rows,
                                          x->cols, stride});
    });
    if (scale.gradient == nullptr) return;
    if (stride != 0) return tape.add(scale.gradient, by_row.data(), x->rows);
    const Buffer<float> sum = tape.buffer(1);
    sum_rows(tape.device(), by_row.data(), x->rows, 1, sum.data());
    tape.add(scale.gradient, sum.data(), 1);
  });
  return y;
}

/// l2_normalize of ops/l2_normalize.hpp.
inline Variable l2_normalize(Tape& tape, const Variable& x, double eps) {
  const Variable y = tape.variable(x->rows, x->cols);
  Buffer<float> norm = tape.buffer(x->rows);
  l2_normalize_forward(tape.device(),
                       {x->values.data(), y->values.data(), norm.data(), x->rows, x->cols, static_cast<float>(eps)});
  tape.record([&tape, x, y, eps, norm = std::move(norm)] {
    const Buffer<float> dy = std::move(y->gradient);
    tape.add_gradient(*x, [&](float* dx) {
      l2_normalize_backward(tape.device(),
                            {y->values.data(), norm.data(), dy.data(), dx, x->rows, x->cols, static_cast<float>(eps)});
    });
  });
  return y;
}

}  // namespace hstu::cuda
