// SPDX-License-Identifier: MIT
// RankingModel on the device: features, tokens, HSTU layers, the head of several tasks and its loss.
#pragma once
#include <hstu/cuda/gated_output.hpp>
#include <hstu/cuda/model.hpp>
#include <hstu/model/ranking_model.hpp>

namespace hstu::cuda {

/// Features of some rows (of items, events or users), on the device.
class FeatureInputs {
 public:
  FeatureInputs(Device& device, const FeatureTable& table, std::span<const std::int64_t> rows, bool is_training) {
    for (const FeatureColumn& column : table) {
      Input& input = inputs_.emplace_back();
      if (column.spec.kind == FeatureKind::category) {
        std::vector<std::int32_t> ids;
        for (const std::int64_t row : rows) {
          ids.push_back(static_cast<std::int32_t>(column.categories.at(static_cast<std::size_t>(row))));
        }
        input.ids = LookupIds(device, ids, column.num_categories, is_training, -1);
      } else {
        std::vector<float> numbers;
        for (const std::int64_t row : rows) numbers.push_back(column.numbers.at(static_cast<std::size_t>(row)));
        input.numbers = Buffer<float>(device, numbers);
      }
    }
  }

  struct Input {
    LookupIds ids;          ///< of a category
    Buffer<float> numbers;  ///< of a number
  };
  const std::vector<Input>& inputs() const { return inputs_; }

 private:
  std::vector<Input> inputs_;
};

/// Items with their features.
struct ItemInputs {
  ItemInputs(Device& device, const RankingData& data, std::span<const std::int64_t> of, bool is_training)
      : ids(device, narrow(of), data.sequences->vocabulary.size(), is_training, 0),
        features(device, data.items, of, is_training) {}

  LookupIds ids;
  FeatureInputs features;

 private:
  static std::vector<std::int32_t> narrow(std::span<const std::int64_t> items) {
    std::vector<std::int32_t> result;
    for (const std::int64_t item : items) result.push_back(static_cast<std::int32_t>(item));
    return result;
  }
};

/// A batch with everything that the model and its loss see of it: copied to the device once.
class RankingInputs {
 public:
  RankingInputs(Device& device, const RankingModel& model, const RankingData& data, const RankingBatch& batch,
                bool is_training)
      : predictions_(batch.predictions()),
        sequence_(device, model.hstu(), batch.sequence, is_training),
        action_items_(device, data, RankingModel::items_of(batch.action_events, data), is_training),
        predicted_items_(device, data, batch.predicted_items, is_training),
        actions_(device, data.actions, batch.action_events, is_training),
        users_(device, data.users, batch.users, is_training) {
    if (model.ranking().input == ActionInput::interleaved) items_.emplace(device, data, batch.items, is_training);
    const auto features = std::ssize(data.users), users = std::ssize(batch.users);
    const std::int64_t first_context = std::ssize(batch.items) + std::ssize(batch.action_events);
    std::vector<std::int32_t> order, predicted_at;
    for (std::int64_t row : batch.order.values<std::int64_t>()) {
      if (row >= first_context) {  // here the features lie one below the other, there the users do
        const std::int64_t place = row - first_context;
        row = first_context + place % features * users + place / features;
      }
      order.push_back(static_cast<std::int32_t>(row));
    }
    for (const std::int64_t token : batch.predicted_at.values<std::int64_t>()) {
      predicted_at.push_back(static_cast<std::int32_t>(token));
    }
    order_ = LookupIds(device, order, std::ssize(order), is_training, -1);
    predicted_at_ = LookupIds(device, predicted_at, batch.sequence.tokens(), is_training, -1);
    const std::int64_t tasks = data.labels.size(1);
    std::vector<float> labels;
    for (const std::int64_t event : batch.predicted_events) {
      const auto of_event = data.labels.values<float>().subspan(static_cast<std::size_t>(event * tasks),
                                                                static_cast<std::size_t>(tasks));
      labels.insert(labels.end(), of_event.begin(), of_event.end());
    }
    labels_ = Buffer<float>(device, labels);
  }

