// SPDX-License-Identifier: MIT
#include <functional>
#include <memory>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <hstu/optim/adam.hpp>
#include <hstu/optim/sgd.hpp>

using namespace hstu;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

using MakeOptimizer = std::function<std::unique_ptr<Optimizer>(ParameterList)>;

template <class Kind, class Options>
MakeOptimizer make(const Options& options) {
  return [options](ParameterList p) { return std::make_unique<Kind>(std::move(p), options); };
}
template <class Kind>
MakeOptimizer make_default() {
  return [](ParameterList p) { return std::make_unique<Kind>(std::move(p)); };
}

const AdamOptions kUnusual{.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.2};

struct Case {
  std::string name;
  MakeOptimizer make;
  std::vector<double> expected;  // after three steps of rate 0.1 in PyTorch 2.15, float64
};
const std::vector<Case> kCases{
    {"sgd", make_default<Sgd>(), {0.5, -1.2000000000000002, 1.7000000000000002, -0.00030000000000000003}},
    {"sgd, decay", make<Sgd>(SgdOptions{.weight_decay = 0.2}), {0.470392, -1.13241, 1.590384, -0.00029404}},
    {"sgd, momentum",
     make<Sgd>(SgdOptions{.momentum = 0.9, .weight_decay = 0.2}),
     {0.454912, -0.8232599999999999, 1.1274239999999998, -0.00055144}},
    {"sgd, nesterov",
     make<Sgd>(SgdOptions{.momentum = 0.9, .weight_decay = 0.2, .nesterov = true}),
     {0.43104032800000003, -0.7672836899999999, 0.8239366559999998, -0.0007773583600000001}},
    {"adam", make_default<Adam>(), {0.44754022176593455, -1.1172274104696713, 1.885284233465059, -0.29999700002999896}},
    {"adam, decay",
     make<Adam>(kUnusual),
     {0.3759680815356801, -1.0991037777933834, 1.767479073542091, 0.03204574385435756}},
    {"adamw",
     make_default<AdamW>(),
     {0.4461922022648245, -1.1137076929224694, 1.8793646451471528, -0.29969710302896896}},
    {"adamw, decay", make<AdamW>(kUnusual), {0.4237897926505806, -1.0603209958883542, 1.7685643574763257, -0.14702}}};

const std::vector<std::vector<double>> kGradients{
    {0.1, -2.0, 0.0, 1e-3}, {-0.3, 1.0, 4.0, 1e-3}, {0.2, 0.5, -1.0, 1e-3}};

Tensor start(DType dtype = DType::float64) {
  return parameter(Tensor::from(std::vector<double>{0.5, -1.25, 2.0, 0.0}).to(dtype));
}
void set_gradient(const Tensor& w, const Tensor& gradient) {
  zero_grad(w);
  backward_from(w, gradient);
}
void take_step(Optimizer& optimizer, const Tensor& w, std::size_t step) {
  set_gradient(w, Tensor::from(kGradients[step]).to(w.dtype()));
  optimizer.step(0.1);
}

}  // namespace

TEST_CASE("optimizers: three steps equal PyTorch's", "[optim][optimizer][golden]") {
  const Case& c = GENERATE(from_range(kCases.begin(), kCases.end()));
  const DType dtype = GENERATE(DType::float64, DType::float32);
  CAPTURE(c.name, name_of(dtype));
  const Tensor w = start(dtype);
  const auto optimizer = c.make({{"w", w}});
  for (std::size_t step = 0; step < 3; ++step) take_step(*optimizer, w, step);
  const double tolerance = dtype == DType::float64 ? 1e-14 : 1e-6;
  const auto got = w.to(DType::float64).to_vector<double>();
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK_THAT(got[i], WithinRel(c.expected[i], tolerance) || WithinAbs(c.expected[i], tolerance / 10));
  }
}

TEST_CASE("optimizers: restored from their state they go on with the same bits", "[optim][optimizer][property]") {
  const Case& c = GENERATE(from_range(kCases.begin(), kCases.end()));
  CAPTURE(c.name);
  const Tensor straight = start();
  const auto one = c.make({{"w", straight}});
  take_step(*one, straight, 0);
  const auto saved = one->state();
  const Tensor resumed = parameter(straight.clone());
  const auto two = c.make({{"w", resumed}});
  two->load_state(saved);
  REQUIRE(two->num_steps() == 1);
  for (std::size_t step = 1; step < 3; ++step) {
    take_step(*one, straight, step);
    take_step(*two, resumed, step);
  }
  REQUIRE(straight.to_vector<double>() == resumed.to_vector<double>());
  REQUIRE(saved.at("step").to_vector<std::int64_t>() == std::vector<std::int64_t>{1});  // a copy, not a view
}

