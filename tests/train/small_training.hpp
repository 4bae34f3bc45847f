// SPDX-License-Identifier: MIT
// Small data and small configurations of every preset, and what is compared after training.
#pragma once
#include <hstu/data/synthetic.hpp>
#include <hstu/train/presets.hpp>
#include <hstu/train/run.hpp>

#include "../check_op.hpp"
#include "../io/tensor_files.hpp"

namespace hstu::test {

inline constexpr std::string_view kKinds[] = {"rechub-0.1", "rechub-0.9", "meta-ml-1m"};

inline std::shared_ptr<const Sequences> small_data(const SyntheticOptions& options = {.users = 250,
                                                                                      .items = 80,
                                                                                      .clusters = 5,
                                                                                      .min_length = 2,
                                                                                      .max_length = 40}) {
  return std::make_shared<const Sequences>(make_sequences(make_synthetic_ratings(options)));
}

/// A preset with dropout on, cut down to milliseconds a step; a step of 200 users has chunks in several groups.
inline Config small_config(std::string_view preset) {
  Config c = make_preset(preset);
  c.model.d_model = 8;
  c.model.num_heads = 2;
  c.model.dqk = 4;
  c.model.dv = 4;
  c.model.max_seq_len = 32;
  c.model.num_time_buckets = 32;
  c.train.max_history = 30;
  c.train.batch_size = 200;
  c.train.num_negatives = 8;
  c.train.epochs = 3;
  c.train.seed = 42;
  return c;
}

/// Settings of parallel_for for one scope.
class Threads {
 public:
  explicit Threads(int count) : before_(num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

/// True if both would go on alike: weights, optimizer and all of the state but the time spent.
inline bool is_same(const Checkpoint& a, const Checkpoint& b) {
  nlohmann::json of_a = *a.state, of_b = *b.state;
  of_a.erase("seconds");
  of_b.erase("seconds");
  return ::is_same(a.weights, b.weights) && ::is_same(a.optimizer, b.optimizer) && of_a == of_b;
}

}  // namespace hstu::test