  std::int64_t predictions() const { return predictions_; }
  const Batch& sequence() const { return sequence_; }
  const std::optional<ItemInputs>& items() const { return items_; }  ///< none if actions are fused with them
  const ItemInputs& action_items() const { return action_items_; }
  const ItemInputs& predicted_items() const { return predicted_items_; }
  const FeatureInputs& actions() const { return actions_; }
  const FeatureInputs& users() const { return users_; }
  const LookupIds& order() const { return order_; }
  const LookupIds& predicted_at() const { return predicted_at_; }
  const Buffer<float>& labels() const { return labels_; }

 private:
  std::int64_t predictions_;
  Batch sequence_;
  std::optional<ItemInputs> items_;
  ItemInputs action_items_, predicted_items_;
  FeatureInputs actions_, users_;
  LookupIds order_, predicted_at_;
  Buffer<float> labels_;
};

/// A ranking model whose parameters live on the device.
class RankingModelOps {
 public:
  /// Shares the tensors of `model`.  Throws ConfigError for what has no kernels.
  RankingModelOps(Device& device, const RankingModel& model, const RankingData& data)
      : model_(model),
        parameters_(std::make_shared<Parameters>(device, model.parameters())),
        hstu_(device, model.hstu(), parameters_),
        items_(features("item_features.", data.items)),
        actions_(features("actions.", data.actions)),
        users_(features("user_features.", data.users)),
        hidden_(detail::projection(*parameters_, "head.hidden")),
        output_(detail::projection(*parameters_, "head.output")),
        scale_(device, std::vector<float>{scale_of(model)}) {
    std::vector<float> weights;
    std::vector<TaskLoss> kinds;
    for (const Task& task : model.ranking().tasks) {
      weights.push_back(static_cast<float>(task.weight));
      kinds.push_back(task.kind == TaskKind::binary ? TaskLoss::logistic : TaskLoss::squared);
    }
    task_weights_ = Buffer<float>(device, weights);
    task_kinds_ = Buffer<TaskLoss>(device, kinds);
  }

  const RankingModel& on_host() const { return model_; }
  Parameters& parameters() { return *parameters_; }
  const Parameters& parameters() const { return *parameters_; }

  /// As RankingModel::operator(); `inputs` must live until backward.
  Variable operator()(Tape& tape, const RankingInputs& inputs, ForwardContext& context) const {
    std::vector<Variable> parts;
    if (inputs.items()) parts.push_back(embed_items(tape, *inputs.items()));
    parts.push_back(add(tape, embed_items(tape, inputs.action_items()),
                        scaled(tape, embed(tape, nullptr, actions_, inputs.actions()))));
    for (std::size_t f = 0; f < users_.size(); ++f) {
      parts.push_back(scaled(tape, embed_one(tape, nullptr, users_[f], inputs.users().inputs()[f])));
    }
    const Variable rows = stack_rows(tape, parts);
    const Variable states =
        hstu_.hidden_of(tape, {inputs.order(), as_table(tape, rows), 1.0f}, inputs.sequence(), context);
    const Variable at = sum_of_rows(tape, {{inputs.predicted_at(), as_table(tape, states), 1.0f}});
    const Variable h = layer_norm(tape, at, {{}, {}, model_.config().layer_norm_eps});
    const Variable c = embed_items(tape, inputs.predicted_items());
    return linear(tape, linear(tape, interaction(tape, h, c), hidden_, {.activation = Activation::silu}), output_);
  }

