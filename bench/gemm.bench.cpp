// SPDX-License-Identifier: MIT
// Matrix products of the presets' sizes, and before them what the machine's best tile reaches.
//   2·M·N·K flops, M×N the result and K the depth
#include <hstu/core/gemm.hpp>

#include "../tests/reference/matmul.hpp"
#include "bench.hpp"

namespace hstu::bench {
namespace {

constexpr double kTolerance = 1e-5;  // of the largest entry: √K·ε of the sums of K random numbers, K up to 3,706

struct Product {
  const char* name;
  std::int64_t rows, cols, depth;
  bool is_a_transposed, is_b_transposed;  // as the op stores its operands
  bool adds;                              // to what is there: gradients of parameters, results that start from a bias
};

// meta-ml-1m (D = 50, one head of 50) on a chunk of 256 tokens, its logits for 64 of them, and larger ones.
constexpr Product kProducts[] = {{"uvqk", 256, 200, 50, false, false, false},
                                 {"uvqk_dx", 256, 50, 200, false, true, false},
                                 {"uvqk_dw", 50, 200, 256, true, false, true},
                                 {"output", 256, 50, 50, false, true, true},
                                 {"output_dx", 256, 50, 50, false, false, false},
                                 {"output_dw", 50, 50, 256, true, false, true},
                                 {"logits", 64, 3706, 50, false, true, false},
                                 {"logits_dx", 64, 50, 3706, false, false, true},
                                 {"logits_dw", 3706, 50, 64, true, false, true},
                                 {"square", 256, 256, 256, false, false, false},
                                 {"wide_uvqk", 1024, 1024, 256, false, false, false}};

/// A matrix in memory, and as the product sees it.
struct Operand {
  Tensor stored;
  bool is_transposed;

  Operand(std::int64_t rows, std::int64_t cols, bool transposed, std::uint64_t seed)
      : stored(randn(transposed ? Shape{cols, rows} : Shape{rows, cols}, {.seed = seed})), is_transposed(transposed) {}

  MatrixView<const float> view() const {
    const MatrixView<const float> as_stored{stored.data<float>(), stored.size(0), stored.size(1), stored.size(1)};
    return is_transposed ? as_stored.transposed() : as_stored;
  }
  std::vector<double> to_doubles() const {
    const MatrixView<const float> x = view();
    std::vector<double> values;
    for (std::int64_t r = 0; r < x.rows; ++r) {
      for (std::int64_t c = 0; c < x.cols; ++c) {
        values.push_back(static_cast<double>(is_transposed ? x.data[c * x.stride + r] : x.data[r * x.stride + c]));
      }
    }
    return values;
  }
};

struct Problem {
  Operand a, b;
  Tensor c;
  bool adds;
  double error;

  explicit Problem(const Product& p)
      : a(p.rows, p.depth, p.is_a_transposed, 1), b(p.depth, p.cols, p.is_b_transposed, 2),
        c(Tensor::zeros({p.rows, p.cols})), adds(p.adds) {
    run();
    error = largest_error(c, reference::matmul(a.to_doubles(), b.to_doubles(), static_cast<std::size_t>(p.rows),
                                               static_cast<std::size_t>(p.depth), static_cast<std::size_t>(p.cols)));
  }

  void run() {
    const MatrixView<float> to{c.mutable_data<float>(), c.size(0), c.size(1), c.size(1)};
    if (adds) add_product<float>(to, a.view(), b.view());
    else set_product<float>(to, a.view(), b.view());
  }
};

void bench_peak(benchmark::State& state) {
  PeakTile tile;
  tile.run();
  const auto expected = reference::matmul(tile.a.to(DType::float64).to_vector<double>(),
                                          tile.b.to(DType::float64).to_vector<double>(), PeakTile::kRows,
                                          PeakTile::kDepth, PeakTile::kCols);
  if (!is_right(state, largest_error(tile.c, expected), kTolerance)) return;
  report_flops(state, measure(state, [&] { tile.run(); }), PeakTile::kFlops);
}

[[maybe_unused]] const bool registered = [] {
  add("peak_tile", bench_peak);
  for (const Product& p : kProducts) {
    add(concat("gemm/", p.name, "/", p.rows, "x", p.cols, "x", p.depth),
        [p, problem = lazily<Problem>(p)](benchmark::State& state) {
          if (!is_right(state, problem().error, kTolerance)) return;
          const Samples samples = measure(state, [&] { problem().run(); });
          report_flops(state, samples, 2.0 * static_cast<double>(p.rows * p.cols * p.depth));
        });
  }
  return true;
}();

}  // namespace
}  // namespace hstu::bench
