// SPDX-License-Identifier: MIT
// Generated sequences against enumeration, their probabilities against the full forward pass, sampling against the
// distribution it draws from.
#include <hstu/recommend/evaluate_generation.hpp>

#include "serve_problem.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

HstuConfig tiny_vocabulary(HstuConfig config, std::int64_t num_items) {
  config.num_items = num_items;
  return config;
}

struct Setting {
  HstuModel model;
  CachedModel cached;
  PagePool pool;
  HistoryCache history;
  Events events;

  Setting(const HstuConfig& config, std::int64_t length, std::int64_t pages = 4000)
      : model(shaken_model(config, DType::float64)),
        cached(model),
        pool(cached.numbers_per_page(), DType::float64, pages),
        history(cached, pool, {config.max_seq_len, config.max_seq_len}),
        events(random_events(length, config.num_items, 12)) {
    history.append(events.items, events.times_s);
  }
  GenerateOptions options(std::int64_t steps) const {
    return {.steps = steps, .query_time_s = events.times_s.back() + 30, .gap_s = 500};
  }
  /// ln P(next item) by the full forward pass over what may come.
  std::vector<double> log_probabilities(const std::vector<std::int32_t>& before, const GenerateOptions& o) const {
    Events with = events;
    for (std::size_t i = 0; i < before.size(); ++i) {
      with.items.push_back(before[i]);
      with.times_s.push_back(o.query_time_s + static_cast<std::int64_t>(i) * o.gap_s);
    }
    const std::int64_t now = o.query_time_s + std::ssize(before) * o.gap_s;
    const Tensor scores = model.scores(full_hidden(model, with, with.size(), now));
    std::vector<double> result(static_cast<std::size_t>(model.config().num_items), -INFINITY);
    double sum = 0.0;
    for (std::int32_t item = 1; item < model.config().num_items; ++item) {
      const bool is_open = std::ranges::find(before, item) == before.end() &&
                           std::ranges::find(o.excluded, item) == o.excluded.end() &&
                           (o.allowed.empty() || std::ranges::find(o.allowed, item) != o.allowed.end());
      if (!is_open) continue;
      result[static_cast<std::size_t>(item)] = scores.data<double>()[item];
      sum += std::exp(scores.data<double>()[item]);
    }
    for (double& value : result) value -= std::log(sum);
    return result;
  }
  /// All sequences, best first.
  std::vector<GeneratedSequence> enumerate(const GenerateOptions& o) const {
    std::vector<GeneratedSequence> all{{}};
    for (std::int64_t step = 0; step < o.steps; ++step) {
      std::vector<GeneratedSequence> longer;
      for (const GeneratedSequence& sequence : all) {
        const auto logs = log_probabilities(sequence.items, o);
        for (std::size_t item = 0; item < logs.size(); ++item) {
          if (std::isinf(logs[item])) continue;
          GeneratedSequence next = sequence;
          next.items.push_back(static_cast<std::int32_t>(item));
          next.log_probability += logs[item];
          longer.push_back(std::move(next));
        }
      }
      all = std::move(longer);
    }
    std::ranges::stable_sort(all, std::greater<>(), &GeneratedSequence::log_probability);
    return all;
  }
};

void require_same(const std::vector<GeneratedSequence>& got, const std::vector<GeneratedSequence>& expected) {
  REQUIRE(got.size() <= expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i].items == expected[i].items);
    CHECK(std::abs(got[i].log_probability - expected[i].log_probability) < 1e-10);
  }
}

}  // namespace

TEST_CASE("generate_beam: as wide as the search space it is enumeration", "[serve][generate][parity]") {
  for (const HstuConfig& base : serve_configs()) {
    Setting s(tiny_vocabulary(base, 6), 30);  // across the end of a page
    for (const std::int64_t steps : {1, 2, 3}) {
      const auto all = s.enumerate(s.options(steps));
      const auto got = generate_beam(s.history, s.options(steps), std::ssize(all));
      REQUIRE(got.size() == all.size());
      require_same(got, all);
      double total = 0.0;
      for (const GeneratedSequence& sequence : got) total += std::exp(sequence.log_probability);
      CHECK(std::abs(total - 1.0) < 1e-9);
    }
    // Wide enough for all beginnings: the best ones are exact.
    const auto best = generate_beam(s.history, s.options(3), 20);
    REQUIRE(best.size() == 20);
    require_same(best, s.enumerate(s.options(3)));
  }
}

TEST_CASE("generate_beam: one beam is greedy, and wider beams are never worse than the greedy sequence's steps",
          "[serve][generate][property]") {
  Setting s(serve_configs()[0], 40);
  const auto greedy = generate_beam(s.history, s.options(4));
  REQUIRE(greedy.size() == 1);
  std::vector<std::int32_t> items;
  double log_probability = 0.0;
  for (int step = 0; step < 4; ++step) {
    const auto logs = s.log_probabilities(items, s.options(4));
    items.push_back(static_cast<std::int32_t>(std::ranges::max_element(logs) - logs.begin()));
    log_probability += logs[static_cast<std::size_t>(items.back())];
  }
  CHECK(greedy[0].items == items);
  CHECK(std::abs(greedy[0].log_probability - log_probability) < 1e-10);
  const auto wide = generate_beam(s.history, s.options(4), 8);
  REQUIRE(wide.size() == 8);
  CHECK(std::ranges::is_sorted(wide, std::greater<>(), &GeneratedSequence::log_probability));
  for (const GeneratedSequence& sequence : wide) {
    std::vector<std::int32_t> sorted = sequence.items;
    std::ranges::sort(sorted);
    CHECK(std::ranges::adjacent_find(sorted) == sorted.end());
  }
}

