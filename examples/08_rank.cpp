// SPDX-License-Identifier: MIT
// Ranking (DLRM-HSTU): what will the user do with this item?  Several tasks from the history of items and actions,
// beside means and regression.
//   example_08_rank [RATINGS [CONFIG.json [USERS [ITEMS]]]]
// RATINGS: a ratings file or a log with a header; made-up ratings without one.  CONFIG.json: docs/ranking.md.  USERS
// and ITEMS: files with the features that the configuration names ("" for none).
#include <cstdio>

#include <hstu/hstu.hpp>
#include <hstu/train/ranking_trainer.hpp>

#include "rank/baselines.hpp"

using namespace hstu;

namespace {

/// 1 to 5 stars that depend on how this user likes the genre of the item: only the history can tell.
Ratings make_tastes() {
  constexpr std::uint32_t kUsers = 1000, kItems = 24, kGenres = 3, kEvents = 40;
  const RandomStream taste{.seed = 1}, walk{.seed = 2};
  Ratings ratings;
  ratings.source = "made up";
  for (std::uint32_t item = 0; item < kItems; ++item) ratings.items.add(std::to_string(item));
  for (std::uint32_t user = 0; user < kUsers; ++user) {
    ratings.users.push_back(std::to_string(user));
    for (std::uint32_t i = 0; i < kEvents; ++i) {
      const std::uint64_t event = user * kEvents + i;
      const std::uint32_t item = walk.below(2 * event, kItems);
      const bool likes = taste.below(user * kGenres + item % kGenres, 2) == 1;
      ratings.user.push_back(static_cast<std::int32_t>(user));
      ratings.item.push_back(static_cast<std::int32_t>(item) + 1);
      ratings.rating.push_back(static_cast<float>((likes ? 3 : 1) + walk.below(2 * event + 1, 3)));
      ratings.timestamp_s.push_back(1'000'000'000 + 3600 * static_cast<std::int64_t>(i));
    }
  }
  return ratings;
}

RankingSettings settings_of(int argc, char** argv) {
  RankingSettings settings = dlrm_hstu_settings();
  if (argc > 2) {
    constexpr std::uint64_t kMaxBytes = 1 << 20;
    update_from_json(settings, *parse_json<ConfigError>(read_file(argv[2], kMaxBytes), argv[2]), argv[2]);
  } else if (argc == 1) {
    settings.hstu.model.d_model = 16;
    settings.hstu.model.dqk = 8;
    settings.hstu.model.dv = 8;
    settings.hstu.model.dropout = 0.0;
    settings.hstu.train.learning_rate = 3e-3;
    settings.hstu.train.batch_size = 32;
  }
  return settings;
}

/// The columns of the log that the configuration speaks of, but "rating".
std::vector<std::string> columns_of(const RankingConfig& ranking) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (name != "rating" && std::ranges::find(names, name) == names.end()) names.push_back(name);
  };
  for (const FeatureSpec& action : ranking.actions) add(action.name);
  for (const Task& task : ranking.tasks) add(task.column);
  return names;
}

double print(const char* model, const Task& task, const std::vector<Prediction>& predictions) {
  if (task.kind == TaskKind::regression) {
    const RegressionMetrics m = regression_metrics(predictions);
    std::printf("%-10s %-18s MSE %.4f  RMSE %.4f  explained %.4f  calibration %.4f\n", task.name.c_str(), model, m.mse,
                std::sqrt(m.mse), m.explained, m.calibration);
    return m.explained;
  }
  const BinaryMetrics m = binary_metrics(predictions);
  std::printf("%-10s %-18s NE %.4f  AUC %.4f  per-user AUC %.4f  accuracy %.4f  MSE %.4f  calibration %.4f\n",
              task.name.c_str(), model, m.normalized_entropy, m.auc, m.user_auc, m.accuracy, m.mse, m.calibration);
  return m.auc;
}

int rank(int argc, char** argv) {
  const RankingSettings settings = settings_of(argc, argv);
  const ReadOptions read{.columns = columns_of(settings.ranking)};
  const auto sequences = std::make_shared<const Sequences>(
      make_sequences(argc > 1 ? read_ratings(argv[1], RatingsFormat::automatic, read) : make_tastes()));
  FeatureTable users, items;
  if (argc > 3 && *argv[3] != '\0') {
    users = read_features(argv[3], {"user_id", "userId"}, sequences->users, 0, settings.ranking.user_features);
  }
  if (argc > 4) {
    items = read_features(argv[4], {"item_id", "movieId", "video_id"}, sequences->vocabulary.names(),
                          sequences->vocabulary.first_id(), settings.ranking.item_features);
  }
  RankingTrainer trainer(settings, make_ranking_data(sequences, settings.ranking, std::move(users), std::move(items)));
  TaskPredictions best;  // of the epoch whose sum of validation errors is least
  double least = std::numeric_limits<double>::infinity();
  const std::vector<Task>& tasks = settings.ranking.tasks;
  for (std::int64_t epoch = 1; epoch <= settings.hstu.train.epochs; ++epoch) {
    const double loss = trainer.train_one_epoch().value();
    const double error = ranking_error(tasks, trainer.predict(false));
    std::printf("epoch %lld  loss %.4f  validation error %.4f\n", static_cast<long long>(epoch), loss, error);
    std::fflush(stdout);
    if (error >= least) continue;
    least = error;
    best = trainer.predict(true);
  }
  bool is_better = true;
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    const rank_example::MeanFeatures means(trainer.data(), static_cast<std::int64_t>(k), settings.held_out);
    const double by_means = print("user + item mean", tasks[k], rank_example::predict_by_means(means, tasks[k].kind));
    const double by_regression =
        print("regression", tasks[k], rank_example::predict_by_regression(trainer.data(), means, tasks[k]));
    is_better &= print("HSTU", tasks[k], best[k]) > std::max(by_means, by_regression);
  }
  return is_better ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return rank(argc, argv);
  } catch (const Error& error) {
    std::fprintf(stderr, "example_08_rank: %s\n", error.what());
    return 2;
  }
}
