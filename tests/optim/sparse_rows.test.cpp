// SPDX-License-Identifier: MIT
// Sparse updates against plain loops over the touched rows; everything else stays bit for bit.
#include <hstu/ops/embedding.hpp>
#include <hstu/ops/elementwise.hpp>
#include <hstu/ops/reduce.hpp>
#include <hstu/optim/sparse_rows.hpp>

#include <functional>

#include "../check_op.hpp"
#include "../io/tensor_files.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

constexpr std::int64_t kRows = 1000, kWidth = 5;

/// Rows that step `t` touches, with repeats.
std::vector<std::int64_t> touched(std::uint64_t t) {
  std::vector<std::int64_t> ids;
  for (std::uint64_t i = 0; i < 400; ++i) ids.push_back(RandomStream{.seed = t}.below(i, kRows / 2));
  return ids;
}

using State = std::map<std::string, Tensor>;

struct Adagrad {
  Values s = Values(kRows);
  void update(std::size_t row, double* theta, const double* g) {
    double mean = 0.0;
    for (std::int64_t d = 0; d < kWidth; ++d) mean += g[d] * g[d] / kWidth;
    s[row] += mean;
    for (std::int64_t d = 0; d < kWidth; ++d) theta[d] -= 0.1 * g[d] / (std::sqrt(s[row]) + 1e-8);
  }
  void begin() {}
};
struct AdamLoops {
  Values m = Values(kRows * kWidth), v = Values(kRows * kWidth);
  int t = 0;
  void begin() { ++t; }
  void update(std::size_t row, double* theta, const double* g) {
    for (std::size_t d = 0; d < kWidth; ++d) {
      double& of_m = m[row * kWidth + d];
      double& of_v = v[row * kWidth + d];
      of_m = 0.9 * of_m + 0.1 * g[d];
      of_v = 0.999 * of_v + 0.001 * g[d] * g[d];
      theta[d] -= 0.1 * std::sqrt(1 - std::pow(0.999, t)) / (1 - std::pow(0.9, t)) * of_m / (std::sqrt(of_v) + 1e-8);
    }
  }
};

template <class Optimizer, class Loops>
void check_steps() {
  Tensor table = random_input({kRows, kWidth});
  const Tensor before = table.clone();
  Values expected = table.to_vector<double>();
  Optimizer optimizer(table);
  Loops loops;
  for (std::uint64_t t = 1; t <= 4; ++t) {
    const StepRows rows(touched(t));
    const Tensor gradient = random_input({rows.size(), kWidth}, static_cast<std::uint32_t>(t));
    optimizer.step(rows, gradient, 0.1);
    loops.begin();
    for (std::int64_t i = 0; i < rows.size(); ++i) {
      const auto row = static_cast<std::size_t>(rows.ids()[static_cast<std::size_t>(i)]);
      loops.update(row, &expected[row * kWidth], gradient.data<double>() + i * kWidth);
    }
  }
  require_close(table, expected, 1e-12);
  CHECK(table.rows(kRows / 2, kRows).to_vector<double>() == before.rows(kRows / 2, kRows).to_vector<double>());
}

}  // namespace

TEST_CASE("rowwise_adagrad: equals the loops, rows that are not touched stay", "[optim][sparse][parity]") {
  check_steps<RowwiseAdagrad, Adagrad>();
}
TEST_CASE("sparse_adam: equals the loops, rows that are not touched stay", "[optim][sparse][parity]") {
  check_steps<SparseAdam, AdamLoops>();
}

TEST_CASE("step_rows: a model on the touched rows has the gradients of one on the whole table",
          "[optim][sparse][parity]") {
  const Tensor ids = Tensor::from(std::vector<std::int32_t>{7, 3, 999, 7, 0, 3}, {2, 3});
  const Tensor table = parameter(random_input({kRows, kWidth}));
  const StepRows rows({7, 3, 999, 7, 0, 3});
  CHECK(rows.ids() == std::vector<std::int64_t>{0, 3, 7, 999});
  const Tensor compact = rows.gather(table);
  const auto loss = [](const Tensor& x, const Tensor& places) {
    const Tensor y = embedding(x, places);
    return sum(y * y * y);
  };
  const Tensor a = loss(table, ids), b = loss(compact, rows.places(ids));
  CHECK(a.item() == b.item());
  backward(a);
  backward(b);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    const std::int64_t id = rows.ids()[static_cast<std::size_t>(i)];
    CHECK(grad(table).rows(id, id + 1).to_vector<double>() == grad(compact).rows(i, i + 1).to_vector<double>());
  }
}

