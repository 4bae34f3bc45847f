// SPDX-License-Identifier: MIT
// Mixture of logits: a similarity of query and item richer than one dot product.
#pragma once
#include <array>
#include <cmath>

#include <hstu/ops/operands.hpp>

namespace hstu {

/// Queries and items as parts of width d, and what gates their pairs; P = query_parts · item_parts pairs p = (a, b),
/// numbered a · item_parts + b.
struct MixtureOperands {
  Tensor query;        ///< [T, query_parts · d]
  Tensor query_gate;   ///< [T, P]
  Tensor items;        ///< [V, item_parts · d]
  Tensor item_gate;    ///< [V, P]
  Tensor cross;        ///< [P, P]
  std::int64_t query_parts = 1;
  std::int64_t item_parts = 1;
  double temperature = 1.0;

  std::int64_t pairs() const { return query_parts * item_parts; }
};

/// Most pairs of parts.
inline constexpr std::int64_t kMaxMixturePairs = 256;

namespace detail {

inline void check_mixture(const MixtureOperands& o, const Tensor& ids) {
  constexpr const char* kOp = "mixture_of_logits";
  check<ConfigError>(o.query_parts >= 1 && o.item_parts >= 1 && o.query_parts <= kMaxMixturePairs &&
                         o.item_parts <= kMaxMixturePairs && o.pairs() <= kMaxMixturePairs && o.temperature > 0,
                     kOp, ": needs parts >= 1 with at most ", kMaxMixturePairs, " pairs and a temperature > 0, got ",
                     o.query_parts, ", ", o.item_parts, " and ", o.temperature);
  check_has_columns(kOp, "query", o.query);
  check_has_columns(kOp, "items", o.items);
  const std::int64_t T = o.query.size(0), V = o.items.size(0), P = o.pairs(), d = o.query.size(1) / o.query_parts;
  check<ShapeError>(o.query.rank() == 2 && d >= 1 && o.query.size(1) == o.query_parts * d, kOp, ": query must be [T, ",
                    o.query_parts, "·d], got ", o.query.shape());
  check_shape(kOp, "items", o.items, Shape{V, o.item_parts * d}, o.query.dtype());
  check_shape(kOp, "query_gate", o.query_gate, Shape{T, P}, o.query.dtype());
  check_shape(kOp, "item_gate", o.item_gate, Shape{V, P}, o.query.dtype());
  check_shape(kOp, "cross", o.cross, Shape{P, P}, o.query.dtype());
  check<ShapeError>(ids.defined() && ids.dtype() == DType::int32 && ids.rank() == 2 && ids.size(0) == T, kOp,
                    ": ids must be int32 [", T, ", C], got ", ids.defined() ? concat(ids.dtype(), ids.shape()) : "none");
  for (const std::int32_t id : ids.values<std::int32_t>()) {
    check<DataError>(id >= 0 && id < V, kOp, ": id ", id, " is outside of the ", V, " items");
  }
}

/// One query with one item after the other.
template <class Scalar>
class MixturePass {
 public:
  explicit MixturePass(const MixtureOperands& o)
      : o_(o), P_(o.pairs()), d_(o.query.size(1) / o.query_parts), scale_(static_cast<Scalar>(1.0 / o.temperature)) {}

  /// φ; leaves logits, gates and weights of the pair behind.
  Scalar forward(std::int64_t t, std::int64_t item) {
    const Scalar* const q = o_.query.data<Scalar>() + t * o_.query.size(1);
    const Scalar* const x = o_.items.data<Scalar>() + item * o_.items.size(1);
    for (std::int64_t a = 0, p = 0; a < o_.query_parts; ++a) {
      for (std::int64_t b = 0; b < o_.item_parts; ++b, ++p) {
        Scalar dot = 0;
        for (std::int64_t c = 0; c < d_; ++c) dot += q[a * d_ + c] * x[b * d_ + c];
        at(logit_, p) = dot * scale_;
      }
    }
    Scalar largest = 0;
    for (std::int64_t p = 0; p < P_; ++p) {
      Scalar gate = o_.query_gate.data<Scalar>()[t * P_ + p] * o_.item_gate.data<Scalar>()[item * P_ + p];
      const Scalar* const cross = o_.cross.data<Scalar>() + p * P_;
      for (std::int64_t r = 0; r < P_; ++r) gate += cross[r] * at(logit_, r);
      at(gate_, p) = gate;
      at(weight_, p) = gate / (Scalar(1) + std::exp(-gate));
      if (p == 0 || at(weight_, p) > largest) largest = at(weight_, p);
    }
    Scalar sum = 0, mixed = 0;
    for (std::int64_t p = 0; p < P_; ++p) sum += at(weight_, p) = std::exp(at(weight_, p) - largest);
    for (std::int64_t p = 0; p < P_; ++p) mixed += (at(weight_, p) /= sum) * at(logit_, p);
    return mixed;
  }

