// SPDX-License-Identifier: MIT
// HstuModel on the device: embedding, layers, and the table that hidden states are scored against.
#pragma once
#include <hstu/cuda/layers.hpp>
#include <hstu/cuda/row_ops.hpp>

namespace hstu::cuda {

/// The table of the scores, [V, D], and its gradient.
struct ScoredTable {
  Weights weights;
  Variable derived;  ///< holds them where they are not the model's own
};

/// A model whose parameters live on the device.  Names, numbers and dropout are those of the HstuModel it is made of.
class Model {
 public:
  /// Shares the tensors of `model`.  Throws ConfigError for what has no kernels.
  Model(Device& device, const HstuModel& model)
      : Model(device, model, std::make_shared<Parameters>(device, model.parameters())) {}
  /// The same on parameters that are those of the model and more.
  Model(Device& device, const HstuModel& model, std::shared_ptr<Parameters> parameters)
      : model_(model),
        parameters_(std::move(parameters)),
        lookup_(device, *model.lookup().position_rows(), num_position_rows(model.config()),
                model.lookup().time_borders().get(), model.config().num_time_buckets + 1) {
    check<ConfigError>(model.config().item_table_rows == 0, "cuda: item_table_rows (hashed items) has no kernels");
    check<ConfigError>(model.config().similarity == Similarity::dot, "cuda: similarity = mixture has no kernels");
    const bool is_meta = model.config().layer == LayerKind::meta;
    items_ = parameters_->at(is_meta ? "_embedding_module._item_emb.weight" : "token_embedding.weight");
    positions_ = parameters_->at(is_meta ? "_input_features_preproc._pos_emb.weight" : "position_embedding.weight");
    ages_ = parameters_->find("time_embedding.weight");
    output_ = model.config().tie_embeddings ? items_ : parameters_->at("output_projection.weight");
    output_bias_ = parameters_->find(model.config().tie_embeddings ? "output_bias" : "output_projection.bias");
    for (std::int64_t i = 0; i < model.config().num_layers; ++i) {
      const std::string prefix = concat(is_meta ? "_hstu._attention_layers." : "hstu_block.layers.", i);
      layers_.push_back(make_layer(model.config(), *parameters_, prefix));
    }
  }

  const HstuModel& on_host() const { return model_; }
  const HstuConfig& config() const { return model_.config(); }
  Parameters& parameters() { return *parameters_; }
  const Parameters& parameters() const { return *parameters_; }
  const Weights& item_table() const { return items_; }
  const Weights& output_bias() const { return output_bias_; }

  /// As HstuModel::hidden(); `batch` must live until backward.
  Variable hidden(Tape& tape, const Batch& batch, ForwardContext& context) const {
    const auto scale = static_cast<float>(config().scale_input_embedding ? model_.embedding_scale() : 1.0);
    return hidden_of(tape, {batch.items(), items_, scale}, batch, context);
  }
  /// As HstuModel::hidden_of(): `tokens` stand in place of the items, which do not count.
  Variable hidden_of(Tape& tape, const RowSource& tokens, const Batch& batch, ForwardContext& context) const {
    const LayerContext layer_context{batch.attention(), lookup_, context, config().dropout};
    Variable x = embed(tape, tokens, batch, layer_context.next_mask(config().d_model));
    for (const LayerOps& layer : layers_) {
      x = std::visit([&](const auto& of_kind) { return of_kind(tape, x, layer_context); }, layer);
    }
    return config().l2_scores ? l2_normalize(tape, x, config().l2_eps) : x;
  }

  /// The table of HstuModel::scorer().  What is added to its gradient reaches the parameters in backward.
  ScoredTable scored_table(Tape& tape) const {
    if (!config().l2_scores) return {output_, nullptr};
    const Variable y = tape.variable(output_.rows, output_.cols);
    Buffer<float> norm = tape.buffer(output_.rows);
    const auto eps = static_cast<float>(config().l2_eps);
    l2_normalize_forward(tape.device(), {output_.values, y->values.data(), norm.data(), y->rows, y->cols, eps});
    const Weights scored = as_table(tape, y);
    tape.record([&tape, y, eps, table = output_, norm = std::move(norm)] {
      const Buffer<float> dtable = tape.buffer(table.size());
      l2_normalize_backward(tape.device(),
                            {y->values.data(), norm.data(), y->gradient.data(), dtable.data(), y->rows, y->cols, eps});
      tape.add(table.gradient, dtable.data(), table.size());
    });
    return {scored, y};
  }

 private:
  Variable embed(Tape& tape, const RowSource& tokens, const Batch& batch, const DropoutMask& mask) const {
    std::vector<RowSource> sources{tokens, {batch.positions(), positions_, 1.0f}};
    if (ages_) sources.push_back({batch.ages(), ages_, 1.0f});
    return sum_of_rows(tape, sources, mask);
  }

  HstuModel model_;
  std::shared_ptr<Parameters> parameters_;
  AttentionLookup lookup_;
  Weights items_, positions_, ages_, output_, output_bias_;
  std::vector<LayerOps> layers_;
};

}  // namespace hstu::cuda
