// SPDX-License-Identifier: MIT
// Full ranking: a model beside two baselines, by history length, with and without items already met, and a scorer of
// your own.
#include <cstdio>

#include <hstu/hstu.hpp>

using namespace hstu;

/// Ranks each held-out event by `scores(history)`, any function that gives a score per item.
template <class Scores>
RankingMetrics rank_all(const Sequences& sequences, std::span<const HeldOut> events, const Scores& scores) {
  RankingMetrics ranking;
  for (const HeldOut& event : events) {
    const auto history =
        std::span(sequences.items)
            .subspan(static_cast<std::size_t>(event.history.begin), static_cast<std::size_t>(event.history.size()));
    const std::vector<double> row = scores(history);
    const std::int32_t target = sequences.items[static_cast<std::size_t>(event.target)];
    ranking.add(rank_of_target(std::span(row), target, history));  // items of the history are no candidates
  }
  return ranking;
}

void print(const char* name, const RankingMetrics& ranking) {
  std::printf("%-28s HR@10 %.4f  NDCG@10 %.4f  MRR %.4f\n", name, ranking.hit_rate(10), ranking.ndcg(10),
              ranking.mrr());
}

int main() {
  const auto sequences = std::make_shared<const Sequences>(make_sequences(make_synthetic_ratings()));
  const LeaveLastOut split = leave_last_out(*sequences);

  // Baselines see everything but the last event of each user.
  const InteractionView seen{.offsets = sequences->offsets,
                             .items = sequences->items,
                             .held_out = 1,
                             .num_items = sequences->vocabulary.size()};
  const PopularityBaseline popularity(seen);
  const MarkovBaseline markov(seen);
  const auto of = [](const auto& baseline) {
    return [&baseline](std::span<const std::int32_t> history) { return baseline.scores(history); };
  };
  const RankingMetrics popular = rank_all(*sequences, split.test, of(popularity));
  print("popularity", popular);
  print("after the last item", rank_all(*sequences, split.test, of(markov)));
  print("your own: newest ids first", rank_all(*sequences, split.test, [&](std::span<const std::int32_t>) {
          std::vector<double> row(static_cast<std::size_t>(sequences->vocabulary.size()));
          for (std::size_t item = 0; item < row.size(); ++item) row[item] = static_cast<double>(item);
          return row;
        }));

  Config config = make_preset("meta-ml-1m");
  config.train.epochs = 15;
  Trainer trainer(config, sequences);
  while (trainer.finished_epochs() < config.train.epochs) trainer.train_one_epoch();

  const Evaluation all = evaluate(trainer.model(), *sequences, split.test);
  print("HSTU", all.ranking);
  print("HSTU, last 5 events only", evaluate(trainer.model(), *sequences, split.test, {.max_history = 5}).ranking);
  print("HSTU, met items kept", evaluate(trainer.model(), *sequences, split.test, {.keep_seen = true}).ranking);
  std::printf("cross-entropy %.4f over %lld users\n", all.loss(), static_cast<long long>(all.users()));
  return all.ranking.ndcg(10) > popular.ndcg(10) ? 0 : 1;
}
