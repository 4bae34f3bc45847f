// SPDX-License-Identifier: MIT
// Initial values: bounds, means and standard deviations, and their dependence on seed and order.
#include <hstu/model/hstu.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

struct Moments {
  double mean = 0.0, std = 0.0, largest = 0.0;
};

Moments moments_of(const Tensor& x) {
  Moments m;
  const Values values = x.to(DType::float64).to_vector<double>();
  const auto n = static_cast<double>(values.size());
  for (const double v : values) {
    m.mean += v / n;
    m.largest = std::max(m.largest, std::abs(v));
  }
  for (const double v : values) m.std += (v - m.mean) * (v - m.mean) / n;
  m.std = std::sqrt(m.std);
  return m;
}

/// 5 standard errors: a right initialiser fails once in a million seeds, and the seed is fixed.
void require_distribution(const Tensor& x, double std, double bound) {
  const Moments m = moments_of(x);
  const double n = static_cast<double>(x.numel());
  INFO("mean " << m.mean << ", std " << m.std << ", largest " << m.largest);
  REQUIRE(std::abs(m.mean) <= 5.0 * std / std::sqrt(n));
  REQUIRE(std::abs(m.std / std - 1.0) <= 5.0 / std::sqrt(n));  // kurtosis up to 3: √(2/n)/2·... < 1/√n
  REQUIRE(m.largest <= bound);
  REQUIRE(m.largest >= 0.9 * std::min(bound, 3.0 * std));
  REQUIRE(x.needs_grad());
}

constexpr double kNoBound = std::numeric_limits<double>::infinity();
const Shape kShape{300, 101};

}  // namespace

TEST_CASE("init: distributions have the stated bounds and standard deviations", "[nn][init][property]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Initializer init(11, dtype);
    const double sum = 401.0;
    require_distribution(init.uniform(kShape, 0.7), 0.7 / std::sqrt(3.0), 0.7);
    require_distribution(init.normal(kShape, 0.3), 0.3, kNoBound);
    require_distribution(init.xavier_uniform(kShape), std::sqrt(2.0 / sum), std::sqrt(6.0 / sum) * (1 + 1e-7));
    require_distribution(init.xavier_normal(kShape), std::sqrt(2.0 / sum), kNoBound);
    require_distribution(init.uniform_by_count(kShape, 25), 0.2 / std::sqrt(3.0), 0.2 * (1 + 1e-7));
    // Cut at two standard deviations: variance 1 − 4·φ(2)/(2Φ(2) − 1) = 0.7737 of the uncut one.
    require_distribution(init.truncated_normal(kShape, 0.02), 0.02 * std::sqrt(0.77374), 0.04);
    CHECK(init.zeros({3}).to(DType::float64).to_vector<double>() == Values{0, 0, 0});
    CHECK(init.ones({2}).to(DType::float64).to_vector<double>() == Values{1, 1});
    CHECK(init.zeros({3}).dtype() == dtype);
  }
}

TEST_CASE("init: the normal fills its tails and the cut one does not", "[nn][init][property]") {
  Initializer init(3, DType::float64);
  const auto share_beyond = [](const Tensor& x, double limit) {
    const auto values = x.values<double>();
    return static_cast<double>(std::ranges::count_if(values, [limit](double v) { return std::abs(v) > limit; })) /
           static_cast<double>(values.size());
  };
  const double beyond_two = share_beyond(init.normal(kShape, 1.0), 2.0);
  CHECK(beyond_two > 0.039);  // 0.0455 ± 5 standard errors
  CHECK(beyond_two < 0.052);
  CHECK(share_beyond(init.truncated_normal(kShape, 1.0), 2.0) == 0.0);
}

TEST_CASE("init: the same seed gives the same values, another seed or another parameter others",
          "[nn][init][property]") {
  const auto draw = [](std::uint64_t seed) {
    Initializer init(seed, DType::float64);
    std::vector<Values> all;
    for (int i = 0; i < 3; ++i) all.push_back(init.uniform({4, 5}, 1.0).to_vector<double>());
    all.push_back(init.normal({4, 5}, 1.0).to_vector<double>());
    return all;
  };
  const auto first = draw(1);
  CHECK(first == draw(1));
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK(first[i] != draw(2)[i]);
    for (std::size_t j = 0; j < i; ++j) CHECK(first[i] != first[j]);
  }
}

TEST_CASE("init: constants take a number too, so that a later parameter does not depend on their kind",
          "[nn][init][property]") {
  Initializer with_zeros(1, DType::float32), with_ones(1, DType::float32), alone(1, DType::float32);
  with_zeros.zeros({7});
  with_ones.ones({2, 2});
  const auto expected = with_zeros.uniform({5}, 1.0).to_vector<float>();
  CHECK(with_ones.uniform({5}, 1.0).to_vector<float>() == expected);
  CHECK(alone.uniform({5}, 1.0).to_vector<float>() != expected);
}

TEST_CASE("init: the padding row of torch-rechub 0.9.0 begins at zero", "[nn][init][property]") {
  HstuConfig config{.layer = LayerKind::rechub_0_9, .num_items = 9, .d_model = 4, .dqk = 2, .dv = 2, .max_seq_len = 5};
  for (const InitKind init : {InitKind::xavier_uniform, InitKind::truncated_normal}) {
    config.init = init;
    const HstuModel model(config, 1);
    const auto values = model.item_table().to_vector<float>();
    for (std::size_t i = 0; i < 4; ++i) CHECK(values[i] == 0.0F);
    for (std::size_t i = 4; i < values.size(); ++i) CHECK(values[i] != 0.0F);
  }
}

TEST_CASE("Linear, LayerNorm: list their parameters, an absent bias is left out", "[nn][layers][property]") {
  Initializer init(1, DType::float64);
  ParameterList list;
  Linear{init.uniform({3, 2}, 1.0), init.zeros({3})}.list("a", list);
  Linear{init.uniform({3, 2}, 1.0), {}}.list("b", list);
  LayerNorm::make(4, init).list("c", list);
  std::vector<std::string> names;
  for (const NamedParameter& p : list) names.push_back(p.name);
  CHECK(names == std::vector<std::string>{"a.weight", "a.bias", "b.weight", "c.weight", "c.bias"});
  CHECK(count_values(list) == 6 + 3 + 6 + 4 + 4);
}

TEST_CASE("dropout layer: each call draws from its own stream, and from none when not training",
          "[nn][layers][property]") {
  const Tensor x = Tensor::full({50, 10}, 1.0, DType::float64);
  ForwardContext training{.is_training = true, .seed = 1};
  const auto first = dropout(x, 0.5, training).to_vector<double>();
  CHECK(dropout(x, 0.5, training).to_vector<double>() != first);
  ForwardContext again{.is_training = true, .seed = 1};
  CHECK(dropout(x, 0.5, again).to_vector<double>() == first);
  ForwardContext later{.is_training = true, .seed = 1, .step = 1};
  CHECK(dropout(x, 0.5, later).to_vector<double>() != first);
  ForwardContext still;
  CHECK(dropout(x, 0.5, still).to_vector<double>() == x.to_vector<double>());
  CHECK(still.next_site == again.next_site);  // so that later layers draw the same either way
}
