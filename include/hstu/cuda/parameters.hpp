// SPDX-License-Identifier: MIT
// The parameters of a model on the device, with their gradients.
#pragma once
#include <map>

#include <hstu/cuda/adam.hpp>
#include <hstu/nn/module.hpp>

namespace hstu::cuda {

/// A parameter of shape [rows, cols], a vector being [rows, 1], and its gradient in the present step.
struct Weights {
  float* values = nullptr;  ///< null: the model has none
  float* gradient = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;

  explicit operator bool() const { return values != nullptr; }
  std::int64_t size() const { return rows * cols; }
};

/// All parameters in one allocation and their gradients in another, under the names of the model on the host.
class Parameters {
 public:
  /// Shares the tensors of the list and takes over their values.
  Parameters(Device& device, ParameterList of_host) : of_host_(std::move(of_host)) {
    std::int64_t size = 0;
    for (const NamedParameter& p : of_host_) {
      check<ShapeError>(p.value.dtype() == DType::float32, "cuda: ", p.name, " must be float32, got ", p.value.dtype());
      first_.push_back(size);
      size += (p.value.numel() + kAlignment - 1) / kAlignment * kAlignment;
    }
    values_ = Buffer<float>(device, size);
    gradients_ = Buffer<float>(device, size);
    for (std::size_t i = 0; i < of_host_.size(); ++i) {
      const Shape& shape = of_host_[i].value.shape();
      const std::int64_t rows = shape.rank() == 0 ? 1 : shape[0];
      by_name_[of_host_[i].name] = {values_.data() + first_[i], gradients_.data() + first_[i], rows,
                                    rows == 0 ? 0 : of_host_[i].value.numel() / rows};
    }
    upload();
    clear_gradients();
  }

  const ParameterList& of_host() const { return of_host_; }

  /// Null weights if there is no such parameter.
  Weights find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? Weights{} : found->second;
  }
  /// Throws ShapeError if there is no such parameter.
  Weights at(const std::string& name) const {
    const Weights found = find(name);
    check<ShapeError>(static_cast<bool>(found), "cuda: the model has no parameter ", name);
    return found;
  }
  /// In the order of the host's list.
  std::vector<DeviceParameter> for_optimizer() const {
    std::vector<DeviceParameter> all;
    for (std::size_t i = 0; i < of_host_.size(); ++i) {
      all.push_back({values_.data() + first_[i], gradients_.data() + first_[i], of_host_[i].value.numel()});
    }
    return all;
  }

  void clear_gradients() { gradients_.fill_zero(); }

  /// Takes over the host's values.
  void upload() {
    std::vector<float> all(static_cast<std::size_t>(values_.size()));
    for (std::size_t i = 0; i < of_host_.size(); ++i) {
      std::ranges::copy(of_host_[i].value.values<float>(), all.begin() + first_[i]);
    }
    values_.copy_from(all);
  }
  /// Brings the host's tensors up to date.
  void download() const {
    const std::vector<float> all = values_.to_vector();
    for (std::size_t i = 0; i < of_host_.size(); ++i) {
      Tensor value = of_host_[i].value;
      std::copy_n(all.begin() + first_[i], value.numel(), value.mutable_data<float>());
    }
  }
  /// Of all parameters, in the order of the host's list.
  std::vector<Tensor> download_gradients() const {
    const std::vector<float> all = gradients_.to_vector();
    std::vector<Tensor> gradients;
    for (std::size_t i = 0; i < of_host_.size(); ++i) {
      gradients.emplace_back(of_host_[i].value.shape(), DType::float32);
      std::copy_n(all.begin() + first_[i], gradients[i].numel(), gradients[i].mutable_data<float>());
    }
    return gradients;
  }

 private:
  static constexpr std::int64_t kAlignment = 64;  // floats

  ParameterList of_host_;
  std::vector<std::int64_t> first_;  // place of each in the buffers
  Buffer<float> values_, gradients_;
  std::map<std::string, Weights> by_name_;
};

}  // namespace hstu::cuda
