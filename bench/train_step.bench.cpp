// SPDX-License-Identifier: MIT
// Whole training steps of the presets on 128 synthetic users with the lengths of MovieLens-1M, by threads.
// With P pairs of a query and a key it sees, Σ l·(l + 1)/2 without a window, and T tokens, flops of a step are
//   T·layers·3·(2·D·W + 2·H·Dv·D)    products, forward and by both operands; W = 2·H·(Dqk + Dv): uvqk
//   + T·layers·3·(2·2·D·4D)          the feed-forward part, rechub-0.1 only
//   + P·layers·3.5·2·H·(Dqk + Dv)    attention, forward and 2.5 times that backward; masked scores do not count
//   + T·6·(R + 1)·D  or  T·6·V·D     sampled or full softmax
// and nothing for norms, activations, dropout, bias, random numbers, optimizer and the making of the batch.
#include <hstu/train/presets.hpp>
#include <hstu/train/trainer.hpp>

#include <thread>

#include "../tests/allocations.hpp"
#include "bench.hpp"
#include "exact_model.hpp"
#include "ml_1m_like.hpp"

namespace hstu::bench {
namespace {

// Of the loss, and of the largest gradient of each parameter: float32 sums over some 14,000 tokens.
constexpr double kTolerance = 1e-4;

struct Case {
  std::string name;
  Config config;
  SyntheticOptions data;
};

/// A trainer whose epoch is one batch, so that every step has the same users, in an order of its own.
struct Problem {
  std::shared_ptr<const Sequences> sequences;
  Trainer trainer;
  double tokens = 0.0, pairs = 0.0;
  double error;

  explicit Problem(const Case& c) : sequences(make_sequences_of(c.data)), trainer(c.config, sequences) {
    const TrainingUnits units(sequences, trainer.config());
    for (std::int64_t unit = 0; unit < units.size(); ++unit) {
      const auto length = static_cast<double>(units.length(unit));
      tokens += length;
      pairs += seen_pairs(trainer.config().model, units.length(unit));
    }
    error = units.size() == trainer.config().train.batch_size ? error_of_first_step(units)
                                                              : std::numeric_limits<double>::infinity();
  }

  static double seen_pairs(const HstuConfig& config, std::int64_t length) {
    const SequenceMask mask{attention_mask(config), length, 0};
    double count = 0.0;
    for (std::int64_t i = 0; i < length; ++i) count += static_cast<double>(i + 1 - mask.keys_of(i).first);
    return count;
  }

  double flops() const {
    const HstuConfig& m = trainer.config().model;
    const TrainConfig& t = trainer.config().train;
    const auto D = static_cast<double>(m.d_model), qk = static_cast<double>(m.num_heads * m.dqk),
               v = static_cast<double>(m.num_heads * m.dv);
    double layer = tokens * 3.0 * (2.0 * D * 2.0 * (qk + v) + 2.0 * v * D) + pairs * 3.5 * 2.0 * (qk + v);
    if (m.layer == LayerKind::rechub_0_1) layer += tokens * 3.0 * 2.0 * 2.0 * D * 4.0 * D;
    const std::int64_t candidates = t.loss == LossKind::sampled_softmax ? t.num_negatives + 1 : m.num_items;
    return layer * static_cast<double>(m.num_layers) + tokens * 6.0 * static_cast<double>(candidates) * D;
  }

  /// Takes the first step, and does it again in float64, one user after the other: loss and gradients.
  double error_of_first_step(const TrainingUnits& units) {
    const TrainConfig& config = trainer.config().train;
    std::vector<std::int64_t> order(static_cast<std::size_t>(units.size()));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    shuffle(order, RandomStream{.seed = config.seed, .step = 0, .site = kSiteUserOrder});
    const HstuModel exact = exact_copy(trainer.model());
    const NegativeSampler negatives = make_negative_sampler(config, units.target_counts());
    Gradients gradients;
    double loss = 0.0;
    std::int64_t first_token = 0;
    for (const std::int64_t unit : order) {
      const JaggedBatch batch = units.batch(std::span(&unit, 1));
      ForwardContext context{.is_training = true, .seed = config.seed, .step = 0, .first_token = first_token};
      const Tensor sum = training_loss(exact, exact.scorer(), batch, config, negatives, context);
      loss += sum.item() / tokens;
      backward(sum, gradients, 1.0 / tokens);
      first_token += batch.tokens();
    }
    const double got = trainer.step().loss;
    double worst = std::abs(got - loss) / loss;
    const ParameterList parameters = trainer.model().parameters(), of_exact = exact.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      worst = std::max(worst, largest_error(grad(parameters[i].value), gradients.of(of_exact[i].value)));
    }
    return worst;
  }
};

Case preset_case(const char* name) { return {name, make_preset(name), ml_1m_options(128)}; }

/// Four users of 4,096 events.
Case long_case(const char* name, const char* preset, std::int64_t window, bool recompute) {
  Config c = make_preset(preset);
  c.model.max_seq_len = c.train.max_history = 4096;
  c.model.max_attn_len = window;
  c.train.recompute_activations = recompute;
  c.train.batch_size = 4;
  return {name, c, {.users = 4, .items = 8200, .min_length = 4098, .max_length = 4098}};
}

/// MB that a step needs, on a thread whose pool of memory is empty.
double memory_of_step(Trainer& trainer) {
  set_num_threads(1);
  double megabytes = 0.0;
  std::thread([&] {
    const test::AllocationWatch watch;
    trainer.step();
    megabytes = static_cast<double>(watch.bytes()) / 1e6;
  }).join();
  return megabytes;
}

/// A wide model on long histories and a large catalogue, with the full softmax.
Case wide_case() {
  Config c = make_preset("meta-ml-1m");
  c.model.d_model = 256;
  c.model.num_heads = 4;
  c.model.dqk = c.model.dv = 64;
  c.model.max_seq_len = c.train.max_history = 1024;
  c.train.loss = LossKind::next_item;
  c.train.batch_size = 2;
  return {"wide", c, {.users = 2, .items = 100'000, .min_length = 1026, .max_length = 1026}};
}

[[maybe_unused]] const bool registered = [] {
  for (const Case& c : {preset_case("meta-ml-1m"), preset_case("meta-ml-1m-large"), preset_case("rechub-0.9"),
                        preset_case("rechub-0.1"), wide_case(), long_case("long", "meta-ml-1m", 0, false),
                        long_case("long/window:256", "meta-ml-1m", 256, false),
                        long_case("long-large", "meta-ml-1m-large", 0, false),
                        long_case("long-large/recompute", "meta-ml-1m-large", 0, true)}) {
    const auto problem = lazily<Problem>(c);
    for (const int threads : {1, 2}) {
      add(concat("train_step/", c.name, "/threads:", threads), [problem, threads](benchmark::State& state) {
        Problem& p = problem();
        if (!is_right(state, p.error, kTolerance)) return;
        const double megabytes = memory_of_step(p.trainer);
        set_num_threads(threads);
        p.trainer.step();  // new threads have to fill their caches of memory first
        const Samples samples = measure(state, [&] { p.trainer.step(); });
        report_flops(state, samples, p.flops(), threads);
        state.counters["tokens"] = p.tokens;
        state.counters["step_MB"] = megabytes;
        state.counters["tokens/s"] = p.tokens / samples.mean();
      }, benchmark::kMillisecond);
    }
  }
  return true;
}();

}  // namespace
}  // namespace hstu::bench
