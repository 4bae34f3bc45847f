// SPDX-License-Identifier: MIT
// Mixture of logits: a similarity of query and item richer than one dot product.
#pragma once
#include <numeric>
#include <vector>

#include <hstu/core/simd.hpp>
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

/// Queries with eight items at a time, which lie in the lanes of packs.
template <class Scalar>
class MixturePass {
 public:
  explicit MixturePass(const MixtureOperands& o)
      : o_(o), P_(o.pairs()), d_(o.query.size(1) / o.query_parts), scale_(static_cast<Scalar>(1.0 / o.temperature)),
        query_(o.query_parts * d_), query_gate_(P_), items_(o.item_parts * d_), item_gate_(P_), logits_(P_), gates_(P_),
        weights_(P_), dlogits_(P_), ditems_(o.item_parts * d_), ditem_gate_(P_), dcross_(P_ * P_) {}

  /// Items for the forward() and backward() that follow.
  void load_items(const std::int32_t* ids) {
    std::copy_n(ids, kLanes, ids_);
    items_.load_rows(o_.items.data<Scalar>(), ids_, o_.items.size(1));
    item_gate_.load_rows(o_.item_gate.data<Scalar>(), ids_, P_);
  }

  /// φ; leaves logits, gates and weights of the pairs behind.
  Pack<Scalar> forward(std::int64_t t) {
    const Scalar* const q = o_.query.data<Scalar>() + t * o_.query.size(1);
    const Scalar* const query_gate = o_.query_gate.data<Scalar>() + t * P_;
    for (std::int64_t a = 0, p = 0; a < o_.query_parts; ++a) {
      for (std::int64_t b = 0; b < o_.item_parts; ++b, ++p) {
        Pack<Scalar> dot{};
        for (std::int64_t c = 0; c < d_; ++c) dot = mul_add(splat(q[a * d_ + c]), items_[b * d_ + c], dot);
        logits_.set(p, dot * scale_);
      }
    }
    Pack<Scalar> largest{};
    for (std::int64_t p = 0; p < P_; ++p) {
      Pack<Scalar> gate = query_gate[p] * item_gate_[p];
      const Scalar* const cross = o_.cross.data<Scalar>() + p * P_;
      for (std::int64_t r = 0; r < P_; ++r) gate = mul_add(splat(cross[r]), logits_[r], gate);
      gates_.set(p, gate);
      weights_.set(p, gate * sigmoid(gate));
      largest = p == 0 ? weights_[p] : max(weights_[p], largest);
    }
    Pack<Scalar> sum{}, mixed{};
    for (std::int64_t p = 0; p < P_; ++p) {
      weights_.set(p, exp(weights_[p] - largest));
      sum += weights_[p];
    }
    for (std::int64_t p = 0; p < P_; ++p) {
      weights_.set(p, weights_[p] / sum);
      mixed = mul_add(weights_[p], logits_[p], mixed);
    }
    return mixed;
  }

