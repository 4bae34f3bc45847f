// SPDX-License-Identifier: MIT
// Rows on the tape: looked up in tables or in other matrices, put below each other, added.
#pragma once
#include <hstu/cuda/batch.hpp>
#include <hstu/cuda/operands/features.hpp>
#include <hstu/cuda/parameters.hpp>
#include <hstu/cuda/tape.hpp>

namespace hstu::cuda {

/// scale·table[ids]; `ids` must live until backward.
struct RowSource {
  const LookupIds& ids;
  Weights table;
  float scale = 1.0f;
};

/// dropout(Σ of up to three sources), whose ids are equally many.  Gradients are added to those of the tables.
inline Variable sum_of_rows(Tape& tape, const std::vector<RowSource>& sources, const DropoutMask& mask = {}) {
  const Variable y = tape.variable(sources.at(0).ids.ids.size(), sources[0].table.cols);
  EmbeddingForward o{};
  check<ShapeError>(std::ssize(sources) <= EmbeddingForward::kMaxLookups, "cuda: at most ",
                    EmbeddingForward::kMaxLookups, " sources of rows, got ", sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    o.lookups[i] = {sources[i].table.values, sources[i].ids.ids.data(), sources[i].scale};
  }
  o.y = y->values.data();
  o.rows = y->rows;
  o.cols = y->cols;
  o.dropout = mask;
  embedding_forward(tape.device(), o);
  tape.record([&tape, y, mask, sources] {
    const Buffer<float> dy = std::move(y->gradient);
    if (mask.threshold != 0) dropout(tape.device(), {dy.data(), nullptr, dy.data(), dy.size(), mask});
    for (const RowSource& source : sources) {
      source.ids.sorted.value().sum(
          tape.device(), {.values = dy.data(), .cols = y->cols, .scale = source.scale, .accumulates = true},
          source.table.gradient);
    }
  });
  return y;
}

/// x as a table to look up rows in: its gradient begins as zeros, to which readers add.
inline Weights as_table(const Tape& tape, const Variable& x) {
  if (tape.is_training()) {
    x->gradient = tape.buffer(x->values.size());
    x->gradient.fill_zero();
  }
  return {x->values.data(), x->gradient.data(), x->rows, x->cols};
}

/// x + y
inline Variable add(Tape& tape, const Variable& x, const Variable& y) {
  const Variable sum = tape.variable(x->rows, x->cols);
  dropout(tape.device(), {x->values.data(), y->values.data(), sum->values.data(), sum->values.size(), {}});
  tape.record([&tape, x, y, sum] {
    Buffer<float> dsum = std::move(sum->gradient);
    tape.add_gradient(*x, [&](float* dx) { dropout(tape.device(), {dsum.data(), nullptr, dx, dsum.size(), {}}); });
    tape.give_gradient(*y, std::move(dsum));
  });
  return sum;
}

/// The rows of all parts below each other.
inline Variable stack_rows(Tape& tape, const std::vector<Variable>& parts) {
  std::int64_t rows = 0;
  for (const Variable& part : parts) rows += part->rows;
  const Variable y = tape.variable(rows, parts.at(0)->cols);
  std::int64_t first = 0;
  for (const Variable& part : parts) {
    dropout(tape.device(), {part->values.data(), nullptr, y->values.data() + first, part->values.size(), {}});
    first += part->values.size();
  }
  tape.record([&tape, parts, y] {
    const Buffer<float> dy = std::move(y->gradient);
    std::int64_t begin = 0;
    for (const Variable& part : parts) {
      const std::int64_t size = part->values.size();
      tape.add_gradient(*part,
                        [&](float* to) { dropout(tape.device(), {dy.data() + begin, nullptr, to, size, {}}); });
      begin += size;
    }
  });
  return y;
}

/// x + number·weight + bias, a number for each row; x null: 0.  `numbers` must live until backward.
inline Variable add_numbers(Tape& tape, const Variable& x, const Buffer<float>& numbers, const Weights& weight,
                            const Weights& bias) {
  const auto cols = static_cast<std::int32_t>(weight.size());
  const Variable y = tape.variable(numbers.size(), cols);
  detail::launch_warps(tape.device(), {"features", "add_numbers"}, y->rows,
                       AddNumbers{x ? x->values.data() : nullptr, numbers.data(), weight.values, bias.values,
                                  y->values.data(), y->rows, cols});
  tape.record([&tape, x, y, weight, bias, &numbers] {
    Buffer<float> dy = std::move(y->gradient);
    const Buffer<float> by_row = tape.buffer(dy.size()), sums = tape.buffer(y->cols);
    scale_rows_forward(tape.device(), {dy.data(), numbers.data(), by_row.data(), y->rows, y->cols, 1});
    sum_rows(tape.device(), by_row.data(), y->rows, y->cols, sums.data());
    tape.add(weight.gradient, sums.data(), sums.size());
    sum_rows(tape.device(), dy.data(), y->rows, y->cols, sums.data());
    tape.add(bias.gradient, sums.data(), sums.size());
    if (x) tape.give_gradient(*x, std::move(dy));
  });
  return y;
}

}  // namespace hstu::cuda
