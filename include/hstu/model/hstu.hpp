// SPDX-License-Identifier: MIT
// The model: input embeddings, a stack of layers of one kind, scores of items.
#pragma once
#include <cmath>
#include <optional>
#include <variant>

#include <hstu/model/item_rows.hpp>
#include <hstu/model/meta_layer.hpp>
#include <hstu/model/mixture_similarity.hpp>
#include <hstu/model/rechub01_layer.hpp>
#include <hstu/model/rechub09_layer.hpp>
#include <hstu/nn/recompute.hpp>
#include <hstu/ops/embedding.hpp>
#include <hstu/ops/l2_normalize.hpp>

namespace hstu {

/// What hidden states are scored against: logits = (hidden·tableᵀ + bias) / temperature, or a mixture of logits.
struct ItemScorer {
  Tensor table;  ///< [V, D], that of a StepScorer is wider; of a mixture the items' parts
  Tensor bias;   ///< [V] or absent
  double temperature = 1.0;
  std::optional<MixtureSimilarity> mixture = {};
  Tensor item_gate = {};  ///< of a mixture

  /// Scores of all items, [T, V]; those of a mixture without gradients.
  Tensor operator()(const Tensor& hidden_states) const {
    if (mixture) return mixture_of_all(operands(hidden_states));
    const Tensor logits = linear(hidden_states, table, bias);
    return temperature == 1.0 ? logits : scale(logits, 1.0 / temperature);
  }
  /// Of a mixture.
  MixtureOperands operands(const Tensor& hidden_states) const {
    return mixture->operands(hidden_states, {table, item_gate});
  }
};

/// items, positions, ages [T] → x [T,D] → layers → hidden [T,D] → scores [T,V]
class HstuModel {
 public:
  using Layer = std::variant<Rechub01Layer, Rechub09Layer, MetaLayer>;

  /// Parameters are drawn from `seed` as the reproduced model initialises them.
  explicit HstuModel(const HstuConfig& config, std::uint64_t seed = 0, DType dtype = DType::float32)
      : config_((validate(config), config)), rows_(config.num_items, config.item_table_rows), lookup_(config) {
    Initializer init(seed, dtype);
    const std::int64_t V = rows_.size();
    const std::int64_t D = config.d_model;
    const bool is_meta = config.layer == LayerKind::meta;
    const bool is_01 = config.layer == LayerKind::rechub_0_1;
    items_ = config.init == InitKind::xavier_uniform ? init.xavier_uniform({V, D}) : init.truncated_normal({V, D}, 0.02);
    if (config.layer == LayerKind::rechub_0_9) items_.rows(0, 1).fill_zero();  // the padding row
    positions_ = is_meta ? init.xavier_normal({config.max_seq_len, D}) : init.xavier_uniform({config.max_seq_len, D});
    if (config.use_time_embedding) {
      ages_ = init.xavier_uniform({num_age_rows(), D});
    }
    for (std::int64_t i = 0; i < config.num_layers; ++i) {
      switch (config.layer) {
        case LayerKind::rechub_0_1: layers_.emplace_back(Rechub01Layer(config, init)); break;
        case LayerKind::rechub_0_9: layers_.emplace_back(Rechub09Layer(config, init)); break;
        case LayerKind::meta: layers_.emplace_back(MetaLayer(config, init)); break;
      }
    }
    if (is_01 && num_position_rows(config) > 0) {
      shared_tables_.position = init.zeros({num_position_rows(config), config.num_heads});
    }
    if (!config.tie_embeddings) output_.weight = init.xavier_uniform({V, D});
    if (config.use_output_bias) output_.bias = init.zeros({V});
    if (config.similarity == Similarity::mixture) {
      const MixtureConfig sizes{.query_parts = config.mixture_query_parts,
                                .item_parts = config.mixture_item_parts,
                                .part_width = config.mixture_part_width,
                                .temperature = config.temperature,
                                .l2_eps = config.l2_eps};
      mixture_.emplace(sizes, D, init);
    }
  }

  const HstuConfig& config() const { return config_; }
  DType dtype() const { return items_.dtype(); }
  /// Where items stand in the item table.
  const ItemRows& rows() const { return rows_; }
  const Tensor& item_table() const { return items_; }
  /// The table that scores are made of: the item table, or the output projection's.
  const Tensor& scored_table() const { return config_.tie_embeddings ? items_ : output_.weight; }
  /// The layers one by one, for tests and research.
  const std::vector<Layer>& layers() const { return layers_; }

