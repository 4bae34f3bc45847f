// SPDX-License-Identifier: MIT
// Families computed by torch-rechub 0.9.0: padding is masked, so real tokens alone are compared.
#include <hstu/loss/cross_entropy.hpp>
#include <hstu/model/hstu.hpp>
#include <hstu/ops/reshape.hpp>

#include "golden_file.hpp"

namespace hstu::golden {

namespace {

HstuConfig common_config(const GoldenFile& file) {
  const auto function = file.option<std::string>("time_bucket_fn"), unit = file.option<std::string>("time_bucket_unit");
  check<CheckpointError>(function == "sqrt" || function == "log", file.origin(), ": unknown time_bucket_fn ", function);
  check<CheckpointError>(unit == "minutes" || unit == "seconds", file.origin(), ": unknown time_bucket_unit ", unit);
  return {.layer = LayerKind::rechub_0_9,
          .num_items = 2,
          .d_model = file.option<std::int64_t>("d_model"),
          .num_heads = file.option<std::int64_t>("n_heads"),
          .dqk = file.option<std::int64_t>("dqk"),
          .dv = file.option<std::int64_t>("dv"),
          .max_seq_len = file.option<std::int64_t>("max_seq_len"),
          .dropout = 0.0,
          .position_bias = PositionBias::signed_distance,
          .time_bias = TimeBias::own_time,
          .num_time_buckets = file.option<std::int64_t>("num_time_buckets"),
          .time_function = function == "sqrt" ? TimeFunction::sqrt : TimeFunction::log,
          .time_unit = unit == "minutes" ? TimeUnit::minutes : TimeUnit::seconds,
          .time_divisor = file.option<double>("time_bucket_divisor"),
          .init = InitKind::xavier_uniform};
}

/// Rows of a padded [B·L, ...] tensor that hold tokens.
std::vector<std::int64_t> real_rows(const std::vector<std::int32_t>& is_token) {
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < is_token.size(); ++i) {
    if (is_token[i] != 0) rows.push_back(static_cast<std::int64_t>(i));
  }
  return rows;
}

/// Puts rows back to their padded places; the rest is zero, as the masked output is.
Tensor to_padded(const Tensor& values, const std::vector<std::int64_t>& rows, std::int64_t total) {
  Tensor padded = Tensor::zeros({total, values.size(1)}, values.dtype());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    padded.rows(rows[r], rows[r] + 1).copy_from(values.rows(static_cast<std::int64_t>(r), static_cast<std::int64_t>(r) + 1));
  }
  return padded;
}

std::vector<bool> entries_of(const std::vector<std::int32_t>& is_token, std::int64_t width) {
  std::vector<bool> counts;
  for (const auto t : is_token) counts.insert(counts.end(), static_cast<std::size_t>(width), t != 0);
  return counts;
}

}  // namespace

void run_paper_layer(GoldenFile& file) {
  const HstuConfig config = common_config(file);
  const auto B = file.option<std::int64_t>("B"), L = file.option<std::int64_t>("L"), D = config.d_model;
  Initializer init(0, file.dtype());
  const Rechub09Layer layer(config, init);
  ParameterList parameters;
  layer.list("", parameters);
  const auto peer_name = [](const std::string& name) { return name.substr(1); };
  file.load_parameters(parameters, peer_name);

  const auto mask = file.integers<std::int32_t>("in.padding_mask");
  const auto rows = real_rows(mask);
  const std::vector<std::int32_t> no_targets(static_cast<std::size_t>(B), 0);
  const JaggedBatch batch =
      batch_from_windows(mask, file.integers<std::int64_t>("in.time_diffs"), no_targets, L, Padding::skip);
  const Tensor x = parameter(gather_rows(file.real("in.x").reshaped({B * L, D}), Tensor::from(rows)));
  ForwardContext context;
  const Tensor y = layer(x, batch.offsets, BiasLookup(config).of(batch), context);
  file.compare("out.y", to_padded(y, rows, B * L), value_tolerance(file.dtype()));
  backward_from(y, gather_rows(file.real("in.grad_out").reshaped({B * L, D}), Tensor::from(rows)));
  file.compare("grad.x", to_padded(grad(x), rows, B * L), value_tolerance(file.dtype()), entries_of(mask, D));
  compare_gradients(file, parameters, peer_name);
}

void run_paper_model(GoldenFile& file) {
  HstuConfig config = common_config(file);
  const auto B = file.option<std::int64_t>("B"), L = file.option<std::int64_t>("L");
  config.num_items = file.option<std::int64_t>("vocab_size");
  config.num_layers = file.option<std::int64_t>("n_layers");
  config.use_time_embedding = file.option<bool>("use_time_embedding");
  config.scale_input_embedding = file.option<bool>("scale_input_embedding");
  config.tie_embeddings = file.option<bool>("tie_embeddings");
  config.use_output_bias = file.option<bool>("use_output_bias");
  const auto norm = file.option<std::string>("score_norm");
  check<CheckpointError>(norm == "l2" || norm == "none", file.origin(), ": unknown score_norm ", norm);
  config.l2_scores = norm == "l2";
  config.temperature = file.option<double>("temperature");
  const HstuModel model(config, 0, file.dtype());
  const ParameterList parameters = model.parameters();
  const auto peer_name = [](const std::string& name) { return name; };
  file.load_parameters(parameters, peer_name);

  const auto tokens = file.integers<std::int32_t>("in.tokens");
  const JaggedBatch batch = batch_from_windows(tokens, file.integers<std::int64_t>("in.time_diffs"),
                                               file.integers<std::int32_t>("in.targets"), L, Padding::skip);
  const auto loss = [&] {
    ForwardContext context;
    const Tensor hidden = model.hidden(batch, context);
    const ItemScorer scorer = model.scorer();
    return cross_entropy(hidden, scorer.table, scorer.bias, batch.targets,
                         {.temperature = scorer.temperature, .ignored_target = 0, .excluded_item = 0});
  };
  {
    const NoGrad no_grad;
    ForwardContext context;
    const Tensor logits = model.scores(model.hidden(batch, context));
    file.compare("out.logits", to_padded(logits, real_rows(tokens), B * L), value_tolerance(file.dtype()),
                 entries_of(tokens, config.num_items));
    file.compare("out.loss", loss(), value_tolerance(file.dtype()));
  }
  compare_training(file, parameters, peer_name, loss);
}

}  // namespace hstu::golden
