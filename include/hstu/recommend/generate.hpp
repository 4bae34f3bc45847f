// SPDX-License-Identifier: MIT
// The next N items of a history: beam search and sampling over forks of a cached history.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <hstu/recommend/history_cache.hpp>

namespace hstu {

/// What both ways of generating share.  An item is generated at most once per sequence.
struct GenerateOptions {
  std::int64_t steps = 5;
  std::int64_t query_time_s = 0;  ///< when the first item is asked for
  std::int64_t gap_s = 0;  ///< the assumption about the future: generated event t happens at query_time_s + t·gap_s,
                           ///< t from 0, and that is also when it is asked for
  std::vector<std::int32_t> excluded{};  ///< never generated, e.g. what the user has seen
  std::vector<std::int32_t> allowed{};   ///< if there are any, nothing else is generated
};

struct GeneratedSequence {
  std::vector<std::int32_t> items;
  double log_probability = 0.0;  ///< Σ over steps of ln softmax(scores over the items that may come there)[item]
  friend bool operator==(const GeneratedSequence&, const GeneratedSequence&) = default;
};

/// How a step of sampling cuts the distribution softmax(scores / temperature).
struct SampleOptions {
  std::int64_t count = 1;      ///< sequences, independent of each other
  double temperature = 1.0;    ///< on top of the model's own
  std::int64_t top_k = 0;      ///< only the k best items; 0: all
  double top_p = 1.0;          ///< of these, the best ones that together reach this share
  std::uint64_t seed = 1;
};

/// Median time between neighbouring events, 0 for fewer than two: a guess for GenerateOptions::gap_s.
inline std::int64_t median_gap_s(std::span<const std::int64_t> times_s) {
  if (times_s.size() < 2) return 0;
  std::vector<std::int64_t> gaps;
  for (std::size_t i = 1; i < times_s.size(); ++i) gaps.push_back(times_s[i] - times_s[i - 1]);
  const auto middle = gaps.begin() + std::ssize(gaps) / 2;
  std::ranges::nth_element(gaps, middle);
  return *middle;
}

namespace detail {

/// One sequence in the making: a fork of the history, the items generated so far.
struct Branch {
  HistoryCache cache;
  GeneratedSequence sequence{};
};

struct Choice {
  std::int32_t item = 0;
  double log_probability = 0.0;  ///< of the item alone
  double score = 0.0;
};

class Generator {
 public:
  Generator(const HistoryCache& history, const GenerateOptions& options) : history_(history), options_(options) {
    const std::int64_t V = num_items();
    is_open_.assign(static_cast<std::size_t>(V), options.allowed.empty());
    const auto mark = [&](const std::vector<std::int32_t>& items, bool value) {
      for (const std::int32_t item : items) {
        check<DataError>(item >= 0 && item < V, "generate: item ", item, " is outside of the table of ", V);
        is_open_[static_cast<std::size_t>(item)] = value;
      }
    };
    mark(options.allowed, true);
    mark(options.excluded, false);
    is_open_[0] = false;
    num_open_ = std::ranges::count(is_open_, true);
    check<ConfigError>(options.steps >= 1 && options.gap_s >= 0, "generate: expected steps >= 1 and gap_s >= 0, got ",
                       options.steps, " and ", options.gap_s);
    check<DataError>(options.steps <= num_open_, "generate: ", options.steps,
                     " steps without repeats need as many items, ", num_open_, " may be generated");
    check<DataError>(history.size() >= 1, "generate: a history needs at least one event");
    check<DataError>(options.query_time_s <= kLastTimestamp &&
                         options.gap_s <= (kLastTimestamp - options.query_time_s) / options.steps,
                     "generate: event ", options.steps, " would be out of range, at ", options.query_time_s, " s + ",
                     options.steps - 1, " gaps of ", options.gap_s, " s");
  }

  std::int64_t num_items() const { return history_.model().model().config().num_items; }
  std::int64_t num_open() const { return num_open_; }
  std::int64_t steps() const { return options_.steps; }
  std::int64_t time_of(std::int64_t step) const { return options_.query_time_s + step * options_.gap_s; }
  Branch start() const { return {.cache = history_}; }
  /// The branch with one item more.
  Branch grow(const Branch& branch, std::int64_t step, const Choice& choice) const {
    Branch longer = branch;
    longer.cache.append(choice.item, time_of(step));
    longer.sequence.items.push_back(choice.item);
    longer.sequence.log_probability += choice.log_probability;
    return longer;
  }

  /// Items that may come next, best first, of equal scores the lower id; at most `count`.
  std::vector<Choice> choices(Branch& branch, std::int64_t step, std::int64_t count) const {
    const Tensor scores = branch.cache.scores(time_of(step)).to(DType::float64);
    const double* const score = scores.data<double>();
    std::vector<Choice> all;
    double largest = -std::numeric_limits<double>::infinity(), sum = 0.0;
    for (std::int64_t item = 0; item < num_items(); ++item) {
      const bool is_open = is_open_[static_cast<std::size_t>(item)] &&
                           std::ranges::find(branch.sequence.items, item) == branch.sequence.items.end();
      if (!is_open) continue;
      check<NumericError>(std::isfinite(score[item]), "generate: the score of item ", item, " is ", score[item]);
      all.push_back({static_cast<std::int32_t>(item), 0.0, score[item]});
      largest = std::max(largest, score[item]);
    }
    for (const Choice& choice : all) sum += std::exp(choice.score - largest);
    const auto kept = all.begin() + std::min(count, std::ssize(all));
    std::ranges::partial_sort(all, kept, [](const Choice& a, const Choice& b) {
      return a.score > b.score || (a.score == b.score && a.item < b.item);
    });
    all.erase(kept, all.end());
    for (Choice& choice : all) choice.log_probability = choice.score - largest - std::log(sum);
    return all;
  }

