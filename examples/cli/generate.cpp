// SPDX-License-Identifier: MIT
// hstu generate: the next N items of a user, or how well they were foreseen.
#include <unordered_map>

#include <hstu/recommend/evaluate_generation.hpp>

#include "history.hpp"
#include "metrics.hpp"

namespace hstu::cli {
namespace generate_detail {

constexpr std::int64_t kMostSteps = 1000, kMostBeams = 100'000;

inline Options parse(Arguments arguments) {
  return {
      arguments,
      "--run RUN (--user ID | --tails DIR) [options]",
      "--user: the most probable sequences of the next items, or sampled ones.\n"
      "--tails: prepared data in which the users of the run go on (hstu prepare --drop-last made the run's); ranks\n"
      "the true next items, the model seeing what it generates itself.\n"
      "No item comes twice in a sequence.  Nobody knows when future events happen: by default all of them at the time\n"
      "of the request, with --gap so many seconds apart, or as far apart as the median two events of the user.",
      {{"run", "RUN", "what hstu train wrote"},
       {"user", "ID", "a user of the data that the run was trained on"},
       {"tails", "DIR", "what hstu prepare wrote without --drop-last"},
       {"steps", "N", "number of items (default 5)"},
       {"beam", "K", "sequences that go on after every step; 1 is greedy (default 1)"},
       {"sample", "N", "draw N sequences instead of searching"},
       {"temperature", "T", "of --sample; low is greedy (default 1)"},
       {"top-k", "K", "of --sample: draw from the K best items (default: all)"},
       {"top-p", "P", "of --sample: draw from the best items that together reach P (default 1)"},
       {"seed", "S", "of --sample (default 1)"},
       {"at", "SECONDS", "time of the request in seconds since 1970, with --user"},
       {"gap", "SECONDS", "seconds between generated events, or median (default 0)"},
       {"keep-seen", "", "items of the history may come again, with --user; in runs with keep_seen they may anyway"},
       {"json", "", "the result as one JSON object"}}};
}

/// --gap; absent stands for the median of the user's history.
inline std::optional<std::int64_t> gap_of(const Options& options) {
  if (options.text("gap", "0") == "median") return std::nullopt;
  return options.integer("gap", 0, 0, kLastTimestamp);
}

inline SampleOptions sampling_of(const Options& options) {
  if (!options.has("sample")) {
    for (const char* name : {"temperature", "top-k", "top-p", "seed"}) options.refuse(name, "needs --sample");
  } else {
    options.refuse("beam", "does not go with --sample");
  }
  const SampleOptions sampling{
      .count = options.integer("sample", 1, 1, kMostBeams),
      .temperature = options.number("temperature", 1.0),
      .top_k = options.integer("top-k", 0, 1, 1'000'000'000),
      .top_p = options.number("top-p", 1.0),
      .seed = static_cast<std::uint64_t>(options.integer("seed", 1, 0, std::numeric_limits<std::int64_t>::max()))};
  check<UsageError>(sampling.temperature > 0, "--temperature: expected more than 0, got ", sampling.temperature);
  check<UsageError>(sampling.top_p > 0 && sampling.top_p <= 1, "--top-p: expected more than 0 and at most 1, got ",
                    sampling.top_p);
  return sampling;
}

inline std::int64_t history_limit(const Run& run) {
  return std::min(run.config.train.max_history, run.config.model.max_seq_len);
}

inline std::vector<GeneratedSequence> sequences_for(const Run& run, const History& history, const Options& options) {
  const std::int64_t steps = options.integer("steps", 5, 1, kMostSteps);
  const std::int64_t beams = options.integer("beam", 1, 1, kMostBeams);
  check<UsageError>(beams <= run.sequences.vocabulary.num_names(),
                    "--beam: expected at most as many as there are items, ", run.sequences.vocabulary.num_names(),
                    ", got ", beams);
  const CachedModel model(run.model);
  const std::int64_t pages = model.layout().pages_for(history_limit(run));
  PagePool pool(model.numbers_per_page(), run.model.dtype(), (2 * beams + 2) * pages);
  HistoryCache cache(model, pool, {history_limit(run), history_limit(run)});
  cache.append(history.items, history.timestamps_s);
  GenerateOptions generate{.steps = steps,
                           .query_time_s = history.query_time_s,
                           .gap_s = gap_of(options).value_or(median_gap_s(history.timestamps_s))};
  if (!options.has("keep-seen") && !run.config.train.keep_seen) generate.excluded = history.items;
  return following_options([&] {
    return options.has("sample") ? generate_samples(cache, generate, sampling_of(options))
                                 : generate_beam(cache, generate, beams);
  });
}

inline void print_sequences(const Run& run, const std::vector<GeneratedSequence>& found, bool as_json) {
  nlohmann::json json = {{"sequences", nlohmann::json::array()}};
  std::string text;
  for (const GeneratedSequence& sequence : found) {
    text += concat("ln P = ", fixed(sequence.log_probability, 4), "\n");
    nlohmann::json items = nlohmann::json::array();
    for (const std::int32_t item : sequence.items) {
      items.push_back(describe_item(run.sequences, item));
      text += concat("  ", items.size(), "  ", label_of(run.sequences, item), "\n");
    }
    json["sequences"].push_back({{"log_probability", sequence.log_probability}, {"items", std::move(items)}});
  }
  as_json ? print_json(json) : print(text);
}

/// Of every user of the run whose events go on for `steps` more in `longer`.
inline std::vector<Tail> tails_of(const Sequences& shorter, const Sequences& longer, std::size_t steps) {
  check<DataError>(shorter.vocabulary == longer.vocabulary, "tails: expected the items of the run's data");
  std::unordered_map<std::string_view, std::int64_t> user_of;
  for (std::int64_t u = 0; u < longer.num_users(); ++u) user_of.emplace(longer.users[static_cast<std::size_t>(u)], u);
  std::vector<Tail> tails;
  for (std::int64_t u = 0; u < shorter.num_users(); ++u) {
    const std::string& name = shorter.users[static_cast<std::size_t>(u)];
    const auto found = user_of.find(name);
    check<DataError>(found != user_of.end(), "tails: no user ", quote_text(name));
    const auto items = shorter.items_of(u), all = longer.items_of(found->second);
    const auto times = longer.timestamps_of(found->second);
    check<DataError>(items.size() <= all.size() && std::ranges::equal(items, all.first(items.size())),
                     "tails: the events of user ", quote_text(name), " do not begin with those of the run's data");
    if (items.empty() || all.size() - items.size() < steps) continue;
    tails.push_back({items, all.subspan(items.size(), steps), times.first(items.size()),
                     times.subspan(items.size(), steps)});
  }
  check<DataError>(!tails.empty(), "tails: no user has ", steps, " more events than in the run's data");
  return tails;
}

inline void print_steps(const std::vector<RankingMetrics>& steps, const nlohmann::json& settings, bool as_json) {
  nlohmann::json json = settings;
  json["users"] = steps[0].count();
  json["steps"] = nlohmann::json::array();
  std::string table = "  step    HR@10  NDCG@10    HR@50      MRR\n";
  for (const RankingMetrics& step : steps) {
    nlohmann::json line = step.named(kReportedRanks);
    line["step"] = json["steps"].size() + 1;
    const std::string number = line["step"].dump();
    table += concat(std::string(6 - std::min<std::size_t>(number.size(), 6), ' '), number);
    for (const char* name : {"hr@10", "ndcg@10", "hr@50", "mrr"}) table += concat("   ", fixed(line[name], 4));
    table += "\n";
    json["steps"].push_back(std::move(line));
  }
  as_json ? print_json(json) : print(table + concat("users ", steps[0].count(), "\n"));
}

}  // namespace generate_detail

int generate(Arguments arguments) {
  using namespace generate_detail;
  const Options options = parse(arguments);
  if (options.help()) return print(*options.help()), kOk;
  const int sources = options.has("user") + options.has("tails");
  check<UsageError>(sources == 1, "--user or --tails: expected one of them, got ", sources);
  sampling_of(options);
  const std::int64_t steps = options.integer("steps", 5, 1, kMostSteps);
  const std::int64_t beams = options.integer("beam", 1, 1, kMostBeams);
  const bool has_median_gap = !gap_of(options).has_value();
  options.integer("at", 0, 0, kLastTimestamp);
  if (options.has("tails")) {
    for (const char* name : {"at", "keep-seen", "sample"}) options.refuse(name, "needs --user");
  }

  const Run run = open_run(options.required_text("run"));
  if (options.has("user")) {
    print_sequences(run, sequences_for(run, history_of_user(options, run.sequences), options), options.has("json"));
    return kOk;
  }
  const std::string folder = options.required_text("tails");
  const Sequences longer = reading_data([&] { return load_sequences(folder); });
  const CachedModel model(run.model);
  const auto tails = tails_of(run.sequences, longer, static_cast<std::size_t>(steps));
  const auto metrics = following_options([&] {
    return evaluate_tails(model, tails,
                          {.beams = beams,
                           .max_history = history_limit(run),
                           .gap_s = gap_of(options).value_or(0),
                           .use_median_gap = has_median_gap,
                           .keep_seen = run.config.train.keep_seen});
  });
  print_steps(metrics, {{"beam", beams}, {"gap", options.text("gap", "0")}}, options.has("json"));
  return kOk;
}

}  // namespace hstu::cli