  /// As RankingModel::loss(), [1]; backward is that of the sum times `scale`.
  Buffer<float> loss(Tape& tape, const Variable& outputs, const RankingInputs& inputs, float scale) const {
    const Buffer<float> losses = tape.buffer(outputs->rows);
    Buffer<float> sum = tape.buffer(1);
    outputs->gradient = tape.buffer(outputs->values.size());
    const MultiTaskLoss o{outputs->values.data(), inputs.labels().data(), task_weights_.data(), task_kinds_.data(),
                          losses.data(),          outputs->gradient.data(), outputs->rows, outputs->cols, scale};
    tape.device().launch({"features", "multi_task_loss"},
                         {.blocks = detail::divide_up(o.rows, detail::kRowThreads), .threads = detail::kRowThreads}, o);
    sum_rows(tape.device(), losses.data(), outputs->rows, 1, sum.data());
    return sum;
  }

 private:
  /// Parameters of a feature: a table, or a vector for the number and one besides.
  struct Feature {
    Weights table, weight, bias;
  };
  std::vector<Feature> features(const std::string& prefix, const FeatureTable& table) const {
    std::vector<Feature> all;
    for (const FeatureColumn& column : table) {
      const std::string name = prefix + column.spec.name;
      if (column.spec.kind == FeatureKind::category) all.push_back({parameters_->at(name + ".category"), {}, {}});
      else all.push_back({{}, parameters_->at(name + ".number.weight"), parameters_->at(name + ".number.bias")});
    }
    return all;
  }
  static float scale_of(const RankingModel& model) {
    return static_cast<float>(model.config().scale_input_embedding ? model.hstu().embedding_scale() : 1.0);
  }

  static Variable embed_one(Tape& tape, const Variable& x, const Feature& feature, const FeatureInputs::Input& input) {
    if (!feature.table) return add_numbers(tape, x, input.numbers, feature.weight, feature.bias);
    const Variable rows = sum_of_rows(tape, {{input.ids, feature.table, 1.0f}});
    return x ? add(tape, x, rows) : rows;
  }
  /// x, or nothing, plus the embeddings of all features.
  static Variable embed(Tape& tape, Variable x, const std::vector<Feature>& features, const FeatureInputs& inputs) {
    for (std::size_t f = 0; f < features.size(); ++f) x = embed_one(tape, x, features[f], inputs.inputs()[f]);
    return x;
  }
  Variable embed_items(Tape& tape, const ItemInputs& inputs) const {
    const Variable x = sum_of_rows(tape, {{inputs.ids, hstu_.item_table(), 1.0f}});
    return scaled(tape, embed(tape, x, items_, inputs.features));
  }
  Variable scaled(Tape& tape, const Variable& x) const {
    const Weights scale{scale_.data(), nullptr, 1, 1};
    return model_.config().scale_input_embedding ? scale_rows(tape, x, scale) : x;
  }
  /// [h, c, h ⊙ c]
  static Variable interaction(Tape& tape, const Variable& h, const Variable& c) {
    const Variable y = tape.variable(h->rows, 3 * h->cols);
    const GatedOutput o{.normalized = c->values.data(), .joined = c->values.data(), .u = h->values.data(),
                        .weight = nullptr, .bias = nullptr, .rows = h->rows, .u_stride = h->cols, .cols = h->cols,
                        .groups = 1, .gate = Gate::none, .joins_u = true, .dropout = {}};
    gated_output_forward(tape.device(), {o, y->values.data()});
    tape.record([&tape, h, c, y, o] {
      const Buffer<float> dy = std::move(y->gradient);
      tape.add_gradient(*h, [&](float* dh) {
        tape.add_gradient(*c, [&](float* dc) {
          gated_output_backward(tape.device(), {o, dy.data(), dc, nullptr, dh, nullptr}, nullptr);
        });
      });
    });
    return y;
  }

  RankingModel model_;
  std::shared_ptr<Parameters> parameters_;
  Model hstu_;
  std::vector<Feature> items_, actions_, users_;
  Projection hidden_, output_;
  Buffer<float> scale_, task_weights_;
  Buffer<TaskLoss> task_kinds_;
};

}  // namespace hstu::cuda
