// SPDX-License-Identifier: MIT
// Family computed by Meta's research code: layers, L2-normalised output, sampled softmax with given negatives.
#include <hstu/loss/sampled_softmax.hpp>
#include <hstu/model/hstu.hpp>

#include "golden_file.hpp"

namespace hstu::golden {

namespace {

/// The reference script calls its three parts item, position and layers.
std::string peer_name(std::string name) {
  const std::pair<const char*, const char*> renamed[] = {{"_embedding_module._item_emb.", "item."},
                                                         {"_input_features_preproc._pos_emb.", "position."},
                                                         {"_hstu._attention_layers.", "layers."}};
  for (const auto& [ours, theirs] : renamed) {
    if (name.starts_with(ours)) return theirs + name.substr(std::string(ours).size());
  }
  return name;
}

void expect_option(const GoldenFile& file, const char* key, double value) {
  check<CheckpointError>(file.option<double>(key) == value, file.origin(), ": ", key, " must be ", value, ", got ",
                         file.option<double>(key));
}

}  // namespace

void run_meta_model(GoldenFile& file) {
  const auto lengths = file.option<std::vector<std::int64_t>>("lens");
  const auto N = file.option<std::int64_t>("N");
  check<CheckpointError>(file.option<std::string>("projection_order") == "u,v,q,k" &&
                             file.option<std::string>("bucket").starts_with("long(log(max(|dt|,1))/0.301)"),
                         file.origin(), ": unknown projection_order or bucket");
  expect_option(file, "attention_scale", 1.0);
  const HstuConfig config{.layer = LayerKind::meta,
                          .num_items = file.option<std::int64_t>("V") + 1,
                          .d_model = file.option<std::int64_t>("D"),
                          .num_heads = file.option<std::int64_t>("H"),
                          .dqk = file.option<std::int64_t>("dqk"),
                          .dv = file.option<std::int64_t>("dv"),
                          .num_layers = file.option<std::int64_t>("n_layers"),
                          .max_seq_len = N,
                          .dropout = 0.0,
                          .num_time_buckets = file.option<std::int64_t>("num_buckets"),
                          .time_divisor = 0.301,
                          .concat_ua = file.option<bool>("concat_ua"),
                          .temperature = file.option<double>("temperature"),
                          .layer_norm_eps = file.option<double>("layer_norm_eps"),
                          .l2_eps = file.option<double>("l2_eps")};
  const HstuModel model(config, 0, file.dtype());
  const ParameterList parameters = model.parameters();
  file.load_parameters(parameters, peer_name);

  const auto ids = file.integers<std::int32_t>("in.ids"), next = file.integers<std::int32_t>("in.next_ids");
  const auto times = file.integers<std::int64_t>("in.timestamps");
  JaggedBatchBuilder builder;
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    builder.begin_user();
    for (std::int64_t i = 0; i < lengths[b]; ++i) {
      const auto at = b * static_cast<std::size_t>(N) + static_cast<std::size_t>(i);
      builder.add(ids.at(at), static_cast<std::int32_t>(i), times.at(at), i + 1 < N ? times.at(at + 1) : times.at(at),
                  0, next.at(at));
    }
  }
  const JaggedBatch batch = builder.build();
  check<CheckpointError>(file.integers<std::int64_t>("in.offsets") == batch.offsets.to_vector<std::int64_t>(),
                         file.origin(), ": in.offsets and lens differ");
  const Tensor negatives = file.raw("in.negative_ids").to(DType::int32);
  check<CheckpointError>(negatives.size(1) == file.option<std::int64_t>("R"), file.origin(), ": R and negatives differ");

  const auto hidden = [&] {
    ForwardContext context;
    return model.hidden(batch, context);
  };
  const auto loss = [&] {
    return sampled_softmax(hidden(), model.scorer().table, batch.targets, negatives,
                           {.temperature = config.temperature});
  };
  {
    const NoGrad no_grad;
    file.compare("out.embeddings", hidden(), value_tolerance(file.dtype()));
    file.compare("out.loss", loss(), value_tolerance(file.dtype()));
  }
  compare_training(file, parameters, peer_name, loss);
}

}  // namespace hstu::golden
