// SPDX-License-Identifier: MIT
// What a service waits for: the next items of one user on one thread, and the evaluation of all users on all threads.
#include <hstu/metrics/evaluate.hpp>
#include <hstu/recommend/recommender.hpp>
#include <hstu/train/presets.hpp>

#include "bench.hpp"
#include "exact_model.hpp"
#include "ml_1m_like.hpp"

namespace hstu::bench {
namespace {

constexpr double kTolerance = 1e-5;  // of the largest score, and of the mean loss: float32 against float64
constexpr std::int64_t kEvents = 200, kCalls = 1000, kUsers = 6040, kCheckedUsers = 40;

/// meta-ml-1m as it is initialised: how long it takes does not depend on the weights.
HstuModel make_model(std::int64_t num_items) {
  HstuConfig config = make_preset("meta-ml-1m").model;
  config.num_items = num_items;
  return HstuModel(config);
}

/// One user's history; checked: the scores, and that the items recommended are the best unseen ones in float64, as far
/// as float32 tells them apart.
struct OneUser {
  std::shared_ptr<const Sequences> sequences;
  HstuModel model;
  double error;

  OneUser() : sequences(make_sequences_of(options())), model(make_model(sequences->vocabulary.size())) {
    const Tensor exact = score_items(exact_copy(model), items(), times(), query_time());
    error = largest_error(score_items(model, items(), times(), query_time()), exact);
    std::vector<double> unseen;
    for (std::int32_t item = 1; item < exact.numel(); ++item) {
      if (std::ranges::find(items(), item) == items().end()) unseen.push_back(exact.data<double>()[item]);
    }
    std::ranges::sort(unseen, std::greater<>());
    const auto best = next_items();
    if (best.size() != 10) error = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < best.size(); ++i) {
      error = std::max(error, std::abs(exact.data<double>()[best[i].item] - unseen[i]) / unseen[0]);
    }
  }

  std::vector<ScoredItem> next_items() const { return recommend(model, items(), times(), query_time(), {.count = 10}); }

 private:
  static SyntheticOptions options() {
    SyntheticOptions options = ml_1m_options(1);
    options.min_length = options.max_length = kEvents;
    return options;
  }
  std::span<const std::int32_t> items() const { return sequences->items_of(0); }
  std::span<const std::int64_t> times() const { return sequences->timestamps_of(0); }
  std::int64_t query_time() const { return times().back() + 60; }
};

/// All users' last events; checked: the mean loss of a few of them against float64, one user after the other.
struct AllUsers {
  std::shared_ptr<const Sequences> sequences = make_sequences_of(ml_1m_options(kUsers));
  HstuModel model = make_model(sequences->vocabulary.size());
  std::vector<HeldOut> events = leave_last_out(*sequences).test;
  double error;

  AllUsers() {
    const HstuModel exact = exact_copy(model);
    const auto few = std::span<const HeldOut>(events).first(kCheckedUsers);
    double expected = 0.0;
    for (const HeldOut& event : few) {
      const auto target = static_cast<std::size_t>(event.target);
      const auto length = static_cast<std::size_t>(event.history.size());
      const Tensor scores = score_items(exact, sequences->items_of(event.user).first(length),
                                        sequences->timestamps_of(event.user).first(length),
                                        sequences->timestamps_s[target]);
      double sum = 0.0;
      for (const double score : scores.values<double>().subspan(1)) sum += std::exp(score);
      expected += (std::log(sum) - scores.data<double>()[sequences->items[target]]) / kCheckedUsers;
    }
    error = std::abs(evaluate(model, *sequences, few).loss() - expected) / expected;
  }
};

[[maybe_unused]] const bool registered = [] {
  add("recommend/meta-ml-1m/events:200/threads:1", [problem = lazily<OneUser>()](benchmark::State& state) {
    if (!is_right(state, problem().error, kTolerance)) return;
    const int before = num_threads();
    set_num_threads(1);
    const Samples samples = measure(state, [&] { benchmark::DoNotOptimize(problem().next_items()); });
    set_num_threads(before);
    state.counters["p50_ms"] = samples.quantile(0.5) * 1e3;
    state.counters["p99_ms"] = samples.quantile(0.99) * 1e3;
  })->Iterations(kCalls);

  add("evaluate/meta-ml-1m/users:6040", [problem = lazily<AllUsers>()](benchmark::State& state) {
    AllUsers& p = problem();
    if (!is_right(state, p.error, kTolerance)) return;
    const Samples samples =
        measure(state, [&] { benchmark::DoNotOptimize(evaluate(p.model, *p.sequences, p.events)); });
    state.counters["threads"] = num_threads();
    state.counters["users/s"] = static_cast<double>(p.events.size()) / samples.mean();
  }, benchmark::kSecond);
  return true;
}();

}  // namespace
}  // namespace hstu::bench
