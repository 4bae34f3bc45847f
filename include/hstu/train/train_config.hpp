// SPDX-License-Identifier: MIT
// How a model is trained: loss, optimizer, schedule, batches, validation.
#pragma once
#include <string>

#include <hstu/loss/negative_sampler.hpp>
#include <hstu/model/config.hpp>
#include <hstu/optim/schedule.hpp>

namespace hstu {

/// sampled_softmax: next item against random negatives at every token (Meta); next_item: cross-entropy over all items
/// at every token (torch-rechub 0.9.0); last_item: the same at the last token only (torch-rechub 0.1.0);
/// sampled_binary: binary cross-entropy of next item and negatives (SASRec); nce: the same with the logits corrected by
/// how often the items are drawn (noise contrastive estimation).
enum class LossKind { sampled_softmax, next_item, last_item, sampled_binary, nce };

constexpr bool has_negatives(LossKind loss) { return loss != LossKind::next_item && loss != LossKind::last_item; }

enum class OptimizerKind { sgd, adam, adamw };

/// Of the item table.  dense: as the other parameters; else only the rows that a step touches are read and updated, so
/// that a step costs the same however large the table is.
enum class ItemOptimizerKind { dense, rowwise_adagrad, sparse_adam };

/// users: one causal pass per user trains every token.  windows: every prefix of a user is a left-padded sample of its
/// own, as torch-rechub makes them; many times slower, there for the reproduction.  Evaluation and recommendation see the
/// history without padding in either case: positions from 0, ages until the time of the request.
enum class SampleKind { users, windows };

struct TrainConfig {
  LossKind loss = LossKind::sampled_softmax;
  std::int64_t num_negatives = 128;  ///< per token, of the losses that have negatives
  NegativeKind negatives = NegativeKind::uniform;
  bool shared_negatives = false;     ///< one set for all tokens of a step; in_batch: all its items if there are no more
  bool log_q = false;                ///< sampled_softmax: logits less ln(how often an item is drawn); nce: always
  SampleKind samples = SampleKind::users;
  std::int64_t max_history = 200;    ///< the most recent events a user's pass sees
  bool whole_history = false;        ///< older events train too: a user with more than max_history has several passes
  bool recompute_activations = false;  ///< layers run again in backward instead of keeping their activations
  double stochastic_length_alpha = 2.0;  ///< below 2: long histories are thinned at random, StochasticLength
  std::int64_t batch_size = 128;     ///< users or windows per step

  OptimizerKind optimizer = OptimizerKind::adamw;
  ItemOptimizerKind item_optimizer = ItemOptimizerKind::dense;
  double learning_rate = 1e-3;
  double item_learning_rate = 0.0;  ///< of an item_optimizer other than dense, in place of learning_rate; 0: the same
  double beta1 = 0.9;
  double beta2 = 0.98;
  double eps = 1e-8;
  double weight_decay = 0.0;
  double momentum = 0.0;      ///< sgd
  double max_grad_norm = 0.0; ///< gradients are scaled down to this norm; 0: never
  std::int64_t warmup_steps = 0;
  Decay decay = Decay::constant;
  double min_learning_rate = 0.0;  ///< cosine ends here

