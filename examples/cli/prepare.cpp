// SPDX-License-Identifier: MIT
// hstu prepare: ratings file -> filters -> sequences -> folder of prepared data.
#include <filesystem>

#include <hstu/data/prepared.hpp>
#include <hstu/data/read_ratings.hpp>
#include <hstu/data/report.hpp>
#include <hstu/data/split.hpp>
#include <hstu/data/synthetic.hpp>
#include <hstu/data/titles.hpp>

#include "options.hpp"

namespace hstu::cli {
namespace prepare_detail {

constexpr std::int64_t kMostCount = 100'000'000;  // of synthetic users and items, and of a filter

inline Options parse(Arguments arguments) {
  return {arguments,
          "(--ratings FILE | --synthetic) --out DIR [options]",
          "Turns a ratings file into prepared data for hstu train, and reports on it.",
          {{"ratings", "FILE", "RecBole .inter, MovieLens ratings.dat, u.data or ratings.csv"},
           {"format", "FORMAT", "auto, inter, dat, u.data or csv (default auto: by name and first line)"},
           {"timestamp-unit", "UNIT", "s or ms (default s)"},
           {"titles", "FILE", "titles of the items: RecBole .item, movies.dat, u.item or movies.csv"},
           {"synthetic", "", "made-up users with drifting tastes instead of --ratings"},
           {"users", "N", "number of synthetic users (default 500)"},
           {"items", "N", "number of synthetic items (default 400)"},
           {"ties", "RULE", "events of equal time: file (order of the file, default), random, or given (the file is "
                            "in order and stays so)"},
           {"column", "NAME", "a further column of numbers, for ranking; may be given many times", true},
           {"seed", "S", "of --ties random and --synthetic (default 1)"},
           {"min-user-count", "N", "keep users with at least N events"},
           {"min-item-count", "N", "keep items with at least N events"},
           {"min-rating", "R", "keep events with a rating of at least R"},
           {"drop-last", "N", "leave out the last N events of every user, as tails for hstu generate --tails"},
           {"out", "DIR", "folder to write; prepared data in it are not replaced"},
           {"json", "", "the report as one JSON object"}}};
}

inline Ratings make_ratings(const Options& options, std::uint64_t seed) {
  if (options.has("synthetic")) {
    for (const char* name : {"ratings", "format", "timestamp-unit", "column", "titles"}) {
      options.refuse(name, "does not go with --synthetic");
    }
    SyntheticOptions synthetic;
    synthetic.users = options.integer("users", synthetic.users, 1, kMostCount);
    synthetic.items = options.integer("items", synthetic.items, 2, kMostCount);
    synthetic.clusters = std::min(synthetic.clusters, synthetic.items);
    synthetic.max_length = std::min(synthetic.max_length, synthetic.items / 2);
    synthetic.min_length = std::min(synthetic.min_length, synthetic.max_length);
    synthetic.seed = seed;
    return make_synthetic_ratings(synthetic);
  }
  for (const char* name : {"users", "items"}) options.refuse(name, "needs --synthetic");
  const std::string unit = options.text("timestamp-unit", "s");
  check<UsageError>(unit == "s" || unit == "ms", "--timestamp-unit: expected s or ms, got ", quote_text(unit));
  const RatingsFormat format = parse_ratings_format(options.text("format", "auto"));
  check<UsageError>(options.has("ratings"), "--ratings or --synthetic: one of them is needed");
  const ReadOptions read{.timestamp_unit = unit == "s" ? TimestampUnit::seconds : TimestampUnit::milliseconds,
                         .columns = options.all("column")};
  return reading_data([&] { return read_ratings(options.required_text("ratings"), format, read); });
}

inline void add_titles(Sequences& sequences, const std::string& path) {
  const auto title_of = reading_data([&] { return read_titles(path); });
  std::int64_t missing = 0;
  for (const std::string& name : sequences.vocabulary.names()) {
    const auto found = title_of.find(name);
    missing += found == title_of.end() ? 1 : 0;
    sequences.titles.push_back(found == title_of.end() ? std::string() : found->second);
  }
  if (missing > 0) note(concat("hstu prepare: ", plain(path), ": no title for ", missing, " items\n"));
}

inline nlohmann::json report_json(const Sequences& sequences, const DataReport& report) {
  return {{"source", sequences.source},
          {"users", report.users},
          {"items", report.items},
          {"events", report.events},
          {"length_min", report.min_length},
          {"length_median", report.median_length},
          {"length_mean", report.mean_length},
          {"length_max", report.max_length},
          {"first_timestamp_s", report.first_timestamp_s},
          {"last_timestamp_s", report.last_timestamp_s},
          {"tied_step_share", report.tied_step_share},
          {"ties", name_of(sequences.ties)},
          {"tie_seed", sequences.tie_seed}};
}

inline std::string report_text(const Sequences& sequences, const DataReport& report) {
  Sheet sheet;
  sheet.row("source", plain(sequences.source));
  sheet.row("users", report.users);
  sheet.row("items", report.items);
  sheet.row("events", report.events);
  sheet.row("lengths", "min ", report.min_length, ", median ", fixed(report.median_length, 1), ", mean ",
            fixed(report.mean_length, 1), ", max ", report.max_length);
  sheet.row("time span", date_of(report.first_timestamp_s), " to ", date_of(report.last_timestamp_s));
  sheet.row("ties", fixed(100 * report.tied_step_share, 1), " % of the steps carry the time of the step before; ",
            "order: ", name_of(sequences.ties),
            sequences.ties == TieRule::random ? concat(", seed ", sequences.tie_seed) : std::string());
  return sheet.text();
}

}  // namespace prepare_detail

int prepare(Arguments arguments) {
  using namespace prepare_detail;
  const Options options = parse(arguments);
  if (options.help()) return print(*options.help()), kOk;

  const std::filesystem::path out = options.required_text("out");
  const auto [sequences, report] = following_options([&] {
    const TieRule ties = parse_tie_rule(options.text("ties", "file"));
    if (!options.has("synthetic") && ties != TieRule::random) {
      options.refuse("seed", "needs --ties random or --synthetic");
    }
    const auto seed =
        static_cast<std::uint64_t>(options.integer("seed", 1, 0, std::numeric_limits<std::int64_t>::max()));
    FilterOptions filters;
    filters.min_user_count = options.integer("min-user-count", 0, 0, kMostCount);
    filters.min_item_count = options.integer("min-item-count", 0, 0, kMostCount);
    filters.min_rating = static_cast<float>(options.number("min-rating", filters.min_rating));
    check<UsageError>(!std::filesystem::exists(out / "data.json"), "--out: ", quote_text(out.string(), 200),
                      " holds prepared data, which are not replaced");
    const std::int64_t dropped = options.integer("drop-last", 0, 0, kMostCount);
    Sequences made =
        without_last(make_sequences(filter_ratings(make_ratings(options, seed), filters), ties, seed), dropped);
    if (options.has("titles")) add_titles(made, options.required_text("titles"));
    const DataReport described = data_report(made);
    return std::pair(std::move(made), described);
  });
  save_sequences(out, sequences);
  if (options.has("json")) print_json(report_json(sequences, report));
  else print(report_text(sequences, report));
  return kOk;
}

}  // namespace hstu::cli
