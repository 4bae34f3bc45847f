// SPDX-License-Identifier: MIT
// From a run on the disk to recommendations: training that can be stopped and resumed, then a known and a new user.
#include <cstdio>
#include <cstdlib>

#include <hstu/hstu.hpp>

using namespace hstu;

/// Trains into `folder`, in two sittings: the second goes on where the first was stopped.
void train(const std::filesystem::path& folder) {
  const auto sequences = std::make_shared<const Sequences>(make_sequences(make_synthetic_ratings()));
  Config config = make_preset("meta-ml-1m");
  config.train.epochs = 6;
  config.train.batch_size = 16;
  int steps = 0;
  FitOptions options{.should_stop = [&] { return ++steps == 10; }};
  FitResult result = fit(folder, config, sequences, options);
  std::printf("stopped after %d steps; ", steps);
  options.resume = true;
  result = fit(folder, config, sequences, options);
  std::printf("resumed, %lld epochs trained\n", static_cast<long long>(result.epochs));
}

void print(const Sequences& sequences, const std::vector<ScoredItem>& items) {
  for (const ScoredItem& scored : items) {
    const std::string name(sequences.title_of(scored.item));
    std::printf("  %-6s %8.4f\n", name.c_str(), scored.score);
  }
}

int main() {
  std::string folder = (std::filesystem::temp_directory_path() / "hstu_example_XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 1;
  train(folder);

  // A run stands alone: configuration, data and weights are all in its folder.
  const Run run = load_run(folder);
  const Sequences& sequences = run.sequences;

  // A known user, asking a day after the last event.  Items already met are left out.
  const std::int64_t user = sequences.find_user("u7");
  const auto items = sequences.items_of(user);
  const auto times = sequences.timestamps_of(user);
  const std::vector<ScoredItem> best = recommend(run.model, items, times, times.back() + 86'400, {.count = 5});
  std::printf("user u7, last item %s:\n", std::string(sequences.title_of(items.back())).c_str());
  print(sequences, best);

  // A new user needs no training: a history is enough.  Unknown names are a DataError.
  std::vector<std::int32_t> history;
  for (const char* name : {"i20", "i21", "i22"}) history.push_back(sequences.vocabulary.encode(name));
  const std::vector<std::int64_t> when = {1'000'000'000, 1'000'000'060, 1'000'000'120};
  std::printf("a new user who met i20, i21, i22:\n");
  print(sequences, recommend(run.model, history, when, when.back() + 60, {.count = 5}));

  std::filesystem::remove_all(folder);
  const bool is_seen = std::ranges::find(items, best.front().item) != items.end();
  return best.size() == 5 && !is_seen ? 0 : 1;
}
