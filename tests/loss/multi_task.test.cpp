// SPDX-License-Identifier: MIT
#include <hstu/loss/multi_task.hpp>

#include "../check_op.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

const std::vector<Task> kTasks = {{.name = "like", .column = "rating", .weight = 0.7},
                                  {.name = "stars", .column = "rating", .kind = TaskKind::regression, .weight = 1.3}};

Tensor make_labels(std::int64_t rows) {
  std::vector<float> labels;
  for (std::int64_t i = 0; i < rows; ++i) {
    labels.push_back(static_cast<float>(i % 3 == 0));
    labels.push_back(static_cast<float>(1 + i % 5));
  }
  return Tensor::from(labels, {rows, 2});
}

}  // namespace

TEST_CASE("multi_task_loss: value and gradients", "[loss][multi_task][gradcheck]") {
  for (const std::int64_t rows : {0, 1, 2, 3, 7, 16, 31, 33}) {
    const Tensor outputs = random_input({rows, 2}, 1, 3.0), labels = make_labels(rows);
    double expected = 0.0;
    for (std::int64_t i = 0; i < rows; ++i) {
      const double z = outputs.data<double>()[2 * i], r = outputs.data<double>()[2 * i + 1];
      const double y = static_cast<double>(labels.data<float>()[2 * i]);
      const double stars = static_cast<double>(labels.data<float>()[2 * i + 1]), p = 1.0 / (1.0 + std::exp(-z));
      expected += 0.7 * -(y * std::log(p) + (1.0 - y) * std::log(1.0 - p)) + 1.3 * (r - stars) * (r - stars);
    }
    const Op loss = [&](const std::vector<Tensor>& x) { return multi_task_loss(x[0], labels, kTasks); };
    check_values(loss, {outputs}, {expected});
    check_gradients(loss, {outputs});
  }
}

TEST_CASE("multi_task_loss: large outputs stay finite", "[loss][multi_task][property]") {
  const Tensor outputs = parameter(Tensor::from(std::vector<float>{-1000, 2, 1000, 2}, {2, 2}));
  const Tensor loss = multi_task_loss(outputs, Tensor::from(std::vector<float>{1, 2, 1, 2}, {2, 2}), kTasks);
  CHECK(loss.item() == 700.0);
  backward(loss);
  CHECK(grad(outputs).to_vector<float>() == std::vector<float>{-0.7f, 0.0f, 0.0f, 0.0f});
}

TEST_CASE("multi_task_loss: errors name the task", "[loss][multi_task][errors]") {
  const Tensor outputs = randn({2, 2}, {});
  const auto labels = [](std::vector<float> values) { return Tensor::from(values, {2, 2}); };
  CHECK_THROWS_MATCHES(multi_task_loss(outputs, labels({0, 1, 0.5f, 1}), kTasks), DataError,
                       says("label of row 1 of the task like must be 0 or 1, got 0.5"));
  CHECK_THROWS_MATCHES(multi_task_loss(outputs, labels({0, 1, 1, std::nanf("")}), kTasks), DataError,
                       says("task stars must be finite"));
  CHECK_THROWS_MATCHES(multi_task_loss(outputs, Tensor::zeros({2, 1}), kTasks), ShapeError, says("labels must be"));
  CHECK_THROWS_MATCHES(multi_task_loss(randn({2, 3}, {}), labels({0, 0, 0, 0}), kTasks), ShapeError,
                       says("outputs must be [N, 2], a column per task"));
}
