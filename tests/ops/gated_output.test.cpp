// SPDX-License-Identifier: MIT
// gated_output against plain loops and finite differences, for every combination of its options.
#include <hstu/ops/gated_output.hpp>

#include "../check_op.hpp"
#include "../reference/rows.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

struct OutputCase {
  std::int64_t rows, cols;
  GatedOutputOptions options;
};

std::vector<OutputCase> output_cases() {
  std::vector<OutputCase> all;
  for (const auto activation : {GateActivation::none, GateActivation::sigmoid, GateActivation::silu}) {
    for (const std::int64_t groups : {0, 1, 3}) {
      for (const bool concat_u : {false, true}) {
        for (const bool concat_x : {false, true}) {
          const double p = concat_u != concat_x ? 0.25 : 0.0;
          all.push_back({4, 6, {.eps = 1e-3, .groups = groups, .activation = activation, .concat_u = concat_u,
                                .concat_x = concat_x, .dropout = p, .stream = {.seed = 4, .site = 2}, .first_row = 7}});
        }
      }
    }
  }
  all.push_back({0, 4, {.groups = 2}});
  all.push_back({3, 33, {.groups = 11, .activation = GateActivation::silu, .concat_x = true}});
  return all;
}

std::vector<Tensor> inputs(const OutputCase& c) {
  const std::int64_t weights = c.options.groups == 0 ? c.cols : c.options.groups;
  return {random_input({c.rows, c.cols}, 1), random_input({c.rows, c.cols}, 2), random_input({weights}, 3),
          random_input({weights}, 4)};
}

Values by_loops(const OutputCase& c, const std::vector<Tensor>& in) {
  const GatedOutputOptions& o = c.options;
  const auto cols = static_cast<std::size_t>(c.cols),
             width = cols / static_cast<std::size_t>(std::max<std::int64_t>(o.groups, 1));
  const Values x = in[0].to_vector<double>(), u = in[1].to_vector<double>();
  const Values weight = in[2].to_vector<double>(), bias = in[3].to_vector<double>();
  Values gated = reference::layer_norm(x, width, {}, {}, o.eps);
  for (std::size_t i = 0; i < gated.size(); ++i) {
    const std::size_t at = o.groups == 0 ? i % cols : i % cols / width;
    const double open = o.activation == GateActivation::none ? u[i] : reference::sigmoid(u[i]);
    gated[i] = (gated[i] * weight[at] + bias[at]) * (o.activation == GateActivation::silu ? u[i] * open : open);
  }
  Values y;
  for (std::size_t row = 0; row < static_cast<std::size_t>(c.rows); ++row) {
    const auto append = [&](const Values& from) {
      for (std::size_t i = 0; i < cols; ++i) y.push_back(from[row * cols + i]);
    };
    if (o.concat_u) append(u);
    if (o.concat_x) append(x);
    append(gated);
  }
  const auto width_of_y = cols * static_cast<std::size_t>(1 + o.concat_u + o.concat_x);
  return reference::dropout(y, o.dropout, o.stream, static_cast<std::uint64_t>(o.first_row) * width_of_y);
}

}  // namespace

TEST_CASE("gated_output: values are those of plain loops", "[ops][gated_output][parity]") {
  for (const OutputCase& c : output_cases()) {
    const auto f = [&](const std::vector<Tensor>& v) { return gated_output(v[0], v[1], v[2], v[3], c.options); };
    check_values(f, inputs(c), by_loops(c, inputs(c)), 2e-5);
  }
}

TEST_CASE("gated_output: gradients match finite differences", "[ops][gated_output][gradcheck]") {
  for (const OutputCase& c : output_cases()) {
    const auto f = [&](const std::vector<Tensor>& v) { return gated_output(v[0], v[1], v[2], v[3], c.options); };
    if (c.rows > 0) check_gradients(f, inputs(c), 1e-3);
  }
}

TEST_CASE("gated_output: operands that do not fit are named", "[ops][gated_output][errors]") {
  const Tensor x = Tensor::zeros({2, 6}), two = Tensor::zeros({2}), six = Tensor::zeros({6});
  REQUIRE_THROWS_MATCHES(gated_output(x, x, six, six, {.groups = 4}), ConfigError,
                         says("gated_output: groups must divide 6 columns, got 4"));
  REQUIRE_THROWS_MATCHES(gated_output(x, x, six, six, {.groups = -1}), ConfigError, says("got -1"));
  REQUIRE_THROWS_MATCHES(gated_output(x, x, six, six, {.groups = 2}), ShapeError, says("weight must be [2], got [6]"));
  REQUIRE_THROWS_MATCHES(gated_output(x, x, two, six, {.groups = 2}), ShapeError, says("bias must be [2], got [6]"));
  REQUIRE_THROWS_MATCHES(gated_output(x, six, six, six, {}), ShapeError, says("u must be [2, 6], got [6]"));
  REQUIRE_THROWS_MATCHES(gated_output(six, six, six, six, {}), ShapeError, says("x must be [T, C], got [6]"));
  REQUIRE_THROWS_MATCHES(gated_output(x, x, six, six, {.dropout = 1.0}), ConfigError, says("p must be in [0, 1)"));
}
