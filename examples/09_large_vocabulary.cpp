// SPDX-License-Identifier: MIT
// Item tables of millions of rows: a step gathers the rows it touches, differentiates and updates only these.
//   example_09_large_vocabulary [LARGEST]      tables of 10^4, 10^5, … LARGEST rows (default 10^6)
// Prints what a step costs as the table grows, and the best items of one user by a blocked scan of the table.
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>

#include <hstu/core/random_fill.hpp>
#include <hstu/loss/negatives.hpp>
#include <hstu/loss/sampled_softmax.hpp>
#include <hstu/model/hstu.hpp>
#include <hstu/optim/adam.hpp>
#include <hstu/optim/sparse_rows.hpp>
#include <hstu/recommend/blocked_top_k.hpp>

using namespace hstu;

namespace {

constexpr std::int64_t kWidth = 16, kUsers = 32, kLength = 21, kNegatives = 512, kSteps = 60, kTimed = 20;

/// Uniform in ±0.02.
Tensor make_table(std::int64_t rows) {
  Tensor table({rows, kWidth}, DType::float32);
  const auto values = table.mutable_values<float>();
  std::vector<std::uint32_t> words(std::size_t{1} << 20);
  for (std::size_t first = 0; first < values.size(); first += words.size()) {
    const auto count = std::min(words.size(), values.size() - first);
    fill_bits({.seed = 1}, first, std::span(words).first(count));
    for (std::size_t i = 0; i < count; ++i) values[first + i] = (static_cast<float>(words[i]) * 0x1p-32f - 0.5f) * 0.04f;
  }
  return table;
}

/// Histories that walk around circles of ten items, the circles lying anywhere in the table.
JaggedBatch make_batch(std::int64_t rows, std::uint32_t step) {
  constexpr std::uint32_t kCircles = 50, kCircle = 10;
  const RandomStream stream{.seed = 2, .step = step};
  JaggedBatchBuilder builder;
  for (std::uint32_t user = 0; user < kUsers; ++user) {
    builder.begin_user();
    const std::uint64_t circle = stream.below(2 * user, kCircles), start = stream.below(2 * user + 1, kCircle);
    const auto item = [&](std::int64_t i) {
      const std::uint64_t place = circle * kCircle + (start + static_cast<std::uint64_t>(i)) % kCircle;
      return static_cast<std::int32_t>(1 + place * static_cast<std::uint64_t>(rows - 1) / (kCircles * kCircle));
    };
    for (std::int64_t i = 0; i + 1 < kLength; ++i) {
      builder.add(item(i), static_cast<std::int32_t>(i), 60 * i, 60 * (i + 1), 60, item(i + 1));
    }
  }
  return builder.build();
}

struct Outcome {
  double first_loss = 0.0, last_loss = 0.0, milliseconds = 0.0;
  std::int64_t touched = 0;  // rows of the last step
  std::int64_t hits = 0;     // users of a new batch whose next item is among the best 10 of the whole table
};

Outcome train(std::int64_t rows) {
  Tensor table = make_table(rows);
  RowwiseAdagrad table_optimizer(table);
  const HstuConfig config{.num_items = 1, .d_model = kWidth, .dqk = 16, .dv = 16, .max_seq_len = kLength, .dropout = 0.0};
  const HstuModel model(config, 3);  // its own item table, of one row, is not used
  AdamW optimizer(model.parameters());
  const auto hidden_of = [&](const JaggedBatch& batch, const Tensor& items, const Tensor& places, ForwardContext context) {
    return model.hidden_of(scale(embedding(items, places, 0), model.embedding_scale()), batch, context);
  };
  Outcome outcome;
  for (std::uint32_t step = 0; step < kSteps; ++step) {
    const std::clock_t begin = std::clock();
    const JaggedBatch batch = make_batch(rows, step);
    const Tensor negatives = sample_negatives(1, kNegatives, rows, {.seed = 4, .step = step}).reshaped({kNegatives});
    std::vector<std::int64_t> ids{0};  // padding stays at place 0
    for (const Tensor* part : {&batch.items, &batch.targets, &negatives}) {
      ids.insert(ids.end(), part->values<std::int32_t>().begin(), part->values<std::int32_t>().end());
    }
    const StepRows touched(std::move(ids));
    const Tensor items = touched.gather(table);
    const Tensor hidden = hidden_of(batch, items, touched.places(batch.items), {.is_training = true, .step = step});
    const Tensor loss = sampled_softmax(hidden, l2_normalize(items, config.l2_eps), touched.places(batch.targets),
                                        touched.places(negatives), {.temperature = 0.1});
    for (const NamedParameter& p : optimizer.parameters()) zero_grad(p.value);
    backward(loss);
    optimizer.step(1e-2);
    table_optimizer.step(touched, grad(items), 0.1);
    if (step == 0) outcome.first_loss = loss.item();
    outcome.last_loss = loss.item();
    outcome.touched = touched.size();
    if (step >= kSteps - kTimed) {
      outcome.milliseconds += 1e3 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC / kTimed;
    }
  }
  const NoGrad no_grad;
  const JaggedBatch batch = make_batch(rows, kSteps);
  const Tensor hidden = hidden_of(batch, table, batch.items, {});
  std::vector<std::int64_t> last;
  for (std::int64_t user = 0; user < kUsers; ++user) last.push_back((user + 1) * (kLength - 1) - 1);
  const auto best = blocked_top_k<float>(gather_rows(hidden, Tensor::from(last)), l2_normalize(table, config.l2_eps), 10,
                                         std::vector<std::vector<std::int32_t>>(kUsers));
  for (std::size_t user = 0; user < kUsers; ++user) {
    const std::int32_t next = batch.targets.values<std::int32_t>()[static_cast<std::size_t>(last[user])];
    outcome.hits += std::ranges::any_of(best[user], [&](const ScoredItem& item) { return item.item == next; }) ? 1 : 0;
  }
  return outcome;
}

}  // namespace

int main(int argc, char** argv) {
  std::int64_t largest = 1'000'000;
  if (argc > 1) {
    const char* const end = argv[1] + std::strlen(argv[1]);
    if (std::from_chars(argv[1], end, largest).ptr != end || largest < 10'000 || largest > 100'000'000) {
      std::fprintf(stderr, "usage: example_09_large_vocabulary [LARGEST]   (10000 to 100000000 rows)\n");
      return 2;
    }
  }
  std::printf("rows        table MB  state MB  rows touched  CPU ms a step  loss          next item in the best 10\n");
  bool all_learn = true;
  for (std::int64_t rows = 10'000; rows <= largest; rows *= 10) {
    const Outcome o = train(rows);
    std::printf("%-11lld %-9.1f %-9.1f %-13lld %-14.2f %.3f → %.3f  %lld of %lld\n", static_cast<long long>(rows),
                static_cast<double>(rows * kWidth * 4) / 1e6, static_cast<double>(rows * 4) / 1e6,
                static_cast<long long>(o.touched), o.milliseconds, o.first_loss, o.last_loss,
                static_cast<long long>(o.hits), static_cast<long long>(kUsers));
    std::fflush(stdout);
    all_learn &= o.last_loss < 0.5 * o.first_loss && o.hits > kUsers / 2;
  }
  return all_learn ? 0 : 1;
}
