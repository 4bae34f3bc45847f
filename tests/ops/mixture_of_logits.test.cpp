// SPDX-License-Identifier: MIT
// Mixture of logits: against plain loops and finite differences, the dot product as a case of it, errors.
#include <hstu/model/mixture_similarity.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

struct MixtureCase {
  std::int64_t queries, items, candidates, query_parts, item_parts, width;
};
constexpr MixtureCase kMixtureCases[] = {{1, 1, 1, 1, 1, 1}, {3, 5, 2, 2, 3, 4}, {2, 7, 7, 4, 4, 3}, {5, 3, 1, 1, 2, 33},
                                         {0, 2, 3, 2, 2, 2}, {2, 2, 0, 2, 2, 2}, {31, 9, 4, 3, 1, 5}, {4, 4, 3, 2, 2, 16}};

std::vector<Tensor> inputs_of(const MixtureCase& c) {
  const std::int64_t P = c.query_parts * c.item_parts;
  return {random_input({c.queries, c.query_parts * c.width}, 1), random_input({c.queries, P}, 2),
          random_input({c.items, c.item_parts * c.width}, 3), random_input({c.items, P}, 4),
          random_input({P, P}, 5, 0.5)};
}

MixtureOperands operands_of(const MixtureCase& c, const std::vector<Tensor>& x) {
  return {x[0], x[1], x[2], x[3], x[4], c.query_parts, c.item_parts, 0.7};
}

Tensor ids_of(const MixtureCase& c) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < c.queries * c.candidates; ++i) ids.push_back(static_cast<std::int32_t>(i * i % c.items));
  return Tensor::from(ids, {c.queries, c.candidates});
}

/// The definition.
Values by_loops(const MixtureCase& c, const std::vector<Tensor>& x, const Tensor& ids) {
  const auto P = static_cast<std::size_t>(c.query_parts * c.item_parts);
  Values result;
  for (std::int64_t t = 0; t < c.queries; ++t) {
    for (std::int64_t k = 0; k < c.candidates; ++k) {
      const std::int64_t item = ids.data<std::int32_t>()[t * c.candidates + k];
      Values logit(P), a(P);
      for (std::size_t p = 0; p < P; ++p) {
        const auto pair = static_cast<std::int64_t>(p);
        const std::int64_t qa = pair / c.item_parts, xb = pair % c.item_parts;
        for (std::int64_t d = 0; d < c.width; ++d) {
          logit[p] += x[0].data<double>()[(t * c.query_parts + qa) * c.width + d] *
                      x[2].data<double>()[(item * c.item_parts + xb) * c.width + d] / 0.7;
        }
      }
      double sum = 0.0, mixed = 0.0;
      for (std::size_t p = 0; p < P; ++p) {
        const auto of = [&](const Tensor& gate, std::int64_t row) {
          return gate.data<double>()[static_cast<std::size_t>(row) * P + p];
        };
        double g = of(x[1], t) * of(x[3], item);
        for (std::size_t r = 0; r < P; ++r) g += x[4].data<double>()[p * P + r] * logit[r];
        a[p] = std::exp(g / (1.0 + std::exp(-g)));
        sum += a[p];
      }
      for (std::size_t p = 0; p < P; ++p) mixed += a[p] / sum * logit[p];
      result.push_back(mixed);
    }
  }
  return result;
}

}  // namespace

TEST_CASE("mixture_of_logits: values and gradients", "[ops][mixture_of_logits][gradcheck]") {
  for (const MixtureCase& c : kMixtureCases) {
    CAPTURE(c.queries, c.items, c.candidates, c.query_parts, c.item_parts, c.width);
    const std::vector<Tensor> inputs = inputs_of(c);
    const Tensor ids = ids_of(c);
    const Op op = [&](const std::vector<Tensor>& x) { return mixture_of_logits(operands_of(c, x), ids); };
    check_values(op, inputs, by_loops(c, inputs, ids), 1e-4);
    check_gradients(op, inputs, 1e-3);
  }
}

TEST_CASE("mixture_of_logits: one part each is a dot product", "[ops][mixture_of_logits][property]") {
  const MixtureCase c{3, 4, 4, 1, 1, 5};
  const std::vector<Tensor> x = inputs_of(c);
  const Tensor y = mixture_of_logits(operands_of(c, x), ids_of(c));
  const Tensor dots = linear(x[0], x[2], {});
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const std::int64_t item = ids_of(c).data<std::int32_t>()[i];
    CHECK(std::abs(y.data<double>()[i] - dots.data<double>()[i / 4 * 4 + item] / 0.7) < 1e-12);
  }
}

