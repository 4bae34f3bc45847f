// SPDX-License-Identifier: MIT
// hstu recommend: the history of a user, known or described, and the items ranked for it.
#include <hstu/recommend/recommender.hpp>

#include "history.hpp"
#include "metrics.hpp"

namespace hstu::cli {
namespace recommend_detail {

inline Options parse(Arguments arguments) {
  return {arguments,
          "--run RUN (--user ID | --history \"id|id|...\" | --item ID ...) [options]",
          "Ranks the items that are not in the history.\n"
          "--user: the history is what the user did until --at, by default until the last event, whose time is then\n"
          "the time of the request.  --history and --item: oldest first; all events are taken to have happened at\n"
          "the time of the request.",
          {{"run", "RUN", "what hstu train wrote"},
           {"user", "ID", "a user of the data that the run was trained on"},
           {"history", "IDS", "item ids with | between them"},
           {"item", "ID", "one item id, for ids that contain |; may be given many times", true},
           {"at", "SECONDS", "time of the request in seconds since 1970, with --user"},
           {"top", "N", "number of recommendations (default 10)"},
           {"keep-seen", "", "recommend items of the history too, as runs with keep_seen do anyway"},
           {"json", "", "history and recommendations as one JSON object"}}};
}

inline History described_history(const Options& options, const Sequences& sequences) {
  options.refuse("at", "needs --user: other histories have no times");
  std::vector<std::string> names = options.all("item");
  if (options.has("history")) {
    for (std::string& name : split_ids(options.required_text("history"))) names.push_back(std::move(name));
  }
  History history;
  history.items = items_called("history", names, sequences);
  history.timestamps_s.assign(history.items.size(), 0);
  return history;
}

inline std::string as_text(const Sequences& sequences, const History& history, std::size_t first,
                           const std::vector<ScoredItem>& best) {
  std::string text = concat("history (", history.items.size() - first, " of ", history.items.size(), " events)\n");
  for (std::size_t i = first; i < history.items.size(); ++i) {
    const std::string date = history.timestamps_s[i] > 0 ? date_of(history.timestamps_s[i]) + "  " : "";
    text += concat("  ", date, label_of(sequences, history.items[i]), "\n");
  }
  text += "recommended (score)\n";
  for (std::size_t i = 0; i < best.size(); ++i) {
    text += concat(i < 9 ? "  " : " ", i + 1, "  ", fixed(best[i].score, 4), "  ", label_of(sequences, best[i].item),
                   "\n");
  }
  return text;
}

inline nlohmann::json as_json(const Sequences& sequences, const History& history, std::size_t first,
                              const std::vector<ScoredItem>& best) {
  nlohmann::json result = {{"history_length", history.items.size()},
                           {"history", nlohmann::json::array()},
                           {"recommendations", nlohmann::json::array()}};
  for (std::size_t i = first; i < history.items.size(); ++i) {
    result["history"].push_back(describe_item(sequences, history.items[i]));
    if (history.timestamps_s[i] > 0) result["history"].back()["timestamp_s"] = history.timestamps_s[i];
  }
  for (const ScoredItem& scored : best) {
    nlohmann::json entry = describe_item(sequences, scored.item);
    entry["rank"] = result["recommendations"].size() + 1;
    entry["score"] = scored.score;
    result["recommendations"].push_back(std::move(entry));
  }
  return result;
}

}  // namespace recommend_detail

int recommend(Arguments arguments) {
  using namespace recommend_detail;
  constexpr std::size_t kShownEvents = 10;
  const Options options = parse(arguments);
  if (options.help()) return print(*options.help()), kOk;
  const int sources = options.has("user") + options.has("history") + options.has("item");
  check<UsageError>(sources == 1, "--user, --history or --item: expected one of them, got ", sources);
  const std::int64_t count = options.integer("top", 10, 1, 1'000'000'000);
  options.integer("at", 0, 0, kLastTimestamp);

  const Run run = open_run(options.required_text("run"));
  const History history =
      options.has("user") ? history_of_user(options, run.sequences) : described_history(options, run.sequences);
  const std::vector<ScoredItem> best =
      hstu::recommend(run.model, history.items, history.timestamps_s, history.query_time_s,
                      {.count = count,
                       .max_history = run.config.train.max_history,
                       .keep_seen = options.has("keep-seen") || run.config.train.keep_seen});
  const std::size_t first = history.items.size() - std::min(kShownEvents, history.items.size());
  if (options.has("json")) print_json(as_json(run.sequences, history, first, best));
  else print(as_text(run.sequences, history, first, best));
  return kOk;
}

}  // namespace hstu::cli