TEST_CASE("optimizers: a parameter without a gradient is left alone", "[optim][optimizer][property]") {
  const Case& c = GENERATE(from_range(kCases.begin(), kCases.end()));
  const Tensor w = start(), unused = start(), empty = parameter(Tensor::zeros({0, 3}, DType::float64));
  const auto optimizer = c.make({{"unused", unused}, {"w", w}, {"empty", empty}});
  set_gradient(empty, Tensor::zeros({0, 3}, DType::float64));
  take_step(*optimizer, w, 0);
  REQUIRE(unused.to_vector<double>() == start().to_vector<double>());
  REQUIRE(w.to_vector<double>() != start().to_vector<double>());
}

TEST_CASE("optimizers: the same bits for any number of threads", "[optim][optimizer][property]") {
  const Case& c = GENERATE(from_range(kCases.begin(), kCases.end()));
  const int threads_before = num_threads();
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3, 4}) {
    set_num_threads(threads);
    const Tensor w = parameter(randn({333, 77}, {.seed = 1}));  // four pieces, the last one odd
    const auto optimizer = c.make({{"w", w}});
    for (std::uint32_t step = 0; step < 2; ++step) {
      set_gradient(w, randn({333, 77}, {.seed = 2, .step = step}));
      optimizer->step(1e-2);
    }
    results.push_back(w.to_vector<float>());
  }
  set_num_threads(threads_before);
  for (const auto& result : results) REQUIRE(result == results[0]);
}

TEST_CASE("optimizers: a state that does not fit is refused and changes nothing", "[optim][optimizer][errors]") {
  const Tensor w = start();
  AdamW optimizer({{"w", w}});
  take_step(optimizer, w, 0);
  const auto good = optimizer.state();
  REQUIRE(good.size() == 3);
  const auto refused = [&](const std::string& part, auto&& damage) {
    auto state = good;
    damage(state);
    CHECK_THROWS_MATCHES(optimizer.load_state(state), CheckpointError, MessageMatches(ContainsSubstring(part)));
    CHECK(optimizer.num_steps() == 1);
    CHECK(optimizer.state().at("exp_avg.w").to_vector<double>() == good.at("exp_avg.w").to_vector<double>());
  };
  refused("no entry exp_avg_sq.w", [](auto& s) { s.erase("exp_avg_sq.w"); });
  refused("no entry step", [](auto& s) { s.erase("step"); });
  refused("unknown entry exp_avg.other", [](auto& s) { s["exp_avg.other"] = s["exp_avg.w"]; });
  refused("exp_avg.w must be float64[4]", [](auto& s) { s["exp_avg.w"] = Tensor::zeros({5}, DType::float64); });
  refused("got float32", [](auto& s) { s["exp_avg.w"] = Tensor::zeros({4}); });
  refused("exp_avg.w must be", [](auto& s) { s["exp_avg.w"] = Tensor(); });
  refused("got -1", [](auto& s) { s["step"] = Tensor::from(std::vector<std::int64_t>{-1}); });
}

TEST_CASE("optimizers: options and names that cannot be", "[optim][optimizer][errors]") {
  const Tensor w = start();
  const ParameterList list{{"w", w}};
  const auto throws = [](const std::string& part, auto&& f) {
    CHECK_THROWS_MATCHES(f(), ConfigError, MessageMatches(ContainsSubstring(part)));
  };
  throws("two parameters are called w", [&] { return Sgd({{"w", w}, {"w", start()}}); });
  throws("b is not a parameter", [&] { return Sgd({{"b", w.detach()}}); });
  throws("momentum", [&] { return Sgd(list, {.momentum = 1.0}); });
  throws("nesterov", [&] { return Sgd(list, {.nesterov = true}); });
  throws("weight decay", [&] { return Sgd(list, {.weight_decay = -1}); });
  throws("betas", [&] { return Adam(list, {.beta1 = 1.0}); });
  throws("betas", [&] { return Adam(list, {.beta2 = std::nan("")}); });
  throws("eps", [&] { return Adam(list, {.eps = -1}); });
  throws("weight decay", [&] { return AdamW(list, {.weight_decay = -1}); });
  Sgd sgd(list);
  for (const double rate : {-1.0, std::nan("")}) {
    CHECK_THROWS_MATCHES(sgd.step(rate), ConfigError, MessageMatches(ContainsSubstring("learning rate")));
  }
}