TEST_CASE("sparse rows: same bits for any number of threads", "[optim][sparse][property]") {
  const auto run = [](int threads) {
    const int before = num_threads();
    set_num_threads(threads);
    Tensor table = random_input({kRows, kWidth});
    RowwiseAdagrad optimizer(table);
    const StepRows rows(touched(1));
    optimizer.step(rows, random_input({rows.size(), kWidth}, 1), 0.1);
    set_num_threads(before);
    return table.to_vector<double>();
  };
  CHECK(run(1) == run(4));
}

TEST_CASE("sparse rows: a state goes on with the same bits; one that does not fit is refused and changes nothing",
          "[optim][sparse][errors]") {
  const StepRows rows(touched(1));
  const Tensor gradient = random_input({rows.size(), kWidth}, 1);
  Tensor table = random_input({kRows, kWidth}), copy = random_input({kRows, kWidth});
  SparseAdam optimizer(table), other(copy);
  optimizer.step(rows, gradient, 0.1);
  const State good = optimizer.state();
  copy.copy_from(table);
  const State untouched = other.state();
  const auto refused = [&](const std::string& part, const std::function<void(State&, const std::string&)>& damage) {
    State state = good;
    damage(state, good.begin()->first);
    CHECK_THROWS_MATCHES(other.load_state(state), CheckpointError, says(part));
    CHECK(is_same(TensorFile{other.state(), {}}, TensorFile{untouched, {}}));
  };
  refused("entries, got", [](State& s, const std::string& name) { s.erase(name); });
  refused("entries, got", [](State& s, const std::string& name) { s["more"] = s[name]; });
  refused("no entry", [](State& s, const std::string& name) {
    s["another"] = s[name];
    s.erase(name);
  });
  refused("must be float64", [](State& s, const std::string& name) { s[name] = Tensor::zeros({2}, DType::float64); });
  refused("got float32", [](State& s, const std::string& name) { s[name] = Tensor::zeros(s[name].shape()); });

  other.load_state(good);
  optimizer.step(rows, gradient, 0.1);
  other.step(rows, gradient, 0.1);
  CHECK(copy.to_vector<double>() == table.to_vector<double>());
}

TEST_CASE("sparse rows: errors", "[optim][sparse][errors]") {
  Tensor table = randn({10, 2}, {});
  RowwiseAdagrad optimizer(table);
  const StepRows rows({1, 2}), outside({4, 10});
  CHECK_THROWS_MATCHES(optimizer.step(rows, randn({3, 2}, {}), 0.1), ShapeError,
                       says("rowwise_adagrad: gradient must be float32[2, 2]"));
  CHECK_THROWS_MATCHES(optimizer.step(outside, randn({2, 2}, {}), 0.1), DataError, says("in [0, 10), got 4 to 10"));
  CHECK_THROWS_MATCHES(optimizer.step(rows, randn({2, 2}, {}), -1.0), ConfigError, says("learning rate"));
  CHECK_THROWS_MATCHES(outside.gather(table), DataError, says("step_rows: ids must be in [0, 10)"));
  CHECK_THROWS_MATCHES(StepRows({-1, 3}).check_within(table), DataError, says("got -1 to 3"));
  CHECK_NOTHROW(StepRows({}).check_within(table));
  CHECK_THROWS_MATCHES(rows.gather(randn({10}, {})), ShapeError, says("table must be [V, D], got [10]"));
  CHECK_THROWS_MATCHES(rows.places(Tensor::from(std::vector<std::int32_t>{1, 3})), DataError,
                       says("id 3 is not a row"));
  CHECK_THROWS_AS(rows.places(Tensor::from(std::vector<std::int32_t>{0})), DataError);
  CHECK_THROWS_MATCHES(optimizer.step(rows, randn({2, 2}, {}, 1.0, DType::float64), 0.1), ShapeError,
                       says("float64[2, 2]"));
  CHECK_THROWS_MATCHES(SparseAdam(table, 1.0), ConfigError, says("sparse_adam: betas"));
  CHECK_THROWS_AS(SparseAdam(table, -0.1), ConfigError);
  CHECK_THROWS_AS(SparseAdam(table, 0.9, 1.0), ConfigError);
}
