// SPDX-License-Identifier: MIT
// A forward pass on the device and the way back: matrices with gradients, and what each op has to do in backward.
#pragma once
#include <memory>

#include <hstu/cuda/elementwise.hpp>
#include <hstu/cuda/products.hpp>

namespace hstu::cuda {

/// A matrix of a pass.  Ops that read some of its columns each write the gradient of these; otherwise its gradient is
/// the sum of what its readers give (Tape::add_gradient).
struct VariableData {
  Buffer<float> values;
  Buffer<float> gradient;  ///< empty until something flows back
  std::int64_t rows = 0;
  std::int32_t cols = 0;
};
using Variable = std::shared_ptr<VariableData>;

/// What ops share: the device, how products are made, and the list of what backward does.  Memory of a pass comes from
/// the pool of the device and goes back as backward walks.
class Tape {
 public:
  enum class Mode { training, inference };

  Tape(Device& device, Products& products, Mode mode) : device_(device), products_(products), mode_(mode) {}

  Device& device() const { return device_; }
  Products& products() const { return products_; }
  bool is_training() const { return mode_ == Mode::training; }

  /// Uninitialised.
  Variable variable(std::int64_t rows, std::int64_t cols) const {
    return std::make_shared<VariableData>(
        VariableData{Buffer<float>(device_, rows * cols), {}, rows, static_cast<std::int32_t>(cols)});
  }
  Buffer<float> buffer(std::int64_t size) const { return {device_, size}; }

  /// `run` is called in backward, after those of later ops, and destroyed with what it holds.  Forgotten in inference.
  template <class Run>
  void record(Run run) {
    if (mode_ == Mode::training) steps_.push_back(std::make_unique<StepOf<Run>>(std::move(run)));
  }
  void backward() {
    while (!steps_.empty()) {
      const std::unique_ptr<Step> last = std::move(steps_.back());
      steps_.pop_back();
      last->run();
    }
  }

  /// The gradient of x grows by what write(to) writes to an uninitialised [rows, cols].
  template <class Write>
  void add_gradient(VariableData& x, const Write& write) {
    Buffer<float> part = buffer(x.values.size());
    write(part.data());
    give_gradient(x, std::move(part));
  }
  /// The gradient of x grows by `part`, [rows, cols].
  void give_gradient(VariableData& x, Buffer<float> part) {
    if (x.gradient.size() == 0) {
      x.gradient = std::move(part);
    } else {
      add(x.gradient.data(), part.data(), part.size());
    }
  }
  /// The gradient of x, to be written column by column.
  float* gradient_of_columns(VariableData& x) {
    if (x.gradient.size() == 0) x.gradient = buffer(x.values.size());
    return x.gradient.data();
  }
  /// to += x
  void add(float* to, const float* x, std::int64_t count) { dropout(device_, {x, to, to, count, DropoutMask{}}); }

 private:
  struct Step {
    virtual ~Step() = default;
    virtual void run() = 0;
  };
  template <class Run>
  struct StepOf final : Step {
    explicit StepOf(Run of) : call(std::move(of)) {}
    void run() override { call(); }
    Run call;
  };

  Device& device_;
  Products& products_;
  Mode mode_;
  std::vector<std::unique_ptr<Step>> steps_;
};

}  // namespace hstu::cuda