  /// Where gradients are added; null where nobody wants one.
  struct Into {
    Scalar *query, *query_gate, *items, *item_gate, *cross;
  };
  /// Adds the gradients of the first `count` items; `slope` is dφ, 0 in the lanes behind them.
  void backward(std::int64_t t, Pack<Scalar> slope, std::int64_t count, const Into& into) {
    const Pack<Scalar> mixed = forward(t);
    const Scalar* const query_gate = o_.query_gate.data<Scalar>() + t * P_;
    for (std::int64_t p = 0; p < P_; ++p) dlogits_.set(p, slope * weights_[p]);
    for (std::int64_t p = 0; p < P_; ++p) {
      const Pack<Scalar> open = sigmoid(gates_[p]);
      const Pack<Scalar> slope_of_silu = open * (Scalar(1) + gates_[p] * (Scalar(1) - open));
      const Pack<Scalar> dgate = slope * weights_[p] * (logits_[p] - mixed) * slope_of_silu;
      query_gate_.add(p, dgate * item_gate_[p]);
      ditem_gate_.set(p, dgate * query_gate[p]);
      const Scalar* const cross = o_.cross.data<Scalar>() + p * P_;
      for (std::int64_t r = 0; r < P_; ++r) {
        dlogits_.add(r, dgate * cross[r]);
        dcross_.add(p * P_ + r, dgate * logits_[r]);
      }
    }
    const Scalar* const q = o_.query.data<Scalar>() + t * o_.query.size(1);
    ditems_.clear();
    for (std::int64_t a = 0, p = 0; a < o_.query_parts; ++a) {
      for (std::int64_t b = 0; b < o_.item_parts; ++b, ++p) {
        const Pack<Scalar> slope_of_dot = dlogits_[p] * scale_;
        for (std::int64_t c = 0; c < d_; ++c) {
          query_.add(a * d_ + c, slope_of_dot * items_[b * d_ + c]);
          ditems_.add(b * d_ + c, slope_of_dot * q[a * d_ + c]);
        }
      }
    }
    if (into.items != nullptr) ditems_.add_to_rows(into.items, ids_, count, o_.items.size(1));
    if (into.item_gate != nullptr) ditem_gate_.add_to_rows(into.item_gate, ids_, count, P_);
  }
  /// Adds what backward() has gathered for query t.
  void end_query(std::int64_t t, const Into& into) {
    if (into.query != nullptr) query_.add_sums_to(into.query + t * o_.query.size(1), o_.query.size(1));
    if (into.query_gate != nullptr) query_gate_.add_sums_to(into.query_gate + t * P_, P_);
    query_.clear();
    query_gate_.clear();
  }
  /// Adds what backward() has gathered for all queries.
  void end(const Into& into) const {
    if (into.cross != nullptr) dcross_.add_sums_to(into.cross, P_ * P_);
  }

 private:
  /// A row of packs, zeros in those that fill it up to a multiple of eight.
  class Packs {
   public:
    explicit Packs(std::int64_t count)
        : numbers_(Tensor::zeros({whole_packs(count) * kLanes}, dtype_of<Scalar>())),
          data_(numbers_.template mutable_data<Scalar>()) {}
    Packs(const Packs&) = delete;
    Packs& operator=(const Packs&) = delete;
    Pack<Scalar> operator[](std::int64_t i) const { return load(data_ + i * kLanes); }
    void set(std::int64_t i, Pack<Scalar> x) { store(data_ + i * kLanes, x); }
    void add(std::int64_t i, Pack<Scalar> x) { set(i, (*this)[i] + x); }
    void clear() { numbers_.fill_zero(); }

    /// Lane i of pack c is table[ids[i], c].
    void load_rows(const Scalar* table, const std::int32_t* ids, std::int64_t width) {
      const Scalar* rows[kLanes];
      for (std::int64_t i = 0; i < kLanes; ++i) rows[i] = table + ids[i] * width;
      for (std::int64_t c = 0; c < width; c += kLanes) {
        transpose_8x8(rows, c, splat(Scalar(1)), data_ + c * kLanes, kLanes);
      }
    }
    /// table[ids[i], c] += lane i of pack c, one row after the other: ids may repeat.
    void add_to_rows(Scalar* table, const std::int32_t* ids, std::int64_t count, std::int64_t width) const {
      for (std::int64_t c = 0; c < width; c += kLanes) {
        Pack<Scalar> columns[kLanes], rows[kLanes];
        for (std::int64_t i = 0; i < kLanes; ++i) columns[i] = (*this)[c + i];
        transpose_packs<Scalar>(columns, rows);
        for (std::int64_t i = 0; i < count; ++i) {
          Scalar* const to = table + ids[i] * width + c;
          store(to, load(to) + rows[i]);
        }
      }
    }
    void add_sums_to(Scalar* to, std::int64_t count) const {
      for (std::int64_t i = 0; i < count; ++i) to[i] += simd::sum((*this)[i]);
    }

   private:
    Tensor numbers_;
    Scalar* data_;
  };

  const MixtureOperands& o_;
  std::int64_t P_, d_;
  Scalar scale_;
  Packs query_, query_gate_;  // gradients of one query, over all its items
  Packs items_, item_gate_, logits_, gates_, weights_, dlogits_, ditems_, ditem_gate_, dcross_;
  std::int32_t ids_[kLanes] = {};
};

/// Calls body(first, ids of eight, how many of them count) along a row of ids; behind the last it is repeated.
template <class Body>
void for_each_eight(std::span<const std::int32_t> ids, const Body& body) {
  for (std::size_t first = 0; first < ids.size(); first += kLanes) {
    const std::size_t count = std::min<std::size_t>(kLanes, ids.size() - first);
    std::int32_t eight[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) eight[i] = ids[first + std::min(i, count - 1)];
    body(static_cast<std::int64_t>(first), eight, static_cast<std::int64_t>(count));
  }
}

}  // namespace detail

