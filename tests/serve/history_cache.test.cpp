// SPDX-License-Identifier: MIT
// Cached histories against the full forward pass, for every family of models and any order of appends.
#include <hstu/recommend/history_cache.hpp>
#include <hstu/recommend/recommender.hpp>

#include "serve_problem.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("history_cache: equals the full pass for any split into appends", "[serve][history_cache][property]") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const HstuConfig& config : serve_configs()) {
      const HstuModel model = shaken_model(config, dtype);
      const CachedModel cached(model, 32);
      PagePool pool(cached.numbers_per_page(), dtype, 8);
      const Events events = random_events(config.max_seq_len, config.num_items, 3);
      const RandomStream random{.seed = 77};
      for (std::uint64_t trial = 0, draw = 0; trial < 6; ++trial) {
        HistoryCache cache(cached, pool, {config.max_seq_len, config.max_seq_len});
        for (std::int64_t first = 0; first < events.size();) {
          const std::int64_t piece = trial == 0 ? events.size() : trial == 1 ? 1 : 1 + random.below(draw++, 40);
          const std::int64_t last = std::min(first + piece, events.size());
          cache.append(events.items_between(first, last), events.times_between(first, last));
          first = last;
          // Also asked at the wrong time before: the row is computed again for the right one.
          const auto time_of = [&](std::int64_t event) { return events.times_s[static_cast<std::size_t>(event)]; };
          if (trial > 2 && random.below(draw++, 2) == 0) cache.hidden(time_of(last - 1) + 7);
          const std::int64_t query_time = last < events.size() ? time_of(last) : events.times_s.back() + 1000;
          if (trial > 3 && random.below(draw++, 3) == 0) continue;
          const Tensor expected = full_hidden(model, events, last, query_time);
          INFO(name_of(config.layer) << ", " << last << " events, trial " << trial);
          REQUIRE(largest_difference(cache.hidden(query_time), expected) <= (dtype == DType::float32 ? 1e-5 : 1e-12));
          REQUIRE(largest_difference(cache.scores(query_time), model.scores(expected)) <=
                  (dtype == DType::float32 ? 1e-4 : 1e-11));  // scores are products divided by the temperature
        }
      }
      REQUIRE(pool.num_free() == pool.num_pages());
    }
  }
}

TEST_CASE("history_cache: the bits do not depend on how events came, nor on the pages",
          "[serve][history_cache][property]") {
  for (const HstuConfig& config : serve_configs()) {
    const HstuModel model = shaken_model(config, DType::float32);
    const CachedModel cached(model, 32), wide(model, 64);
    PagePool pool(cached.numbers_per_page(), DType::float32, 8), wide_pool(wide.numbers_per_page(), DType::float32, 4);
    const Events events = random_events(config.max_seq_len, config.num_items, 4);
    HistoryCache at_once(cached, pool, {config.max_seq_len, config.max_seq_len});
    HistoryCache one_by_one(cached, pool, {config.max_seq_len, config.max_seq_len});
    HistoryCache in_wide_pages(wide, wide_pool, {config.max_seq_len, config.max_seq_len});
    const std::int64_t query_time = events.times_s.back() + 5;
    at_once.append(events.items, events.times_s);
    in_wide_pages.append(events.items, events.times_s);
    for (std::int64_t i = 0; i < events.size(); ++i) {
      one_by_one.append(events.items[static_cast<std::size_t>(i)], events.times_s[static_cast<std::size_t>(i)]);
      one_by_one.hidden(events.times_s[static_cast<std::size_t>(i)] + 3);
    }
    const auto expected = at_once.hidden(query_time).to_vector<float>();
    CHECK(one_by_one.hidden(query_time).to_vector<float>() == expected);
    CHECK(in_wide_pages.hidden(query_time).to_vector<float>() == expected);
    one_by_one.drop_pages();
    CHECK(one_by_one.num_pages() == 0);
    CHECK(one_by_one.hidden(query_time).to_vector<float>() == expected);
  }
}

TEST_CASE("history_cache: only rows that the next event changes are computed again",
          "[serve][history_cache][property]") {
  for (const HstuConfig& config : serve_configs()) {
    const HstuModel model = shaken_model(config, DType::float32);
    const CachedModel cached(model);
    PagePool pool(cached.numbers_per_page(), DType::float32, 4);
    HistoryCache cache(cached, pool, {config.max_seq_len, config.max_seq_len});
    const std::int64_t again = cached.looks_ahead() ? 1 : 0;
    const std::int32_t items[] = {1, 2, 3};
    const std::int64_t times[] = {10, 20, 30};
    cache.append(items, times);
    cache.hidden(40);
    CHECK(cache.computed_rows() == 3);
    cache.hidden(40);
    CHECK(cache.computed_rows() == 3);
    cache.hidden(50);  // the last row was computed for a next event at 40
    CHECK(cache.computed_rows() == 3 + again);
    cache.append(4, 50);  // as assumed
    cache.hidden(60);
    CHECK(cache.computed_rows() == 4 + again);
    cache.append(5, 70);
    cache.hidden(80);
    CHECK(cache.computed_rows() == 5 + 2 * again);
  }
}

