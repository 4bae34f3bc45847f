// SPDX-License-Identifier: MIT
// The server: answers of eight threads are those of one, to the bit; eviction; filters; errors that lose nothing.
#include <hstu/recommend/server.hpp>

#include <thread>

#include "serve_problem.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

constexpr std::int64_t kUsers = 12, kRounds = 9;

std::string name_of_user(std::int64_t user) { return concat("u", user); }

/// Three events a round, then the best five.
ServerRequest request_of(const Events& events, std::int64_t round) {
  const Events piece = events.between(3 * round, 3 * round + 3);
  return {.items = piece.items, .times_s = piece.times_s, .query_time_s = piece.times_s.back() + 11, .count = 5,
          .keep_seen = round % 2 == 0};
}

using Answers = std::vector<std::vector<ScoredItem>>;

/// All answers for the users u with u % threads == part, round by round.
void ask(RecommendServer& server, std::int64_t num_items, std::int64_t part, std::int64_t threads, Answers& answers) {
  for (std::int64_t round = 0; round < kRounds; ++round) {
    for (std::int64_t user = part; user < kUsers; user += threads) {
      const Events events = random_events(3 * kRounds, num_items, static_cast<std::uint64_t>(100 + user));
      answers[static_cast<std::size_t>(user * kRounds + round)] =
          server.recommend(name_of_user(user), request_of(events, round));
    }
  }
}

Answers answers_of(const HstuModel& model, std::int64_t threads, std::int64_t pages) {
  const CachedModel sizes(model);
  const std::int64_t page_bytes = sizes.numbers_per_page() * size_of(model.dtype());
  RecommendServer server(model, {.limits = {24, 24}, .pool_bytes = pages * page_bytes});
  Answers answers(kUsers * kRounds);
  std::vector<std::thread> workers;
  for (std::int64_t t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] { ask(server, model.config().num_items, t, threads, answers); });
  }
  for (std::thread& worker : workers) worker.join();
  CHECK((server.evictions() > 0) == (pages < kUsers));
  return answers;
}

}  // namespace

TEST_CASE("server: eight threads answer as one does, with room for all and without", "[serve][server][property]") {
  for (const HstuConfig& config : {serve_configs()[0], serve_configs()[2]}) {
    const HstuModel model = shaken_model(config, DType::float32);
    const Answers serial = answers_of(model, 1, kUsers);
    for (const auto& answer : serial) REQUIRE(answer.size() == 5);
    CHECK(answers_of(model, 1, 2) == serial);
    CHECK(answers_of(model, 8, kUsers) == serial);
    CHECK(answers_of(model, 8, 8) == serial);
  }
}

TEST_CASE("server: threads that ask for one user take turns", "[serve][server][property]") {
  const HstuConfig config = serve_configs()[0];
  const HstuModel model = shaken_model(config, DType::float32);
  const Events events = random_events(20, config.num_items, 3);
  RecommendServer server(model, {.limits = {64, 64}}, [&](const std::string&) {
    return RecommendServer::History{events.items, events.times_s};
  });
  const ServerRequest request{.query_time_s = events.times_s.back() + 4, .count = 3};
  Answers answers(8);
  std::vector<std::thread> workers;
  for (std::size_t t = 0; t < 8; ++t) workers.emplace_back([&, t] { answers[t] = server.recommend("one", request); });
  for (std::thread& worker : workers) worker.join();
  for (const auto& answer : answers) {
    CHECK(answer == answers[0]);
    CHECK(answer.size() == 3);
  }
}

TEST_CASE("server: answers are those of recommend()", "[serve][server][parity]") {
  for (const HstuConfig& config : serve_configs()) {
    const HstuModel model = shaken_model(config, DType::float64);
    const Events events = random_events(30, config.num_items, 5);
    const std::int64_t now = events.times_s.back() + 100;
    RecommendServer server(model, {.limits = {20, 20}});
    const auto got = server.recommend(
        "a", {.items = events.items, .times_s = events.times_s, .query_time_s = now, .count = 7});
    const auto expected = recommend(model, events.items, events.times_s, now, {.count = 7, .max_history = 20});
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      CHECK(got[i].item == expected[i].item);
      CHECK(std::abs(got[i].score - expected[i].score) < 1e-10);
    }
    CHECK(server.history_length("a") == 20);
  }
}

TEST_CASE("server: filters leave out and let in", "[serve][server][property]") {
  const HstuConfig config = serve_configs()[0];
  const HstuModel model = shaken_model(config, DType::float32);
  RecommendServer server(model, {.limits = {64, 64}});
  const auto items_of = [&](const ServerRequest& request) {
    std::vector<std::int32_t> items;
    for (const ScoredItem& scored : server.recommend("a", request)) items.push_back(scored.item);
    std::ranges::sort(items);
    return items;
  };
  CHECK(items_of({.items = {4, 5}, .times_s = {1, 2}, .count = 100}).size() == 27);  // not 0, 4, 5
  CHECK(items_of({.count = 100, .keep_seen = true}).size() == 29);
  CHECK(items_of({.count = 100, .allowed = {4, 7, 9, 9}}) == std::vector<std::int32_t>{7, 9});
  CHECK(items_of({.count = 100, .excluded = {7}, .allowed = {4, 7, 9}}) == std::vector<std::int32_t>{9});
  CHECK(items_of({.count = 0}).empty());
}

TEST_CASE("server: refused requests change nothing", "[serve][server][errors]") {
  const HstuConfig config = serve_configs()[0];
  const HstuModel model = shaken_model(config, DType::float32);
  RecommendServer server(model, {.limits = {64, 64}});
  REQUIRE_THROWS_MATCHES(server.recommend("new", {}), DataError, says("has no events"));
  server.recommend("a", {.items = {1}, .times_s = {10}});
  REQUIRE_THROWS_AS(server.recommend("a", {.items = {2, 99}, .times_s = {11, 12}}), DataError);
  REQUIRE_THROWS_AS(server.recommend("a", {.items = {2, 3}, .times_s = {12, 11}}), DataError);
  REQUIRE_THROWS_AS(server.recommend("a", {.items = {2}, .times_s = {}}), DataError);
  REQUIRE_THROWS_MATCHES(server.recommend("a", {.items = {2}, .times_s = {20}, .query_time_s = 19}), DataError,
                         says("asked at 19 s, expected from the time of the last event, 20"));
  REQUIRE_THROWS_MATCHES(server.recommend("a", {.excluded = {30}}), DataError, says("item 30"));
  REQUIRE_THROWS_MATCHES(server.recommend("a", {.allowed = {-1}}), DataError, says("item -1"));
  REQUIRE_THROWS_AS(server.recommend("a", {.items = {1}, .times_s = {20}, .count = -1}), ConfigError);
  CHECK(server.history_length("a") == 1);
  REQUIRE_THROWS_MATCHES(RecommendServer(model, {.limits = {64, 64}, .pool_bytes = 10}), ConfigError,
                         says("the pool has 10"));
  const std::int64_t page_bytes = CachedModel(model).numbers_per_page() * size_of(model.dtype());
  REQUIRE_THROWS_MATCHES(RecommendServer(model, {.limits = {64, 64}, .pool_bytes = page_bytes}), ConfigError,
                         says("a history of 64 events takes 2 pages"));
}