TEST_CASE("mixture_similarity: gradients of its parameters, and all items as candidates",
          "[ops][mixture_of_logits][gradcheck]") {
  Initializer init(3, DType::float64);
  const MixtureSimilarity similarity({.query_parts = 2, .item_parts = 3, .part_width = 4, .temperature = 0.5}, 5, init);
  ParameterList list;
  similarity.list("similarity", list);
  CHECK(list.size() == 9);
  std::vector<Tensor> inputs = as_parameters({random_input({3, 5}, 7), random_input({11, 5}, 8)}, DType::float64);
  for (const NamedParameter& p : list) inputs.push_back(p.value);
  const Tensor ids = Tensor::from(std::vector<std::int32_t>{2, 0, 3, 10, 9, 9}, {3, 2});
  const Op op = [&](const std::vector<Tensor>& x) {
    return mixture_of_logits(similarity.operands(x[0], similarity.items(x[1])), ids);
  };
  const auto result = gradcheck(op, inputs);
  INFO(result.message);
  CHECK(result.ok);
  const Tensor some = op(inputs), all = mixture_of_all(similarity.operands(inputs[0], similarity.items(inputs[1])));
  for (std::int64_t t = 0; t < 3; ++t) {
    for (std::int64_t c = 0; c < 2; ++c) {
      CHECK(some.data<double>()[t * 2 + c] == all.data<double>()[t * 11 + ids.data<std::int32_t>()[t * 2 + c]]);
    }
    for (std::int64_t v = 0; v < 11; ++v) CHECK(std::abs(all.data<double>()[t * 11 + v]) <= 2.0 + 1e-9);  // cosines / 0.5
  }
}

TEST_CASE("mixture_of_logits: errors name the operand", "[ops][mixture_of_logits][errors]") {
  const MixtureCase c{3, 5, 2, 2, 3, 4};
  const MixtureOperands good = operands_of(c, inputs_of(c));
  const Tensor ids = ids_of(c);
  const auto with = [&](auto change) {
    MixtureOperands changed = good;
    change(changed);
    return changed;
  };
  CHECK_NOTHROW(mixture_of_logits(good, ids));
  CHECK_THROWS_MATCHES(mixture_of_logits(with([](auto& o) { o.query_parts = 3; }), ids), ShapeError, says("query must be"));
  CHECK_THROWS_MATCHES(mixture_of_logits(with([](auto& o) { o.item_parts = 0; }), ids), ConfigError, says("parts >= 1"));
  CHECK_THROWS_MATCHES(mixture_of_logits(with([](auto& o) { o.item_parts = 200; }), ids), ConfigError, says("256 pairs"));
  CHECK_THROWS_MATCHES(mixture_of_logits(with([](auto& o) { o.temperature = 0; }), ids), ConfigError, says("temperature"));
  CHECK_THROWS_MATCHES(mixture_of_logits(with([](auto& o) { o.items = random_input({5, 8}); }), ids), ShapeError,
                       says("items must be"));
  CHECK_THROWS_MATCHES(mixture_of_logits(with([](auto& o) { o.query_gate = Tensor(); }), ids), ShapeError,
                       says("query_gate"));
  CHECK_THROWS_MATCHES(mixture_of_logits(with([](auto& o) { o.item_gate = random_input({5, 5}); }), ids), ShapeError,
                       says("item_gate must be"));
  CHECK_THROWS_MATCHES(mixture_of_logits(with([](auto& o) { o.cross = random_input({6, 5}); }), ids), ShapeError,
                       says("cross must be"));
  CHECK_THROWS_MATCHES(mixture_of_all(with([](auto& o) { o.cross = random_input({6, 5}); })), ShapeError,
                       says("cross must be"));
  CHECK_THROWS_MATCHES(mixture_of_logits(good, Tensor()), ShapeError, says("ids must be int32 [3, C]"));
  CHECK_THROWS_MATCHES(mixture_of_logits(good, Tensor::from(std::vector<std::int32_t>{0, 5, 1}, {3, 1})), DataError,
                       says("id 5 is outside of the 5 items"));
}
