// SPDX-License-Identifier: MIT
// How far ahead a model sees: rank of the true item at every step of a generated sequence.
#pragma once
#include <hstu/core/parallel.hpp>
#include <hstu/metrics/ranking.hpp>
#include <hstu/recommend/generate.hpp>

namespace hstu {

/// A user's history and what came after it.
struct Tail {
  std::span<const std::int32_t> history, items;
  std::span<const std::int64_t> history_times_s, times_s;
};

struct TailOptions {
  std::int64_t beams = 1;
  std::int64_t max_history = 200;  ///< the model sees the most recent events only
  std::int64_t gap_s = 0;          ///< time between generated events
  bool use_median_gap = false;     ///< the median gap of the user's history instead
  bool keep_seen = false;          ///< items of the history may come again
};

/// Ranks [step] of the true items of the tails, all of one length: the model is asked at the time of the first event of
/// the tail and from then on sees what it generates, the most probable sequence of the beam.  At step t the true item
/// is ranked among all items that are neither in the history, unless those are kept, nor generated before.
/// Runs on all threads; the result does not depend on their number.  Throws as generate_beam and rank_of_target do.
inline std::vector<RankingMetrics> evaluate_tails(const CachedModel& model, std::span<const Tail> tails,
                                                  const TailOptions& options) {
  if (tails.empty()) return {};
  const std::size_t steps = tails[0].items.size();
  std::vector<std::vector<std::int64_t>> ranks(tails.size());
  parallel_for(std::ssize(tails), [&](std::int64_t u) {
    const Tail& tail = tails[static_cast<std::size_t>(u)];
    check<DataError>(tail.items.size() == steps && tail.times_s.size() == steps && steps > 0, "tails: tail ", u,
                     " has ", tail.items.size(), " items and ", tail.times_s.size(), " times, expected ", steps);
    const std::int64_t pages = model.layout().pages_for(options.max_history);
    PagePool pool(model.numbers_per_page(), model.model().dtype(), (2 * options.beams + 2) * pages);
    HistoryCache cache(model, pool, {options.max_history, options.max_history});
    cache.append(tail.history, tail.history_times_s);
    GenerateOptions generate{.steps = static_cast<std::int64_t>(steps),
                             .query_time_s = tail.times_s[0],
                             .gap_s = options.use_median_gap ? median_gap_s(tail.history_times_s) : options.gap_s};
    if (!options.keep_seen) generate.excluded.assign(tail.history.begin(), tail.history.end());
    cache.hidden(generate.query_time_s);  // computed once, shared by the beams
    const GeneratedSequence best = generate_beam(cache, generate, options.beams)[0];
    std::vector<std::int32_t> excluded = generate.excluded;
    for (std::size_t step = 0; step < steps; ++step) {
      const std::int64_t time_s = generate.query_time_s + static_cast<std::int64_t>(step) * generate.gap_s;
      const Tensor scores = cache.scores(time_s);
      ranks[static_cast<std::size_t>(u)].push_back(
          dispatch_floating("tails", scores.dtype(), [&]<class Scalar>(Scalar) {
            return rank_of_target<Scalar>(scores.values<Scalar>(), tail.items[step], excluded);
          }));
      cache.append(best.items[step], time_s);
      excluded.push_back(best.items[step]);
    }
  });
  std::vector<RankingMetrics> metrics(steps);
  for (const auto& of_user : ranks) {
    for (std::size_t step = 0; step < steps; ++step) metrics[step].add(of_user[step]);
  }
  return metrics;
}

}  // namespace hstu