TEST_CASE("generate_beam: what is excluded or not allowed does not come", "[serve][generate][property]") {
  Setting s(tiny_vocabulary(serve_configs()[0], 9), 10);
  GenerateOptions options = s.options(2);
  options.allowed = {2, 3, 5, 7};
  options.excluded = {3};
  const auto all = s.enumerate(options);
  REQUIRE(all.size() == 6);
  require_same(generate_beam(s.history, options, 6), all);
  REQUIRE_THROWS_MATCHES(generate_beam(s.history, options, 7), ConfigError,
                         says("a beam of 7 is wider than the 6 sequences"));
}

TEST_CASE("generate_beam: goes on where max_history ends", "[serve][generate][property]") {
  Setting s(tiny_vocabulary(serve_configs()[0], 8), 30);
  HistoryCache full(s.cached, s.pool, {30, 30});
  full.append(s.events.items, s.events.times_s);
  const auto got = generate_beam(full, s.options(3), 4);
  Events window = s.events;
  for (std::int64_t step = 0; step < 2; ++step) {
    window.items.push_back(got[0].items[static_cast<std::size_t>(step)]);
    window.times_s.push_back(s.options(3).query_time_s + step * 500);
  }
  const Tensor scores =
      s.model.scores(full_hidden(s.model, window.between(2, 32), 30, s.options(3).query_time_s + 1000));
  const auto* score = scores.data<double>();
  for (std::int32_t item = 1; item < 8; ++item) {
    if (std::ranges::find(got[0].items, item) == got[0].items.end()) CHECK(score[item] <= score[got[0].items[2]]);
  }
}

TEST_CASE("generate_samples: cuts leave the best, seeds decide, counts do not", "[serve][generate][property]") {
  Setting s(serve_configs()[0], 20);
  const auto greedy = generate_beam(s.history, s.options(3))[0];
  for (const SampleOptions& cut :
       {SampleOptions{.top_k = 1}, SampleOptions{.top_p = 1e-9}, SampleOptions{.temperature = 1e-4}}) {
    const GeneratedSequence drawn = generate_samples(s.history, s.options(3), cut)[0];
    CHECK(drawn.items == greedy.items);
    CHECK(drawn.log_probability == greedy.log_probability);
  }
  const auto few = generate_samples(s.history, s.options(3), {.count = 3, .seed = 9});
  const auto many = generate_samples(s.history, s.options(3), {.count = 20, .seed = 9});
  CHECK(std::equal(few.begin(), few.end(), many.begin()));
  CHECK(generate_samples(s.history, s.options(3), {.count = 20, .seed = 10}) != many);
  for (const GeneratedSequence& sequence : many) {
    double expected = 0.0;
    for (std::size_t i = 0; i < 3; ++i) {
      expected += s.log_probabilities({sequence.items.begin(), sequence.items.begin() + static_cast<std::ptrdiff_t>(i)},
                                      s.options(3))[static_cast<std::size_t>(sequence.items[i])];
    }
    CHECK(std::abs(sequence.log_probability - expected) < 1e-10);
  }
}

TEST_CASE("generate_samples: items come as often as they should", "[serve][generate][property]") {
  Setting s(tiny_vocabulary(serve_configs()[0], 8), 5);
  constexpr std::int64_t kDraws = 4000;
  const double temperature = 2.0, top_p = 0.8;
  const auto logs = s.log_probabilities({}, s.options(1));
  std::vector<std::pair<double, std::int32_t>> best;
  double total = 0.0;
  for (std::int32_t item = 1; item < 8; ++item) {
    best.emplace_back(std::exp(logs[static_cast<std::size_t>(item)] / temperature), item);
    total += best.back().first;
  }
  std::ranges::sort(best, std::greater<>());
  best.resize(5);  // top_k
  total = 0.0;
  for (const auto& entry : best) total += entry.first;
  double reached = 0.0;
  std::size_t kept = 0;
  while (reached < top_p) reached += best[kept++].first / total;
  best.resize(kept);
  std::vector<std::int64_t> counts(8, 0);
  for (const auto& sequence : generate_samples(s.history, s.options(1), {.count = kDraws, .temperature = temperature,
                                                                         .top_k = 5, .top_p = top_p})) {
    ++counts[static_cast<std::size_t>(sequence.items[0])];
  }
  std::int64_t found = 0;
  for (const auto& [weight, item] : best) {
    const double share = weight / total / reached, count = static_cast<double>(counts[static_cast<std::size_t>(item)]);
    CHECK(std::abs(count / kDraws - share) < 4.0 * std::sqrt(share * (1 - share) / kDraws) + 1e-9);
    found += counts[static_cast<std::size_t>(item)];
  }
  CHECK(found == kDraws);  // and no other
}

