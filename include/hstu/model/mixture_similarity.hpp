// SPDX-License-Identifier: MIT
// The parameters of a mixture of logits, between hidden states and an item table.
#pragma once
#include <hstu/nn/init.hpp>
#include <hstu/nn/layers.hpp>
#include <hstu/ops/l2_normalize.hpp>
#include <hstu/ops/mixture_of_logits.hpp>
#include <hstu/ops/reshape.hpp>

namespace hstu {

/// The sizes of a mixture.
struct MixtureConfig {
  std::int64_t query_parts = 4;
  std::int64_t item_parts = 4;
  std::int64_t part_width = 16;
  double temperature = 0.05;
  double l2_eps = 1e-6;
};

/// hidden [T,D], item table [V,D] → parts, each L2-normalised, and gates, all by linear maps → mixture_of_logits.
/// In the place of a dot product of hidden state and item; one part each is a dot product of projections.
class MixtureSimilarity {
 public:
  MixtureSimilarity(const MixtureConfig& config, std::int64_t d_model, Initializer& init) : config_(config) {
    const std::int64_t pairs = config.query_parts * config.item_parts;
    const auto map = [&](std::int64_t width) {
      return Linear{init.xavier_uniform({width, d_model}), init.zeros({width})};
    };
    query_ = map(config.query_parts * config.part_width);
    item_ = map(config.item_parts * config.part_width);
    query_gate_ = map(pairs);
    item_gate_ = map(pairs);
    cross_ = init.xavier_uniform({pairs, pairs});
  }

  /// The items' side, once for all queries: parts [V, item_parts·part_width] and gates [V, P] of a table [V, D].
  struct Items {
    Tensor parts, gate;
  };
  Items items(const Tensor& table) const { return {parts(item_(table)), item_gate_(table)}; }

  MixtureOperands operands(const Tensor& hidden, const Items& items) const {
    return {.query = parts(query_(hidden)),
            .query_gate = query_gate_(hidden),
            .items = items.parts,
            .item_gate = items.gate,
            .cross = cross_,
            .query_parts = config_.query_parts,
            .item_parts = config_.item_parts,
            .temperature = config_.temperature};
  }
  void list(const std::string& prefix, ParameterList& into) const {
    query_.list(prefix + ".query", into);
    item_.list(prefix + ".item", into);
    query_gate_.list(prefix + ".query_gate", into);
    item_gate_.list(prefix + ".item_gate", into);
    into.push_back({prefix + ".cross", cross_});
  }

 private:
  Tensor parts(const Tensor& x) const {
    return reshape(l2_normalize(reshape(x, {x.numel() / config_.part_width, config_.part_width}), config_.l2_eps),
                   x.shape());
  }

  MixtureConfig config_;
  Linear query_, item_, query_gate_, item_gate_;
  Tensor cross_;
};

}  // namespace hstu
