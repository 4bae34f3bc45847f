// SPDX-License-Identifier: MIT
// hstu serve: one JSON object a line in, one a line out; histories stay cached between lines.
#include <hstu/recommend/server.hpp>

#include "metrics.hpp"
#include "request_lines.hpp"

namespace hstu::cli {
namespace serve_detail {

inline Options parse(Arguments arguments) {
  return {
      arguments,
      "--run RUN --stdin [options]",
      "Answers every line of stdin with a line on stdout, until stdin ends.\n"
      "A request is a JSON object:\n"
      "  user      id; a user of the run's data begins with the history there\n"
      "  events    [{\"item\": id, \"timestamp_s\": seconds since 1970}, ...] since the last request, oldest first\n"
      "  at        time of the request (default: that of the last event)\n"
      "  k         number of recommendations (default 10)\n"
      "  exclude   [id, ...] never recommended\n"
      "  only      [id, ...] nothing else is recommended\n"
      "  keep_seen true: recommend items of the history too (default: as the run was trained)\n"
      "  id        anything; comes back with the answer\n"
      "Only user is needed.  A line that cannot be obeyed is answered by {\"error\": reason, \"line\": number} and\n"
      "changes nothing.",
      {{"run", "RUN", "what hstu train wrote"},
       {"stdin", "", "requests come from stdin; needed"},
       {"pool-mb", "N", "memory for cached histories at most; the longest unused give way (default 256)"},
       {"page", "N", "positions in a page of that memory, 32 or 64 (default 32)"},
       {"kept-events", "N", "events kept when a history is longer than the model sees (default: all that it sees)"}}};
}

class Service {
 public:
  Service(const Run& run, const ServerOptions& options)
      : sequences_(run.sequences), keep_seen_(run.config.train.keep_seen),
        server_(run.model, options, [this](const std::string& user) { return history_of(user); }) {}

  /// The answer to a line.  Throws DataError, naming what is wrong, and then has changed nothing.
  nlohmann::json answer(const nlohmann::json& line) {
    check_keys(line, "request", {"user", "events", "at", "k", "exclude", "only", "keep_seen", "id"});
    const auto user = required<std::string>(line, "user", "request");
    ServerRequest request;
    if (line.contains("events")) {
      for (const nlohmann::json& event : json_elements(line.at("events"), "request: events")) {
        check_keys(event, "event", {"item", "timestamp_s"});
        request.items.push_back(item_of(required<std::string>(event, "item", "event")));
        request.times_s.push_back(required<std::int64_t>(event, "timestamp_s", "event"));
      }
    }
    if (line.contains("at")) request.query_time_s = required<std::int64_t>(line, "at", "request");
    request.count = optional_value<std::int64_t>(line, "k", "request", 10);
    check<DataError>(request.count >= 0, "request: k: expected 0 or more, got ", request.count);
    request.keep_seen = optional_value(line, "keep_seen", "request", keep_seen_);
    request.excluded = items_of(line, "exclude");
    request.allowed = items_of(line, "only");
    const bool lets_none_in = line.contains("only") && request.allowed.empty();
    if (lets_none_in) request.count = 0;
    nlohmann::json answer = {{"user", user}, {"recommendations", nlohmann::json::array()}};
    for (const ScoredItem& scored : server_.recommend(user, request)) {
      answer["recommendations"].push_back(
          {{"item", sequences_.vocabulary.decode(scored.item)}, {"score", scored.score}});
    }
    return answer;
  }

 private:
  RecommendServer::History history_of(const std::string& user) const {
    const auto found = std::ranges::find(sequences_.users, user);
    if (found == sequences_.users.end()) return {};
    const auto items = sequences_.items_of(found - sequences_.users.begin());
    const auto times_s = sequences_.timestamps_of(found - sequences_.users.begin());
    return {{items.begin(), items.end()}, {times_s.begin(), times_s.end()}};
  }
  std::int32_t item_of(const std::string& name) const {
    const auto item = sequences_.vocabulary.find(name);
    check<DataError>(item.has_value(), "request: unknown item ", quote_text(name));
    return *item;
  }
  std::vector<std::int32_t> items_of(const nlohmann::json& line, const std::string& key) const {
    std::vector<std::int32_t> items;
    for (const std::string& name : optional_value<std::vector<std::string>>(line, key, "request", {})) {
      items.push_back(item_of(name));
    }
    return items;
  }

  const Sequences& sequences_;
  bool keep_seen_;  ///< unless a request says otherwise
  RecommendServer server_;
};

/// The answer to a line, or what is wrong with it.
inline nlohmann::json answer_line(Service& service, const std::optional<std::string>& line, std::int64_t number,
                                  bool& is_refused) {
  nlohmann::json id;
  nlohmann::json answer;
  try {
    check<DataError>(line.has_value(), "expected at most ", StdinLines::kMaxLine, " bytes");
    const JsonTree request = parse_json(*line, "request");
    if (request->is_object() && request->contains("id")) id = request->at("id");
    answer = service.answer(*request);
  } catch (const std::exception& error) {  // whatever it was, the next line may be answered
    is_refused = true;
    answer = {{"error", error.what()}, {"line", number}};
  }
  if (!id.is_null()) answer["id"] = id;
  return answer;
}

}  // namespace serve_detail

int serve(Arguments arguments) {
  using namespace serve_detail;
  const Options options = parse(arguments);
  if (options.help()) return print(*options.help()), kOk;
  check<UsageError>(options.has("stdin"), "--stdin: this option is needed");
  const std::int64_t pool_mb = options.integer("pool-mb", 256, 1, 1 << 20), page = options.integer("page", 32, 32, 64);
  check<UsageError>(page == 32 || page == 64, "--page: expected 32 or 64, got ", page);
  options.integer("kept-events", 1, 1, 1 << 22);

  const Run run = open_run(options.required_text("run"));
  const std::int64_t most = std::min(run.config.train.max_history, run.config.model.max_seq_len);
  const ServerOptions server{.limits = {most, options.integer("kept-events", most, 1, most)},
                             .page_positions = page,
                             .pool_bytes = pool_mb << 20};
  const auto service = following_options([&] { return std::make_unique<Service>(run, server); });
  StdinLines lines;
  std::optional<std::string> line;
  std::int64_t number = 0, refused = 0;
  while (lines.next(line)) {
    ++number;
    if (line.has_value() && line->find_first_not_of(" \t\r") == std::string::npos) continue;
    bool is_refused = false;
    print_json(answer_line(*service, line, number, is_refused));
    refused += is_refused;
  }
  if (refused > 0) note(concat("hstu serve: ", refused, " of ", number, " lines refused\n"));
  return kOk;
}

}  // namespace hstu::cli