  std::int64_t epochs = 101;
  bool keep_seen = false;     ///< items repeat: what the user has met may come next, in metrics and recommendations
  bool validate = false;      ///< hold out the second-last event too, and keep the epoch that predicts it best
  std::string metric = "ndcg@10";  ///< of the validation: hr@K, ndcg@K, mrr or loss
  std::int64_t patience = 0;  ///< stop after this many epochs without a better metric; 0: never
  std::int64_t test_every = 0;  ///< log test metrics every so many epochs, for curves; never used to choose; 0: never
  std::uint64_t seed = 0;
};

inline void validate(const TrainConfig& c) {
  const auto positive = [](const char* name, std::int64_t value) {
    constexpr std::int64_t kMost = std::int64_t{1} << 31;
    check<ConfigError>(value >= 1 && value <= kMost, "config: ", name, " must be in [1, ", kMost, "], got ", value);
  };
  positive("num_negatives", c.num_negatives);
  positive("max_history", c.max_history);
  positive("batch_size", c.batch_size);
  positive("epochs", c.epochs);
  const auto not_negative = [](const char* name, double value) {
    check<ConfigError>(value >= 0 && value < 1e9, "config: ", name, " must be in [0, 1e9), got ", value);
  };
  not_negative("learning_rate", c.learning_rate);
  not_negative("item_learning_rate", c.item_learning_rate);
  not_negative("weight_decay", c.weight_decay);
  not_negative("max_grad_norm", c.max_grad_norm);
  not_negative("min_learning_rate", c.min_learning_rate);
  not_negative("warmup_steps", static_cast<double>(c.warmup_steps));
  not_negative("patience", static_cast<double>(c.patience));
  not_negative("test_every", static_cast<double>(c.test_every));
  check<ConfigError>(c.stochastic_length_alpha > 1.0 && c.stochastic_length_alpha <= 2.0,
                     "config: stochastic_length_alpha must be in (1, 2], got ", c.stochastic_length_alpha);
  check<ConfigError>(c.stochastic_length_alpha == 2.0 || c.samples == SampleKind::users,
                     "config: stochastic_length_alpha below 2 needs samples = users");
  check<ConfigError>(!c.whole_history || c.samples == SampleKind::users,
                     "config: whole_history needs samples = users");
  check<ConfigError>(c.min_learning_rate <= c.learning_rate, "config: min_learning_rate ", c.min_learning_rate,
                     " is above learning_rate ", c.learning_rate);
  check<ConfigError>(c.patience == 0 || c.validate, "config: patience needs validate = true");
  check<ConfigError>(c.samples == SampleKind::users || !has_negatives(c.loss),
                     "config: samples = windows trains with the loss next_item or last_item");
  check<ConfigError>(has_negatives(c.loss) || (c.negatives == NegativeKind::uniform && !c.shared_negatives),
                     "config: negatives and shared_negatives belong to losses that have negatives");
  check<ConfigError>(c.item_optimizer == ItemOptimizerKind::dense || has_negatives(c.loss),
                     "config: item_optimizer other than dense needs a loss that has negatives");
  check<ConfigError>(c.item_learning_rate == 0 || (c.item_optimizer != ItemOptimizerKind::dense && c.learning_rate > 0),
                     "config: item_learning_rate needs an item_optimizer other than dense and a learning_rate above 0");
  check<ConfigError>(!c.log_q || c.loss == LossKind::sampled_softmax,
                     "config: log_q belongs to loss = sampled_softmax");
}

/// All that a run is made of.
struct Config {
  HstuConfig model;
  TrainConfig train;
};

/// Throws ConfigError, naming the fields, if one part contradicts itself or the other.
inline void validate(const Config& c) {
  validate(c.model);
  validate(c.train);
  check<ConfigError>(c.train.max_history <= c.model.max_seq_len, "config: max_history ", c.train.max_history,
                     " exceeds max_seq_len ", c.model.max_seq_len);
  check<ConfigError>(!has_negatives(c.train.loss) || (c.model.tie_embeddings && !c.model.use_output_bias),
                     "config: a loss with negatives needs tie_embeddings = true and use_output_bias = false");
  check<ConfigError>(c.model.similarity == Similarity::dot ||
                         (c.train.loss == LossKind::sampled_softmax && !c.train.log_q),
                     "config: similarity = mixture needs loss = sampled_softmax and log_q = false");
  check<ConfigError>(c.model.item_table_rows == 0 || (!c.train.log_q && c.train.loss != LossKind::nce),
                     "config: item_table_rows does not go with log_q or loss = nce: frequencies are those of items");
}

}  // namespace hstu
