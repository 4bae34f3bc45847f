// SPDX-License-Identifier: MIT
// Ranking runs: candidates scored together and alone, what the folder holds, resuming, mistakes.
#include <hstu/recommend/rank_candidates.hpp>
#include <hstu/train/ranking_run.hpp>

#include "../io/files.hpp"
#include "small_ranking.hpp"

using namespace hstu;
using namespace hstu::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kUser = 2;  // events 6 … 14

RankingModel shaken_ranking_model(const RankingSettings& settings, const RankingData& data) {
  HstuConfig config = settings.hstu.model;
  config.num_items = data.sequences->vocabulary.size();
  config.max_seq_len = 19;
  const RankingModel model(config, settings.ranking, data, data.labels, 3, DType::float64);
  std::uint32_t site = 50;
  for (const NamedParameter& p : model.parameters()) {
    Tensor values = p.value;
    add_in_place(values, random_input(values.shape(), site++, 0.3).to(values.dtype()));
  }
  return model;
}

/// Settings that a run can store: features in the order of their names, each once.
RankingSettings run_settings(bool has_context) {
  RankingSettings s = small_settings(ActionInput::fused, has_context);
  s.ranking.actions = {{"rating", FeatureKind::category}};
  if (has_context) s.ranking.user_features = {{"age", FeatureKind::number}, {"job", FeatureKind::category}};
  s.hstu.train.epochs = 3;
  return s;
}

RankingFitResult fit_until(const fs::path& run, const RankingSettings& settings, std::int64_t steps, bool resume) {
  return fit_ranking(run, settings, data_of(small_data(), settings),
                     {.resume = resume, .should_stop = [steps]() mutable { return --steps == 0; }});
}

std::vector<nlohmann::json> ranking_lines_of(const fs::path& run) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(bytes_in(run / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    lines.push_back(nlohmann::json::parse(line));
    CHECK(lines.back().erase("seconds") == 1);
  }
  return lines;
}

}  // namespace

TEST_CASE("rank_candidates: equals each alone, and the event in its place", "[train][ranking][property]") {
  for (const Variant& v : kVariants) {
    CAPTURE(v.input == ActionInput::fused, v.has_context);
    const RankingSettings settings = small_settings(v.input, v.has_context);
    const RankingData data = data_of(three_users(), settings);
    const RankingModel model = shaken_ranking_model(settings, data);
    for (std::int64_t event = 6; event < 15; ++event) {
      const std::int64_t time_s = data.sequences->timestamps_s[static_cast<std::size_t>(event)];
      std::vector<std::int32_t> candidates;  // more than positions are left, more than one pass takes
      for (std::int32_t i = 0; i < 300; ++i) candidates.push_back(1 + i % 7);
      candidates[5] = candidates[290] = data.sequences->items[static_cast<std::size_t>(event)];
      if (event == 6 && v.input == ActionInput::fused && !v.has_context) {
        CHECK_THROWS_MATCHES(rank_candidates(model, data, kUser, {6, 6}, candidates, time_s), DataError,
                             says("neither events nor features"));
        continue;
      }
      const Tensor together = rank_candidates(model, data, kUser, {6, event}, candidates, time_s, 12);
      for (const std::size_t i : {std::size_t{0}, std::size_t{5}, std::size_t{256}, std::size_t{290}}) {
        const auto row = static_cast<std::int64_t>(i);
        const Tensor alone = rank_candidates(model, data, kUser, {6, event}, {&candidates[i], 1}, time_s, 12);
        require_close(alone, together.rows(row, row + 1), 1e-13);
      }
      RankingBatchBuilder builder(*data.sequences, v.input, std::ssize(settings.ranking.user_features));
      builder.add(kUser, {6, event + 1}, event);
      ForwardContext context;
      const Tensor in_place = model(builder.build(), data, context);
      for (std::size_t k = 0; k < 2; ++k) {
        const double expected = model.predicted(k, in_place.values<double>()[k]);
        CHECK(std::abs(together.values<double>()[5 * 2 + k] - expected) < 1e-12);
        CHECK(std::abs(together.values<double>()[290 * 2 + k] - expected) < 1e-12);
      }
    }
  }
}

TEST_CASE("rank_candidates: mistakes are named", "[train][ranking][errors]") {
  const RankingSettings settings = small_settings(ActionInput::interleaved, true);
  const RankingData data = data_of(three_users(), settings);
  const RankingModel model = shaken_ranking_model(settings, data);
  const std::int32_t good = 1, bad = 8;
  const auto ask = [&](std::int64_t user, EventRange events, const std::int32_t& item, std::int64_t time_s) {
    return rank_candidates(model, data, user, events, {&item, 1}, time_s);
  };
  CHECK_NOTHROW(ask(kUser, {6, 9}, good, 5000));
  CHECK_NOTHROW(ask(kUser, {6, 6}, good, 0));
  CHECK_THROWS_MATCHES(ask(3, {6, 9}, good, 5000), DataError, says("user 3 of 3"));
  CHECK_THROWS_MATCHES(ask(kUser, {5, 9}, good, 5000), DataError, says("are not those of user 2"));
  CHECK_THROWS_MATCHES(ask(kUser, {6, 16}, good, 5000), DataError, says("are not those of user 2"));
  CHECK_THROWS_MATCHES(ask(kUser, {6, 9}, bad, 5000), DataError, says("item 8 is outside"));
  CHECK_THROWS_MATCHES(ask(kUser, {6, 9}, good, 1239), DataError, says("asked at 1239 s"));
  CHECK_THROWS_MATCHES(ask(kUser, {6, 15}, good, 9999), DataError, says("sequence too long"));
}

