// SPDX-License-Identifier: MIT
// Serving one user on one thread: an appended event and the next 100 items, and candidates against a cached history.
#include <sys/resource.h>

#include <ctime>

#include <hstu/recommend/server.hpp>
#include <hstu/train/presets.hpp>

#include "bench.hpp"
#include "exact_model.hpp"
#include "ml_1m_like.hpp"

namespace hstu::bench {
namespace {

constexpr double kTolerance = 1e-5;  // of the largest score or entry: float32 against float64
constexpr std::int64_t kEvents = 200, kFirstEvents = 60, kTop = 100;

/// A preset of MovieLens-1M as it is initialised, and one user's history.
struct Problem {
  std::shared_ptr<const Sequences> sequences;
  HstuModel model;
  double error = 0.0;

  explicit Problem(const std::string& preset) : sequences(make_sequences_of(one_user())), model(make_model(preset)) {
    RecommendServer server = RecommendServer(model, options());
    const HstuModel exact = exact_copy(model);
    for (std::int64_t last : {kFirstEvents, kFirstEvents + 1, kEvents}) {
      const std::int64_t first = last == kFirstEvents ? 0 : server.history_length("u");
      const auto got = server.recommend("u", events(first, last));
      const auto count = static_cast<std::size_t>(last);
      const Tensor scores =
          score_items(exact, sequences->items_of(0).first(count), sequences->timestamps_of(0).first(count),
                      sequences->timestamps_of(0)[count - 1]);
      if (got.size() != kTop) error = std::numeric_limits<double>::infinity();
      for (const ScoredItem& item : got) {
        error = std::max(error, std::abs(item.score - scores.data<double>()[item.item]) / std::abs(got[0].score));
      }
    }
  }

  static ServerOptions options() { return {.limits = {kEvents, kEvents}}; }
  ServerRequest events(std::int64_t first, std::int64_t last) const {
    const auto begin = static_cast<std::size_t>(first), count = static_cast<std::size_t>(last - first);
    const auto items = sequences->items_of(0).subspan(begin, count);
    const auto times = sequences->timestamps_of(0).subspan(begin, count);
    return {.items = {items.begin(), items.end()}, .times_s = {times.begin(), times.end()}, .count = kTop};
  }

 private:
  static SyntheticOptions one_user() {
    SyntheticOptions options = ml_1m_options(1);
    options.min_length = options.max_length = kEvents;
    return options;
  }
  HstuModel make_model(const std::string& preset) const {
    HstuConfig config = make_preset(preset).model;
    config.num_items = sequences->vocabulary.size();
    return HstuModel(config);
  }
};

/// Time of this thread on a processor: on a shared machine the wall clock also counts the others.
double processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// What happened to this thread so far that costs time and is not the program's work.
struct Disturbances {
  std::int64_t switches = 0;     ///< the system gave the processor to another
  std::int64_t page_faults = 0;

  static Disturbances now() {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    return {usage.ru_nivcsw, usage.ru_minflt + usage.ru_majflt};
  }
};

/// Each of the events from kFirstEvents on, appended to the history before it; then the user begins anew.
void append_events(benchmark::State& state, const Problem& p) {
  if (!is_right(state, p.error, kTolerance)) return;
  std::optional<RecommendServer> server;
  ServerRequest request;
  std::int64_t next = kEvents;
  const auto prepare = [&] {
    if (next == kEvents) {
      server.emplace(p.model, Problem::options());
      server->recommend("u", p.events(0, kFirstEvents));
      next = kFirstEvents;
    }
    request = p.events(next, next + 1);
    ++next;
  };
  Samples processor_time, undisturbed;
  std::int64_t with_page_faults = 0;
  const Samples samples = measure(state, prepare, [&] {
    const Disturbances before = Disturbances::now();
    const auto wall = std::chrono::steady_clock::now();
    const double begin = processor_seconds();
    benchmark::DoNotOptimize(server->recommend("u", request));
    processor_time.seconds.push_back(processor_seconds() - begin);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - wall;
    const Disturbances after = Disturbances::now();
    with_page_faults += after.page_faults > before.page_faults ? 1 : 0;
    if (after.switches == before.switches) undisturbed.seconds.push_back(seconds.count());
  });
  const auto report = [&](const std::string& name, const Samples& times) {
    if (times.seconds.empty()) return;
    state.counters[name + "p50_us"] = times.quantile(0.5) * 1e6;
    state.counters[name + "p99_us"] = times.quantile(0.99) * 1e6;
  };
  report("", samples);
  report("cpu_", processor_time);
  report("undisturbed_", undisturbed);  // wall time of the requests during which the thread kept its processor
  state.counters["with_page_faults"] = static_cast<double>(with_page_faults);
}

/// Hidden states of m candidates behind kEvents − 1 cached events; checked: against one candidate at a time in float64.
void score_candidates(benchmark::State& state, const Problem& p, std::int64_t m) {
  const HstuModel exact = exact_copy(p.model);
  const ServerRequest history = p.events(0, kEvents - 1);
  const std::int64_t now = history.times_s.back() + 60;
  std::vector<std::int32_t> candidates;
  const RandomStream random{.seed = 4};
  const auto items = static_cast<std::uint32_t>(p.sequences->vocabulary.size() - 1);
  for (std::int64_t i = 0; i < m; ++i) {
    candidates.push_back(static_cast<std::int32_t>(1 + random.below(static_cast<std::uint64_t>(i), items)));
  }
  const auto states_of = [&](const HstuModel& model, std::span<const std::int32_t> some) {
    const CachedModel cached(model);
    PagePool pool(cached.numbers_per_page(), model.dtype(), 8);
    HistoryCache cache(cached, pool, {kEvents, kEvents});
    cache.append(history.items, history.times_s);
    return cache.candidate_states(some, now);
  };
  const std::span<const std::int32_t> last(candidates.data() + m - 1, 1);
  const Tensor all = states_of(p.model, candidates);
  if (!is_right(state, largest_error(all.rows(m - 1, m), states_of(exact, last)), kTolerance)) return;
  const CachedModel cached(p.model);
  PagePool pool(cached.numbers_per_page(), p.model.dtype(), 8);
  HistoryCache cache(cached, pool, {kEvents, kEvents});
  cache.append(history.items, history.times_s);
  cache.hidden(now);
  const Samples samples =
      measure(state, [&] { benchmark::DoNotOptimize(cache.candidate_states(candidates, now)); });
  state.counters["us_per_candidate"] = samples.quantile(0.5) * 1e6 / static_cast<double>(m);
}

[[maybe_unused]] const bool registered = [] {
  for (const std::string preset : {"meta-ml-1m", "meta-ml-1m-large", "rechub-0.9"}) {
    const auto problem = lazily<Problem>(preset);
    add(concat("serve/", preset, "/append:1/top:", kTop), [problem](benchmark::State& state) {
      append_events(state, problem());
    })->Iterations(1400);
    for (const std::int64_t m : {1, 4, 16, 64, 256, 1024, 4096}) {
      add(concat("candidates/", preset, "/m:", m),
          [problem, m](benchmark::State& state) { score_candidates(state, problem(), m); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace hstu::bench
