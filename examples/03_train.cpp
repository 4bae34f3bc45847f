// SPDX-License-Identifier: MIT
// Trains a model on a ratings file, or on made-up users without one, and measures it on the last event of each user.
#include <cstdio>

#include <hstu/hstu.hpp>

int main(int argc, char** argv) {
  using namespace hstu;
  const Ratings ratings = argc > 1 ? read_ratings(argv[1]) : make_synthetic_ratings();
  const auto sequences = std::make_shared<const Sequences>(make_sequences(ratings));

  Config config = make_preset("meta-ml-1m");
  config.train.epochs = 10;

  Trainer trainer(config, sequences);
  while (trainer.finished_epochs() < config.train.epochs) {
    const EpochResult epoch = trainer.train_one_epoch();
    std::printf("epoch %2d  loss %.4f\n", static_cast<int>(epoch.epoch), epoch.loss);
  }
  const Evaluation test = trainer.evaluate(Split::test);
  std::printf("HR@10 %.4f  NDCG@10 %.4f\n", test.ranking.hit_rate(10), test.ranking.ndcg(10));
}