  /// Adds the gradients of the pair, whose dφ is `slope`; null where nobody wants one.
  struct Into {
    Scalar *query, *query_gate, *items, *item_gate, *cross;
  };
  void backward(std::int64_t t, std::int64_t item, Scalar slope, const Into& into) {
    const Scalar mixed = forward(t, item);
    for (std::int64_t p = 0; p < P_; ++p) at(dlogit_, p) = slope * at(weight_, p);
    for (std::int64_t p = 0; p < P_; ++p) {
      const Scalar s = Scalar(1) / (Scalar(1) + std::exp(-at(gate_, p)));
      const Scalar slope_of_silu = s * (Scalar(1) + at(gate_, p) * (Scalar(1) - s));
      const Scalar dgate = slope * at(weight_, p) * (at(logit_, p) - mixed) * slope_of_silu;
      const std::int64_t of_query = t * P_ + p, of_item = item * P_ + p;
      if (into.query_gate != nullptr) into.query_gate[of_query] += dgate * o_.item_gate.data<Scalar>()[of_item];
      if (into.item_gate != nullptr) into.item_gate[of_item] += dgate * o_.query_gate.data<Scalar>()[of_query];
      for (std::int64_t r = 0; r < P_; ++r) {
        at(dlogit_, r) += dgate * o_.cross.data<Scalar>()[p * P_ + r];
        if (into.cross != nullptr) into.cross[p * P_ + r] += dgate * at(logit_, r);
      }
    }
    const std::int64_t of_query = t * o_.query.size(1), of_item = item * o_.items.size(1);
    for (std::int64_t a = 0, p = 0; a < o_.query_parts; ++a) {
      for (std::int64_t b = 0; b < o_.item_parts; ++b, ++p) {
        const Scalar slope_of_dot = at(dlogit_, p) * scale_;
        for (std::int64_t c = 0; c < d_; ++c) {
          const std::int64_t q = of_query + a * d_ + c, x = of_item + b * d_ + c;
          if (into.query != nullptr) into.query[q] += slope_of_dot * o_.items.data<Scalar>()[x];
          if (into.items != nullptr) into.items[x] += slope_of_dot * o_.query.data<Scalar>()[q];
        }
      }
    }
  }

 private:
  using Numbers = std::array<Scalar, kMaxMixturePairs>;
  static Scalar& at(Numbers& numbers, std::int64_t p) { return numbers[static_cast<std::size_t>(p)]; }

  const MixtureOperands& o_;
  std::int64_t P_, d_;
  Scalar scale_;
  Numbers logit_, gate_, weight_, dlogit_;
};

}  // namespace detail

/// φ [T, C] of query t and item ids[t, c], with ℓ_p = query_a · item_b / temperature for the pairs p = (a, b):
///   g = query_gate ⊙ item_gate + cross·ℓ,   π = softmax(g·σ(g)),   φ = Σ_p π_p·ℓ_p
/// docs/math.md (S1), (S2).  Cost: 2·P·(d + P) flops a pair forward, three times that backward, which computes it again.
/// Throws ShapeError for operands that do not fit, DataError for an id that is no item, ConfigError for too many parts.
/// Source: Zhai et al. 2023, Revisiting Neural Retrieval on Accelerators; the gate as in generative-recommenders'
/// MoLSimilarity with combination glu_silu.
inline Tensor mixture_of_logits(const MixtureOperands& o, const Tensor& ids) {
  detail::check_mixture(o, ids);
  const std::int64_t T = ids.size(0), C = ids.size(1);
  Tensor y({T, C}, o.query.dtype());
  const auto for_each = [ids, C](const auto& body) {
    const auto items = ids.values<std::int32_t>();
    for (std::size_t i = 0; i < items.size(); ++i) body(static_cast<std::int64_t>(i) / C, items[i], i);
  };
  dispatch_floating("mixture_of_logits", y.dtype(), [&]<class Scalar>(Scalar) {
    detail::MixturePass<Scalar> pass(o);
    const auto values = y.mutable_values<Scalar>();
    for_each([&](std::int64_t t, std::int64_t item, std::size_t i) { values[i] = pass.forward(t, item); });
  });
  return record("mixture_of_logits", y, {o.query, o.query_gate, o.items, o.item_gate, o.cross},
                [o, for_each](const Tensor& dy, Accumulator& into) {
    dispatch_floating("mixture_of_logits", dy.dtype(), [&]<class Scalar>(Scalar) {
      const auto buffer = [&](const Tensor& x) {
        return Accumulator::wants(x) ? into.buffer(x).template mutable_data<Scalar>() : nullptr;
      };
      const typename detail::MixturePass<Scalar>::Into gradients{buffer(o.query), buffer(o.query_gate), buffer(o.items),
                                                                 buffer(o.item_gate), buffer(o.cross)};
      detail::MixturePass<Scalar> pass(o);
      for_each([&](std::int64_t t, std::int64_t item, std::size_t i) {
        pass.backward(t, item, dy.values<Scalar>()[i], gradients);
      });
    });
  });
}

}  // namespace hstu
