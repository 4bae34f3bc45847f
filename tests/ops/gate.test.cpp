// SPDX-License-Identifier: MIT
// The fused gates against their composed forms, plain loops and finite differences.
#include <hstu/ops/gate.hpp>

#include "../check_op.hpp"
#include "../reference/rows.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

const Shape kGateShapes[] = {{3}, {0, 4}, {4, 0}, {5, 2}, {3, 31}, {2, 2, 33}, {3, 50}, {1, 7}, {3, 16}};
constexpr double kGateEps = 1e-6;

struct Gate {
  const char* name;
  std::size_t num_inputs;  // a, u, weight, bias
  Op fused, composed;
};
const Gate kGates[] = {
    {"norm_gate", 2, [](const auto& v) { return norm_gate(v[0], v[1], kGateEps); },
     [](const auto& v) { return norm_gate_composed(v[0], v[1], kGateEps); }},
    {"norm_gate with weights", 4, [](const auto& v) { return norm_gate(v[0], v[1], v[2], v[3], kGateEps); },
     [](const auto& v) { return norm_gate_composed(v[0], v[1], v[2], v[3], kGateEps); }},
    {"sigmoid_gate", 2, [](const auto& v) { return sigmoid_gate(v[0], v[1]); },
     [](const auto& v) { return sigmoid_gate_composed(v[0], v[1]); }},
};

std::vector<Tensor> inputs(const Gate& gate, const Shape& shape) {
  std::vector<Tensor> in = {random_input(shape, 1), random_input(shape, 2), random_input({shape[-1]}, 3),
                            random_input({shape[-1]}, 4)};
  in.resize(gate.num_inputs);
  return in;
}

}  // namespace

TEST_CASE("norm_gate, sigmoid_gate: scalars and missing gates are refused", "[ops][gate][errors]") {
  const Tensor a = Tensor::zeros({3}), scalar = Tensor::zeros({});
  REQUIRE_THROWS_MATCHES(sigmoid_gate(scalar, scalar), ShapeError, says("sigmoid_gate: u must have"));
  REQUIRE_THROWS_MATCHES(norm_gate(a, scalar, kGateEps), ShapeError, says("norm_gate: u must have"));
  REQUIRE_THROWS_MATCHES(norm_gate(a, Tensor(), kGateEps), ShapeError, says("norm_gate: u is undefined"));
}

TEST_CASE("norm_gate, sigmoid_gate: a gate may be columns of a wider tensor", "[ops][gate][gradcheck]") {
  const Tensor a = random_input({5, 11}, 1), wide = random_input({5, 16}, 2);
  const auto cut = [](const Tensor& x) { return split_columns(x, {3, 11, 2})[1]; };
  const std::vector<std::pair<Op, Op>> ops{
      {[](const auto& v) { return norm_gate(v[0], Columns(v[1], 3, 11), kGateEps); },
       [&](const auto& v) { return norm_gate_composed(v[0], cut(v[1]), kGateEps); }},
      {[](const auto& v) { return sigmoid_gate(v[0], Columns(v[1], 3, 11)); },
       [&](const auto& v) { return sigmoid_gate_composed(v[0], cut(v[1])); }}};
  for (const auto& [fused, composed] : ops) {
    check_values(fused, {a, wide}, composed({a, wide}).to_vector<double>());
    check_gradients(fused, {a, wide});
  }
}

TEST_CASE("gate: values are those of plain loops", "[ops][gate][parity]") {
  for (const Shape& shape : kGateShapes) {
    INFO(shape);
    const auto in = inputs(kGates[1], shape);
    const auto cols = static_cast<std::size_t>(shape[-1]);
    const Values a = in[0].to_vector<double>();
    const Values u = in[1].to_vector<double>();
    Values plain = reference::layer_norm(a, cols, {}, {}, kGateEps);
    Values weighted = reference::layer_norm(a, cols, in[2].to_vector<double>(), in[3].to_vector<double>(), kGateEps);
    Values sigmoid = a;
    for (std::size_t i = 0; i < u.size(); ++i) {
      plain[i] *= u[i];
      weighted[i] *= u[i];
      sigmoid[i] *= reference::sigmoid(u[i]);
    }
    check_values(kGates[0].fused, {in[0], in[1]}, plain);
    check_values(kGates[1].fused, in, weighted);
    check_values(kGates[2].fused, {in[0], in[1]}, sigmoid);
  }
}

TEST_CASE("gate: gradients match finite differences", "[ops][gate][gradcheck]") {
  for (const Gate& gate : kGates) {
    for (const Shape& shape : kGateShapes) {
      INFO(gate.name << shape);
      check_gradients(gate.fused, inputs(gate, shape), 1e-3);
    }
  }
}

TEST_CASE("gate: the fused form equals the composed one, forward and backward", "[ops][gate][property]") {
  for (const Gate& gate : kGates) {
    for (const Shape& shape : kGateShapes) {
      INFO(gate.name << shape);
      const auto fused = as_parameters(inputs(gate, shape), DType::float64);
      const auto composed = as_parameters(inputs(gate, shape), DType::float64);
      const Tensor y = gate.fused(fused);
      const Tensor z = gate.composed(composed);
      require_close(y, z, 1e-13);
      const Tensor dy = random_input(shape, 5);
      backward_from(y, dy);
      backward_from(z, dy);
      for (std::size_t k = 0; k < fused.size(); ++k) {
        if (shape.numel() > 0) require_close(grad(fused[k]), grad(composed[k]), 1e-12);
      }
    }
  }
}

TEST_CASE("gate: only the operands that are parameters get a gradient", "[ops][gate][gradcheck]") {
  for (const Gate& gate : kGates) {
    const auto in = inputs(gate, {3, 5});
    for (std::size_t wanted = 0; wanted < in.size(); ++wanted) {
      INFO(gate.name << " input " << wanted);
      check_gradients([&](const std::vector<Tensor>& v) {
        std::vector<Tensor> all;
        for (const Tensor& x : in) all.push_back(x.to(v[0].dtype()));
        all[wanted] = v[0];
        return gate.fused(all);
      }, {in[wanted]}, 1e-3);
    }
  }
}

TEST_CASE("gate: operands that do not fit are named", "[ops][gate][errors]") {
  const Tensor a = Tensor::zeros({2, 4});
  REQUIRE_THROWS_MATCHES(norm_gate(a, Tensor::zeros({2, 3}), kGateEps), ShapeError,
                         says("norm_gate: u must be [2, 4], got [2, 3]"));
  REQUIRE_THROWS_MATCHES(norm_gate(a, a, Tensor::zeros({3}), Tensor::zeros({4}), kGateEps), ShapeError,
                         says("norm_gate: weight must be [4], got [3]"));
  REQUIRE_THROWS_MATCHES(norm_gate(a, a, -1.0), ConfigError, says("norm_gate: eps"));
  REQUIRE_THROWS_MATCHES(sigmoid_gate(a, Tensor::zeros({4})), ShapeError,
                         says("sigmoid_gate: u must be [2, 4], got [4]"));
}
