// SPDX-License-Identifier: MIT
// Mixture of logits in the place of the dot product: the same HSTU trained with either similarity on made-up users, and
// the last event of every user ranked by both.
#include <cstdio>

#include <hstu/data/synthetic.hpp>
#include <hstu/train/trainer.hpp>

using namespace hstu;

namespace {

/// HR@10 of the last events.
double train(const std::shared_ptr<const Sequences>& sequences, Similarity similarity) {
  Config config;
  config.model = {.d_model = 16, .dqk = 16, .dv = 16, .num_layers = 1, .max_seq_len = 40, .similarity = similarity,
                  .mixture_query_parts = 2, .mixture_item_parts = 4, .mixture_part_width = 8};
  config.train.num_negatives = 32;
  config.train.max_history = 40;
  config.train.batch_size = 40;
  config.train.learning_rate = 5e-3;
  config.train.epochs = 30;
  Trainer trainer(config, sequences);
  while (trainer.finished_epochs() < config.train.epochs) trainer.train_one_epoch();
  const Evaluation test = trainer.evaluate(Split::test);
  std::printf("%-18s loss %.3f  HR@10 %.4f  MRR %.4f\n",
              similarity == Similarity::mixture ? "mixture of logits" : "dot product", test.loss(),
              test.ranking.hit_rate(10), test.ranking.mrr());
  return test.ranking.hit_rate(10);
}

}  // namespace

int main() {
  const auto sequences = std::make_shared<const Sequences>(
      make_sequences(make_synthetic_ratings({.users = 200, .items = 120, .max_length = 40})));
  train(sequences, Similarity::dot);
  return train(sequences, Similarity::mixture) > 0.4 ? 0 : 1;  // chance: 10 of about 100
}