 private:
  const HistoryCache& history_;
  const GenerateOptions& options_;
  std::vector<bool> is_open_;
  std::int64_t num_open_ = 0;
};

/// How many of the choices, best first, top_k and top_p leave, and their probabilities at the temperature.
inline std::vector<double> sampling_weights(const std::vector<Choice>& choices, const SampleOptions& options) {
  std::vector<double> weights;
  double sum = 0.0;
  for (const Choice& choice : choices) {
    weights.push_back(std::exp((choice.score - choices[0].score) / options.temperature));
    sum += weights.back();
  }
  double reached = 0.0;
  std::size_t kept = 0;
  while (kept < weights.size() && (kept == 0 || reached < options.top_p)) reached += weights[kept++] / sum;
  weights.resize(kept);
  return weights;
}

}  // namespace detail

/// Beam search: after each step the `beams` most probable sequences go on; the most probable first, of equal ones that
/// with the better beginning, then the lower id.  One beam is greedy search; a beam as wide as the number of sequences
/// of steps − 1 items finds the most probable sequences exactly.  The history's pages are shared by all beams.
/// Throws ConfigError for a beam that is wider than there are sequences, DataError if items run out, what HistoryCache
/// throws otherwise; the history is not changed.
inline std::vector<GeneratedSequence> generate_beam(const HistoryCache& history, const GenerateOptions& options,
                                                    std::int64_t beams = 1) {
  const detail::Generator generator(history, options);
  double sequences = 1.0;
  for (std::int64_t step = 0; step < options.steps; ++step) {
    sequences *= static_cast<double>(generator.num_open() - step);
  }
  check<ConfigError>(beams >= 1 && static_cast<double>(beams) <= sequences, "generate: a beam of ", beams,
                     " is wider than the ", sequences, " sequences that there are");
  std::vector<detail::Branch> branches;
  branches.push_back(generator.start());
  for (std::int64_t step = 0; step < options.steps; ++step) {
    struct Extension {
      std::size_t branch;
      detail::Choice choice;
      double log_probability;
    };
    std::vector<Extension> extensions;
    for (std::size_t b = 0; b < branches.size(); ++b) {
      for (const detail::Choice& choice : generator.choices(branches[b], step, beams)) {
        extensions.push_back({b, choice, branches[b].sequence.log_probability + choice.log_probability});
      }
    }
    std::ranges::stable_sort(extensions, std::greater<>(), &Extension::log_probability);
    extensions.resize(std::min(extensions.size(), static_cast<std::size_t>(beams)));
    std::vector<detail::Branch> longer;
    longer.reserve(extensions.size());
    for (const Extension& e : extensions) longer.push_back(generator.grow(branches[e.branch], step, e.choice));
    branches = std::move(longer);
  }
  std::vector<GeneratedSequence> result;
  for (detail::Branch& branch : branches) result.push_back(std::move(branch.sequence));
  return result;
}

/// Sequences drawn item by item.  Sequence i draws from its own random numbers: it does not depend on the count.
/// log_probability is the model's, not that of the cut distribution.
/// Throws ConfigError for options out of range, else what generate_beam throws.
inline std::vector<GeneratedSequence> generate_samples(const HistoryCache& history, const GenerateOptions& options,
                                                       const SampleOptions& sampling) {
  constexpr std::uint32_t kSite = 0x6E7E7A7E;  // apart from the sites of training
  check<ConfigError>(sampling.count >= 1 && sampling.count <= (std::int64_t{1} << 31) && sampling.temperature > 0 &&
                         sampling.top_k >= 0 && sampling.top_p > 0 && sampling.top_p <= 1,
                     "generate: expected count >= 1, temperature > 0, top_k >= 0 and top_p in (0, 1], got ",
                     sampling.count, ", ", sampling.temperature, ", ", sampling.top_k, " and ", sampling.top_p);
  const detail::Generator generator(history, options);
  const std::int64_t most = sampling.top_k > 0 ? sampling.top_k : generator.num_items();
  detail::Branch root = generator.start();
  const std::vector<detail::Choice> first = generator.choices(root, 0, most);
  std::vector<GeneratedSequence> result;
  for (std::int64_t i = 0; i < sampling.count; ++i) {
    const RandomStream random{.seed = sampling.seed, .step = static_cast<std::uint32_t>(i), .site = kSite};
    detail::Branch branch = root;
    for (std::int64_t step = 0; step < options.steps; ++step) {
      const std::vector<detail::Choice> choices = step == 0 ? first : generator.choices(branch, step, most);
      const std::vector<double> weights = detail::sampling_weights(choices, sampling);
      double left =
          random.uniform(static_cast<std::uint64_t>(step)) * std::accumulate(weights.begin(), weights.end(), 0.0);
      std::size_t drawn = 0;
      while (drawn + 1 < weights.size() && left >= weights[drawn]) left -= weights[drawn++];
      branch = generator.grow(branch, step, choices[drawn]);
    }
    result.push_back(std::move(branch.sequence));
  }
  return result;
}

}  // namespace hstu