  /// All parameters, in a fixed order, under the names of the PyTorch model.
  ParameterList parameters() const {
    const bool is_meta = config_.layer == LayerKind::meta;
    ParameterList list;
    list.push_back({is_meta ? "_embedding_module._item_emb.weight" : "token_embedding.weight", items_});
    list.push_back({is_meta ? "_input_features_preproc._pos_emb.weight" : "position_embedding.weight", positions_});
    if (ages_.defined()) list.push_back({"time_embedding.weight", ages_});
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const std::string prefix = concat(is_meta ? "_hstu._attention_layers." : "hstu_block.layers.", i);
      std::visit([&](const auto& layer) { layer.list(prefix, list); }, layers_[i]);
    }
    if (shared_tables_.position.defined()) list.push_back({"rel_pos_bias.rel_pos_bias_table", shared_tables_.position});
    if (!config_.tie_embeddings) output_.list("output_projection", list);
    else if (output_.bias.defined()) list.push_back({"output_bias", output_.bias});
    if (mixture_) mixture_->list("mixture", list);
    return list;
  }

  /// Final hidden state of every token, [T, D]; L2-normalised if the config says so.
  /// Throws DataError for an item outside the table or a sequence longer than max_seq_len, ShapeError for a batch whose
  /// columns do not fit.
  Tensor hidden(const JaggedBatch& batch, ForwardContext& context) const {
    return hidden_of(embed_items(batch), batch, context);
  }

  /// The same for tokens that are no items: `tokens` [T, D] stands in place of their (scaled) item embeddings, and
  /// batch.items does not count.  num_targets, int64 [B] or undefined: so many tokens at the end of each user are targets
  /// (AttentionMask); they take one place of max_seq_len together.
  Tensor hidden_of(const Tensor& tokens, const JaggedBatch& batch, ForwardContext& context,
                   const Tensor& num_targets = {}) const {
    check_batch(batch, num_targets);
    detail::check_shape("hstu", "tokens", tokens, Shape{batch.tokens(), config_.d_model}, dtype());
    PoolVector<BiasTables> tables;
    for (std::size_t i = 0; i < layers_.size(); ++i) tables.push_back(tables_of(i));
    return through_layers(dropout(with_places(tokens, batch), config_.dropout, context), context,
                          [tables, bias = lookup_.of(batch), offsets = batch.offsets, num_targets](
                              std::size_t layer, const Columns& q, const Columns& k, const Columns& v,
                              AttentionOptions options) {
      options.num_targets = num_targets;
      return hstu_attention(q, k, v, offsets, tables[layer].in(bias), options);
    });
  }