TEST_CASE("generate: beams share pages, and a full pool loses nothing", "[serve][generate][property]") {
  Setting s(serve_configs()[0], 64, 14);
  s.history.hidden(s.events.times_s.back() + 30);
  CHECK(s.pool.num_free() == 12);
  CHECK(generate_beam(s.history, s.options(3), 10).size() == 10);  // ten copies of three pages would not fit
  CHECK(s.pool.num_free() == 12);
  REQUIRE_THROWS_AS(generate_beam(s.history, s.options(4), 13), PoolFullError);
  CHECK(s.pool.num_free() == 12);
  CHECK(s.history.size() == 64);
}

TEST_CASE("generate: options out of range are named", "[serve][generate][errors]") {
  Setting s(tiny_vocabulary(serve_configs()[0], 5), 3);
  const auto with = [&](auto&& change) {
    GenerateOptions options = s.options(2);
    change(options);
    generate_beam(s.history, options, 1);
  };
  REQUIRE_THROWS_MATCHES(with([](auto& o) { o.steps = 5; }), DataError,
                         says("5 steps without repeats need as many items, 4"));
  REQUIRE_THROWS_AS(with([](auto& o) { o.steps = 0; }), ConfigError);
  REQUIRE_THROWS_AS(with([](auto& o) { o.gap_s = -1; }), ConfigError);
  REQUIRE_THROWS_MATCHES(with([](auto& o) { o.gap_s = kLastTimestamp; }), DataError, says("out of range"));
  REQUIRE_THROWS_AS(with([](auto& o) { o.query_time_s = 0; }), DataError);
  REQUIRE_THROWS_AS(with([](auto& o) { o.excluded = {5}; }), DataError);
  REQUIRE_THROWS_AS(generate_beam(s.history, s.options(2), 0), ConfigError);
  REQUIRE_THROWS_AS(generate_beam(s.history, s.options(1), 5), ConfigError);
  REQUIRE_THROWS_AS(generate_samples(s.history, s.options(1), {.temperature = 0.0}), ConfigError);
  REQUIRE_THROWS_AS(generate_samples(s.history, s.options(1), {.top_p = 0.0}), ConfigError);
  REQUIRE_THROWS_AS(generate_samples(s.history, s.options(1), {.top_p = NAN}), ConfigError);
  REQUIRE_THROWS_AS(generate_samples(s.history, s.options(1), {.top_p = 1.01}), ConfigError);
  REQUIRE_THROWS_AS(generate_samples(s.history, s.options(1), {.top_k = -1}), ConfigError);
  REQUIRE_THROWS_AS(generate_samples(s.history, s.options(1), {.count = 0}), ConfigError);
  REQUIRE_THROWS_AS(generate_samples(s.history, s.options(1), {.count = (std::int64_t{1} << 31) + 1}), ConfigError);
  REQUIRE_THROWS_AS(with([](auto& o) { o.allowed = {-1}; }), DataError);
  const HistoryCache empty(s.cached, s.pool, {10, 10});
  REQUIRE_THROWS_AS(generate_beam(empty, s.options(1)), DataError);
}

TEST_CASE("evaluate_tails: ranks step by step", "[serve][generate][parity]") {
  const HstuConfig config = serve_configs()[0];
  const HstuModel model = shaken_model(config, DType::float64);
  const CachedModel cached(model);
  std::vector<Events> events;
  std::vector<Tail> tails;
  for (std::uint64_t u = 0; u < 6; ++u) events.push_back(random_events(20 + static_cast<std::int64_t>(u), 30, 40 + u));
  for (const Events& e : events) {
    tails.push_back({e.items_between(0, e.size() - 3), e.items_between(e.size() - 3, e.size()),
                     e.times_between(0, e.size() - 3), e.times_between(e.size() - 3, e.size())});
  }
  const auto metrics = evaluate_tails(cached, tails, {.beams = 2, .max_history = 60});
  REQUIRE(metrics.size() == 3);
  RankingMetrics first;
  for (const Tail& tail : tails) {
    Events e{{tail.history.begin(), tail.history.end()}, {tail.history_times_s.begin(), tail.history_times_s.end()}};
    const Tensor scores = model.scores(full_hidden(model, e, e.size(), tail.times_s[0]));
    first.add(rank_of_target<double>(scores.values<double>(), tail.items[0], tail.history));
  }
  CHECK(metrics[0].mrr() == first.mrr());
  for (const RankingMetrics& m : metrics) CHECK(m.count() == 6);
  CHECK(evaluate_tails(cached, {}, {}).empty());
  tails[1].items = tails[1].items.first(2);
  REQUIRE_THROWS_MATCHES(evaluate_tails(cached, tails, {.max_history = 60}), DataError,
                         says("tails: tail 1 has 2 items"));
}