/// φ [T, C] of query t and item ids[t, c], with ℓ_p = query_a · item_b / temperature for the pairs p = (a, b):
///   g = query_gate ⊙ item_gate + cross·ℓ,   π = softmax(g·σ(g)),   φ = Σ_p π_p·ℓ_p
/// docs/math.md (S1), (S2).  Cost: 2·P·(d + P) flops a candidate forward, three times that backward, which computes them
/// again.
/// Throws ShapeError for operands that do not fit, DataError for an id that is no item, ConfigError for too many parts.
/// Source: Zhai et al. 2023, Revisiting Neural Retrieval on Accelerators; the gate as in generative-recommenders'
/// MoLSimilarity with combination glu_silu.
inline Tensor mixture_of_logits(const MixtureOperands& o, const Tensor& ids) {
  detail::check_mixture(o, ids);
  const std::int64_t T = ids.size(0), C = ids.size(1);
  const auto row_of = [ids, C](std::int64_t t) {
    return ids.values<std::int32_t>().subspan(static_cast<std::size_t>(t * C), static_cast<std::size_t>(C));
  };
  Tensor y({T, C}, o.query.dtype());
  dispatch_floating("mixture_of_logits", y.dtype(), [&]<class Scalar>(Scalar) {
    detail::MixturePass<Scalar> pass(o);
    for (std::int64_t t = 0; t < T; ++t) {
      detail::for_each_eight(row_of(t), [&](std::int64_t first, const std::int32_t* eight, std::int64_t count) {
        pass.load_items(eight);
        const simd::Pack<Scalar> mixed = pass.forward(t);
        for (std::int64_t i = 0; i < count; ++i) y.mutable_data<Scalar>()[t * C + first + i] = mixed[i];
      });
    }
  });
  return record("mixture_of_logits", y, {o.query, o.query_gate, o.items, o.item_gate, o.cross},
                [o, row_of, T, C](const Tensor& dy, Accumulator& into) {
    dispatch_floating("mixture_of_logits", dy.dtype(), [&]<class Scalar>(Scalar) {
      const auto buffer = [&](const Tensor& x) {
        return Accumulator::wants(x) ? into.buffer(x).template mutable_data<Scalar>() : nullptr;
      };
      const typename detail::MixturePass<Scalar>::Into gradients{buffer(o.query), buffer(o.query_gate), buffer(o.items),
                                                                 buffer(o.item_gate), buffer(o.cross)};
      detail::MixturePass<Scalar> pass(o);
      for (std::int64_t t = 0; t < T; ++t) {
        detail::for_each_eight(row_of(t), [&](std::int64_t first, const std::int32_t* eight, std::int64_t count) {
          simd::Pack<Scalar> slope{};
          for (std::int64_t i = 0; i < count; ++i) slope[i] = dy.data<Scalar>()[t * C + first + i];
          pass.load_items(eight);
          pass.backward(t, slope, count, gradients);
        });
        pass.end_query(t, gradients);
      }
      pass.end(gradients);
    });
  });
}

/// The same of every item, [T, V], for scoring: no gradient, the items read once for all queries.
inline Tensor mixture_of_all(const MixtureOperands& o) {
  const std::int64_t T = o.query.size(0), V = o.items.size(0);
  detail::check_mixture(o, Tensor({T, 0}, DType::int32));
  std::vector<std::int32_t> ids(static_cast<std::size_t>(V));
  std::iota(ids.begin(), ids.end(), 0);
  Tensor y({T, V}, o.query.dtype());
  dispatch_floating("mixture_of_all", y.dtype(), [&]<class Scalar>(Scalar) {
    detail::MixturePass<Scalar> pass(o);
    detail::for_each_eight(ids, [&](std::int64_t first, const std::int32_t* eight, std::int64_t count) {
      pass.load_items(eight);
      for (std::int64_t t = 0; t < T; ++t) {
        const simd::Pack<Scalar> mixed = pass.forward(t);
        for (std::int64_t i = 0; i < count; ++i) y.mutable_data<Scalar>()[t * V + first + i] = mixed[i];
      }
    });
  });
  return y;
}

}  // namespace hstu