  /// Embedded tokens → hidden states, attention done by attend(layer, q, k, v, options), which owns what it uses if the
  /// layers are to run again in backward.
  template <class Attend>
  Tensor through_layers(Tensor x, ForwardContext& context, const Attend& attend) const {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (context.recompute) {
        x = recompute(x, parameters_of(i), context,
                      [layer = layers_[i], i, attend](const Tensor& input, ForwardContext& again) {
          return through_layer(layer, i, input, again, attend);
        });
      } else {
        x = through_layer(layers_[i], i, x, context, attend);
      }
    }
    return config_.l2_scores ? l2_normalize(x, config_.l2_eps) : x;
  }
  /// What the first layer sees of every token, without dropout.  Throws DataError for an item outside the table.
  Tensor embed(const JaggedBatch& batch) const { return with_places(embed_items(batch), batch); }

  /// What the model knows about distances and time differences.
  const BiasLookup& lookup() const { return lookup_; }
  /// The bias tables that a layer's attention looks into.
  const BiasTables& tables_of(std::size_t layer) const {
    return std::visit([&]<class Kind>(const Kind& l) -> const BiasTables& {
      if constexpr (std::is_same_v<Kind, Rechub01Layer>) return shared_tables_;
      else return l.tables();
    }, layers_.at(layer));
  }

  /// What item embeddings are multiplied by with scale_input_embedding: √D.
  double embedding_scale() const { return std::sqrt(static_cast<double>(config_.d_model)); }

  /// Scores rows of the item table, as losses see it; normalised if the config says so, or in the parts of a mixture.
  ItemScorer row_scorer() const {
    const Tensor& raw = scored_table();
    const Tensor table = config_.l2_scores ? l2_normalize(raw, config_.l2_eps) : raw;
    if (!mixture_) return {table, output_.bias, config_.temperature};
    const MixtureSimilarity::Items items = mixture_->items(table);
    return {items.parts, {}, config_.temperature, mixture_, items.gate};
  }

  /// Scores items, of which those in one row tie: make it once for many batches.
  ItemScorer scorer() const {
    ItemScorer scorer = row_scorer();
    if (!rows_.are_hashed()) return scorer;
    scorer.table = embedding(scorer.table, rows_.of_all());
    if (mixture_) scorer.item_gate = embedding(scorer.item_gate, rows_.of_all());
    return scorer;
  }

  /// The same model, sharing all other parameters, on the table `items` [U, D], whose places are then its items.
  HstuModel with_item_table(const Tensor& items) const {
    HstuModel model = *this;
    model.config_.num_items = items.size(0);
    model.config_.item_table_rows = 0;
    model.rows_ = ItemRows(items.size(0), 0);
    model.items_ = items;
    return model;
  }

  /// Scores of all items, [T, V].
  Tensor scores(const Tensor& hidden_states) const { return scorer()(hidden_states); }

  /// Throws ShapeError for a batch whose columns do not fit, DataError for a sequence or position beyond max_seq_len.
  void check_batch(const JaggedBatch& batch, const Tensor& num_targets = {}) const {
    const auto offsets = batch.offsets.values<std::int64_t>();
    check<ShapeError>(!offsets.empty() && offsets.front() == 0 && offsets.back() == batch.tokens() &&
                          std::ranges::is_sorted(offsets),
                      "hstu: the offsets of a batch must ascend from 0 to its number of tokens, ", batch.tokens());
    check<ShapeError>(batch.positions.numel() == batch.tokens() && batch.ages_s.numel() == batch.tokens(),
                      "hstu: a batch of ", batch.tokens(), " tokens has ", batch.positions.numel(), " positions and ",
                      batch.ages_s.numel(), " ages");
    check<ShapeError>(!num_targets.defined() || (num_targets.dtype() == DType::int64 &&
                                                 num_targets.shape() == Shape{std::ssize(offsets) - 1}),
                      "hstu: num_targets must be int64 [", offsets.size() - 1, "], got ", num_targets.dtype(),
                      num_targets.shape());
    for (std::size_t b = 0; b + 1 < offsets.size(); ++b) {
      const std::int64_t targets = num_targets.defined() ? num_targets.values<std::int64_t>()[b] : 0;
      const std::int64_t length = offsets[b + 1] - offsets[b] - std::max<std::int64_t>(0, targets - 1);
      check<DataError>(length <= config_.max_seq_len, "hstu: sequence too long: user ", b, " of the batch has ", length,
                       " tokens, the model has max_seq_len ", config_.max_seq_len);
    }
    for (const std::int32_t position : batch.positions.values<std::int32_t>()) {
      check<DataError>(position >= 0 && position < config_.max_seq_len, "hstu: position ", position,
                       " of a token, expected 0 to max_seq_len − 1 = ", config_.max_seq_len - 1);
    }
  }

  /// The row of the time embedding that is not trained, or -1: torch-rechub 0.1.0 keeps bucket 0 for padding.
  std::int64_t padding_age() const { return config_.layer == LayerKind::rechub_0_1 ? 0 : -1; }
  /// How many rows the time embedding has, and which one each token gets, int64 [T].
  std::int64_t num_age_rows() const {
    return config_.num_time_buckets + (config_.layer == LayerKind::rechub_0_1 ? 1 : 0);
  }
  Tensor age_buckets(const JaggedBatch& batch) const {
    const TimeBucketOptions options{.function = config_.time_function,
                                    .unit = config_.time_unit,
                                    .divisor = config_.time_divisor,
                                    .max_bucket = config_.num_time_buckets - 1};
    Tensor buckets(batch.ages_s.shape(), DType::int64);
    std::ranges::transform(batch.ages_s.values<std::int64_t>(), buckets.mutable_data<std::int64_t>(),
                           [&](std::int64_t age_s) { return time_bucket(age_s, options); });
    return buckets;
  }

 private:
  template <class Attend>
  static Tensor through_layer(const Layer& layer, std::size_t number, const Tensor& x, ForwardContext& context,
                              const Attend& attend) {
    const auto attend_layer = [&](const Columns& q, const Columns& k, const Columns& v,
                                  const AttentionOptions& options) { return attend(number, q, k, v, options); };
    const Tensor y = std::visit([&](const auto& kind) { return kind.forward(x, context, attend_layer); }, layer);
    return std::holds_alternative<Rechub09Layer>(layer) ? x + y : y;
  }
  /// All leaves that a layer uses, its bias tables included.
  PoolVector<Tensor> parameters_of(std::size_t layer) const {
    ParameterList list;
    std::visit([&](const auto& kind) { kind.list("", list); }, layers_[layer]);
    PoolVector<Tensor> leaves;
    for (const NamedParameter& p : list) leaves.push_back(p.value);
    if (shared_tables_.position.defined()) leaves.push_back(shared_tables_.position);
    return leaves;
  }
  Tensor embed_items(const JaggedBatch& batch) const {
    const Tensor x = embedding(items_, rows_.of(batch.items), 0);
    return config_.scale_input_embedding ? scale(x, embedding_scale()) : x;
  }
  Tensor with_places(const Tensor& tokens, const JaggedBatch& batch) const {
    const Tensor x = tokens + embedding(positions_, batch.positions);
    return ages_.defined() ? x + embedding(ages_, age_buckets(batch), padding_age()) : x;
  }

  HstuConfig config_;
  ItemRows rows_;
  BiasLookup lookup_;
  Tensor items_, positions_, ages_;
  std::vector<Layer> layers_;
  BiasTables shared_tables_;
  Linear output_;
  std::optional<MixtureSimilarity> mixture_;
};

}  // namespace hstu
