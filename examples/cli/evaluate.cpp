// SPDX-License-Identifier: MIT
// hstu evaluate: ranking metrics of a run, or of a baseline that needs no training.
#include <hstu/recommend/baselines.hpp>

#include "compute.hpp"
#include "metrics.hpp"

namespace hstu::cli {
namespace evaluate_detail {

inline Options parse(Arguments arguments) {
  return {arguments,
          "(--run RUN | --data DIR --baseline NAME) [options]",
          "Ranks the held-out event of every user among all items that the user has not met, at the time of that\n"
          "event.  test: the last event; val: the second-last.  A baseline is fitted on all events before the\n"
          "held-out one.",
          with_compute_options({
           {"run", "RUN", "what hstu train wrote; its best validated weights, or the last ones"},
           {"data", "DIR", "what hstu prepare wrote, for --baseline"},
           {"baseline", "NAME", "popularity, or markov (what followed the last item most often)"},
           {"split", "SPLIT", "val or test (default test)"},
           {"keep-seen", "", "rank among all items, met or not, as runs with keep_seen do anyway"},
           {"mask-shown", "", "leave out only the events shown to the model, as Meta's evaluation does"},
           {"json", "", "the metrics as one JSON object"}})};
}

/// Ranks by a baseline that was fitted on all but the last `held_out` events of each user.
template <class Baseline>
RankingMetrics rank_by(const Sequences& sequences, std::span<const HeldOut> events, std::int64_t held_out,
                       bool keep_seen) {
  const Baseline baseline({.offsets = sequences.offsets,
                           .items = sequences.items,
                           .held_out = held_out,
                           .num_items = sequences.vocabulary.size()});
  RankingMetrics ranking;
  for (const HeldOut& event : events) {
    const auto history = std::span(sequences.items)
                             .subspan(static_cast<std::size_t>(event.history.begin),
                                      static_cast<std::size_t>(event.history.size()));
    const std::vector<double> scores = baseline.scores(history);
    ranking.add(rank_of_target(std::span(scores), sequences.items[static_cast<std::size_t>(event.target)],
                               keep_seen ? std::span<const std::int32_t>() : history));
  }
  return ranking;
}

inline nlohmann::json of_baseline(const Options& options, bool is_test) {
  options.refuse("mask-shown", "needs --run: a baseline is shown the whole history");
  options.refuse("device", "needs --run: a baseline has no model");
  options.refuse("precision", "needs --device cuda");
  const std::string name = options.required_text("baseline");
  check<UsageError>(name == "popularity" || name == "markov", "--baseline: expected popularity or markov, got ",
                    quote_text(name));
  const std::string data = options.required_text("data");
  const Sequences sequences = reading_data([&] { return load_sequences(data); });
  const LeaveLastOut split = leave_last_out(sequences);
  const auto& events = is_test ? split.test : split.validation;
  const std::int64_t held_out = is_test ? 1 : 2;
  const bool keep_seen = options.has("keep-seen");
  const RankingMetrics ranking = name == "markov" ? rank_by<MarkovBaseline>(sequences, events, held_out, keep_seen)
                                                  : rank_by<PopularityBaseline>(sequences, events, held_out, keep_seen);
  nlohmann::json result = ranking.named(kReportedRanks);
  result.update({{"loss", nullptr},
                 {"users", ranking.count()},
                 {"items", sequences.vocabulary.num_names()},
                 {"parameters", 0},
                 {"epochs", 0},
                 {"train_seconds", 0.0},
                 {"tokens_per_second", nullptr},
                 {"baseline", name},
                 {"keep_seen", keep_seen},
                 {"ties", name_of(sequences.ties)},
                 {"tie_seed", sequences.tie_seed}});
  return result;
}

inline nlohmann::json of_run(const Options& options, bool is_test) {
  options.refuse("data", "does not go with --run, which has its own copy");
  options.refuse("baseline", "needs --data instead of --run");
  const std::filesystem::path folder = options.required_text("run");
  const Run run = open_run(folder);
  const LeaveLastOut split = leave_last_out(run.sequences);
  const bool keep_seen = options.has("keep-seen") || (run.config.train.keep_seen && !options.has("mask-shown"));
  nlohmann::json result = metrics_json(
      evaluate_there(options, run.model, run.sequences, is_test ? split.test : split.validation,
                     {.max_history = run.config.train.max_history,
                      .keep_seen = keep_seen,
                      .mask_shown_only = options.has("mask-shown")}));
  result.update(describe_run(run, *last_state(folder)));
  result["keep_seen"] = keep_seen;
  if (!is_test && !run.config.train.validate) {
    note("hstu evaluate: this run trained on the events of the split val (validate = false)\n");
    result["trained_on_target"] = true;
  }
  return result;
}

}  // namespace evaluate_detail

int evaluate(Arguments arguments) {
  using namespace evaluate_detail;
  const Options options = parse(arguments);
  if (options.help()) return print(*options.help()), kOk;
  check<UsageError>(options.has("run") || options.has("baseline"), "--run or --baseline: one of them is needed");
  check<UsageError>(!options.has("keep-seen") || !options.has("mask-shown"),
                    "--mask-shown: does not go with --keep-seen, which leaves out nothing");
  const std::string split = options.text("split", "test");
  check<UsageError>(split == "val" || split == "test", "--split: expected val or test, got ", quote_text(split));
  nlohmann::json result = options.has("run") ? of_run(options, split == "test") : of_baseline(options, split == "test");
  result["split"] = split;
  result["mask_shown"] = options.has("mask-shown");
  print_metrics(result, options.has("json"));
  return kOk;
}

}  // namespace hstu::cli
