// SPDX-License-Identifier: MIT
// One reference case: its configuration, its tensors, and the largest error found against them.
#pragma once
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

#include <hstu/io/json.hpp>
#include <hstu/io/safetensors.hpp>
#include <hstu/nn/module.hpp>

namespace hstu::golden {

/// Largest share of its tolerance that a comparison used, and where.
struct Verdict {
  double largest_error = 0.0;  ///< relative to the largest value of its tensor
  double share = 0.0;          ///< of the tolerance; above 1 is a failure
  std::string where = "nothing compared";
};

class GoldenFile {
 public:
  GoldenFile(const std::filesystem::path& path, DType dtype)
      : origin_(path.filename().string()), dtype_(dtype), file_(load_safetensors(path)) {
    const auto found = file_.metadata.find("config");
    check<CheckpointError>(found != file_.metadata.end(), origin_, ": no __metadata__.config");
    config_ = *parse_json<CheckpointError>(found->second, origin_);
  }

  DType dtype() const { return dtype_; }
  const std::string& origin() const { return origin_; }
  bool has(const std::string& name) const { return file_.tensors.contains(name); }
  bool has_option(const std::string& key) const { return config_.contains(key); }
  template <class T>
  T option(const std::string& key) const { return required<T, CheckpointError>(config_, key, origin_); }
  template <class T>
  T option_or(const std::string& key, T absent) const { return has_option(key) ? option<T>(key) : absent; }
  const nlohmann::json& config() const { return config_; }

  /// A tensor as it is in the file; it counts as read.
  Tensor raw(const std::string& name) {
    const auto found = file_.tensors.find(name);
    check<CheckpointError>(found != file_.tensors.end(), origin_, ": no tensor ", name);
    read_.insert(name);
    return found->second;
  }
  /// A floating tensor in the precision under test.
  Tensor real(const std::string& name) { return raw(name).to(dtype_); }
  template <class Int>
  std::vector<Int> integers(const std::string& name) {
    return raw(name).to(dtype_of<Int>()).template to_vector<Int>();
  }

  /// Names of tensors that nobody read.
  std::vector<std::string> unread() const {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : file_.tensors) {
      if (!read_.contains(name)) names.push_back(name);
    }
    return names;
  }

  /// Copies param.<peer name> into every parameter; each parameter and each param.* must have its partner.
  void load_parameters(const ParameterList& parameters, const std::function<std::string(std::string)>& peer_name) {
    for (const auto& [name, value] : parameters) {
      Tensor destination = value;
      const Tensor source = real("param." + peer_name(name));
      check<CheckpointError>(source.shape() == destination.shape(), origin_, ": ", name, " is ", destination.shape(),
                             ", the file has ", source.shape());
      destination.copy_from(source);
    }
  }

  /// Compares `got` with tensor `name`, entry by entry where `counts` says so (all if absent).
  void compare(const std::string& name, const Tensor& got, double tolerance, const std::vector<bool>& counts = {}) {
    const Tensor expected = raw(name).to(DType::float64);
    check<CheckpointError>(got.numel() == expected.numel(), origin_, ": ", name, " has ", expected.shape(),
                           " in the file, computed ", got.shape());
    const Tensor computed = got.to(DType::float64);
    const auto want = expected.values<double>(), have = computed.values<double>();
    double largest = 0.0;
    for (const double v : want) largest = std::max(largest, std::abs(v));
    for (std::size_t i = 0; i < want.size(); ++i) {
      if (!counts.empty() && !counts[i]) continue;
      const double error = std::abs(have[i] - want[i]) / (largest > 0 ? largest : 1.0);
      note(error, tolerance, name, i);
    }
    if (verdict.where == "nothing compared") verdict.where = name;
  }
  /// Compares integers exactly.
  void compare_exactly(const std::string& name, const std::vector<std::int64_t>& got) {
    const auto want = integers<std::int64_t>(name);
    for (std::size_t i = 0; i < want.size(); ++i) {
      note(i < got.size() && got[i] == want[i] ? 0.0 : 1.0, 1e-300, name, i);
    }
  }

  Verdict verdict;

 private:
  void note(double error, double tolerance, const std::string& name, std::size_t entry) {
    const double share = std::isfinite(error) ? error / tolerance : 1e300;
    if (verdict.where != "nothing compared" && share <= verdict.share) return;
    verdict = {error, share, name + "[" + std::to_string(entry) + "]"};
  }

  std::string origin_;
  DType dtype_;
  TensorFile file_;
  nlohmann::json config_;
  std::set<std::string> read_;
};

/// Tolerances: relative to the largest value of the tensor.
inline double value_tolerance(DType dtype) { return dtype == DType::float64 ? 1e-9 : 2e-4; }
/// After AdamW steps; entries whose gradient is rounding are left out, because Adam turns it into whole steps.
inline double after_tolerance(DType dtype) { return dtype == DType::float64 ? 1e-9 : 5e-3; }
inline constexpr double kNegligibleGradient = 1e-6;

/// Compares grad.* of every parameter and takes the optimizer steps of the file, comparing losses and after.*.
/// `loss` runs the model; gradients of the first call are compared before the first step.
void compare_training(GoldenFile& file, const ParameterList& parameters,
                      const std::function<std::string(std::string)>& peer_name, const std::function<Tensor()>& loss);
/// Compares grad.* of every parameter.
void compare_gradients(GoldenFile& file, const ParameterList& parameters,
                       const std::function<std::string(std::string)>& peer_name);

// One function per family: reads every tensor of its file and compares what it computes.
void run_seed_layer(GoldenFile& file);
void run_seed_rel_pos_bias(GoldenFile& file);
void run_seed_model(GoldenFile& file);
void run_paper_layer(GoldenFile& file);
void run_paper_model(GoldenFile& file);
void run_meta_model(GoldenFile& file);
void run_meta_attention(GoldenFile& file);
void run_meta_cached_attention(GoldenFile& file);
void run_meta_norm_gate(GoldenFile& file);
void run_metrics(GoldenFile& file);

}  // namespace hstu::golden
