// SPDX-License-Identifier: MIT
// Serving: many users share one pool of pages; events are appended, candidates scored, sequences of next items
// searched.
#include <cstdio>
#include <thread>

#include <hstu/hstu.hpp>

using namespace hstu;

int main() {
  const Sequences sequences = make_sequences(make_synthetic_ratings());
  HstuConfig config = make_preset("meta-ml-1m").model;
  config.num_items = sequences.vocabulary.size();
  const HstuModel model(config);  // as it is initialised: what an answer costs does not depend on the weights

  // Histories begin with what is known of a user; the pool holds a few users, the others' pages come and go.
  RecommendServer server(model, {.limits = {.max_history = 200, .kept_events = 150}, .pool_bytes = 2 << 20},
                         [&](const std::string& name) {
    const std::int64_t user = sequences.find_user(name);
    const auto items = sequences.items_of(user);
    const auto times = sequences.timestamps_of(user);
    return RecommendServer::History{{items.begin(), items.end()}, {times.begin(), times.end()}};
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int user = t; user < 200; user += 4) server.recommend(concat("u", user + 1), {.count = 10});
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("200 users answered, %lld evictions, %lld of %lld pages free\n",
              static_cast<long long>(server.evictions()), static_cast<long long>(server.pool().num_free()),
              static_cast<long long>(server.pool().num_pages()));

  // An event arrives: only its row and the one before it are computed.
  const std::int64_t now = sequences.timestamps_of(sequences.find_user("u7")).back() + 3600;
  const auto best = server.recommend("u7", {.items = {20}, .times_s = {now}, .query_time_s = now + 60, .count = 3});
  for (const ScoredItem& scored : best) std::printf("  item %d, score %.4f\n", scored.item, scored.score);

  // Below the server: a cached history of one's own.  Candidates are scored side by side, each as if it were alone.
  const CachedModel cached(model);
  PagePool pool(cached.numbers_per_page(), model.dtype(), 64);
  HistoryCache history(cached, pool, {200, 200});
  history.append(sequences.items_of(7), sequences.timestamps_of(7));
  const std::int64_t asked_s = history.times_s().back() + 60;
  const std::vector<std::int32_t> candidates{3, 1, 4, 15, 9};
  const Tensor states = history.candidate_states(candidates, asked_s);
  std::printf("hidden states of %lld candidates, [%lld, %lld]\n", static_cast<long long>(candidates.size()),
              static_cast<long long>(states.size(0)), static_cast<long long>(states.size(1)));

  // The next three items; all beams share the pages of the history.
  const auto beams = generate_beam(history, {.steps = 3, .query_time_s = asked_s, .gap_s = 3600}, 4);
  for (const GeneratedSequence& beam : beams) {
    std::printf("  %d, %d, %d: ln P = %.3f\n", beam.items[0], beam.items[1], beam.items[2], beam.log_probability);
  }
  return best.size() == 3 && beams.size() == 4 && server.evictions() > 0 ? 0 : 1;
}
