// SPDX-License-Identifier: MIT
#include <hstu/loss/target_softmax.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

TEST_CASE("target_softmax: value and gradients; padding and repeats of the target do not count",
          "[loss][target_softmax][gradcheck]") {
  for (const std::int64_t rows : {0, 1, 2, 5, 31}) {
    for (const std::int64_t columns : {1, 2, 7, 33}) {
      std::vector<std::int32_t> ids;
      for (std::int64_t i = 0; i < rows * columns; ++i) ids.push_back(static_cast<std::int32_t>(i * 7 % 5));
      const Tensor candidates = Tensor::from(ids, {rows, columns}), scores = random_input({rows, columns}, 3, 2.0);
      double sum = 0.0, count = 0.0;
      for (std::int64_t t = 0; t < rows; ++t) {
        const auto at = [&](std::int64_t c) { return static_cast<std::size_t>(t * columns + c); };
        if (ids[at(0)] == 0) continue;
        double total = 0.0;
        for (std::int64_t c = 0; c < columns; ++c) {
          if (c == 0 || ids[at(c)] != ids[at(0)]) total += std::exp(scores.values<double>()[at(c)]);
        }
        sum -= std::log(std::exp(scores.values<double>()[at(0)]) / total);
        count += 1.0;
      }
      for (const Reduction reduction : {Reduction::sum, Reduction::mean}) {
        const Op loss = [&](const std::vector<Tensor>& x) { return target_softmax(x[0], candidates, reduction); };
        check_values(loss, {scores}, {reduction == Reduction::mean && count > 0 ? sum / count : sum});
        check_gradients(loss, {scores});
      }
    }
  }
}

TEST_CASE("target_softmax: large scores stay finite", "[loss][target_softmax][property]") {
  const Tensor scores = parameter(Tensor::from(std::vector<float>{-2000, 2000}, {1, 2}));
  const Tensor loss = target_softmax(scores, Tensor::from(std::vector<std::int32_t>{1, 2}, {1, 2}));
  CHECK(loss.item() == 4000.0);
  backward(loss);
  CHECK(grad(scores).to_vector<float>() == std::vector<float>{-1.0f, 1.0f});
}

TEST_CASE("target_softmax: errors", "[loss][target_softmax][errors]") {
  CHECK_THROWS_MATCHES(target_softmax(random_input({2, 3}), Tensor::zeros({2, 2}, DType::int32)), ShapeError,
                       says("candidates must be"));
  CHECK_THROWS_MATCHES(target_softmax(random_input({2, 3}), Tensor::zeros({2, 3}, DType::int64)), ShapeError,
                       says("candidates must be"));
  CHECK_THROWS_MATCHES(target_softmax(random_input({6}), Tensor::zeros({6}, DType::int32)), ShapeError,
                       says("scores must be [T, C]"));
  const Tensor targets = Tensor::from(std::vector<std::int32_t>{7, 8});
  CHECK_THROWS_MATCHES(targets_and_negatives(targets, Tensor({3, 2}, DType::int32)), ShapeError, says("and int32[3, 2]"));
  CHECK_THROWS_MATCHES(targets_and_negatives(targets, Tensor({2, 2}, DType::int64)), ShapeError,
                       says("expected int32 [T]"));
}

TEST_CASE("targets_and_negatives: the target comes first", "[loss][target_softmax][property]") {
  const Tensor targets = Tensor::from(std::vector<std::int32_t>{7, 8});
  const auto joined = [&](const Tensor& negatives) {
    return targets_and_negatives(targets, negatives).to_vector<std::int32_t>();
  };
  CHECK(joined(Tensor::from(std::vector<std::int32_t>{1, 2, 3, 4}, {2, 2})) == std::vector<std::int32_t>{7, 1, 2, 8, 3, 4});
  CHECK(joined(Tensor::from(std::vector<std::int32_t>{1, 2})) == std::vector<std::int32_t>{7, 1, 2, 8, 1, 2});
  CHECK(joined(Tensor({2, 0}, DType::int32)) == std::vector<std::int32_t>{7, 8});
}
