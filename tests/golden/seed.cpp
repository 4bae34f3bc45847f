// SPDX-License-Identifier: MIT
// Families computed by torch-rechub 0.1.0.
#include <hstu/loss/cross_entropy.hpp>
#include <hstu/model/hstu.hpp>
#include <hstu/ops/reshape.hpp>

#include "golden_file.hpp"

namespace hstu::golden {

namespace {
std::string same_name(std::string name) { return name; }

Tensor equal_offsets(std::int64_t B, std::int64_t L) {
  std::vector<std::int64_t> offsets;
  for (std::int64_t b = 0; b <= B; ++b) offsets.push_back(b * L);
  return Tensor::from(offsets);
}
}  // namespace

void run_seed_layer(GoldenFile& file) {
  const auto B = file.option<std::int64_t>("B"), L = file.option<std::int64_t>("L");
  HstuConfig config{.layer = LayerKind::rechub_0_1,
                    .num_items = 1,
                    .d_model = file.option<std::int64_t>("d_model"),
                    .num_heads = file.option<std::int64_t>("n_heads"),
                    .dqk = file.option<std::int64_t>("dqk"),
                    .dv = file.option<std::int64_t>("dv"),
                    .dropout = 0.0};
  Initializer init(0, file.dtype());
  const Rechub01Layer layer(config, init);
  ParameterList parameters;
  layer.list("", parameters);
  const auto peer_name = [](const std::string& name) { return name.substr(1); };
  file.load_parameters(parameters, peer_name);

  RelativeBias bias;
  if (file.option<bool>("rel")) bias.dense = parameter(file.real("in.rel_pos_bias"));
  const Tensor x = parameter(file.real("in.x").reshaped({B * L, config.d_model}));
  ForwardContext context;
  const Tensor y = layer(x, equal_offsets(B, L), bias, context);
  file.compare("out.y", y, value_tolerance(file.dtype()));
  backward_from(y, file.real("in.grad_out").reshaped(y.shape()));
  file.compare("grad.x", grad(x), value_tolerance(file.dtype()));
  if (bias.dense.defined()) file.compare("grad.rel_pos_bias", grad(bias.dense), value_tolerance(file.dtype()));
  compare_gradients(file, parameters, peer_name);
}

void run_seed_rel_pos_bias(GoldenFile& file) {
  const auto L = file.option<std::int64_t>("L"), H = file.option<std::int64_t>("n_heads");
  const Tensor table = file.real("param.rel_pos_bias_table");
  const auto rows =
      linear_distance_rows(file.option<std::int64_t>("max_seq_len"), file.option<std::int64_t>("num_buckets"));
  Tensor bias({1, H, L, L}, file.dtype());
  dispatch_floating("golden", file.dtype(), [&]<class Scalar>(Scalar) {
    auto* out = bias.mutable_data<Scalar>();
    for (std::int64_t h = 0; h < H; ++h) {
      for (std::int64_t i = 0; i < L; ++i) {
        for (std::int64_t j = 0; j < L; ++j) {
          *out++ = table.data<Scalar>()[rows.at(static_cast<std::size_t>(std::abs(i - j))) * H + h];
        }
      }
    }
  });
  file.compare("out.bias", bias, value_tolerance(file.dtype()));
}

void run_seed_model(GoldenFile& file) {
  const auto B = file.option<std::int64_t>("B"), L = file.option<std::int64_t>("L");
  const auto function = file.option<std::string>("time_bucket_fn");
  check<CheckpointError>(function == "sqrt" || function == "log", file.origin(), ": unknown time_bucket_fn ", function);
  const HstuConfig config{
      .layer = LayerKind::rechub_0_1,
      .num_items = file.option<std::int64_t>("vocab_size"),
      .d_model = file.option<std::int64_t>("d_model"),
      .num_heads = file.option<std::int64_t>("n_heads"),
      .dqk = file.option<std::int64_t>("dqk"),
      .dv = file.option<std::int64_t>("dv"),
      .num_layers = file.option<std::int64_t>("n_layers"),
      .max_seq_len = file.option<std::int64_t>("max_seq_len"),
      .dropout = 0.0,
      .position_bias = file.option<bool>("use_rel_pos_bias") ? PositionBias::linear : PositionBias::none,
      .time_bias = TimeBias::none,
      .num_time_buckets = file.option<std::int64_t>("num_time_buckets"),
      .time_function = function == "sqrt" ? TimeFunction::sqrt : TimeFunction::log,
      .time_unit = TimeUnit::minutes,
      .time_divisor = 1.0,
      .use_time_embedding = file.option<bool>("use_time_embedding"),
      .scale_input_embedding = true,
      .tie_embeddings = false,
      .use_output_bias = true,
      .l2_scores = false,
      .temperature = 1.0,
      .init = InitKind::xavier_uniform};
  const HstuModel model(config, 0, file.dtype());
  const ParameterList parameters = model.parameters();
  file.load_parameters(parameters, same_name);

  const auto time_diffs = file.integers<std::int64_t>("in.time_diffs");
  const auto targets = file.integers<std::int32_t>("in.targets");
  const JaggedBatch batch =
      batch_from_windows(file.integers<std::int32_t>("in.tokens"), time_diffs, targets, L, Padding::keep);
  std::vector<std::int64_t> buckets;
  for (const std::int64_t d : time_diffs) {
    buckets.push_back(time_bucket(d, {.function = config.time_function,
                                      .unit = config.time_unit,
                                      .divisor = config.time_divisor,
                                      .max_bucket = config.num_time_buckets - 1}));
  }
  file.compare_exactly("out.time_buckets", buckets);

  std::vector<std::int64_t> last_rows;
  for (std::int64_t b = 1; b <= B; ++b) last_rows.push_back(b * L - 1);
  const auto loss = [&] {
    ForwardContext context;
    const Tensor hidden = model.hidden(batch, context);
    const ItemScorer scorer = model.scorer();
    return cross_entropy(gather_rows(hidden, Tensor::from(last_rows)), scorer.table, scorer.bias, Tensor::from(targets),
                         {.temperature = scorer.temperature, .ignored_target = -1});
  };
  {
    const NoGrad no_grad;
    ForwardContext context;
    file.compare("out.logits", model.scores(model.hidden(batch, context)), value_tolerance(file.dtype()));
    file.compare("out.loss", loss(), value_tolerance(file.dtype()));
  }
  compare_training(file, parameters, same_name, loss);
}

}  // namespace hstu::golden
