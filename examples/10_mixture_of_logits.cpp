// SPDX-License-Identifier: MIT
// Mixture of logits in the place of the dot product: the same HSTU trained with either similarity on made-up users, and
// the last event of every user ranked by both.
#include <cstdio>

#include <hstu/data/batcher.hpp>
#include <hstu/data/split.hpp>
#include <hstu/data/synthetic.hpp>
#include <hstu/loss/negatives.hpp>
#include <hstu/loss/sampled_softmax.hpp>
#include <hstu/loss/target_softmax.hpp>
#include <hstu/metrics/ranking.hpp>
#include <hstu/model/hstu.hpp>
#include <hstu/model/mixture_similarity.hpp>
#include <hstu/optim/adam.hpp>

using namespace hstu;

namespace {

constexpr std::int64_t kLongest = 40, kNegatives = 32, kBatch = 40, kSteps = 150;

/// Column 0 the targets, behind it the negatives: int32 [T, 1 + R].
Tensor candidates_of(const Tensor& targets, const Tensor& negatives) {
  const std::int64_t T = targets.numel(), R = negatives.size(1);
  Tensor all({T, 1 + R}, DType::int32);
  for (std::int64_t t = 0; t < T; ++t) {
    all.mutable_data<std::int32_t>()[t * (1 + R)] = targets.data<std::int32_t>()[t];
    std::copy_n(negatives.data<std::int32_t>() + t * R, R, all.mutable_data<std::int32_t>() + t * (1 + R) + 1);
  }
  return all;
}

/// HR@10 of the last events, `similarity` null for dot products of normalised vectors.
double train(const Sequences& sequences, const LeaveLastOut& split, bool is_mixture) {
  const HstuModel model({.num_items = sequences.vocabulary.size(), .d_model = 16, .dqk = 16, .dv = 16, .num_layers = 1,
                         .max_seq_len = kLongest}, 1);
  Initializer init(2, DType::float32);
  const MixtureSimilarity mixture({.query_parts = 2, .item_parts = 4, .part_width = 8}, 16, init);
  ParameterList parameters = model.parameters();
  if (is_mixture) mixture.list("mixture", parameters);
  AdamW optimizer(parameters);
  double loss_of_last = 0.0;
  for (std::uint32_t step = 0; step < kSteps; ++step) {
    JaggedBatchBuilder builder;
    for (std::int64_t i = 0; i < kBatch; ++i) {
      const std::int64_t user = (step * kBatch + i) % sequences.num_users();
      add_training_pass(builder, sequences, split.train[static_cast<std::size_t>(user)], kLongest);
    }
    const JaggedBatch batch = builder.build();
    ForwardContext context{.is_training = true, .seed = 3, .step = step};
    const Tensor hidden = model.hidden(batch, context);
    const Tensor negatives =
        sample_negatives(batch.tokens(), kNegatives, sequences.vocabulary.size(), {.seed = 4, .step = step});
    Tensor loss;
    if (is_mixture) {
      const Tensor candidates = candidates_of(batch.targets, negatives);
      loss = target_softmax(mixture_of_logits(mixture.operands(hidden, model.item_table()), candidates), candidates);
    } else {
      loss = sampled_softmax(hidden, model.scorer().table, batch.targets, negatives, {.temperature = 0.05});
    }
    for (const NamedParameter& p : parameters) zero_grad(p.value);
    backward(loss);
    optimizer.step(5e-3);
    loss_of_last = loss.item();
  }
  const NoGrad no_grad;
  RankingMetrics ranking;
  for (const HeldOut& event : split.test) {
    const auto count = static_cast<std::size_t>(event.history.size());
    const auto items = sequences.items_of(event.user).first(count);
    JaggedBatchBuilder builder;
    add_history(builder, items, sequences.timestamps_of(event.user).first(count),
                sequences.timestamps_s[static_cast<std::size_t>(event.target)], 0, kLongest);
    ForwardContext context;
    const Tensor hidden = model.hidden(builder.build(), context);
    const Tensor last = hidden.rows(hidden.size(0) - 1, hidden.size(0));
    const Tensor scores = is_mixture ? mixture.scores(last, model.item_table()) : model.scores(last);
    ranking.add(rank_of_target<float>(scores.values<float>(),
                                      sequences.items[static_cast<std::size_t>(event.target)], items));
  }
  std::printf("%-18s loss %.3f  HR@10 %.4f  MRR %.4f\n", is_mixture ? "mixture of logits" : "dot product", loss_of_last,
              ranking.hit_rate(10), ranking.mrr());
  return ranking.hit_rate(10);
}

}  // namespace

int main() {
  const Sequences sequences = make_sequences(make_synthetic_ratings({.users = 200, .items = 120, .max_length = 40}));
  const LeaveLastOut split = leave_last_out(sequences);
  train(sequences, split, false);
  return train(sequences, split, true) > 0.4 ? 0 : 1;  // chance: 10 of about 100
}