TEST_CASE("fit_ranking: stopped anywhere and resumed gives the bits of an uninterrupted run",
          "[train][ranking][run][property]") {
  const TempFolder folder;
  for (const bool has_context : {true, false}) {
    const RankingSettings settings = run_settings(has_context);
    const fs::path whole = folder.path(concat("whole", has_context)), parts = folder.path(concat("parts", has_context));
    const RankingFitResult expected = fit_until(whole, settings, -1, false);
    CHECK(expected.is_complete);
    CHECK(expected.epochs == 3);
    bool is_complete = false;
    std::int64_t attempts = 0;
    for (; !is_complete && attempts < 20; ++attempts) {
      is_complete = fit_until(parts, settings, 2 + 3 * attempts, attempts > 0).is_complete;
    }
    REQUIRE(is_complete);
    CHECK(attempts > 2);
    CHECK(ranking_lines_of(parts) == ranking_lines_of(whole));
    const RankingRun a = load_ranking_run(parts), b = load_ranking_run(whole);
    CHECK(a.epoch == expected.best_epoch);
    CHECK(detail::weights_checksum(a.model) == detail::weights_checksum(b.model));
    CHECK(ranking_metrics(settings.ranking.tasks, predict_held_out(a.model, a.data, a.settings, true)) ==
          ranking_metrics(settings.ranking.tasks, predict_held_out(b.model, b.data, b.settings, true)));
  }
}

TEST_CASE("fit_ranking: other settings, data, features and damaged files are refused, and nothing is lost",
          "[train][ranking][run][errors]") {
  const TempFolder folder;
  const fs::path run = folder.path("run");
  RankingSettings settings = run_settings(true);
  settings.hstu.train.epochs = 1;
  const auto data = small_data();
  const RankingData good = data_of(data, settings);
  fit_ranking(run, settings, good);
  const std::string before = detail::weights_checksum(load_ranking_run(run).model);
  const auto failure = [&](const RankingSettings& s, const RankingData& d, bool resume = true) -> std::string {
    try {
      fit_ranking(run, s, d, {.resume = resume});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK(failure(settings, good) == "accepted");
  CHECK_THAT(failure(settings, good, false), ContainsSubstring("holds a run already"));
  RankingSettings other = settings;
  other.ranking.head_width = 7;
  CHECK_THAT(failure(other, good), ContainsSubstring("head_width was 6, now it is 7"));
  RankingData changed = good;
  changed.users[0].numbers[3] += 1.0f;
  CHECK_THAT(failure(settings, changed), ContainsSubstring("other features"));
  Sequences ratings = *data;
  ratings.ratings[0] = 7.0f;
  CHECK_THAT(failure(settings, data_of(std::make_shared<const Sequences>(ratings), settings)),
             ContainsSubstring("other ratings or columns"));
  other = settings;
  std::swap(other.ranking.user_features[0], other.ranking.user_features[1]);
  CHECK_THAT(failure(other, data_of(data, other)), ContainsSubstring("in the order of their names"));
  CHECK(detail::weights_checksum(load_ranking_run(run).model) == before);

  const std::string features = (run / "features.safetensors").string();
  const std::string bytes = bytes_in(features);
  std::string damaged = bytes;
  damaged[damaged.size() - 3] ^= 1;
  folder.write("run/features.safetensors", damaged);
  CHECK_THROWS_MATCHES(load_ranking_run(run), CheckpointError, says("damaged"));
  fs::remove(features);
  CHECK_THROWS_MATCHES(load_ranking_run(run), CheckpointError, says("missing"));
  folder.write("run/features.safetensors", bytes);
  CHECK_NOTHROW(load_ranking_run(run));
  CHECK_THROWS_AS(load_run(run), CheckpointError);
  CHECK_THROWS_AS(load_ranking_run(folder.path("nowhere")), IoError);
}

TEST_CASE("ranking settings: written and read back they are the same", "[train][ranking][property]") {
  const RankingSettings settings = run_settings(true);
  RankingSettings back;
  update_from_json(back, to_json(settings), "r.json");
  CHECK(to_json(back) == to_json(settings));
  CHECK(back.ranking.user_features[1].name == "job");
  CHECK_THROWS_MATCHES(to_json(small_settings(ActionInput::fused, false)), ConfigError, says("named twice"));
}