TEST_CASE("history_cache: beyond max_history it is the recent events that count", "[serve][history_cache][property]") {
  for (const HstuConfig& config : serve_configs()) {
    const HstuModel model = shaken_model(config, DType::float64);
    const CachedModel cached(model);
    PagePool pool(cached.numbers_per_page(), DType::float64, 4);
    HistoryCache exact(cached, pool, {20, 20}), roomy(cached, pool, {20, 12});
    const Events events = random_events(50, config.num_items, 5);
    for (std::int64_t i = 0; i < events.size(); ++i) {
      const std::int32_t item = events.items[static_cast<std::size_t>(i)];
      const std::int64_t time = events.times_s[static_cast<std::size_t>(i)], query_time = time + 9;
      exact.append(item, time);
      roomy.append(item, time);
      REQUIRE(exact.size() == std::min<std::int64_t>(i + 1, 20));
      REQUIRE((roomy.size() >= std::min<std::int64_t>(i + 1, 12) && roomy.size() <= 20));
      for (HistoryCache* cache : {&exact, &roomy}) {
        const Tensor expected =
            full_hidden(model, events.between(i + 1 - cache->size(), i + 1), cache->size(), query_time);
        REQUIRE(largest_difference(cache->hidden(query_time), expected) <= 1e-12);
      }
    }
    CHECK(roomy.computed_rows() < exact.computed_rows() / 2);
    const Tensor by_recommender =
        score_items(model, events.items, events.times_s, events.times_s.back() + 9, 20).reshaped({1, config.num_items});
    CHECK(largest_difference(exact.scores(events.times_s.back() + 9), by_recommender) <= 1e-11);
  }
}

TEST_CASE("history_cache: candidates in micro-batches get what each alone would", "[serve][candidates][property]") {
  for (const HstuConfig& config : serve_configs()) {
    const HstuModel model = shaken_model(config, DType::float64);
    const CachedModel cached(model);
    PagePool pool(cached.numbers_per_page(), DType::float64, 8);
    for (const std::int64_t length : {0, 1, 31, 32, 45}) {
      const Events events = random_events(length, config.num_items, 6);
      HistoryCache cache(cached, pool, {config.max_seq_len, config.max_seq_len});
      cache.append(events.items, events.times_s);
      std::vector<std::int32_t> candidates;
      const RandomStream random{.seed = 8};
      for (std::uint64_t i = 0; i < 130; ++i) {
        candidates.push_back(
            static_cast<std::int32_t>(1 + random.below(i, static_cast<std::uint32_t>(config.num_items - 1))));
      }
      const std::int64_t time_s = length > 0 ? events.times_s.back() + 60 : 60;
      const Tensor states = cache.candidate_states(candidates, time_s);
      for (std::size_t i = 0; i < candidates.size(); i += 17) {
        const auto row = static_cast<std::int64_t>(i);
        const Tensor expected = full_hidden_of_target(model, events, candidates[i], time_s);
        REQUIRE(largest_difference(states.rows(row, row + 1), expected) <= 1e-12);
        const Tensor alone = cache.candidate_states({&candidates[i], 1}, time_s);
        REQUIRE(alone.to_vector<double>() == states.rows(row, row + 1).to_vector<double>());
      }
    }
  }
}

TEST_CASE("history_cache: copies share pages until they differ", "[serve][history_cache][property]") {
  const HstuConfig config = serve_configs()[0];
  const HstuModel model = shaken_model(config, DType::float64);
  const CachedModel cached(model);
  PagePool pool(cached.numbers_per_page(), DType::float64, 6);
  const Events events = random_events(40, config.num_items, 7);
  HistoryCache original(cached, pool, {64, 64});
  original.append(events.items, events.times_s);
  const std::int64_t now = events.times_s.back() + 10;
  const Tensor before = original.hidden(now).clone();
  CHECK(pool.num_free() == 4);
  {
    HistoryCache fork = original;
    fork.append(3, now);
    CHECK(pool.num_free() == 4);
    Events with = events;
    with.items.push_back(3);
    with.times_s.push_back(now);
    CHECK(largest_difference(fork.hidden(now + 5), full_hidden(model, with, 41, now + 5)) <= 1e-12);
    CHECK(pool.num_free() == 3);  // the second page has been copied, the first is shared
    CHECK(original.hidden(now).to_vector<double>() == before.to_vector<double>());
    HistoryCache second = fork;
    second = original;
    CHECK(second.hidden(now).to_vector<double>() == before.to_vector<double>());
  }
  CHECK(pool.num_free() == 4);
  original.append(4, now);
  original.hidden(now + 1);
  CHECK(pool.num_free() == 4);
}

