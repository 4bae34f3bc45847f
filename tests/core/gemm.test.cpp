// SPDX-License-Identifier: MIT
// The matrix product against three loops: all transposes, strides, sizes on both sides of the blocking.
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>

#include <hstu/core/gemm.hpp>

using namespace hstu;

namespace {

/// A stored matrix inside a larger buffer of marks, so that a write beside it is seen.
template <class Scalar>
struct Stored {
  static constexpr Scalar kMark = Scalar(-77);
  std::vector<Scalar> values;
  MatrixView<Scalar> view;

  Stored(std::int64_t rows, std::int64_t cols, std::int64_t gap, std::uint32_t site)
      : values(static_cast<std::size_t>(rows * (cols + gap) + 1), kMark), view{values.data(), rows, cols, cols + gap} {
    const RandomStream stream{.seed = 5, .step = 0, .site = site};
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        at(r, c) = static_cast<Scalar>(stream.uniform(static_cast<std::uint64_t>(r * cols + c)) - 0.5);
      }
    }
  }
  Scalar& at(std::int64_t r, std::int64_t c) { return values[static_cast<std::size_t>(r * view.stride + c)]; }
  bool has_gaps_intact() const {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i) / std::max<std::int64_t>(view.stride, 1);
      const auto col = static_cast<std::int64_t>(i) % std::max<std::int64_t>(view.stride, 1);
      if ((row >= view.rows || col >= view.cols) && values[i] != kMark) return false;
    }
    return true;
  }
};

template <class Scalar>
double entry(const MatrixView<const Scalar>& m, std::int64_t r, std::int64_t c) {
  return static_cast<double>(m.is_transposed ? m.data[c * m.stride + r] : m.data[r * m.stride + c]);
}

/// c + α·product and α·product in double, entry by entry; the tolerance is that of a sum of K terms below 1/4.
template <class Scalar>
void check_product(std::int64_t M, std::int64_t K, std::int64_t N, bool a_transposed, bool b_transposed,
                   std::int64_t gap) {
  INFO(M << " x " << K << " x " << N << ", transposed " << a_transposed << b_transposed << ", gap " << gap);
  Stored<Scalar> a(a_transposed ? K : M, a_transposed ? M : K, gap, 1);
  Stored<Scalar> b(b_transposed ? N : K, b_transposed ? K : N, gap, 2);
  const MatrixView<const Scalar> left = a_transposed ? a.view.transposed() : a.view;
  const MatrixView<const Scalar> right = b_transposed ? b.view.transposed() : b.view;
  const double tolerance = static_cast<double>(K + 2) * std::numeric_limits<Scalar>::epsilon();
  for (const bool is_added : {false, true}) {
    for (const double alpha : {1.0, -0.75}) {
      Stored<Scalar> c(M, N, gap, 3), before(M, N, gap, 3);
      if (is_added) add_product<Scalar>(c.view, left, right, static_cast<Scalar>(alpha));
      else set_product<Scalar>(c.view, left, right, static_cast<Scalar>(alpha));
      double worst = 0.0;
      for (std::int64_t m = 0; m < M; ++m) {
        for (std::int64_t n = 0; n < N; ++n) {
          double expected = 0.0;
          for (std::int64_t k = 0; k < K; ++k) expected += entry(left, m, k) * entry(right, k, n);
          expected = alpha * expected + (is_added ? static_cast<double>(before.at(m, n)) : 0.0);
          worst = std::max(worst, std::abs(static_cast<double>(c.at(m, n)) - expected));
        }
      }
      REQUIRE(worst <= tolerance);
      REQUIRE(c.has_gaps_intact());
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("gemm: equals three loops for all transposes, strides and sizes", "[core][gemm][parity]", float,
                   double) {
  struct Sizes {
    std::int64_t M, K, N;
  };
  for (const Sizes s : {Sizes{0, 3, 2}, {3, 0, 2}, {3, 2, 0}, {0, 0, 0}, {1, 1, 1}, {1, 7, 1}, {5, 1, 3}, {1, 9, 33},
                        {17, 5, 1}, {31, 33, 32}, {33, 50, 65}, {65, 300, 9}}) {
    for (const int transposes : {0, 1, 2, 3}) {
      for (const std::int64_t gap : {0, 3}) {
        check_product<TestType>(s.M, s.K, s.N, (transposes & 1) != 0, (transposes & 2) != 0, gap);
      }
    }
  }
}

TEST_CASE("gemm: an inner size of 0 sets zeros and adds nothing", "[core][gemm][property]") {
  Stored<double> a(2, 0, 1, 1), b(0, 2, 1, 2), c(2, 2, 0, 3);
  const auto before = c.values;
  add_product<double>(c.view, a.view, b.view);
  REQUIRE(c.values == before);
  set_product<double>(c.view, a.view, b.view);
  REQUIRE(c.values == std::vector<double>{0, 0, 0, 0, Stored<double>::kMark});
}

TEST_CASE("gemm: a block of rows is a matrix of its own", "[core][gemm][property]") {
  Stored<double> a(6, 3, 2, 1), b(3, 4, 0, 2), whole(6, 4, 1, 3), part(6, 4, 1, 3);
  set_product<double>(whole.view, a.view, b.view);
  set_product<double>(part.view.middle_rows(2, 3), a.view.middle_rows(2, 3), b.view);
  for (std::int64_t r = 2; r < 5; ++r) {
    for (std::int64_t c = 0; c < 4; ++c) REQUIRE(part.at(r, c) == whole.at(r, c));
  }
}

TEST_CASE("gemm: sizes that do not fit are an error, before anything is added", "[core][gemm][errors]") {
  Stored<float> a(2, 3, 0, 1), b(3, 4, 0, 2), c(2, 4, 0, 3);
  const auto before = c.values;
  CHECK_THROWS_AS(add_product<float>(c.view, a.view.transposed(), b.view), Error);
  CHECK_THROWS_AS(add_product<float>(c.view, a.view, b.view.transposed()), Error);
  CHECK_THROWS_AS(add_product<float>(c.view.transposed(), a.view, b.view), Error);
  CHECK(c.values == before);
  CHECK_THROWS_AS(set_product<float>(c.view, a.view.transposed(), b.view), Error);
}