TEST_CASE("history_cache: a full pool is an error that loses nothing", "[serve][history_cache][errors]") {
  const HstuConfig config = serve_configs()[0];
  const HstuModel model = shaken_model(config, DType::float64);
  const CachedModel cached(model);
  PagePool pool(cached.numbers_per_page(), DType::float64, 2);
  HistoryCache first(cached, pool, {64, 64}), second(cached, pool, {64, 64});
  const Events events = random_events(40, config.num_items, 9);
  const std::int64_t now = events.times_s.back();
  first.append(events.items_between(0, 20), events.times_between(0, 20));
  second.append(events.items, events.times_s);
  first.hidden(now);
  REQUIRE_THROWS_MATCHES(second.hidden(now), PoolFullError, says("page pool: all 2 pages are in use"));
  first.drop_pages();
  CHECK(largest_difference(second.hidden(now), full_hidden(model, events, 40, now)) <= 1e-12);
}

TEST_CASE("history_cache: bad events, times and limits are named", "[serve][history_cache][errors]") {
  const HstuConfig config = serve_configs()[0];
  const HstuModel model(config, 1, DType::float32);
  const CachedModel cached(model);
  PagePool pool(cached.numbers_per_page(), DType::float32, 2);
  HistoryCache cache(cached, pool, {60, 60});
  REQUIRE_THROWS_MATCHES(cache.hidden(0), DataError, says("a history needs at least one event"));
  cache.append(1, 100);
  REQUIRE_THROWS_MATCHES(cache.append(1, 99), DataError,
                         says("time 99 s, expected one from that of the event before, 100"));
  REQUIRE_THROWS_MATCHES(cache.append(static_cast<std::int32_t>(config.num_items), 100), DataError,
                         says("outside of the table"));
  REQUIRE_THROWS_MATCHES(cache.append(-1, 100), DataError, says("item -1"));
  REQUIRE_THROWS_MATCHES(cache.append(1, std::numeric_limits<std::int64_t>::max()), DataError, says("time 9223"));
  const std::int32_t items[] = {2, 3};
  const std::int64_t times[] = {200, 150};
  REQUIRE_THROWS_AS(cache.append(items, times), DataError);
  REQUIRE_THROWS_MATCHES(cache.append({items, 2}, {times, 1}), DataError, says("2 items and 1 times"));
  CHECK(cache.size() == 1);
  REQUIRE_THROWS_AS(cache.hidden(99), DataError);
  REQUIRE_THROWS_MATCHES(cache.candidate_states(std::vector<std::int32_t>{1, -1}, 100), DataError, says("item -1"));
  REQUIRE_THROWS_AS(cache.candidate_states(std::vector<std::int32_t>{1}, 99), DataError);
  const ItemScores scores(model);
  REQUIRE_THROWS_MATCHES(scores(Tensor::zeros({1, config.d_model + 1})), ShapeError,
                         says("hidden states must be float32 [rows, "));
  REQUIRE_THROWS_AS(scores(Tensor::zeros({1, config.d_model}, DType::float64)), ShapeError);
  REQUIRE_THROWS_AS(HistoryCache(cached, pool, {config.max_seq_len + 1, 1}), ConfigError);
  REQUIRE_THROWS_AS(HistoryCache(cached, pool, {10, 11}), ConfigError);
  REQUIRE_THROWS_AS(HistoryCache(cached, pool, {10, 0}), ConfigError);
  PagePool other(7, DType::float32, 1);
  REQUIRE_THROWS_MATCHES(HistoryCache(cached, other, {10, 10}), ConfigError, says("the pool's have 7"));
  REQUIRE_THROWS_MATCHES(CachedModel(model, 48), ConfigError, says("32 or 64 positions, got 48"));
  REQUIRE_THROWS_AS(PagePool(1, DType::float32, 0), ConfigError);
  REQUIRE_THROWS_AS(PagePool(0, DType::float32, 1), ConfigError);
  REQUIRE_THROWS_AS(PagePool(1, DType::float32, (std::int64_t{1} << 30) + 1), ConfigError);
}
